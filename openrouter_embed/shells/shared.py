"""What both shells must see alike in an answer, where their libraries see different things.

Rules of this file:
- Pure functions of headers and exceptions; no body is looked at, and of a status only whether
  it is one of an answer at all.
- What one library would let pass and the other refuse is refused here for both.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.wire import Fault, FaultKind

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEADERS: Final = 96
"""Headers an answer may have; `http.client` stops at 99, `aiohttp` at 128."""
MAX_LENGTH_DIGITS: Final = 18
"""Digits of a Content-Length that every parser holds in 64 bits."""


SHORTEST_KEY: Final = 8
"""Characters below which a key could stand in a body by chance."""
LARGEST_ECHO: Final = 64 * 1024
"""Bytes above which a body is vectors, not an error that could quote the key."""


class FramingError(Exception):
    """An answer's head is malformed or contradicts itself."""


def check_head(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their names in lower case; of repeated ones the first.

    Args:
        headers: Every header line as it came, repeated ones included.

    Raises:
        FramingError: Where the body ends is in doubt, or a header is not one.
    """
    lines = [(name.lower(), value.strip()) for name, value in headers]
    lengths = [value for name, value in lines if name == "content-length"]
    codings = [value.lower() for name, value in lines if name == "transfer-encoding"]
    sound = (
        len(lines) <= MAX_HEADERS
        and len(lengths) + len(codings) <= 1
        and all(map(is_length, lengths))
        and all(coding in ("chunked", "identity") for coding in codings)
        and not any("\0" in value for _, value in lines)
    )
    if not sound:
        raise FramingError
    return dict(reversed(lines))


def check_status(status: int) -> None:
    """Refuse an interim answer: the real one is still to come, and must not be read by the next.

    Raises:
        FramingError: The status is below 200.
    """
    if status < 200:
        raise FramingError


def is_length(text: str) -> bool:
    """Whether this is a length that every parser reads alike."""
    return text.isascii() and text.isdigit() and len(text) <= MAX_LENGTH_DIGITS


def conceal(body: bytes, authorization: str) -> bytes:
    """Mask the key in a body that is small enough to be an error: servers echo what they refuse."""
    key = authorization.removeprefix("Bearer ").encode()
    if len(key) < SHORTEST_KEY or len(body) > LARGEST_ECHO or key not in body:
        return body
    return body.replace(key, b"***")


def forget_frames(error: BaseException) -> None:
    """Cut the tracebacks of an exception that was dealt with.

    Their frames hold the request and its connection, often in a cycle, and would keep texts, key
    and socket alive until the garbage collector comes by.
    """
    todo, seen = [error], set[int]()
    while todo:
        link = todo.pop()
        seen.add(id(link))
        link.__traceback__ = None
        inner = (link.__cause__, link.__context__, getattr(link, "reason", None), *link.args)
        todo += [x for x in inner if isinstance(x, BaseException) and id(x) not in seen]


def unforeseen(error: Exception) -> Fault:
    """Make a fault of an exception that no table knows, such as one of a caller's own adapter.

    The exception itself may hold the request, and with it texts and the key, so it goes no further
    than its type and place.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{PurePath(place.filename).name}, line {place.lineno}"
    message = f"The request could not be sent: {type(error).__name__} in {where}."
    return Fault(FaultKind.LOCAL, message)
