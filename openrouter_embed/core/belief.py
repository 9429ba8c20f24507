"""Which vectors in base64 are believed: numbers of another format decode to finite garbage.

Rules of this file:
- Nothing but the width tells float32 numbers from smaller ones: a width that nobody has asked for,
  that is not known of the model and was not seen in floats is not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed.core.edges import QUOTE
from openrouter_embed.errors import InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def refuse_unbelievable(
    rows: Sequence[bytes], openings: Sequence[int], believable: Collection[int | None]
) -> None:
    """Refuse vectors in base64 of a width that nobody knows.

    Args:
        rows: The vectors of one answer, as float32 numbers.
        openings: What each began with; `QUOTE` is base64.
        believable: Widths that are known; those of rows that came as floats are, too.

    Raises:
        InvalidResponseError: There is one.
    """
    pairs = {(len(row), opening == QUOTE) for row, opening in zip(rows, openings, strict=True)}
    seen = {size // 4 for size, encoded in pairs if not encoded}
    for size, encoded in pairs:
        if encoded and size % 4 == 0 and size // 4 not in {*believable, *seen}:
            raise InvalidResponseError(
                f"The vectors came in base64, as {size} bytes each: float32 numbers of a width "
                "that was neither asked for nor is known of this model, or numbers of another "
                "format. Pass `encoding_format='float'`.",
                reason="unbelieved",
            )
