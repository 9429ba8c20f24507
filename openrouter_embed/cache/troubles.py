"""What can be wrong with a cache's file, and what to tell the user about it.

Rules of this file:
- SQLite's words are told apart by one table; Python 3.10 has no codes for them.
- Every sentence names the file and says what to do; none says what the file holds.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import Final


class Trouble(str, Enum):
    """What kept a file from being read or written."""

    LOCKED = "locked"
    FULL = "full"
    READ_ONLY = "read_only"
    UNOPENED = "unopened"
    FAILING = "failing"
    DAMAGED = "damaged"
    FOREIGN = "foreign"
    LATER = "later"
    OTHER = "other"


_WORDS: Final[tuple[tuple[str, Trouble], ...]] = (
    ("is locked", Trouble.LOCKED),
    ("is full", Trouble.FULL),
    ("readonly database", Trouble.READ_ONLY),
    ("unable to open", Trouble.UNOPENED),
    ("disk i/o error", Trouble.FAILING),
    ("malformed", Trouble.DAMAGED),
    ("no such table", Trouble.DAMAGED),
    ("no such column", Trouble.DAMAGED),
    ("not a database", Trouble.FOREIGN),
)

_ADVICE: Final[dict[Trouble, str]] = {
    Trouble.LOCKED: "The cache {path} is locked by another program: end that program, or use "
    "another file.",
    Trouble.FULL: "The disk of the cache {path} is full: make room on it, or give the cache "
    "`max_bytes`.",
    Trouble.READ_ONLY: "The cache {path} cannot be written to: change the rights of the file and "
    "its folder, or open it with `SQLiteCache(path, read_only=True)`.",
    Trouble.UNOPENED: "The cache {path} cannot be opened: check that its folder exists and can be "
    "written to. A file in a folder that cannot must have been closed by the program that wrote "
    "it, or what is in `{path}-wal` is missing.",
    Trouble.FAILING: "The disk of the cache {path} fails, or a limit on the size of files is "
    "reached: check it, or use a file elsewhere.",
    Trouble.DAMAGED: "The cache {path} is damaged.",
    Trouble.FOREIGN: "The file {path} is no cache of this package, and was left alone: choose "
    "another path for `cache`.",
    Trouble.LATER: "The cache {path} was made by a later version of this package: upgrade, or "
    "choose another path for `cache`.",
    Trouble.OTHER: "The cache {path} failed ({name}): check the file, or use another.",
}


def read_trouble(error: Exception) -> Trouble:
    """Tell what SQLite complains about."""
    words = str(error).lower()
    found = (trouble for sign, trouble in _WORDS if sign in words)
    known = isinstance(error, sqlite3.Error)
    return next(found, Trouble.OTHER) if known else Trouble.OTHER


def advice(trouble: Trouble, path: str, name: str = "") -> str:
    """Say what is wrong and what to do."""
    return _ADVICE[trouble].format(path=path, name=name)
