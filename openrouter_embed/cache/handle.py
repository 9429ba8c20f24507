"""One connection to a cache's file: opened when needed, guarded by a lock, closed before a fork.

Rules of this file:
- A connection is used by one thread at a time; the lock is the connection's own.
- No connection lives through a fork. A child that used or closed an inherited one would hang, and
  one that opened its own beside it would find the file locked for ever.
- A file that was deleted or replaced while it was open is let go of: what is written goes to the
  file that has the name.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import threading
import weakref
from typing import TYPE_CHECKING, Final, TypeVar

from openrouter_embed.cache.layout import (
    ForeignFileError,
    UnreadableFileError,
    claims_ours,
    open_file,
)
from openrouter_embed.cache.troubles import Trouble, advice, read_trouble
from openrouter_embed.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
FORK_PATIENCE: Final = 10.0
"""Seconds a fork waits for reads and writes to end; one takes a tenth of one."""
_CANNOT_WRITE: Final = (Trouble.READ_ONLY, Trouble.UNOPENED)

Identity = tuple[int, int]


class Handle:
    """A file's connection for one purpose; see the head of this file.

    Args:
        path: An absolute path.
        read_only: Whether the file must not be written to.
        lenient: Whether a file that cannot be written to may be read all the same.
    """

    def __init__(self, path: str, *, read_only: bool, lenient: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._lenient = lenient
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.RLock()
        self._depth = 0
        self._lost = False
        self.identity: Identity | None = None
        """Which file was opened last."""
        _HANDLES.add(self)

    def run(self, do: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the connection, opened if need be.

        Raises:
            CacheError: The file cannot be opened, or what was done with it failed.
        """
        with self._lock:
            self._depth += 1
            try:
                return do(self._current())
            except sqlite3.Error as error:
                trouble, found = read_trouble(error), type(error).__name__
            except ForeignFileError as error:
                trouble, found = Trouble.LATER if error.later else Trouble.FOREIGN, ""
            except UnreadableFileError:
                trouble, found = Trouble.DAMAGED if self._is_ours() else Trouble.FOREIGN, ""
            finally:
                self._depth -= 1
        # Raised here, where nothing of SQLite's travels with it.
        raise CacheError(advice(trouble, self._path, found), trouble=trouble.value)

    def _current(self) -> sqlite3.Connection:
        if self._lost:
            raise sqlite3.OperationalError("the database is locked by the parent process")
        if self._connection is None:
            self.identity = identify(self._path)
            self._connection = self._open()
            self.identity = identify(self._path)
            _OURS.add(self.identity)
        return self._connection

    def _is_ours(self) -> bool:
        """Whether a file that cannot be read was ours, as far as can be told without harm."""
        if self.identity in _OURS:
            return True
        open_ones = [handle for handle in list(_HANDLES) if handle._connection]  # noqa: SLF001 - our own
        alone = all(handle._path != self._path for handle in open_ones)  # noqa: SLF001 - our own
        return alone and claims_ours(self._path)

    def _open(self) -> sqlite3.Connection:
        try:
            return open_file(self._path, read_only=self._read_only)
        except sqlite3.OperationalError as error:
            if not self._lenient or read_trouble(error) not in _CANNOT_WRITE:
                raise
        return open_file(self._path, read_only=True)

    @property
    def moved(self) -> bool:
        """Whether the file that is open no longer has the name."""
        return self._connection is not None and self.identity != identify(self._path)

    def close(self) -> None:
        """Close the connection; it is opened again when needed."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # The last connection empties the log into the file, for which there may be no room.
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def before_fork(self) -> bool:
        """Wait until nobody uses the connection, and close it; return whether that was possible."""
        if not self._lock.acquire(timeout=FORK_PATIENCE):
            return False
        if self._depth == 0:
            self._close()
        return True

    def after_fork_in_parent(self) -> None:
        """Let the others go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Begin anew; a connection that could not be closed is neither used nor collected."""
        if self._connection is not None:
            _INHERITED.append(self._connection)
            self._lost = True
        self._connection = None
        self._depth = 0
        self._lock = threading.RLock()


def identify(path: str) -> Identity | None:
    """Return which file has a name now; `None` if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - paths are strings here, as SQLite wants them
    except OSError:
        return None
    return found.st_dev, found.st_ino


_HANDLES: weakref.WeakSet[Handle] = weakref.WeakSet()
_OURS: set[Identity | None] = set()
"""Files that were opened as ours by this process."""
_INHERITED: list[object] = []
_held: list[Handle] = []
_forking: Final = threading.Lock()
"""Of several threads that fork at once: each lets go of what it held, and of nothing else."""


def _before_fork() -> None:
    _forking.acquire()
    _held.extend(handle for handle in list(_HANDLES) if handle.before_fork())


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().after_fork_in_parent()
    _forking.release()


def _after_fork_in_child() -> None:
    _held.clear()
    _forking.release()
    for handle in list(_HANDLES):
        handle.after_fork_in_child()


@atexit.register
def _close_all() -> None:
    """Leave files that are whole by themselves, without a log beside them."""
    for handle in list(_HANDLES):
        handle.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
