"""An object cut into its frame and one long list of objects while it comes, however long it is.

Results may be as large as all vectors of a batch written out as text, so no more than one of them
is held at a time. Numbers are skipped by one search; only quotes and brackets are looked at.

Rules of this file:
- Nothing is understood here but where strings, lists and objects end; what they say, others judge.
- What cannot be the object expected is an `InvalidResponseError`, as soon as that is certain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openrouter_embed.errors import InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_FRAME: Final = 2 * 1024 * 1024
"""Bytes of everything but the results."""
MAX_ITEM: Final = 8 * 1024 * 1024
"""Bytes of one result."""

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_INSIDE: Final = re.compile(rb'["\\]')
_NAMED: Final = rb'"%b"[ \t\r\n]*:[ \t\r\n]*'
_WHITE: Final = b" \t\r\n"
_QUOTE, _BACKSLASH = b'"\\'
_OPENING: Final = frozenset(b"{[")
_BRACE: Final = ord("{")


class Splitter:
    """Cuts one object; see the head of this file.

    Args:
        on_item: Told of each result, as its bytes.
        key: Names the list of results.
        enough: Asked once where the results begin, with the frame so far; `True` ends it there.
    """

    def __init__(
        self,
        on_item: Callable[[bytes], None],
        *,
        key: bytes = b"results",
        enough: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._named = re.compile(_NAMED % key)
        self._on_item = on_item
        self._enough = enough
        self._frame = bytearray()
        self._item = bytearray()
        self._between = bytearray()
        self._into = self._frame
        self._limit = MAX_FRAME
        self._depth = 0
        self._quoted = False
        self._skip = 0
        self._string = 0
        self._listing = False
        self._met = self._any = False
        self.over = False
        """Whether the object has ended, or enough is known."""

    def feed(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            InvalidResponseError: This is no batch object.
        """
        if self.over:
            _check_white(piece)
            return
        start, at = 0, self._skip
        self._skip = max(0, at - len(piece))
        while not self.over:
            found = (_INSIDE if self._quoted else _OUTSIDE).search(piece, at)
            if found is None:
                break
            at = found.end()
            byte = piece[at - 1]
            if self._quoted:
                if byte == _BACKSLASH:
                    at += 1
                    self._skip = max(0, at - len(piece))
                else:
                    self._quoted = False
            elif byte == _QUOTE:
                self._quoted = True
                self._string = len(self._frame) + at - 1 - start
            else:
                start = self._bracket(piece, start, at, opens=byte in _OPENING)
        self._take(piece[start:])

    def _bracket(self, piece: bytes, start: int, at: int, *, opens: bool) -> int:
        """Go into or out of a list or an object; return what of the piece was not taken yet."""
        if not opens:
            return self._close(piece, start, at)
        self._depth += 1
        if self._depth == 2 and piece[at - 1] != _BRACE and self._names_results(piece, start, at):
            self._take(piece[start:at])
            self._begin_results()
            return at
        if self._listing and self._depth == 3:
            if piece[at - 1] != _BRACE:
                raise _odd()
            self._take(piece[start : at - 1])
            self._check_between(first=not self._any)
            self._any = True
            self._into, self._limit = self._item, MAX_ITEM
            return at - 1
        return start

    def _names_results(self, piece: bytes, start: int, at: int) -> bool:
        """Whether the list that begins here is the one to be cut."""
        ahead = self._string - len(self._frame)
        if ahead >= 0:  # the last string began within this piece
            text = piece[start + ahead : at - 1]
        else:
            text = bytes(self._frame[self._string :]) + piece[start : at - 1]
        return self._named.fullmatch(text) is not None

    def _begin_results(self) -> None:
        if self._met:
            raise _odd()
        self._met = True
        if self._enough(bytes(self._frame)):
            self.over = True
            return
        self._listing, self._any = True, False
        self._into, self._limit = self._between, MAX_FRAME

    def _close(self, piece: bytes, start: int, at: int) -> int:
        self._depth -= 1
        if self._depth < 0:
            raise _odd()
        if self._listing and self._depth == 2:
            self._take(piece[start:at])
            item = bytes(self._item)
            self._item.clear()
            self._into, self._limit = self._between, MAX_FRAME
            self._on_item(item)
            return at
        if self._listing and self._depth == 1:
            self._take(piece[start : at - 1])
            if self._between.strip(_WHITE):
                raise _odd()
            self._listing = False
            self._into = self._frame
            return at - 1
        if not self._depth:
            self._take(piece[start:at])
            _check_white(piece[at:])
            self.over = True
            return len(piece)
        return start

    def _check_between(self, *, first: bool) -> None:
        if bytes(self._between.strip(_WHITE)) != (b"" if first else b","):
            raise _odd()
        self._between.clear()

    def _take(self, part: bytes) -> None:
        if len(self._into) + len(part) > self._limit:
            raise InvalidResponseError("A part of the answer is too large.", reason="data")
        self._into += part

    def end(self) -> bytes:
        """Return the object without its results, once all has come.

        Raises:
            InvalidResponseError: It is cut.
        """
        if not self.over:
            raise InvalidResponseError("The answer ends within a batch.", reason="json")
        return bytes(self._frame)


def _check_white(rest: bytes) -> None:
    if rest.strip(_WHITE):
        raise _odd()


def _odd() -> InvalidResponseError:
    return InvalidResponseError("The answer is no batch.", reason="json")
