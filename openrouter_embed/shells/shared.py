"""What both shells must see alike in answers and exceptions, where their libraries differ.

Rules of this file:
- Pure functions of headers and exceptions; no body is looked at, and of a status only whether
  it is one of an answer at all.
- What one library would let pass and the other refuse is refused here for both.
"""

from __future__ import annotations

import re
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.inflate import ContentError, TooLargeError
from openrouter_embed.core.wire import Fault, FaultKind, Request, fault
from openrouter_embed.errors import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openrouter_embed.route import Route

MAX_HEADERS: Final = 96
"""Headers an answer may have; `http.client` stops at 99, `aiohttp` at 128."""
_LENGTH: Final = re.compile("[0-9]{1,18}")
"""A Content-Length that every parser reads alike, and holds in 64 bits."""
SHORTEST_KEY: Final = 8
"""Characters below which a key could stand in a body by chance."""
LARGEST_ECHO: Final = 64 * 1024
"""Bytes above which a body is vectors, not an error that could quote the key."""


class FramingError(Exception):
    """An answer's head is malformed, contradicts itself, or is an interim one.

    After one below 200 the real answer is still to come, and must not be read by the next request.
    """


def check_head(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return header lines, repeated ones included, by names in lower case; the first one counts.

    Raises:
        FramingError: Where the body ends is in doubt, or a header is not one.
    """
    lines = [(name.lower(), value.strip()) for name, value in headers]
    lengths = [value for name, value in lines if name == "content-length"]
    codings = [value.lower() for name, value in lines if name == "transfer-encoding"]
    sound = (
        len(lines) <= MAX_HEADERS
        and len(lengths) + len(codings) <= 1
        and all(map(_LENGTH.fullmatch, lengths))
        and all(coding in ("chunked", "identity") for coding in codings)
        and not any("\0" in value for _, value in lines)
    )
    if not sound:
        raise FramingError
    return dict(reversed(lines))


def conceal(body: bytes, authorization: str) -> bytes:
    """Mask the key in a body that is small enough to be an error: servers echo what they refuse."""
    key = authorization.removeprefix("Bearer ").encode()
    if len(key) < SHORTEST_KEY or len(body) > LARGEST_ECHO or key not in body:
        return body
    return body.replace(key, b"***")


Table = tuple[tuple[tuple[type[BaseException] | str, ...], FaultKind], ...]
"""Exceptions and what they mean: the first row decides of which a type, or any type of a named
library, occurs anywhere in a chain."""


def fault_of(
    error: Exception, request: Request, route: Route, kind: FaultKind | None, *, reused: bool
) -> Fault:
    """Make a fault of whatever a send raised; `reused` if its connection had served before."""
    host, proxied = route.host, route.proxy is not None
    if isinstance(error, EmbeddingError):
        return Fault(FaultKind.LOCAL, error.message)
    if isinstance(error, TooLargeError):
        return fault(FaultKind.TOO_LARGE, host, limit=request.max_reply)
    if isinstance(error, ContentError):
        return fault(FaultKind.DECODE, host)
    found = unforeseen(error) if kind is None else None
    forget_frames(error)
    stale = kind is FaultKind.RESET and reused
    return found or fault(kind or FaultKind.LOCAL, host, stale=stale, proxied=proxied)


def limiter_failed(error: Exception) -> Fault:
    """Make a fault of what the user's limiter raised, told by its type alone."""
    return Fault(FaultKind.LOCAL, f"The limiter failed with {type(error).__name__}.")


def classify(error: BaseException, table: Table, *, in_body: bool) -> FaultKind | None:
    """Return the kind of a library's exception; `None` if no type in its chain is known."""
    chain = list(_linked(error))
    known = {kind for link in chain for kind in type(link).__mro__}
    libraries = {type(link).__module__.partition(".")[0] for link in chain}
    for wanted, kind in table:
        if not (known | libraries).isdisjoint(wanted):
            # What is wrong with a body is that it was cut, whatever a library calls it.
            cut = in_body and kind in (FaultKind.RESET, FaultKind.PROTOCOL)
            return FaultKind.TRUNCATED if cut else kind
    return None


def _linked(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    # Libraries put causes into attributes and arguments as well as into the chain. The wrappers of
    # requests say nothing themselves, and their base class is an OSError.
    if not type(error).__module__.startswith("requests."):
        yield error
    if depth < 6:
        for link in _inner(error):
            yield from _linked(link, depth + 1)


def _inner(error: BaseException) -> list[BaseException]:
    named = (getattr(error, name, None) for name in ("reason", "os_error"))
    links = (error.__cause__, error.__context__, *named, *error.args)
    return [link for link in links if isinstance(link, BaseException)]


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
        todo += [inner for inner in _inner(link) if id(inner) not in seen]


def unforeseen(error: Exception) -> Fault:
    """Make a fault of an exception that no table knows, such as one of a caller's own adapter.

    The exception itself may hold the request, and with it texts and the key, so it goes no further
    than its type and place.
    """
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{PurePath(place.filename).name}, line {place.lineno}"
    message = f"The request could not be sent: {type(error).__name__} in {where}."
    return Fault(FaultKind.LOCAL, message)
