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
from openrouter_embed.core.rows import as_run, rows_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]
    Part = tuple[Sequence[bytes], Matrix]
    Row = tuple[object, ...]

ENOUGH: Final = 16 * ROWS
"""Vectors that are enough for a transaction; more that wait are written in the next.

Hashes lie anywhere in the index: few of them rewrite as many of its pages as many do.
"""
SMALL: Final = ROWS // 2
"""Vectors below which a part shares its pack with the parts beside it."""
ENTRIES: Final = 256
"""Entries in one statement."""
STATEMENT: Final = 16 * 1024 * 1024
"""Bytes of packs in one statement, which SQLite copies as a whole."""


def portions(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield what to write in one transaction each."""
    portion: list[Part] = []
    count = 0
    for keys, vectors in parts:
        for start in range(0, len(keys), ENOUGH):
            some = slice(start, start + ENOUGH)
            portion.append((keys[some], vectors[some]))
            count += len(portion[-1][0])
            if count >= ENOUGH:
                yield portion
                portion, count = [], 0
    if portion:
        yield portion


def insert(
    connection: sqlite3.Connection, parts: Sequence[Part], host: str, *, replace: bool
) -> None:
    """Insert vectors: those that are not there yet, or all; of equal keys the last counts."""
    numbers: list[int] = heads([key for keys, _ in parts for key in keys]).tolist()
    there = dict(find(connection, sorted(numbers)))
    if replace:  # before anything is inserted, for numbers of packs that are gone are used again
        growth.strike(connection, there.values())
    last = {head: at for at, head in enumerate(numbers) if replace or head not in there}
    packs: list[Pack] = []
    start = 0
    for keys, vectors in _shared(parts):
        mine = enumerate(numbers[start : start + len(keys)])
        wanted = [at for at, head in mine if last.get(head) == start + at]
        start += len(keys)
        packs += (
            pack([keys[at] for at in some], rows_of(vectors, as_run(some)))
            for some in _divided(wanted)
        )
    _insert_entries(connection, sorted(_insert_packs(connection, packs, host)))


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
    """Insert numbers and places."""
    for start in range(0, len(entries), ENTRIES):
        _insert_rows(connection, "entry", entries[start : start + ENTRIES])


def _insert_packs(
    connection: sqlite3.Connection, packs: Sequence[Pack], host: str
) -> list[tuple[int, int]]:
    """Insert packs; return the numbers and places of what is in them."""
    entries: list[tuple[int, int]] = []
    at_once = max(1, STATEMENT // max((len(one.data) for one in packs), default=1))
    for start in range(0, len(packs), at_once):
        some = packs[start : start + at_once]
        rows = [(None, one.width, host, one.keys, one.sums, one.data) for one in some]
        first = _insert_rows(connection, "pack", rows) - len(some) + 1  # they follow one another
        now = int(time.time())
        _insert_rows(connection, "used", [(first + at, now) for at in range(len(some))])
        for number, one in enumerate(some, first):
            found: list[int] = heads([one.keys]).tolist()
            entries += ((head, number * PLACES + slot) for slot, head in enumerate(found))
    return entries


def _insert_rows(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> int:
    """Insert rows in one statement, for each lets other threads go first; return the last id."""
    marks = ",".join([f"({','.join('?' * len(rows[0]))})"] * len(rows))
    values = [*itertools.chain.from_iterable(rows)]
    cursor = connection.execute(f"INSERT OR REPLACE INTO {table} VALUES {marks}", values)  # noqa: S608
    return cast(int, cursor.lastrowid)
