"""How large a file is, and how it is kept from growing: least recently used packs go first.

Rules of this file:
- Every step is a transaction of its own and small, so that no call waits for long.
- Pages that became free are used again; they are given back to the disk in steps as well.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openrouter_embed.cache.layout import LONGEST_LOG, PATIENCE, PLACES, transaction
from openrouter_embed.cache.packs import KEY_BYTES, heads

if TYPE_CHECKING:
    from collections.abc import Iterable

STEP_PACKS: Final = 8
"""Packs removed in one transaction."""
STEP_PAGES: Final = 256
"""Free pages given back in one transaction: 2 MB."""
NOBODY: Final = bytes(KEY_BYTES)
"""Stands where the key of a vector stood that was replaced."""
_LOG_PATIENCE: Final = 0.2
"""Seconds to wait for readers when it is; it can as well be done later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """What is in a cache's file.

    Attributes:
        vectors: How many vectors can be found.
        bytes: Bytes in use; what `max_bytes` is compared with.
        file_bytes: Bytes on the disk, the log and free pages included.
        oldest: When the least recently used vectors were last used, seconds since the epoch.
        newest: The same of the most recently used.
    """

    vectors: int
    bytes: int
    file_bytes: int
    oldest: float | None = None
    newest: float | None = None


def read_stats(connection: sqlite3.Connection, path: str) -> CacheStats:
    """Count what is there."""
    vectors = connection.execute("SELECT count(*) FROM entry").fetchone()[0]
    oldest, newest = connection.execute("SELECT min(at), max(at) FROM used").fetchone()
    sizes = [_size(name) for name in (path, f"{path}-wal")]
    return CacheStats(
        vectors=vectors,
        bytes=used_bytes(connection),
        file_bytes=sum(sizes),
        oldest=oldest,
        newest=newest,
    )


def _size(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size  # noqa: PTH116 - paths are strings here
    return 0


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of all pages that hold something."""
    count, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (count - free) * size


def oldest_packs(connection: sqlite3.Connection, before: float | None = None) -> list[int]:
    """Return the packs that a step may remove, of those that were not used since a moment."""
    rows = connection.execute(
        "SELECT pack FROM used WHERE at < ? ORDER BY at, pack LIMIT ?",
        (float("inf") if before is None else before, STEP_PACKS),
    )
    return [pack for (pack,) in rows]


def remove_packs(connection: sqlite3.Connection, packs: Iterable[int]) -> int:
    """Remove packs and what leads to them, within a transaction; return the vectors removed."""
    removed = 0
    for pack in packs:
        removed += _remove_entries(connection, pack)
        connection.execute("DELETE FROM pack WHERE id = ?", (pack,))
        connection.execute("DELETE FROM used WHERE pack = ?", (pack,))
    return removed


def _remove_entries(connection: sqlite3.Connection, pack: int) -> int:
    keys = _pack_keys(connection, pack)
    found = [(head, PLACES, pack) for head in heads([keys]).tolist()]
    sql = "DELETE FROM entry WHERE head = ? AND place / ? = ?"
    return connection.executemany(sql, found).rowcount if found else 0


def strike(connection: sqlite3.Connection, places: Iterable[int]) -> None:
    """Take vectors that were replaced out of their packs; one of which none is left is removed."""
    slots: dict[int, list[int]] = {}
    for place in places:
        slots.setdefault(place // PLACES, []).append(place % PLACES)
    for pack, struck in slots.items():
        keys = bytearray(_pack_keys(connection, pack))
        for slot in struck:
            if slot < len(keys) // KEY_BYTES:  # in a damaged file it may be any number
                keys[slot * KEY_BYTES : (slot + 1) * KEY_BYTES] = NOBODY
        if any(keys):
            _write_keys(connection, pack, keys)
        else:
            remove_packs(connection, [pack])


def _pack_keys(connection: sqlite3.Connection, pack: int) -> bytes:
    """Return the keys of a pack; of one that is damaged or gone, none."""
    row = connection.execute("SELECT keys FROM pack WHERE id = ?", (pack,)).fetchone()
    keys = row[0] if row is not None else b""
    return keys if isinstance(keys, bytes) and len(keys) % KEY_BYTES == 0 else b""


def _write_keys(connection: sqlite3.Connection, pack: int, keys: bytearray) -> None:
    if sys.version_info >= (3, 11):
        with connection.blobopen("pack", "keys", pack) as blob:  # in its place, alone
            blob.write(keys)
    else:  # the row is written anew, vectors and all
        connection.execute("UPDATE pack SET keys = ? WHERE id = ?", (bytes(keys), pack))


def shrink_step(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the disk; return whether more are left."""
    connection.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()
    return bool(connection.execute("PRAGMA freelist_count").fetchone()[0])


def shorten_log(connection: sqlite3.Connection, path: str) -> None:
    """Copy the log into the file if it is long, so that writing begins at its start again.

    That it keeps its bytes spares the system a third of the work of giving it new ones.
    """
    if _size(f"{path}-wal") > LONGEST_LOG:
        _checkpoint(connection, "RESTART")


def empty_log(connection: sqlite3.Connection) -> None:
    """Copy the log into the file, and give its room back."""
    _checkpoint(connection, "TRUNCATE")


def _checkpoint(connection: sqlite3.Connection, mode: str) -> None:
    """Copy the log into the file; if readers or the disk do not allow it, another time.

    Both modes hold the writers off meanwhile: others may race with a commit.
    """
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * _LOG_PATIENCE)}")
        connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    connection.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE)}")


def remove_step(connection: sqlite3.Connection, packs: Iterable[int]) -> int:
    """Remove packs in a transaction of its own; return the vectors removed."""
    with transaction(connection):
        return remove_packs(connection, packs)
