"""Vectors out of a cache's file, and what is learned on the way.

Rules of this file:
- A vector is given out only if its key and its checksum are right.
- Reading writes nothing; what it finds out is noted, and written down with the next write.
- Every step is short and for itself: between two of them others may use the connection.

What was bought together lies side by side, and is mostly asked for together. So a walk goes from
pack to pack as long as the keys there are those that come next, and asks the index where they are
not. That is right because a vector that was replaced is struck out of its pack.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from openrouter_embed.cache.layout import PLACES, transaction
from openrouter_embed.cache.packs import KEY_BYTES, Pack, heads, unpack
from openrouter_embed.cache.protocol import Found
from openrouter_embed.core.rows import as_run

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

T = TypeVar("T")

PORTION: Final = 2048
"""Keys that are looked up together; those of one pack are then read together."""
WIDER: Final = 16
"""How many times more that is, time after time, where no pack has the next keys in a row.

Keys in an order of their own lie in many packs each: only of many does a pack hold several.
"""
RUN: Final = 16
"""Keys that must stand in a pack one after the other for a walk to go on there."""
AT_ONCE: Final = (1, 8, 64, 500)
"""Keys in one question; few sizes, so that SQLite knows the questions already."""
FEW: Final = 4
"""Vectors of one pack up to which each is cut out of it, instead of reading it whole."""
STALEST: Final = 3600.0
"""Seconds by which the record of a pack's last use may be behind."""

_ENTRIES: Final = "SELECT head, place FROM entry WHERE typeof(place) = 'integer' AND place >= 0"
_KEYS: Final = "SELECT keys FROM pack WHERE id = ?"
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
        self._unsound: set[tuple[int, int]] = set()

    def use(self, number: int, last: object) -> None:
        """Note that a pack was used, unless the file says so already."""
        if not isinstance(last, (int, float)) or time.time() - last > self._stale:
            with self._lock:
                self.used.add(number)

    def doubt(self, entries: Iterable[tuple[int, int]]) -> None:
        """Note numbers and places of entries that do not lead to what was written.

        With their places: by the time this is written down, another may have been put there.
        """
        with self._lock:
            self._unsound.update(entries)

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
        connection.executemany("DELETE FROM entry WHERE head = ? AND place = ?", sorted(unsound))


class Ask(Protocol):
    """Does one step with a connection to the file."""

    def __call__(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Return what the step returns."""
        ...


class Run(NamedTuple):
    """Keys that stand in one pack in the order in which they are asked for."""

    pack: int
    slots: Sequence[int]


class Walk:
    """One way through a file, along some keys.

    Args:
        ask: Does a step.
        keys: What is wanted, all different.
        notes: What is found out goes there.
    """

    def __init__(self, ask: Ask, keys: Sequence[bytes], notes: Notes) -> None:
        self._ask = ask
        self._keys = keys
        self._notes = notes

    def __iter__(self) -> Iterator[Found]:
        """Yield the vectors that are there and can be believed."""
        start, count = 0, len(self._keys)
        size = PORTION // WIDER  # the first time makes it `PORTION`
        doubtful: list[int] = []
        while start < count:
            reached = yield from self._follow(start, doubtful)
            size = PORTION if reached > start else size * WIDER
            portion = range(reached, min(reached + size, count))
            yield from self._look_up(portion)
            start = portion.stop
        yield from self._look_up(doubtful)

    def _follow(self, start: int, doubtful: list[int]) -> Generator[Found, None, int]:
        """Go from pack to pack; return from which key on the index is to be asked.

        Args:
            start: The first key.
            doubtful: Takes the positions of vectors that the index may know better places of.
        """
        run: Run | None = None
        while len(self._keys) - start >= RUN:
            following = run and self._run(start, (run.pack + 1, 0))
            # A portion that was looked up may have ended near the end of a pack.
            run = following or self._run(start, self._place(start), rest=run is None)
            if run is None:
                break
            positions = range(start, start + len(run.slots))
            bad = yield from self._read_pack(run, positions)
            doubtful += (positions[index] for index in bad)
            start = positions.stop
        return start

    def _place(self, position: int) -> tuple[int, int] | None:
        """Return pack and slot of a key."""
        wanted: list[int] = heads([self._keys[position]]).tolist()
        places = self._ask(lambda connection: find(connection, wanted))
        return divmod(places[0][1], PLACES) if places else None

    def _run(self, start: int, place: tuple[int, int] | None, *, rest: bool = False) -> Run | None:
        """Return which keys stand in a pack from a slot on, if there are enough of them.

        Args:
            start: The first key.
            place: Pack and slot.
            rest: Whether the rest of the pack is enough, however few it may be.
        """
        if place is None:
            return None
        pack, slot = place
        rows = self._ask(lambda connection: connection.execute(_KEYS, (pack,)).fetchall())
        there = rows[0][0] if rows and isinstance(rows[0][0], bytes) else b""
        size = len(there) // KEY_BYTES - slot
        enough = min(RUN, size) if rest else RUN
        if size < max(1, enough):
            return None
        wanted = self._keys[start : start + size]
        count = len(wanted)
        if not there.startswith(b"".join(wanted), slot * KEY_BYTES):
            same = (there.startswith(key, (slot + at) * KEY_BYTES) for at, key in enumerate(wanted))
            count = len([*itertools.takewhile(bool, same)])
        return Run(pack, range(slot, slot + count)) if count >= enough else None

    def _keys_at(self, positions: Sequence[int]) -> Sequence[bytes]:
        if isinstance(positions, range):
            return self._keys[positions.start : positions.stop]
        return [self._keys[position] for position in positions]

    def _look_up(self, positions: Sequence[int]) -> Iterator[Found]:
        """Yield vectors from where the index says that they are."""
        if not positions:
            return
        numbers = heads(self._keys_at(positions))
        order = np.argsort(numbers)
        wanted: list[int] = numbers[order].tolist()
        table: Any = np.array(self._ask(lambda connection: find(connection, wanted)), np.int64)
        entries: NDArray[np.int64] = table.reshape(-1, 2)
        entries = entries[np.argsort(entries[:, 1])]  # packs lie in the order of their numbers
        at: list[int] = order[np.searchsorted(numbers, entries[:, 0], sorter=order)].tolist()
        packs, slots = np.divmod(entries[:, 1], PLACES)
        starts = [0, *(np.flatnonzero(np.diff(packs)) + 1).tolist(), len(packs)]
        for start, end in itertools.pairwise(starts if len(packs) else []):
            run = Run(int(packs[start]), slots[start:end].tolist())
            bad = yield from self._read_pack(run, [positions[index] for index in at[start:end]])
            doubted: list[list[int]] = entries[start:end][bad].tolist()
            self._notes.doubt((head, place) for head, place in doubted)

    def _read_pack(self, run: Run, positions: Sequence[int]) -> Generator[Found, None, list[int]]:
        """Yield vectors of one pack, which is read whole unless few are wanted.

        Returns:
            Indexes into the run of those that cannot be believed.
        """
        each = len(run.slots) <= FEW
        unsound: list[int] = []
        for start in range(0, len(run.slots), 1 if each else len(run.slots)):
            some = slice(start, start + 1 if each else None)
            part = Run(run.pack, run.slots[some])
            expected = positions[some]
            stored, host, last = self._ask(functools.partial(_fetch, run=part))
            places = [0] if each else part.slots
            kept, vectors = unpack(stored, places, self._keys_at(expected))
            whole = len(kept) == len(expected)
            if kept:
                self._notes.use(run.pack, last)
                at = expected if whole else [expected[index] for index in kept]
                yield Found(as_run(at), vectors, host)
            if not whole:
                unsound += (start + at for at in set(range(len(expected))).difference(kept))
        return unsound


def find(connection: sqlite3.Connection, wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Return numbers and places of the entries that are there."""
    if len(wanted) > PLACES:
        packs = connection.execute("SELECT max(id) FROM pack").fetchone()[0] or 0
        if packs * PLACES < len(wanted):  # as in a new file: all that it holds is read sooner
            mine = set(wanted)
            return [row for row in connection.execute(_ENTRIES) if row[0] in mine]
    found: list[tuple[int, int]] = []
    start = 0
    while start < len(wanted):
        size = next((size for size in AT_ONCE if size >= len(wanted) - start), AT_ONCE[-1])
        part = list(wanted[start : start + size])
        start += size
        part += part[-1:] * (size - len(part))
        marks = ",".join("?" * size)
        found += connection.execute(f"{_ENTRIES} AND head IN ({marks})", part).fetchall()
    return found


def _fetch(connection: sqlite3.Connection, run: Run) -> tuple[Pack, str, object]:
    """Read a pack whole, or cut one vector out of it; also its host and when it was last used."""
    if len(run.slots) > FEW:
        rows = connection.execute(_WHOLE, (run.pack,)).fetchall()
    else:
        rows = connection.execute(_PART, {"slot": run.slots[0], "pack": run.pack}).fetchall()
    return (_pack(rows[0]), _host(rows[0]), rows[0][5]) if rows else (NOTHING, "", None)


def _pack(row: Sequence[Any]) -> Pack:
    """Make a pack of what a row holds, which in a damaged file may be anything."""
    width, _, keys, sums, data = row[:5]
    whole = type(width) is int and all(type(part) is bytes for part in (keys, sums, data))
    return Pack(width, keys, sums, data) if whole else NOTHING


def _host(row: Sequence[Any]) -> str:
    return row[1] if isinstance(row[1], str) else ""
