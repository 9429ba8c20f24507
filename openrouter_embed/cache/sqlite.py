"""The store in one SQLite file, for any number of threads and processes.

Rules of this file:
- Two connections read and one writes, each under its own lock; none waits for another.
- A vector is given out only if its key and its checksum are right; one that is not counts as absent
  and is forgotten with the next write.
- A damaged file that is ours gets another name; nothing is ever deleted that cannot be bought anew
  in the same moment.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from openrouter_embed.cache import growth
from openrouter_embed.cache.growth import CacheStats
from openrouter_embed.cache.handle import Handle, identify
from openrouter_embed.cache.layout import transaction
from openrouter_embed.cache.packs import KEY_BYTES, heads
from openrouter_embed.cache.reading import Notes, Walk, find
from openrouter_embed.cache.writing import insert, portions
from openrouter_embed.errors import CacheError, ConfigurationError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from openrouter_embed.cache.protocol import Found

    Matrix = NDArray[np.float32]

T = TypeVar("T")

__all__ = ["CacheStats", "SQLiteCache"]

STEPS_PER_PUT: Final = 16
SHRINK: Final = 0.25
"""Share of free pages in a file from which some are given back."""


class SQLiteCache:
    """Vectors in one file, shared by threads, processes and both frameworks.

    The file is opened when it is first needed. It holds neither texts nor keys of the API, only
    hashes and vectors.

    Examples:
        >>> cache = SQLiteCache("embeddings.sqlite", max_bytes=2_000_000_000)  # doctest: +SKIP
        >>> client = EmbeddingClient("openai/text-embedding-3-small", cache=cache)  # doctest: +SKIP

    Args:
        path: Where the file is or will be; its folder must exist.
        max_bytes: Bytes in use above which the least recently used vectors are removed.
        max_age: Seconds without use after which a vector may be removed.
        read_only: Never write to the file.

    Raises:
        ConfigurationError: The path names a folder, or its folder does not exist, or a limit is no
            number above 0.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        max_age: float | None = None,
        read_only: bool = False,
    ) -> None:
        self.path = check_path(path)
        self.max_bytes = None if max_bytes is None else int(check_limit("max_bytes", max_bytes))
        self.max_age = None if max_age is None else check_limit("max_age", max_age)
        if not isinstance(cast(object, read_only), bool):
            raise ConfigurationError("`read_only` must be True or False.")
        self.read_only = read_only
        self._reader = Handle(self.path, read_only=read_only, lenient=True)
        self._second = Handle(self.path, read_only=read_only, lenient=True)
        self._writer = Handle(self.path, read_only=read_only)
        self._handles = (self._reader, self._second, self._writer)
        self._notes = Notes(self.max_age)

    def __repr__(self) -> str:
        return f"SQLiteCache({self.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.path, self.max_bytes, self.max_age, self.read_only)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Share: a copy of the object would be the same file."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_handles"):
            self._close()

    # ------------------------------------------------------------------ reading

    def get(self, keys: Sequence[bytes]) -> list[Found]:
        """Return the vectors that are there, in portions of one width and host each.

        Args:
            keys: 32 bytes each, all different.

        Raises:
            CacheError: The file cannot be read; says what to do.
        """
        return [*self.walk(keys)]

    def walk(self, keys: Sequence[bytes], *, second: bool = False) -> Iterator[Found]:
        """Yield what `get` returns, one portion after the other, of as many keys as there are.

        Args:
            keys: 32 bytes each, all different.
            second: Whether another walk is on its way in another thread: neither waits for the
                other.

        Raises:
            CacheError: The file cannot be read; says what to do.
        """
        check_keys(keys)
        self._let_go_of_moved()  # once for all steps: each takes microseconds
        reader = self._second if second else self._reader

        def ask(do: Callable[[sqlite3.Connection], T]) -> T:
            return self._run(reader, do)

        return iter(Walk(ask, keys, self._notes))

    def has(self, keys: Sequence[bytes]) -> list[bool]:
        """Return for each key whether a vector is there, without reading it.

        Raises:
            CacheError: The file cannot be read; says what to do.
        """
        check_keys(keys)
        wanted: list[int] = heads(keys).tolist() if keys else []
        there = {
            head
            for head, _ in self._on(
                self._reader, lambda connection: find(connection, sorted(wanted))
            )
        }
        return [head in there for head in wanted]

    # ------------------------------------------------------------------ writing

    def put(
        self,
        keys: Sequence[bytes],
        vectors: Matrix,
        *,
        host: str = "",
        replace: bool = False,
    ) -> None:
        """Keep vectors; on return they are in the file.

        Args:
            keys: 32 bytes each, all different, one for each vector.
            vectors: float32 `(len(keys), d)`.
            host: Who served them, where that is known.
            replace: Whether they take the place of what is there under their keys.

        Raises:
            CacheError: They could not be written; says what to do.
        """
        self.put_together([(keys, vectors)], host=host, replace=replace)

    def put_together(
        self,
        parts: Sequence[tuple[Sequence[bytes], Matrix]],
        *,
        host: str = "",
        replace: bool = False,
    ) -> None:
        """Keep vectors of one width that came in several answers, at less cost than one by one.

        Args:
            parts: Keys and vectors of each answer, as `put` takes them; those of one answer lie
                side by side in the file.
            host: Who served them all, where that is known.
            replace: Whether they take the place of what is there under their keys.

        Raises:
            ConfigurationError: A part has not one vector for each key, or another width.
            CacheError: They could not be written; says what to do.
        """
        for keys, vectors in parts:
            check_keys(keys)
            if vectors.ndim != 2 or len(vectors) != len(keys):
                raise ConfigurationError("A cache keeps one vector for each key, in a matrix.")
        full = [part for part in parts if part[1].size]
        if len({vectors.shape[1] for _, vectors in full}) > 1:
            raise ConfigurationError("What is put together must be of one width.")

        def write(connection: sqlite3.Connection) -> None:
            for portion in portions(full):
                with transaction(connection):
                    self._notes.write(connection)
                    insert(connection, portion, host, replace=replace)
                growth.shorten_log(connection, self.path)
            for _ in range(STEPS_PER_PUT):
                if not self._limit(connection):
                    break

        if full:
            self._on(self._writer, write)

    # ------------------------------------------------------------------ growth

    def tend(self) -> bool:
        """Do a small piece of what there is to do; return whether more is left.

        Raises:
            CacheError: It failed; says what to do.
        """
        if self.read_only:
            return False
        return self._on(self._writer, self._tend)

    def _tend(self, connection: sqlite3.Connection) -> bool:
        self._notes.settle(connection)
        if self._limit(connection):
            return True
        count, free = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        shrinkable = free > max(growth.STEP_PAGES, SHRINK * count)
        return shrinkable and growth.shrink_step(connection)

    def _limit(
        self,
        connection: sqlite3.Connection,
        max_bytes: int | None = None,
        max_age: float | None = None,
    ) -> int:
        """Remove one step's worth of what is too old or too much; return the vectors removed."""
        most = self.max_bytes if max_bytes is None else max_bytes
        age = self.max_age if max_age is None else max_age
        packs: list[int] = []
        if most is not None and growth.used_bytes(connection) > most:
            packs = growth.oldest_packs(connection)
        elif age is not None:
            packs = growth.oldest_packs(connection, time.time() - age)
        removed = growth.remove_step(connection, packs) if packs else 0
        growth.shorten_log(connection, self.path)
        return removed

    def prune(self, *, max_bytes: int | None = None, max_age: float | None = None) -> int:
        """Remove the least recently used vectors, and give their room back to the disk.

        Args:
            max_bytes: Bytes in use to come down to; the cache's own limit unless given.
            max_age: Seconds without use after which vectors go; the cache's own unless given.

        Returns:
            How many vectors were removed.

        Raises:
            ConfigurationError: A limit is no number above 0.
            CacheError: It failed; says what to do.
        """
        most = None if max_bytes is None else int(check_limit("max_bytes", max_bytes))
        age = None if max_age is None else check_limit("max_age", max_age)
        return self._remove(lambda connection: self._limit(connection, most, age))

    def clear(self) -> int:
        """Remove every vector, and give the room back; return how many there were.

        Raises:
            CacheError: It failed; says what to do.
        """

        def step(connection: sqlite3.Connection) -> int:
            packs = growth.oldest_packs(connection)
            return growth.remove_step(connection, packs) if packs else 0

        return self._remove(step)

    def _remove(self, step: Callable[[sqlite3.Connection], int]) -> int:
        self._on(self._writer, self._notes.settle)
        removed = 0
        while part := self._on(self._writer, step):
            removed += part
        while self._on(self._writer, growth.shrink_step):
            pass
        self._on(self._writer, growth.empty_log)
        return removed

    def stats(self) -> CacheStats:
        """Count what is in the file.

        Raises:
            CacheError: The file cannot be read; says what to do.
        """
        return self._on(self._reader, lambda connection: growth.read_stats(connection, self.path))

    # ------------------------------------------------------------------ the file

    def close(self) -> None:
        """Write down what is still to be, and close the file; it opens again when needed."""
        if self._notes.used and not self.read_only:
            with contextlib.suppress(CacheError):  # what was used last is worth no complaint
                self._on(self._writer, self._notes.settle)
        self._close()

    def _close(self) -> None:
        for handle in self._handles:
            handle.close()

    def _on(self, handle: Handle, do: Callable[[sqlite3.Connection], T]) -> T:
        self._let_go_of_moved()
        return self._run(handle, do)

    def _let_go_of_moved(self) -> None:
        if any(handle.moved for handle in self._handles):
            # All, before any opens again: the log of the old file has the new one's name.
            self._close()

    def _run(self, handle: Handle, do: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return handle.run(do)
        except CacheError as error:
            if error.trouble != "damaged" or self.read_only:
                raise
            identity = handle.identity
        self._close()
        raise CacheError(_set_aside(self.path, identity), trouble="damaged")


def _set_aside(path: str, identity: tuple[int, int] | None) -> str:
    """Give a damaged file that nobody has open another name; return what to tell the user."""
    said = f"The cache {path} is damaged"
    if identity is None or identify(path) != identity:
        return f"{said}; another program has set it aside already."
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{path}.damaged-{stamp}-{number}" for number in itertools.count(1))
    name = next(name for name in names if identify(name) is None)
    try:
        # The file last: a log without its file harms nobody, and would be taken for another's.
        for ending in ("-wal", "-shm", ""):
            if identify(path + ending) is not None:
                os.rename(path + ending, name + ending)  # noqa: PTH104 - strings here
    except OSError as error:
        return f"{said}, and could not be set aside ({error.strerror}): move it away."
    return (
        f"{said}: it was set aside as {name}, and a new one is begun. What it held is bought again."
    )


def _restore(
    path: str, max_bytes: int | None, max_age: float | None, read_only: bool
) -> SQLiteCache:
    return SQLiteCache(path, max_bytes=max_bytes, max_age=max_age, read_only=read_only)


def check_path(path: object, name: str = "path") -> str:
    """Return where a cache's file is to be, as an absolute path.

    Raises:
        ConfigurationError: There can be none.
    """
    text = os.fspath(cast("str", path)) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"`{name}` must be the path of a file.")
    whole = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111 - SQLite wants strings
    if os.path.isdir(whole):  # noqa: PTH112
        raise ConfigurationError(f"`{name}` names the folder {whole}: add the name of a file.")
    folder = os.path.dirname(whole)  # noqa: PTH120
    if not os.path.isdir(folder):  # noqa: PTH112
        raise ConfigurationError(f"`{name}` is in the folder {folder}, which does not exist.")
    return whole


def check_limit(name: str, value: object) -> float:
    """Return a limit.

    Raises:
        ConfigurationError: It is no number above 0.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < cast(float, value) < math.inf:
        raise ConfigurationError(f"`{name}` must be a number above 0.")
    return cast(float, value)


def check_keys(keys: Sequence[bytes]) -> None:
    """Refuse keys that are none.

    Raises:
        ConfigurationError: A key is not 32 bytes long.
    """
    if not set(map(type, keys)) <= {bytes} or not set(map(len, keys)) <= {KEY_BYTES}:
        raise ConfigurationError(f"A cache's keys are {KEY_BYTES} bytes each.")
