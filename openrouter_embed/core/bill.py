"""What inputs will cost: their tokens by medium, and what a token of each medium costs.

Rules of this file:
- The tokens of a medium follow a rule that the model's profile states; where there is none, no
  figure is made up: whoever needs one is told that there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FLAT: Final = 270
"""Tokens of a medium without a rule, for packing alone: images were seen with 258 and 266."""
KINDS: Final = {
    "image_url": "image", "input_audio": "audio", "input_video": "video", "input_file": "file",
}  # fmt: skip
"""Types of content parts, and what each carries."""


@dataclass(frozen=True, slots=True)
class Counting:
    """How the tokens of an input are estimated for one model.

    Attributes:
        special: Tokens billed for a text beyond its own.
        media: Tokens of one medium by its kind, where there is a rule.
    """

    special: int = 0
    media: Mapping[str, int] = field(default_factory=dict[str, int])

    def of_media(self, kinds: Iterable[str]) -> dict[str, int]:
        """Return the tokens of an input's media, summed by kind."""
        tokens: dict[str, int] = {}
        for kind in kinds:
            tokens[kind] = tokens.get(kind, 0) + self.media.get(kind, FLAT)
        return tokens


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per token.

    Attributes:
        text: Of a text, and of media without a price of their own.
        media: Of media by their kind.
    """

    text: float
    media: Mapping[str, float] = field(default_factory=dict[str, float])

    def cost(self, tokens: int, media: Mapping[str, int]) -> float:
        """Return USD for all tokens of an input, those of its media among them."""
        texts = tokens - sum(media.values())
        return texts * self.text + sum(n * self.of(kind) for kind, n in media.items())

    def of(self, kind: str) -> float:
        """Return USD per token of one kind of medium."""
        return self.media.get(kind, self.text)


def without_rule(kinds: Iterable[str], counting: Counting, prices: Prices) -> list[str]:
    """Return the media whose cost nobody can tell in advance; what is free needs no rule."""
    return sorted({k for k in kinds if k not in counting.media and prices.of(k) > 0})
