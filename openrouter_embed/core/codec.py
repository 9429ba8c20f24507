"""Bytes out, bytes in: request bodies, and answers turned into validated vectors.

Rules of this file:
- Every doubt about an answer is an `InvalidResponseError`; nothing else ever leaves.
- A row is written only where the answer says which input it belongs to.
- No message quotes the answer: it may hold what the user sent.
"""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import pybase64

from openrouter_embed.core import edges, floats
from openrouter_embed.core.belief import refuse_unbelievable
from openrouter_embed.errors import InvalidResponseError
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

_FLOAT32_LE = np.dtype("<f4")
_INDEX = re.compile(rb"(?:0|[1-9][0-9]{0,8})\Z")
_NOT_FINITE = re.compile(rb"[\[,:]\s*[-+]?(?:nan|inf|infinity)\b", re.IGNORECASE)
_WHITE = b" \t\r\n"
_ROWS_AT_ONCE = 16
_BOM = b"\xef\xbb\xbf"


class _Item(msgspec.Struct, gc=False):
    """One vector as it stands in the answer; parsed no further than its edges."""

    embedding: msgspec.Raw
    index: msgspec.Raw = msgspec.Raw(b"")


class _Answer(msgspec.Struct, gc=False):
    """The fields of an answer that we read. Unknown ones are skipped, not refused."""

    data: list[_Item]
    model: msgspec.Raw = msgspec.Raw(b'""')
    provider: msgspec.Raw = msgspec.Raw(b'""')
    id: msgspec.Raw = msgspec.Raw(b'""')
    usage: msgspec.Raw = msgspec.Raw(b"null")


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_string = msgspec.json.Decoder(str).decode
_unpack = pybase64.b64decode
_decode_any = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder(order=None).encode
"""JSON bytes of plain Python data, keys in the order given: equal requests are equal bytes."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What one trusted answer says besides its vectors.

    Attributes:
        width: Components per vector.
        zeros: Positions within the request whose vector is all zeros.
        unindexed: The answer carried no index, so the order was taken as sent.
        usage: The usage object as plain data; `None` where it is missing or unusable.
    """

    width: int
    zeros: tuple[int, ...]
    unindexed: bool
    model: str
    provider: str
    request_id: str
    usage: Mapping[str, Any] | None


def decode(
    body: bytes,
    count: int,
    width: int | None,
    allocate: Callable[[int], Matrix],
    believable: Collection[int | None] | None = None,
) -> Accepted:
    """Check an answer in full and write its vectors.

    Args:
        body: The answer's bytes.
        count: How many inputs were sent.
        width: Components every vector must have; `None` accepts the answer's own width.
        allocate: Called once with the width; returns the float32 `(count, width)` matrix to fill.
        believable: Widths that vectors in base64 may have; `None` for any. Numbers of another
            format decode to finite ones of another width, and nothing else tells.

    Raises:
        InvalidResponseError: The answer is not exactly one finite vector per input, all of one
            width. Rows of the matrix may have been written; they mean nothing then.
    """
    answer, rows, openings = _read(trim(body), count)
    order, unindexed = _order(answer.data)
    sizes = set(map(len, rows))
    if believable is not None and not {size // 4 for size in sizes} <= set(believable):
        refuse_unbelievable(rows, openings, believable)
    width = _common_width(rows, sizes, width)
    matrix = allocate(width)
    if order == range(len(rows)):
        _fill_in_order(matrix, rows)
    else:
        _fill(matrix, order, rows)
    zeros = _check_finite(matrix)
    return Accepted(
        width=width,
        zeros=zeros,
        unindexed=unindexed,
        model=_text(answer.model),
        provider=_text(answer.provider),
        request_id=_text(answer.id),
        usage=_usage(answer.usage),
    )


def _read(text: bytes, count: int) -> tuple[_Answer, Sequence[bytes], Sequence[int]]:
    """Return what an answer says, its vectors without their order, and what each begins with."""
    found = edges.cut(text, count)
    if found is not None:
        with contextlib.suppress(InvalidResponseError):  # the whole text tells better what is wrong
            answer = _parse(found.between)
            if len(answer.data) == count:
                return answer, _read_rows(found.openings, found.contents), found.openings
    answer = _parse(text)
    if len(answer.data) != count:
        raise InvalidResponseError(
            f"The server sent {len(answer.data)} vectors for {count} inputs.", reason="count"
        )
    if found is None:
        refuse_repeated_keys(text)
    vectors = [memoryview(item.embedding) for item in answer.data]
    openings = [each[0] for each in vectors]
    return answer, _read_rows(openings, [_inner(each) for each in vectors]), openings


def _parse(text: bytes) -> _Answer:
    if not text:
        raise InvalidResponseError(
            "The server sent an empty answer (the connection may have been cut).", reason="empty"
        )
    if text[:1] == b"<":
        raise InvalidResponseError(
            "The server sent a page of markup instead of JSON: check `base_url` and any proxy.",
            reason="content",
        )
    try:
        if not text.isascii():
            text.decode()  # the parser skips what it does not need without looking at it
        return _decode_answer(text)
    except msgspec.ValidationError as error:
        raise InvalidResponseError(
            f"The answer is JSON without usable `data`: {_place(error)}.", reason="data"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        finite = _NOT_FINITE.search(text) is None
    if finite:
        raise InvalidResponseError("The answer is not valid JSON.", reason="json")
    raise InvalidResponseError("The answer holds NaN or Infinity.", reason="not_finite")


def read_usage(body: bytes) -> Mapping[str, Any] | None:
    """Return the usage of an answer that may be wrong in everything else. Never raises."""
    try:
        return _usage(_decode_answer(trim(body)).usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def trim(body: bytes) -> bytes:
    """Drop a byte order mark and the white space that OpenRouter sends to keep a line alive."""
    return body.removeprefix(_BOM).strip(_WHITE)


def _place(error: msgspec.ValidationError) -> str:
    """Keep msgspec's sentence: it names types and paths, never values."""
    return printable(str(error), 120).replace("$", "answer")


def refuse_repeated_keys(text: bytes) -> None:
    """Refuse an object that says a thing twice: parsers disagree on which one counts.

    Raises:
        InvalidResponseError: It does.
    """
    try:
        _walk_unique(text)
    except (ValueError, RecursionError):
        raise InvalidResponseError(
            "The answer repeats a key within one object.", reason="json"
        ) from None


def _walk_unique(text: bytes) -> None:
    import json  # noqa: PLC0415 - only unusual answers need it

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError
        return table

    json.loads(text, object_pairs_hook=unique, parse_int=float)


def _order(items: Sequence[_Item]) -> tuple[Sequence[int], bool]:
    """Return the input position of each item, and whether the order was merely assumed."""
    given = [item.index for item in items]
    count = len(items)
    if given == _counted(count):
        return range(count), False
    if not any(map(len, map(bytes, given))):
        return range(count), True
    order = [_index(token, at) for at, token in enumerate(given)]
    seen = bytearray(count)
    for at, index in enumerate(order):
        if index >= count or seen[index]:
            what = "a repeated" if index < count else "an impossible"
            raise InvalidResponseError(
                f"The answer gives {what} `index` for item {at}.", reason="index", index=at
            )
        seen[index] = 1
    return order, False


@functools.lru_cache(maxsize=64)
def _counted(count: int) -> list[msgspec.Raw]:
    """Return the indices of an answer in order, as they stand in it."""
    return [msgspec.Raw(b"%d" % number) for number in range(count)]


def _index(raw: msgspec.Raw, at: int) -> int:
    token = bytes(raw)
    if _INDEX.match(token) is None:
        raise InvalidResponseError(
            f"Item {at} of the answer has no whole number as `index`.", reason="index", index=at
        )
    return int(token)


def _inner(vector: memoryview) -> memoryview:
    """Return a vector as `edges` would have cut it out."""
    return vector[1:-1] if vector[0] == edges.QUOTE else vector


def _read_rows(openings: Sequence[int], contents: Sequence[memoryview]) -> Sequence[bytes]:
    """Decode vectors, given by what each begins with and as `edges.Cut` holds them."""
    kinds = set(openings)
    if kinds == {edges.BRACKET}:
        return floats.read_lists(contents)
    if kinds == {edges.QUOTE}:
        with contextlib.suppress(ValueError):
            return [_unpack(content, validate=True) for content in contents]
    pairs = zip(openings, contents, strict=True)
    return [_components(opening, content, at) for at, (opening, content) in enumerate(pairs)]


def _components(opening: int, content: memoryview, at: int) -> bytes:
    if opening == edges.QUOTE:
        return _from_base64(content, at)
    if opening == edges.BRACKET:
        return floats.read_list(content, at)
    raise InvalidResponseError(
        f"Item {at} of the answer is neither a list of numbers nor base64.",
        reason="component",
        index=at,
    )


def _from_base64(content: memoryview, at: int) -> bytes:
    r"""Decode a string, also one in which every slash is written as `\/`, as some encoders do."""
    with contextlib.suppress(ValueError):
        return _unpack(content, validate=True)
    try:
        return _unpack(_decode_string(b'"%b"' % bytes(content)), validate=True)
    except (ValueError, msgspec.DecodeError):
        raise _bad_base64(at) from None


def _bad_base64(at: int) -> InvalidResponseError:
    return InvalidResponseError(
        f"Item {at} of the answer is not base64 of float32 numbers.", reason="base64", index=at
    )


def _common_width(rows: Sequence[bytes], sizes: Collection[int], width: int | None) -> int:
    if width is not None and sizes == {4 * width}:
        return width
    widths = [_width(row, at) for at, row in enumerate(rows[:1] if len(sizes) == 1 else rows)]
    wanted = width or widths[0]
    for at, have in enumerate(widths):
        if have != wanted:
            raise InvalidResponseError(
                f"Item {at} of the answer has {have} components instead of {wanted}.",
                reason="dimension",
                index=at,
            )
    return wanted


def _width(row: bytes, at: int) -> int:
    have, rest = divmod(len(row), 4)
    if rest:
        raise _bad_base64(at)
    if not have:
        raise InvalidResponseError(
            f"Item {at} of the answer is an empty vector.", reason="dimension", index=at
        )
    return have


def _fill(matrix: Matrix, order: Sequence[int], rows: Sequence[bytes]) -> None:
    for position, row in zip(order, rows, strict=True):
        matrix[position] = np.frombuffer(row, dtype=_FLOAT32_LE)


def _fill_in_order(matrix: Matrix, rows: Sequence[bytes]) -> None:
    """Copy several rows at once, which is three times as fast; few enough to stay in the caches."""
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        part = matrix[at : at + _ROWS_AT_ONCE]
        joined = b"".join(rows[at : at + _ROWS_AT_ONCE])
        part[...] = np.reshape(np.frombuffer(joined, dtype=_FLOAT32_LE), part.shape)


def _check_finite(matrix: Matrix) -> tuple[int, ...]:
    """Refuse NaN and infinity; return the rows that are all zeros.

    One dot product per row answers both questions in a single pass: it is finite and positive for
    every ordinary vector. Only rows where it is not are looked at closely.
    """
    squares = np.einsum("ij,ij->i", matrix, matrix)
    if squares.min(initial=np.inf) > 0.0 and squares.max(initial=0.0) < np.inf:  # never with NaN
        return ()
    with np.errstate(all="ignore"):
        suspects = np.flatnonzero(~(np.isfinite(squares) & (squares > 0)))
    zeros: list[int] = []
    for at in suspects.tolist():
        if not np.isfinite(matrix[at]).all():
            raise InvalidResponseError(
                f"The vector of input {at} of the request holds NaN or infinity.",
                reason="not_finite",
                index=at,
            )
        if not matrix[at].any():
            zeros.append(at)
    return tuple(zeros)


def _text(raw: msgspec.Raw) -> str:
    try:
        value = _decode_any(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ""
    return printable(value, 200) if isinstance(value, str) else ""


def _usage(raw: msgspec.Raw) -> Mapping[str, Any] | None:
    try:
        value = _decode_any(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
