"""Texts that are too long for the model: cut into parts whose vectors are averaged, or cut off.

Rules of this file:
- A cut falls on the most natural boundary near where it has to be: a paragraph, a line, a
  sentence, a word, and only then between any two characters.
- Nothing is added, and nothing is lost but by a cut that was asked for: the parts put together are
  the text.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BOUNDARIES: Final = ("\n\n", "\n", ". ", "! ", "? ", "。", "！", "？", "; ", ", ", "、", " ")  # noqa: RUF001 - CJK ends its sentences so
REACH: Final = 0.25
"""Share of a part's length by which a cut may move to find a better boundary."""


def count_parts(tokens: int, limit: int | None) -> int:
    """Return into how many parts a refused text goes.

    Args:
        tokens: Its estimated tokens.
        limit: Tokens the model reads, if known; halves are tried otherwise.
    """
    if limit is None or tokens <= limit:
        return 2
    return max(2, math.ceil(1.1 * tokens / limit))


def split_text(text: str, parts: int) -> list[str]:
    """Cut a text into about `parts` pieces of about equal length; fewer if it is very short."""
    size = max(1.0, len(text) / parts)
    cuts = [0]
    for number in range(1, parts):
        cut = _near(text, round(number * size), max(1, int(REACH * size)))
        if cut > cuts[-1] and text[cuts[-1] : cut].strip() and text[cut:].strip():
            cuts.append(cut)
    cuts.append(len(text))
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


SPARE: Final = 0.97
"""Share of the model's limit that is filled: tokens are estimated, not counted."""
SHORTER: Final = 0.7
"""Share that is kept of a text which should have fitted, and did not."""
UNKNOWN: Final = 0.5
"""Share that is kept where the model's limit is not known."""


def cut_text(text: str, tokens: int, limit: int | None) -> str:
    """Return the beginning of a refused text that the model should read.

    Args:
        text: The text.
        tokens: Its estimated tokens.
        limit: Tokens the model reads, if known.
    """
    share = UNKNOWN if limit is None else SHORTER if tokens <= limit else SPARE * limit / tokens
    end = int(share * len(text))
    word = text.rfind(" ", int(0.9 * end), end)
    return text[: word if word > 0 else end]


def _near(text: str, ideal: int, reach: int) -> int:
    low, high = max(1, ideal - reach), min(len(text) - 1, ideal + reach)
    for boundary in BOUNDARIES:
        before = text.rfind(boundary, low, ideal)
        after = text.find(boundary, ideal, high)
        found = [at + len(boundary) for at in (before, after) if at >= 0]
        if found:
            return min(found, key=lambda at: abs(at - ideal))
    return ideal


class Parts:
    """The inputs that were sent in parts, until their parts have come together."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}
        self._weights: dict[int, int] = {}
        self._missing: dict[int, set[int]] = {}
        self._sums: dict[int, NDArray[np.float64]] = {}
        self._cut: set[int] = set()

    def owner(self, unit: int) -> int:
        """Return the input that a part belongs to; an input is its own."""
        return self._owners.get(unit, unit)

    def divide(self, unit: int, first: int, lengths: Sequence[int]) -> range:
        """Replace an input, or a part of one, by parts numbered from `first`."""
        owner = self.owner(unit)
        numbers = range(first, first + len(lengths))
        if len(lengths) == 1:
            self._cut.add(owner)
        for number, length in zip(numbers, lengths, strict=True):
            self._owners[number] = owner
            self._weights[number] = length
        missing = self._missing.setdefault(owner, set())
        missing.discard(unit)
        missing.update(numbers)
        return numbers

    def is_only(self, part: int) -> bool:
        """Whether the text that this is a part of was cut off: it has no other part."""
        return self._owners[part] in self._cut

    def add(self, part: int, row: NDArray[np.float32]) -> tuple[int, NDArray[np.float64] | None]:
        """Take a part's vector; return its input, and the input's vector once that is whole.

        The vector is the mean of the parts', weighted by their lengths, scaled to unit length; that
        of an only part, the beginning of a text that was cut off, stays as it is.
        """
        owner = self._owners[part]
        if self.is_only(part):
            self._missing[owner].discard(part)
            return owner, row.astype(np.float64)
        missing = self._missing[owner]
        missing.discard(part)
        total = self._sums.pop(owner, 0.0) + row.astype(np.float64) * self._weights[part]
        if missing:
            self._sums[owner] = total
            return owner, None
        length = float(np.linalg.norm(total))
        return owner, total / length if length else total
