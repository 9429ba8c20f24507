"""The file's tables, how it is opened, and whose it is.

Rules of this file:
- A file is ours if its application id says so, and new if it holds nothing at all. Any other is
  left alone: not a byte of it is changed.
- The file is looked at through SQLite or `stat`, not by `open`: closing a file drops every lock
  that SQLite holds on it in this process. The one exception is a file that SQLite refuses to open.
- Several processes may open a new file at once; SQLite then says that it is locked without waiting,
  so opening is tried again as a whole.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from openrouter_embed.cache.troubles import Trouble, read_trouble
from openrouter_embed.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Generator

APPLICATION_ID: Final = 0x4F52_4543
"""`OREC`, where SQLite keeps a number for the program that a file belongs to."""
_MARK: Final = APPLICATION_ID.to_bytes(4, "big")
VERSION: Final = 1
PAGE_SIZE: Final = 8192
PATIENCE: Final = 5.0
"""Seconds to wait for a lock that another process holds."""
_PAUSE: Final = 0.02
LONGEST_LOG: Final = 32 * 1024 * 1024
"""Bytes that the log may have before it is copied into the file."""

_TABLES: Final = (
    # Blobs that are read last stand last: SQLite walks through a row from its beginning.
    """CREATE TABLE pack
    (id INTEGER PRIMARY KEY, width INTEGER, host TEXT, keys BLOB, sums BLOB, data BLOB)""",
    # Under the first eight bytes of a key: 256 * pack + slot.
    "CREATE TABLE entry (head INTEGER PRIMARY KEY, place INTEGER)",
    # Apart from the packs: a row is rewritten as a whole, and a pack is large.
    "CREATE TABLE used (pack INTEGER PRIMARY KEY, at INTEGER)",
    "CREATE INDEX used_at ON used (at)",
)
PLACES: Final = 256


def open_file(path: str, *, read_only: bool, patience: float = PATIENCE) -> sqlite3.Connection:
    """Open a file that is ours, or make it.

    Raises:
        sqlite3.Error: It cannot be opened.
        ForeignFileError: It is not ours, or a later version's.
        UnreadableFileError: It is damaged, and may be ours.
    """
    until = monotonic() + patience
    while True:
        try:
            return _open(path, read_only=read_only, patience=patience)
        except sqlite3.OperationalError as error:
            if read_trouble(error) is not Trouble.LOCKED or monotonic() > until:
                raise
        time.sleep(_PAUSE)


class ForeignFileError(Exception):
    """The file is none of ours, or belongs to a later version."""

    def __init__(self, *, later: bool) -> None:
        super().__init__()
        self.later = later


class UnreadableFileError(Exception):
    """The file is so damaged that SQLite does not tell whose it is."""


def _open(path: str, *, read_only: bool, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        _address(path, read_only=read_only),
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    connection.text_factory = _text
    try:
        _make_ours(connection, read_only=read_only)
        connection.execute("PRAGMA synchronous = NORMAL")
        # Ours alone, elsewhere: automatic ones leave the log long, and may race with a commit.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # A log that is begun anew is cut to this: its size then tells again when it is long.
        connection.execute(f"PRAGMA journal_size_limit = {LONGEST_LOG}")
        connection.execute("PRAGMA secure_delete = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def _address(path: str, *, read_only: bool) -> str:
    """Return the file as a URI; one that nobody can write to is opened as one that never changes.

    SQLite wants a log beside a file even to read it, and cannot make one in a folder that takes
    none. Without it the file is whole only if no log was left behind.
    """
    name = f"file:{quote(path)}"
    if not read_only:
        return f"{name}?mode=rwc"
    fixed = not os.access(os.path.dirname(path), os.W_OK) and not _size(f"{path}-wal")  # noqa: PTH120
    return f"{name}?mode=ro" + ("&immutable=1" if fixed else "")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - paths are strings here, as SQLite wants them
    except OSError:
        return 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def claims_ours(path: str) -> bool:
    """Whether a file that SQLite finds too damaged to open bears our mark.

    Nobody in this process may have it open.
    """
    with contextlib.suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - see above
        head = file.read(100)
        return head[:16] == b"SQLite format 3\0" and head[68:72] == _MARK
    return False


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether a file holds nothing yet.

    Raises:
        ForeignFileError: It is not ours.
        UnreadableFileError: Whose it is cannot be told by asking SQLite.
    """
    try:
        # In this order: another process may make the tables, and with them the id, in between.
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        number = _number(connection, "application_id")
    except sqlite3.DatabaseError as error:
        if read_trouble(error) is not Trouble.DAMAGED:
            raise
        raise UnreadableFileError from None
    if number == APPLICATION_ID:
        return False
    if number or tables:
        raise ForeignFileError(later=False)
    return True


def _make_ours(connection: sqlite3.Connection, *, read_only: bool) -> None:
    """Make the tables in a file that is new, and let no other pass that is not ours."""
    if _is_new(connection):
        if read_only:
            raise ForeignFileError(later=False)
        _make(connection)
    if _number(connection, "user_version") > VERSION:
        raise ForeignFileError(later=True)


def _make(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    with transaction(connection):
        if _is_new(connection):  # another process may have been faster
            for table in _TABLES:
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None, None, None]:
    """Write all or nothing; waits for other writers at the beginning, where waiting helps."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some failures SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise
