"""Vectors into a cache's file: what is written at a time, and which vectors lie side by side.

Rules of this file:
- Everything here happens within a transaction that the caller opened.
- A part, what one answer brought, is not spread over more packs than it must be: who asks for these
  vectors again asks for them together.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from openrouter_embed.cache import growth
from openrouter_embed.cache.layout import PLACES
from openrouter_embed.cache.packs import ROWS, Pack, heads, pack
from openrouter_embed.cache.reading import find

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Part = tuple[Sequence[bytes], Matrix]

AT_ONCE: Final = 16 * ROWS
"""Vectors from which on what is collected is written.

Hashes lie anywhere in the index: few of them rewrite as many of its pages as many do.
"""
SMALL: Final = ROWS // 2
"""Vectors below which a part shares its pack with the parts beside it."""
ENTRIES: Final = 256
"""Entries in one statement."""


def portions(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield what to write in one transaction each."""
    portion: list[Part] = []
    count = 0
    for keys, vectors in parts:
        for start in range(0, len(keys), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            portion.append((keys[some], vectors[some]))
            count += len(portion[-1][0])
            if count >= AT_ONCE:
                yield portion
                portion, count = [], 0
    if portion:
        yield portion


def insert(
    connection: sqlite3.Connection, parts: Sequence[Part], host: str, *, replace: bool
) -> None:
    """Insert vectors: those that are not there yet, or all of them."""
    there = dict(find(connection, sorted(_numbers(parts))))
    entries: dict[int, int] = {}
    replaced: list[int] = []
    for keys, vectors in _shared(parts):
        numbers: list[int] = heads(keys).tolist()
        known = () if replace else there.keys() | entries.keys()
        for some in _divided([at for at, head in enumerate(numbers) if head not in known]):
            run = some[-1] - some[0] == len(some) - 1
            rows = vectors[some[0] : some[-1] + 1] if run else vectors[some]
            number = _insert_pack(connection, pack([keys[at] for at in some], rows), host)
            mine = {numbers[at]: number * PLACES + slot for slot, at in enumerate(some)}
            replaced += (entries[head] for head in mine.keys() & entries.keys())
            entries |= mine
    _insert_entries(connection, sorted(entries.items()))
    if replace:
        growth.strike(connection, [*there.values(), *replaced])


def _numbers(parts: Iterable[Part]) -> list[int]:
    numbers: list[int] = heads([key for keys, _ in parts for key in keys]).tolist()
    return numbers


def _shared(parts: Iterable[Part]) -> Iterator[Part]:
    """Yield parts that are worth packs of their own: of small ones several together."""
    small: list[Part] = []
    for part in parts:
        small.append(part)
        if sum(len(keys) for keys, _ in small) >= SMALL:
            yield joined(small)
            small = []
    if small:
        yield joined(small)


def joined(parts: Sequence[Part]) -> Part:
    """Make one part of several of one width."""
    if len(parts) == 1:
        return parts[0]
    keys = [key for keys, _ in parts for key in keys]
    return keys, np.concatenate([vectors for _, vectors in parts])


def _divided(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield places in as few packs as hold them, all of about the same size."""
    packs = -(-len(places) // ROWS)
    bounds = [len(places) * number // packs for number in range(packs + 1)] if packs else [0]
    for start, end in itertools.pairwise(bounds):
        yield places[start:end]


def _insert_entries(connection: sqlite3.Connection, entries: Sequence[tuple[int, int]]) -> None:
    """Insert numbers and places, many in one statement: each one lets other threads go first."""
    for start in range(0, len(entries), ENTRIES):
        part = entries[start : start + ENTRIES]
        marks = ",".join(["(?, ?)"] * len(part))
        connection.execute(
            f"INSERT OR REPLACE INTO entry VALUES {marks}",  # noqa: S608 - marks
            [*itertools.chain.from_iterable(part)],
        )


def _insert_pack(connection: sqlite3.Connection, made: Pack, host: str) -> int:
    cursor = connection.execute(
        "INSERT INTO pack (width, host, keys, sums, data) VALUES (?, ?, ?, ?, ?)",
        (made.width, host, made.keys, made.sums, made.data),
    )
    number = cast(int, cursor.lastrowid)
    connection.execute("INSERT OR REPLACE INTO used VALUES (?, ?)", (number, int(time.time())))
    return number
