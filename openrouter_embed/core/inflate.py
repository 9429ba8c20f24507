"""Bodies that travelled compressed, brought back to their full length, but never beyond a limit.

Rules of this file:
- An optional accelerator may only save time: what it refuses is tried again by the standard
  library, whose word counts.
- Output is made in pieces, so that a bomb is given up before its output is joined.
"""

from __future__ import annotations

import contextlib
import functools
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openrouter_embed.core.wire import Sink


class TooLargeError(Exception):
    """A body grew past its limit; for shells, which answer with a fault."""


class ContentError(Exception):
    """A body is not what its `Content-Encoding` says; for shells, which answer with a fault."""


MODES: Final = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}
"""How each encoding may be written, as zlib's `wbits`; some servers send deflate bare."""
_CHECKED: Final = (31, 15)
"""Ways to write that carry a checksum of what went in."""


class Library(NamedTuple):
    """One library that inflates.

    Attributes:
        open: Takes `wbits`, returns an object like zlib's for decompression.
        refusal: What it raises when the bytes are bad.
        modes: What it is trusted with.
    """

    open: Callable[[int], Any]
    refusal: type[Exception]
    modes: tuple[int, ...]


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo one layer of gzip or deflate, never producing more than `limit` bytes.

    Both shells read raw bytes and call this, so a bomb, a truncated stream or an encoding that
    nobody offered is the same fault in both.

    Raises:
        TooLargeError: More than `limit` bytes would come out.
        ContentError: The bytes are not a complete stream of that encoding.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    for library in libraries():
        for mode in MODES.get(name, ()):
            out = _inflate(body, mode, limit, library) if mode in library.modes else None
            if out is not None:
                return out
    raise ContentError(name)


POURED: Final = 262_144
"""Bytes of a long body that are read and handed on at a time."""
_STRETCH: Final = 4 * 1024 * 1024
"""Bytes that one piece may become before it is handed on."""

_HEAD: Final = 2
"""Bytes by which zlib tells whether a stream has a head."""


class Inflow:
    """Hands a long body on to a sink as it comes, decompressed.

    What a sink has taken cannot be taken back, so there is no second try here: the standard
    library reads, and of the ways to write deflate the first piece tells which it is.
    """

    def __init__(self, sink: Sink, encoding: str) -> None:
        self._sink = sink
        self._name = encoding.strip().lower()
        self._stream: Any = None
        self._head = b""
        if self._name not in ("", "identity") and self._name not in MODES:
            raise ContentError(self._name)

    def feed(self, piece: bytes) -> bool:
        """Hand a piece on; return whether the sink wants more.

        Raises:
            ContentError: The body is not what its encoding says.
        """
        if self._name not in MODES:
            return self._sink.feed(piece)
        try:
            return self._inflate(piece)
        except zlib.error:
            raise ContentError(self._name) from None

    def _inflate(self, piece: bytes) -> bool:
        if self._stream is None:
            piece = self._head = self._head + piece
            if len(piece) < _HEAD:
                return True
        while piece:
            out = self._first(piece) if self._stream is None else self._more(piece)
            if out and not self._sink.feed(out):
                return False
            stream: Any = self._stream
            if stream.unused_data:
                raise ContentError(self._name)
            piece = stream.unconsumed_tail
        return True

    def _more(self, piece: bytes) -> bytes:
        return cast("bytes", self._stream.decompress(piece, _STRETCH))

    def _first(self, piece: bytes) -> bytes:
        *others, last = MODES[self._name]
        for mode in others:
            with contextlib.suppress(zlib.error):
                self._stream = zlib.decompressobj(mode)
                return self._more(piece)
        self._stream = zlib.decompressobj(last)
        return self._more(piece)

    def end(self) -> None:
        """Say that nothing more comes.

        Raises:
            ContentError: The body is cut.
        """
        if self._name in MODES and (self._stream is None or not self._stream.eof):
            raise ContentError(self._name)


@functools.cache
def libraries() -> Sequence[Library]:
    """Return the ways to inflate that this machine has, in the order in which they are tried."""
    return [library for load in LIBRARIES.values() if (library := load()) is not None]


def _load_isal() -> Library | None:
    """Take a third of zlib's time, which is more than what parsing a body of floats takes."""
    try:
        from isal import isal_zlib  # noqa: PLC0415 - an optional extra
    except ImportError:
        return None
    isal: Any = isal_zlib  # its types call the error an instance
    # It reads some bad streams that zlib refuses: harmless where a checksum follows.
    return Library(isal.decompressobj, isal.error, _CHECKED)


def _load_zlib() -> Library:
    return Library(zlib.decompressobj, zlib.error, (*_CHECKED, -15))


def _inflate(body: bytes, mode: int, limit: int, library: Library) -> bytes | None:
    """Return the whole output; `None` if the stream is bad, is cut or something follows it."""
    stream = library.open(mode)
    pieces: list[bytes] = []
    size = 0
    try:
        while not stream.eof:
            piece = stream.decompress(body, limit // 8 + 1)
            body = stream.unconsumed_tail
            if not piece and not body:
                break
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLargeError
    except library.refusal:
        return None
    whole = stream.eof and not stream.unused_data
    return b"".join(pieces) if whole else None


LIBRARIES: Final[dict[str, Callable[[], Library | None]]] = {"isal": _load_isal, "zlib": _load_zlib}
"""From fast to slow. A body that the first cannot read is read once more by the last."""
