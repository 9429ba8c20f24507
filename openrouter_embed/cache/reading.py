"""Vectors out of a cache's file, and what is learned on the way.

Rules of this file:
- A vector is given out only if its key and its checksum are right.
- Reading writes nothing; what it finds out is noted, and written down with the next write.
"""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openrouter_embed.cache.layout import PLACES, transaction
from openrouter_embed.cache.packs import KEY_BYTES, Pack, heads, unpack
from openrouter_embed.cache.protocol import Found

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

AT_ONCE: Final = (1, 8, 64, 500)
"""Keys in one question; few sizes, so that SQLite knows the questions already."""
FEW: Final = 4
"""Vectors of one pack up to which each is cut out of it, instead of reading it whole."""
STALEST: Final = 3600.0
"""Seconds by which the record of a pack's last use may be behind."""

_WHOLE: Final = (
    "SELECT width, host, keys, sums, data, (SELECT at FROM used WHERE pack = id)"
    " FROM pack WHERE id = ?"
)
_PART: Final = (
    f"SELECT width, host, substr(keys, 1 + :slot * {KEY_BYTES}, {KEY_BYTES}),"  # noqa: S608 - numbers
    " substr(sums, 1 + :slot * 8, 8), substr(data, 1 + :slot * 4 * width, 4 * width),"
    " (SELECT at FROM used WHERE pack = id) FROM pack WHERE id = :pack"
)
NOTHING: Final = Pack(0, b"", b"", b"")


class Notes:
    """What reading found out: which packs were used, and which vectors cannot be believed.

    Args:
        max_age: Seconds without use after which a vector may be removed, if it may be.
    """

    def __init__(self, max_age: float | None) -> None:
        self._stale = STALEST if max_age is None else min(STALEST, max_age / 10)
        self._lock = threading.Lock()
        self.used: set[int] = set()
        self._unsound: set[int] = set()

    def use(self, number: int, last: object) -> None:
        """Note that a pack was used, unless the file says so already."""
        if not isinstance(last, (int, float)) or time.time() - last > self._stale:
            with self._lock:
                self.used.add(number)

    def doubt(self, keys: Sequence[bytes]) -> None:
        """Note that what is there under these keys is not what was written."""
        with self._lock:
            self._unsound.update(heads(keys).tolist())

    def settle(self, connection: sqlite3.Connection) -> None:
        """Write down what was noted, if anything was."""
        if self.used or self._unsound:
            with transaction(connection):
                self.write(connection)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write down what was used, and forget what is unsound, within a transaction."""
        with self._lock:
            used, self.used = self.used, set()
            unsound, self._unsound = self._unsound, set()
        now = int(time.time())
        connection.executemany(
            "UPDATE used SET at = ? WHERE pack = ?", [(now, number) for number in sorted(used)]
        )
        connection.executemany(
            "DELETE FROM entry WHERE head = ?", [(head,) for head in sorted(unsound)]
        )


def read(connection: sqlite3.Connection, keys: Sequence[bytes], notes: Notes) -> list[Found]:
    """Return the vectors that are there and can be believed."""
    numbers = heads(keys)
    order = np.argsort(numbers)
    table: Any = np.array(find(connection, numbers[order].tolist()), np.int64)
    entries: NDArray[np.int64] = table.reshape(-1, 2)
    entries = entries[np.argsort(entries[:, 1])]  # packs lie in the order of their numbers
    at = order[np.searchsorted(numbers, entries[:, 0], sorter=order)]
    packs, slots = np.divmod(entries[:, 1], PLACES)
    starts = [0, *(np.flatnonzero(np.diff(packs)) + 1).tolist(), len(packs)]
    found: list[Found] = []
    for start, end in itertools.pairwise(starts if len(packs) else []):
        number = int(packs[start])
        found += _read_pack(
            connection,
            notes,
            number=number,
            slots=slots[start:end].tolist(),
            at=at[start:end].tolist(),
            keys=keys,
        )
    return found


def _read_pack(
    connection: sqlite3.Connection,
    notes: Notes,
    *,
    number: int,
    slots: list[int],
    at: list[int],
    keys: Sequence[bytes],
) -> Iterator[Found]:
    """Read vectors of one pack: whole, or one by one if few of it are wanted."""
    each = len(slots) <= FEW
    for start in range(0, len(slots), 1 if each else len(slots)):
        some = slice(start, start + 1 if each else None)
        positions = at[some]
        stored, host, last = _fetch(connection, number, slots[some])
        places = [0] if each else slots
        kept, vectors = unpack(stored, places, [keys[position] for position in positions])
        if kept:
            notes.use(number, last)
            yield Found(_run([positions[index] for index in kept]), vectors, host)
        if len(kept) < len(positions):
            bad = set(range(len(positions))).difference(kept)
            notes.doubt([keys[positions[index]] for index in bad])


def find(connection: sqlite3.Connection, wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Return numbers and places of the entries that are there."""
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(wanted):
        size = next((size for size in AT_ONCE if size >= len(wanted) - start), AT_ONCE[-1])
        part = list(wanted[start : start + size])
        start += size
        part += part[-1:] * (size - len(part))
        marks = ",".join("?" * size)
        sql = (
            "SELECT head, place FROM entry "  # noqa: S608 - marks
            f"WHERE head IN ({marks}) AND typeof(place) = 'integer' AND place >= 0"
        )
        found += connection.execute(sql, part).fetchall()
    return found


def _run(positions: list[int]) -> Sequence[int]:
    """Return positions as a range if they are one: what follows is then copied in one piece."""
    span = range(positions[0], positions[0] + len(positions))
    return span if positions == list(span) else positions


def _fetch(
    connection: sqlite3.Connection, number: int, slots: Sequence[int]
) -> tuple[Pack, str, object]:
    """Read a pack whole, or cut one vector out of it; also its host and when it was last used."""
    if len(slots) > FEW:
        rows = connection.execute(_WHOLE, (number,)).fetchall()
    else:
        rows = connection.execute(_PART, {"slot": slots[0], "pack": number}).fetchall()
    return (_pack(rows[0]), _host(rows[0]), rows[0][5]) if rows else (NOTHING, "", None)


def _pack(row: Sequence[Any]) -> Pack:
    """Make a pack of what a row holds, which in a damaged file may be anything."""
    width, _, keys, sums, data = row[:5]
    whole = type(width) is int and all(type(part) is bytes for part in (keys, sums, data))
    return Pack(width, keys, sums, data) if whole else NOTHING


def _host(row: Sequence[Any]) -> str:
    return row[1] if isinstance(row[1], str) else ""
