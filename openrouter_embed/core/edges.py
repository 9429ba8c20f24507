"""An answer's text cut into its vectors and what stands between them.

Vectors make up nearly all of an answer, so parsing only the rest saves most of the work. It gives
what parsing everything would give, because

- as many vectors are cut out as the answer has items, and each item needs a key `"embedding"`;
- no other such key stands between them, and none in disguise: so each cut vector is the value of
  one item's only such key, in the order of the items;
- a vector counts only after it was decoded, and what can be decoded holds no quote and no
  bracket: a parser would have found its end where we did.

Rules of this file:
- An unusual layout is no error: nothing is said about it, and the whole text is to be parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY: Final = b'"embedding":'
_SPACED_KEY: Final = re.compile(rb'"embedding"[ \t\r\n]+:')
_OPENING: Final = re.compile(rb'[ \t\r\n]*(["\[])')
_CLOSING: Final = {b'"': b'"', b"[": b"]"}
QUOTE: Final = ord('"')
BRACKET: Final = ord("[")


class Cut(NamedTuple):
    """An answer in two parts.

    Attributes:
        between: The text with empty vectors in their places.
        openings: What each vector begins with, `QUOTE` or `BRACKET`.
        contents: Each vector: a string without its quotes, a list with its brackets.
    """

    between: bytes
    openings: Sequence[int]
    contents: Sequence[memoryview]


def cut(text: bytes, count: int) -> Cut | None:
    """Cut the first `count` vectors out of an answer; `None` if its layout is unusual."""
    if not text.endswith(b"}"):
        return None
    whole = memoryview(text)
    pieces: list[bytes] = []
    openings = bytearray()
    contents: list[memoryview] = []
    end = 0
    for _ in range(count):
        key = text.find(_KEY, end)
        if key < 0:
            return None
        start = key + len(_KEY)
        closing = b'"'
        if text[start] != QUOTE:
            start, closing = _opening(text, start)
        last = text.find(closing, start + 1) if closing else -1
        if last < 0:
            return None
        pieces.append(text[end : start + 1])
        openings.append(text[start])
        quoted = text[start] == QUOTE
        contents.append(whole[start + 1 : last] if quoted else whole[start : last + 1])
        end = last
    pieces.append(text[end:])
    between = b"".join(pieces)
    return Cut(between, openings, contents) if _plain(between, count) else None


def _opening(text: bytes, at: int) -> tuple[int, bytes]:
    """Return where a vector begins and what closes it; nothing does if it is none."""
    found = _OPENING.match(text, at)
    return (found.start(1), _CLOSING[found[1]]) if found is not None else (at, b"")


def _plain(between: bytes, count: int) -> bool:
    """Say whether no key that matters can stand twice in one object, not even in disguise."""
    return not (
        between.count(b'"data"') > 1
        or between.count(_KEY) > count
        or _SPACED_KEY.search(between) is not None
        or between.count(b'"index"') > count
        or b"\\u" in between
    )
