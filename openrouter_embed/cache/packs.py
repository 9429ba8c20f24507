"""Vectors side by side in one blob, with a checksum for each.

Rules of this file:
- Bytes in, bytes out; numbers are little-endian, whatever the machine is.
- What was not written by `pack` exactly as it stands is not believed by `unpack`.

A pack is some vectors of one width, their keys and their sums. A vector's sum runs over its bits
with a weight for every place, and over its key: bits that changed, moved, or belong to another key
give another sum.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Words = NDArray[np.uint64]

ROWS: Final = 64
"""Vectors in one pack; more cost less to write, and more to read one of."""
KEY_BYTES: Final = 32
_FLOATS: Final[np.dtype[np.float32]] = np.dtype("<f4")
_WORDS: Final[np.dtype[np.uint64]] = np.dtype("<u8")
_GOLDEN: Final = 0x9E3779B97F4A7C15


class Pack(NamedTuple):
    """What one row of the file holds."""

    width: int
    keys: bytes
    sums: bytes
    data: bytes | memoryview


def pack(keys: Sequence[bytes], vectors: Matrix) -> Pack:
    """Make a pack of vectors and their keys, one each."""
    rows = np.ascontiguousarray(vectors, dtype=_FLOATS)
    joined = b"".join(keys)
    sums = _sums(rows, _heads(joined))
    return Pack(
        rows.shape[1], joined, sums.astype(_WORDS, copy=False).tobytes(), rows.data.cast("B")
    )


def unpack(stored: Pack, slots: Sequence[int], keys: Sequence[bytes]) -> tuple[list[int], Matrix]:
    """Return those of the wanted vectors that can be believed.

    Args:
        stored: As `pack` made it, if nothing has happened to it since.
        slots: Places of the wanted vectors within the pack.
        keys: What is expected there, one for each slot.

    Returns:
        Indexes into `slots`, and the vectors that belong to them.
    """
    count = len(stored.keys) // KEY_BYTES
    nothing = np.empty((0, 0), dtype=np.float32)
    sound = (
        count > 0
        and stored.width > 0
        and len(stored.keys) == count * KEY_BYTES
        and len(stored.sums) == count * 8
        and len(stored.data) == count * stored.width * 4
    )
    if not sound:
        return [], nothing
    flat: Any = np.frombuffer(stored.data, dtype=_FLOATS)
    rows: Matrix = flat.reshape(count, stored.width)
    sums = np.frombuffer(stored.sums, dtype=_WORDS)
    heads = _heads(stored.keys)
    whole = b"".join(keys) == stored.keys  # as most are: no vector need be moved
    if not whole:
        places = [slot if slot < count else 0 for slot in slots]  # no key stands beyond
        rows, sums, heads = rows[places], sums[places], heads[places]
    good = _sums(rows, heads) == sums
    if whole and bool(good.all()):
        return list(range(count)), rows
    kept = [
        at
        for at, (slot, key) in enumerate(zip(slots, keys, strict=True))
        if good[at] and stored.keys.startswith(key, slot * KEY_BYTES)
    ]
    return kept, rows[kept]


def heads(keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Return the first eight bytes of keys as signed numbers: under these a file finds them."""
    words: Any = _heads(b"".join(keys))
    numbers: NDArray[np.int64] = words.view(np.int64)
    return numbers


def _heads(joined: bytes) -> Words:
    words: Any = np.frombuffer(joined, dtype=_WORDS).astype(np.uint64, copy=False)
    first: Words = words.reshape(-1, KEY_BYTES // 8)[:, 0].copy()
    return first


def _sums(rows: Matrix, heads: Words) -> Words:
    even = rows.shape[1] - rows.shape[1] % 2
    bits: Any = np.ascontiguousarray(rows[:, :even])
    words: Words = bits.view(_WORDS)
    sums: Words = words @ _weights(even // 2) + heads
    if even < rows.shape[1]:
        bits = np.ascontiguousarray(rows[:, even:])
        last: Words = bits.view("<u4").astype(np.uint64)[:, 0]
        sums += last * np.uint64(_GOLDEN)
    return sums


@functools.lru_cache(maxsize=16)
def _weights(count: int) -> Words:
    """Return one odd weight for each place, so that no changed bit can vanish in the sum."""
    places: Words = np.arange(1, count + 1, dtype=np.uint64)
    weights: Words = places * np.uint64(_GOLDEN) | np.uint64(1)
    return weights
