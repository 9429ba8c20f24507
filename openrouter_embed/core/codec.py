"""Bytes out, bytes in: request bodies, and answers turned into validated vectors.

Rules of this file:
- Every doubt about an answer is an `InvalidResponseError`; nothing else ever leaves.
- A row is written only where the answer says which input it belongs to.
- No message quotes the answer: it may hold what the user sent.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
import pybase64

from openrouter_embed.errors import InvalidResponseError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

_QUOTE = ord('"')
_BRACKET = ord("[")
_FLOAT32_LE = np.dtype("<f4")
_INDEX = re.compile(rb"(?:0|[1-9][0-9]{0,8})\Z")
_NOT_FINITE = re.compile(rb"[\[,:]\s*[-+]?(?:nan|inf|infinity)\b", re.IGNORECASE)
_VECTOR = re.compile(rb'"embedding":[ \t\r\n]*(["\[])')
_CLOSING = {b'"': b'"', b"[": b"]"}
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
_decode_floats = msgspec.json.Decoder(list[float]).decode
_decode_string = msgspec.json.Decoder(str).decode
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
    body: bytes, count: int, width: int | None, allocate: Callable[[int], Matrix]
) -> Accepted:
    """Check an answer in full and write its vectors.

    Args:
        body: The answer's bytes.
        count: How many inputs were sent.
        width: Components every vector must have; `None` accepts the answer's own width.
        allocate: Called once with the width; returns the float32 `(count, width)` matrix to fill.

    Raises:
        InvalidResponseError: The answer is not exactly one finite vector per input, all of one
            width. Rows of the matrix may have been written; they mean nothing then.
    """
    text = trim(body)
    answer = _parse(text)
    items = answer.data
    if len(items) != count:
        raise InvalidResponseError(
            f"The server sent {len(items)} vectors for {count} inputs.", reason="count"
        )
    _refuse_repeated_keys(text, len(items))
    order, unindexed = _order(items)
    rows = _read_rows(items)
    width = _common_width(rows, width)
    matrix = allocate(width)
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


def _refuse_repeated_keys(text: bytes, count: int) -> None:
    """Refuse an object that says a thing twice: parsers disagree on which one counts.

    The vectors make up nearly all of an answer and cannot hold keys, so only what stands between
    them is looked at; an unusual layout pays for a full second parse.
    """
    between = _between_vectors(text, count)
    if between is not None:
        repeated = between.count(b'"data"') > 1 or between.count(b'"embedding"') > count
        repeated = repeated or between.count(b'"index"') > count
        repeated = repeated or b"\\u" in between  # a key in disguise?
        if not repeated:
            return
    try:
        _walk_unique(text)
    except (ValueError, RecursionError):
        raise InvalidResponseError(
            "The answer repeats a key within one object.", reason="json"
        ) from None


def _between_vectors(text: bytes, count: int) -> bytes | None:
    """Return all but the first `count` vectors: strings up to a quote, lists up to a bracket."""
    gaps: list[bytes] = []
    at = 0
    for _ in range(count):
        key = _VECTOR.search(text, at)
        if key is None:
            return None
        gaps.append(text[at : key.start()])
        at = text.find(_CLOSING[key[1]], key.end()) + 1
        if not at:
            return None
    gaps.append(text[at:])
    return b"".join(gaps)


def _walk_unique(text: bytes) -> None:
    import json  # noqa: PLC0415 - only unusual answers need it

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise ValueError
        return table

    json.loads(text, object_pairs_hook=unique, parse_int=float)


def _order(items: Sequence[_Item]) -> tuple[list[int], bool]:
    """Return the input position of each item, and whether the order was merely assumed."""
    if not any(map(_has_index, items)):
        return list(range(len(items))), True
    order = [_index(item.index, at) for at, item in enumerate(items)]
    count = len(items)
    seen = bytearray(count)
    for at, index in enumerate(order):
        if index >= count or seen[index]:
            what = "a repeated" if index < count else "an impossible"
            raise InvalidResponseError(
                f"The answer gives {what} `index` for item {at}.", reason="index", index=at
            )
        seen[index] = 1
    return order, False


def _has_index(item: _Item) -> bool:
    return len(bytes(item.index)) > 0


def _index(raw: msgspec.Raw, at: int) -> int:
    token = bytes(raw)
    if _INDEX.match(token) is None:
        raise InvalidResponseError(
            f"Item {at} of the answer has no whole number as `index`.", reason="index", index=at
        )
    return int(token)


def _read_rows(items: Sequence[_Item]) -> list[bytes | list[float]]:
    return [_components(memoryview(item.embedding), at) for at, item in enumerate(items)]


def _components(vector: memoryview, at: int) -> bytes | list[float]:
    first = vector[0]
    if first == _QUOTE:
        return _from_base64(vector, at)
    if first == _BRACKET:
        return _from_floats(vector, at)
    raise InvalidResponseError(
        f"Item {at} of the answer is neither a list of numbers nor base64.",
        reason="component",
        index=at,
    )


def _from_base64(vector: memoryview, at: int) -> bytes:
    try:
        data = pybase64.b64decode(vector[1:-1], validate=True)
    except ValueError:
        data = _from_escaped_base64(vector)
    if len(data) % 4:
        raise InvalidResponseError(
            f"Item {at} of the answer is not base64 of float32 numbers.", reason="base64", index=at
        )
    return data


def _from_escaped_base64(vector: memoryview) -> bytes:
    r"""Decode a string in which every slash is written as `\/`, as some encoders do."""
    try:
        return pybase64.b64decode(_decode_string(vector), validate=True)
    except (ValueError, msgspec.DecodeError):
        return b"?"


def _from_floats(vector: memoryview, at: int) -> list[float]:
    try:
        return _decode_floats(vector)
    except (msgspec.DecodeError, RecursionError) as error:
        finite = "out of range" not in str(error)
    raise InvalidResponseError(
        f"Item {at} of the answer holds something that is not a "
        f"{'number' if finite else 'finite number'}.",
        reason="component" if finite else "not_finite",
        index=at,
    )


def _common_width(rows: Sequence[bytes | list[float]], width: int | None) -> int:
    for at, row in enumerate(rows):
        have = len(row) // 4 if isinstance(row, bytes) else len(row)
        if have == 0:
            raise InvalidResponseError(
                f"Item {at} of the answer is an empty vector.", reason="dimension", index=at
            )
        if width is None:
            width = have
        elif have != width:
            raise InvalidResponseError(
                f"Item {at} of the answer has {have} components instead of {width}.",
                reason="dimension",
                index=at,
            )
    return width or 0


def _fill(matrix: Matrix, order: Sequence[int], rows: Sequence[bytes | list[float]]) -> None:
    packed = [row for row in rows if isinstance(row, bytes)]
    if len(packed) == len(rows) and order == list(range(len(rows))):
        _fill_in_order(matrix, packed)
        return
    for position, row in zip(order, rows, strict=True):
        if isinstance(row, bytes):
            matrix[position] = np.frombuffer(row, dtype=_FLOAT32_LE)
        else:
            with np.errstate(over="ignore"):
                matrix[position] = row


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
    if all(0.0 < square < np.inf for square in squares.tolist()):
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


class TooLargeError(Exception):
    """A body grew past its limit; for shells, which answer with a fault."""


class ContentError(Exception):
    """A body is not what its `Content-Encoding` says; for shells, which answer with a fault."""


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
    modes = {"gzip": (31,), "x-gzip": (31,), "deflate": (15, -15)}.get(name)
    if modes is None:
        raise ContentError(name)
    for mode in modes:
        try:
            out = _inflate(body, mode, limit)
        except zlib.error:
            continue
        if out is not None:
            return out
    raise ContentError(name)


def _inflate(body: bytes, mode: int, limit: int) -> bytes | None:
    """Decompress in pieces, so that a bomb is given up before its output is joined.

    Returns:
        The whole output; `None` if the stream is cut or more follows it.
    """
    stream = zlib.decompressobj(mode)
    pieces: list[bytes] = []
    size = 0
    while not stream.eof:
        piece = stream.decompress(body, limit // 8 + 1)
        body = stream.unconsumed_tail
        if not piece and not body:
            break
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLargeError
    whole = stream.eof and not stream.unused_data
    return b"".join(pieces) if whole else None
