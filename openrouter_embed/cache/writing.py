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
    """Insert vectors: those that are not there yet, or all of them."""
    there = dict(find(connection, sorted(_numbers(parts))))
    known = set[int]() if replace else set(there)
    chosen: list[tuple[list[int], Pack]] = []
    for keys, vectors in _shared(parts):
        numbers: list[int] = heads(keys).tolist()
        # Small parts may hold a key twice: in one pack it would be struck out once.
        last = {head: at for at, head in enumerate(numbers) if head not in known}
        for some in _divided(sorted(last.values())):
            rows = rows_of(vectors, as_run(some))
            chosen.append(([numbers[at] for at in some], pack([keys[at] for at in some], rows)))
        if not replace:
            known.update(numbers)
    entries: dict[int, int] = {}
    replaced = list(there.values()) if replace else []
    at_once = max(1, STATEMENT // max((len(made.data) for _, made in chosen), default=1))
    for start in range(0, len(chosen), at_once):
        group = chosen[start : start + at_once]
        first = _insert_packs(connection, [made for _, made in group], host)
        for number, (numbers, _) in enumerate(group, first):
            replaced += (entries[head] for head in entries.keys() & set(numbers))
            entries |= {head: number * PLACES + slot for slot, head in enumerate(numbers)}
    _insert_entries(connection, sorted(entries.items()))
    growth.strike(connection, replaced)


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
    """Insert numbers and places."""
    for start in range(0, len(entries), ENTRIES):
        _insert_rows(connection, "entry", entries[start : start + ENTRIES])


def _insert_packs(connection: sqlite3.Connection, made: Sequence[Pack], host: str) -> int:
    """Insert packs, and return the number of the first; the others follow."""
    rows = [(None, one.width, host, one.keys, one.sums, one.data) for one in made]
    first = _insert_rows(connection, "pack", rows) - len(made) + 1
    now = int(time.time())
    _insert_rows(connection, "used", [(first + at, now) for at in range(len(made))])
    return first


def _insert_rows(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> int:
    """Insert rows in one statement, for each lets other threads go first; return the last id."""
    marks = ",".join([f"({','.join('?' * len(rows[0]))})"] * len(rows))
    values = [*itertools.chain.from_iterable(rows)]
    cursor = connection.execute(f"INSERT OR REPLACE INTO {table} VALUES {marks}", values)  # noqa: S608
    return cast(int, cursor.lastrowid)
