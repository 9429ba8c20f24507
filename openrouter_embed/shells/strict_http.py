"""HTTP answers read as strictly as `aiohttp` reads them, where `http.client` guesses.

Rules of this file:
- What is cut, malformed or ambiguous is an exception, never half an answer.
- Every read ends with its attempt, however slowly bytes drip in.
- Only the head is read anew; bodies, chunked or not, are `http.client`'s, with its sizes checked.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.shells.shared import is_length

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BUFFER: Final = 64 * 1024
"""Bytes read at once: the whole answer to a query, head and vector, in one system call."""
LONGEST_LINE: Final = 65_536
"""Bytes a line of the head may have, as in `http.client`."""
MOST_LINES: Final = 100
"""Lines a head may have, as in `http.client`."""
# No part of a pattern can match what the next one can: a server could make that take minutes.
_STATUS: Final = re.compile(rb"HTTP/(\d\.\d) ([1-9]\d\d)(?: ([^\r\n]*))?\r?\n")
_FIELD: Final = re.compile(rb"([!#-'*+\-.^-z|~0-9A-Z]+):([^\r\n]*)\r?\n")
_FOLDED: Final = re.compile(rb"[ \t]([^\r\n]*)\r?\n")
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class Fields(list[tuple[str, str]]):
    """Header lines in their order, as they came, with what `http.client` asks of headers."""

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a name, in whatever case it came."""
        wanted = name.lower()
        return next((value for known, value in self if known.lower() == wanted), default)

    def items(self) -> list[tuple[str, str]]:
        """Return every line, repeated names included."""
        return self


class StrictResponse(http.client.HTTPResponse):
    """One answer; see the head of this file."""

    def limit_reads(self, sock: Any, left: Callable[[], float]) -> None:
        """Give every read from here on the time that is left.

        Args:
            sock: What the answer is read from.
            left: Returns seconds; raises `TimeoutError` when there are none.
        """
        stream: Any = self.fp
        if isinstance(stream, io.BufferedReader):  # a cassette's is not
            self.fp = io.BufferedReader(_Timed(stream.detach(), sock, left), READ_BUFFER)

    def begin(self) -> None:
        """Read the head.

        Raises:
            HTTPException: It is malformed.
            RemoteDisconnected: It was cut.
        """
        stream: Any = self.fp
        self.fp = cast(Any, _Head(stream))  # the status line is read off it, by `readline`
        try:
            version, status, reason = self._read_status()
            fields = _read_fields(self.fp)
        finally:
            if not self.isclosed():
                self.fp = stream
        self.code = self.status = status
        self.reason = reason
        self.version = version
        self.headers = self.msg = cast(Any, fields)
        self._find_end()

    def _find_end(self) -> None:
        """Work out where the body ends; a head that says so twice is refused by `check_head`."""
        codings = (self.headers.get("transfer-encoding") or "").lower()
        self.chunked = codings == "chunked" and self.status not in _BODILESS
        self.chunk_left = None
        self.will_close = self._check_close()  # type: ignore[attr-defined]
        length = self.headers.get("content-length") or ""
        self.length = int(length) if is_length(length) and not self.chunked else None
        if self.status in _BODILESS:
            self.length = 0
        elif not self.chunked and self.length is None:
            self.will_close = True

    def _read_status(self) -> tuple[int, int, str]:
        """Skip every interim answer, as HTTP asks; the library skips only 100."""
        while True:
            version, status, reason = _read_status_line(self.fp)
            if status == http.client.SWITCHING_PROTOCOLS or not 100 <= status < 200:
                return version, status, reason
            _read_fields(self.fp)

    def _get_chunk_left(self) -> int | None:
        """Check the end of the chunk before, which the library drops unseen."""
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined]
                raise http.client.HTTPException
            self.chunk_left = None
        return cast("int | None", super()._get_chunk_left())  # type: ignore[misc]

    def _read_and_discard_trailer(self) -> None:
        _read_fields(_Head(self.fp, begun=True))

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(LONGEST_LINE)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is not None:
            return int(size[1], 16)
        self._close_conn()  # type: ignore[attr-defined]
        raise http.client.HTTPException if line.endswith(b"\n") else http.client.IncompleteRead(b"")


_BODILESS: Final = frozenset({101, 204, 304})


_VERSIONS: Final = {b"0.9": 10, b"1.0": 10, b"1.1": 11}


def _read_status_line(stream: Any) -> tuple[int, int, str]:
    line: bytes = stream.readline(LONGEST_LINE + 1)
    found = _STATUS.fullmatch(line)
    if not line:  # a proxy's answer to CONNECT is read without `_Head`
        raise http.client.RemoteDisconnected("There is no head.")
    if found is None:
        long = len(line) > LONGEST_LINE
        raise http.client.LineTooLong("status line") if long else http.client.BadStatusLine("")
    if found[1] not in _VERSIONS:
        raise http.client.UnknownProtocol(found[1].decode())
    return _VERSIONS[found[1]], int(found[2]), (found[3] or b"").decode("latin-1").strip()


def _read_fields(stream: Any) -> Fields:
    fields = Fields()
    for _ in range(MOST_LINES + 1):
        line: bytes = stream.readline(LONGEST_LINE + 1)
        if line in (b"\r\n", b"\n"):
            return fields
        field = _FIELD.fullmatch(line)
        if field is not None:
            fields.append((field[1].decode("latin-1"), _text(field[2])))
        else:
            _unfold(fields, line)
    raise http.client.HTTPException


def _unfold(fields: Fields, line: bytes) -> None:
    """Add a line that goes on with the value before, as old servers still write them."""
    more = _FOLDED.fullmatch(line)
    if more is None or not fields:
        raise http.client.HTTPException
    name, value = fields[-1]
    fields[-1] = name, f"{value} {_text(more[1])}".strip(" ")


def _text(value: bytes) -> str:
    return value.strip(b" \t").decode("latin-1")


class _Timed(io.RawIOBase):
    """A socket's stream whose every read has the time that is left."""

    def __init__(self, stream: Any, sock: Any, left: Callable[[], float]) -> None:
        self._stream = stream
        self._sock = sock
        self._left = left

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._stream.fileno())

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._left())
        size: int | None = self._stream.readinto(buffer)
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Head:
    """An answer's stream while its head is read; it knows a head that was cut from a whole one."""

    def __init__(self, stream: Any, *, begun: bool = False) -> None:
        self._stream = stream
        self._begun = begun

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(limit)
        while not self._begun and line in (b"\r\n", b"\n"):
            line = self._stream.readline(limit)
        cut = not line.endswith(b"\n") and len(line) < limit
        if cut and (self._begun or b"HTTP/".startswith(line[:5])):
            raise http.client.RemoteDisconnected("The head was cut.")
        self._begun = True
        return line

    def close(self) -> None:
        self._stream.close()
