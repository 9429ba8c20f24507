"""How many tokens a text is likely to have, without a tokenizer.

Rules of this file:
- An estimate is for packing and for cost in advance; it costs about a microsecond.
- It leans to the high side: a request that is too large is refused, one that is smaller is not.
"""

from __future__ import annotations

from typing import Final

ASCII_PER_TOKEN: Final = 3.6
BYTES_PER_TOKEN: Final = 2.4


def estimate_tokens(text: str) -> int:
    """Estimate the tokens of a text; at least 1."""
    if text.isascii():
        return int(len(text) / ASCII_PER_TOKEN) + 1
    return int(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) + 1
