"""Between calls and a store: reads, writes in a thread of its own, forgives and remembers why.

Rules of this file:
- Nothing here raises what a store raises: a call goes on without it, and says so once.
- What is to be written is queued, and written by the caller's thread or event loop only where the
  system gives no other. Our own file is written from the caller's rows, a store of somebody's own
  from copies: it may keep what it is given.
- The queue is bounded: `congested` says when calls should buy no more until it is shorter.
- A call waits for its own writes before it ends, so that what it bought is in the store by then.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import operator
import os
import threading
import weakref
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import numpy as np

from openrouter_embed.cache.beside import beside, started
from openrouter_embed.cache.flights import Flights
from openrouter_embed.cache.sqlite import SQLiteCache
from openrouter_embed.cache.writing import ENOUGH, joined
from openrouter_embed.clock import monotonic
from openrouter_embed.core.rows import mark
from openrouter_embed.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from openrouter_embed.cache.protocol import EmbeddingCache, Found

    Matrix = NDArray[np.float32]

T = TypeVar("T")

MOST_QUEUED: Final = 64 * 1024 * 1024
"""Bytes waiting to be written above which no more is bought.

Half a second's work for a common disk: in that time, what is bought next arrives.
"""
GATHER: Final = 0.1
"""Seconds that what was bought waits for more to be written with it, unless a call waits for it."""
LINGER: Final = 0.2
"""Seconds that the writing thread stays without work; starting one takes some 50 microseconds."""
REST: Final = 30.0
"""Seconds for which a store that failed is left alone, lest every call wait for it in vain."""
LONGEST_WAIT: Final = 30.0
"""Seconds after which a call no longer waits for its writes: a disk may hang for ever."""
LAST_WAIT: Final = 10.0
"""The same where the program ends."""
AT_ONCE: Final = 2048
"""Keys for which a store of somebody's own is asked at a time."""
MANY: Final = 4096
"""Keys from which on two threads read, each a half."""
MOST_WAITING: Final = 16
"""Portions that the other thread may have read and nobody has taken."""


class _Work(NamedTuple):
    keys: Sequence[bytes]
    vectors: Matrix
    host: str
    replace: bool

    def fits(self, other: _Work) -> bool:
        """Whether both can be written at once."""
        mine = (self.host, self.replace, self.vectors.shape[1])
        return mine == (other.host, other.replace, other.vectors.shape[1])


def _joined(works: Sequence[_Work]) -> _Work:
    """Make one work of several that fit; of equal keys the last counts."""
    keys, vectors = joined([(work.keys, work.vectors) for work in works])
    last = {key: at for at, key in enumerate(keys)}
    if len(last) < len(keys):
        keys, vectors = list(last), vectors[list(last.values())]
    return works[0]._replace(keys=keys, vectors=vectors)


class Keeper:
    """One store's part in all calls that use it."""

    def __init__(self, store: EmbeddingCache) -> None:
        self.store = store
        self.flights = Flights()
        self._told: set[str] = set()
        self._complaints: list[str] = []
        self.begin()
        _KEEPERS.add(self)

    def begin(self) -> None:
        """Start with nothing queued and no thread, as a forked child does."""
        self._change = threading.Condition(threading.Lock())
        self._queue: deque[_Work] = deque()
        self._bytes = 0
        self.issued = 0
        """Tickets given out so far."""
        self.written = 0
        """Of these, what is in the store, or cannot be."""
        self._hurried = 0
        """Of these, what somebody waits for."""
        self._running = False
        self._rests: dict[str, float] = {}
        self._waiting: set[Callable[[], None]] = set()

    # ------------------------------------------------------------------ reading

    def read(self, keys: Sequence[bytes], use: Callable[[int, Found], T]) -> Iterator[T]:
        """Yield what comes of using each portion of what is there.

        Args:
            keys: All different.
            use: Called with where the keys begin that a portion's positions count in, and the
                portion; in this thread or in another, where the vectors have just been read.
        """
        if not _is_ours(self.store, "get"):
            return self._portions(keys, use)
        if len(keys) < MANY:
            return self._walk(0, keys, use)
        middle = len(keys) // 2
        mine = self._walk(0, keys[:middle], use)
        return beside(mine, self._walk(middle, keys[middle:], use, second=True), MOST_WAITING)

    def _walk(
        self,
        start: int,
        keys: Sequence[bytes],
        use: Callable[[int, Found], T],
        second: bool = False,
    ) -> Iterator[T]:
        store = cast(SQLiteCache, self.store)
        for found in self._each(lambda: store.walk(keys, second=second)):
            yield use(start, found)

    def _portions(self, keys: Sequence[bytes], use: Callable[[int, Found], T]) -> Iterator[T]:
        for start in range(0, len(keys), AT_ONCE):
            part = keys[start : start + AT_ONCE]
            for found in self._each(functools.partial(self.store.get, part)):
                if _is_sound(found, len(part)):
                    yield use(start, found)
                else:
                    self._complain("unsound", _UNSOUND)

    def _each(self, get: Callable[[], Iterable[Found]]) -> Iterator[Found]:
        """Yield what a store gives, until it fails."""
        found = None if self._resting("read") else self._try("read", lambda: iter(get()))
        while found is not None and (one := self._try("read", lambda: [*islice(found, 1)])):
            yield one[0]

    def _try(self, what: str, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except CacheError as error:
            self._complain(error.trouble, error.message)
            again = error.trouble == "damaged"  # set aside: its place is free
        except Exception as error:  # noqa: BLE001 - stores are anybody's; see the head of this file
            self._complain("other", f"The cache failed ({type(error).__name__}).")
            again = False
        if not again:
            self._rests[what] = monotonic() + REST
        return None

    def _resting(self, what: str) -> bool:
        return monotonic() < self._rests.get(what, 0.0)

    def _complain(self, trouble: str, message: str) -> None:
        with self._change:
            if trouble not in self._told:
                self._told.add(trouble)
                self._complaints.append(message)

    def complaints(self) -> list[str]:
        """Return what calls have to say about the store, each sentence once."""
        if not self._complaints:
            return []
        with self._change:
            said, self._complaints = self._complaints, []
        return [f"{sentence} The call went on without it." for sentence in said]

    def absent(self, keys: Sequence[bytes]) -> list[int]:
        """Return which of some keys are not there; copies no vectors where the store can tell."""
        has: Callable[[Sequence[bytes]], Sequence[bool]] | None
        has = getattr(self.store, "has", None)
        there = bytearray(len(keys))
        if has is None:
            for positions in self.read(keys, lambda start, found: [start + at for at in found.at]):
                mark(there, positions)
        elif not self._resting("read"):
            there = bytearray(self._try("read", functools.partial(has, keys)) or there)
        return [at for at, found in enumerate(there) if not found]

    # ------------------------------------------------------------------ writing

    def offer(self, keys: Sequence[bytes], vectors: Matrix, host: str, *, replace: bool) -> int:
        """Queue vectors for writing; return a ticket to wait for.

        Args:
            keys: One for each vector.
            vectors: float32 `(len(keys), d)`; not to be changed until `wait` has told that they
                are written.
            host: Who served them.
            replace: Whether they take the place of what is there.
        """
        if self._resting("write"):
            return self.written
        take = np.asarray if _is_ours(self.store, "put") else np.array
        work = _Work(keys, take(vectors, dtype=np.float32), host, replace)
        with self._change:
            self._queue.append(work)
            self._bytes += work.vectors.nbytes
            self.issued += 1
            ticket, idle, self._running = self.issued, not self._running, True
            self._change.notify_all()
        if idle and not started(lambda: self._loop(LINGER, GATHER), "openrouter-embed-cache"):
            self._loop(0.0, 0.0)  # what was bought is worth the caller's time
        return ticket

    def wait(self, ticket: int, timeout: float = LONGEST_WAIT) -> bool:
        """Wait until what a ticket stands for is in the store, or cannot be; return whether it is.

        What is not may still be read, for as long as the store takes.
        """
        written = self._is_written(ticket, timeout)
        if not written:
            with self._change:
                self._told.add("slow")
                self._complaints.append("The cache takes long to write what was bought.")
        return written

    def drain(self, timeout: float) -> None:
        """Wait for everything that is queued, whoever offered it."""
        self._is_written(self.issued, timeout)

    def _is_written(self, ticket: int, timeout: float) -> bool:
        with self._change:
            self._hurried = max(self._hurried, ticket)
            self._change.notify_all()
            return self._change.wait_for(lambda: self.written >= ticket, timeout)

    def settled(self, ticket: int) -> bool:
        """Whether nothing is left to wait for."""
        return self.written >= ticket

    def congested(self, wake: Callable[[], None]) -> bool:
        """Whether so much is to be written that no more should be bought; wakes when it is not."""
        if self._bytes <= MOST_QUEUED:
            return False
        with self._change:
            self._waiting.add(wake)
        return self._bytes > MOST_QUEUED

    def _loop(self, linger: float, gather: float) -> None:
        change = self._change
        while True:
            with change:
                if not self._queue:
                    change.wait(linger)
                if not self._queue:
                    self._running = False
                    return
                change.wait_for(self._is_due, gather)
                works = self._take()
            self._write(works)
            self._done(works)
            del works
            self._tend()

    def _is_due(self) -> bool:
        """Whether what is queued is waited for, or enough to be written at once."""
        enough = sum(len(work.keys) for work in self._queue) >= ENOUGH
        return enough or self.written < self._hurried or self._bytes > MOST_QUEUED

    def _take(self) -> list[_Work]:
        """Take what can be written together: many small writes cost as much as a large one each."""
        works = [self._queue.popleft()]
        count = len(works[0].keys)
        while self._queue and self._queue[0].fits(works[0]) and count < ENOUGH:
            works.append(self._queue.popleft())
            count += len(works[-1].keys)
        return works

    def _done(self, works: Sequence[_Work]) -> None:
        wakes: set[Callable[[], None]] = set()
        with self._change:
            self.written += len(works)
            self._bytes -= sum(work.vectors.nbytes for work in works)
            if self._bytes <= MOST_QUEUED:
                wakes, self._waiting = self._waiting, wakes
            self._change.notify_all()
        for wake in wakes:
            wake()

    def _write(self, works: Sequence[_Work]) -> None:
        if self._resting("write"):
            return

        def put() -> bool:
            self._put(works)
            return True  # `None` is for what failed

        if self._try("write", put) is None and not self._resting("write"):
            self._try("write", put)  # the file was set aside: its successor takes them

    def _put(self, works: Sequence[_Work]) -> None:
        host, replace = works[0].host, works[0].replace
        if _is_ours(self.store, "put"):
            parts = [(work.keys, work.vectors) for work in works]
            cast(SQLiteCache, self.store).put_together(parts, host=host, replace=replace)
        else:
            one = _joined(works)
            self.store.put(one.keys, one.vectors, host=host, replace=replace)

    def _tend(self) -> None:
        """Look after a store that wants it, as long as there is nothing else to do."""
        tend: Callable[[], bool] | None = getattr(self.store, "tend", None)
        while tend is not None and not self._queue and not self._resting("tend"):
            if not self._try("tend", tend):
                return


def _is_ours(store: EmbeddingCache, way: str) -> bool:
    """Whether a store reads or writes as our own does; a class beneath it may do it another way."""
    return getattr(getattr(store, way), "__func__", None) is getattr(SQLiteCache, way)


_UNSOUND: Final = "The cache gave something that is no vector."


def _is_sound(found: Any, count: int) -> bool:
    """Whether a portion of somebody's store can be vectors at all."""
    with contextlib.suppress(Exception):
        rows = found.vectors
        return bool(
            rows.ndim == 2
            and rows.shape[1]
            and rows.dtype == np.float32
            and len(rows) == len(found.at) == len(set(found.at))
            and all(0 <= operator.index(at) < count for at in found.at)
            and np.isfinite(rows).all()
        )
    return False


@atexit.register
def _finish_writing() -> None:
    """Let a program that ends in the middle of things keep what it had bought."""
    until = monotonic() + LAST_WAIT
    for keeper in list(_KEEPERS):
        keeper.drain(max(0.0, until - monotonic()))


_KEEPERS: weakref.WeakSet[Keeper] = weakref.WeakSet()
_BY_PATH: weakref.WeakValueDictionary[str, Keeper] = weakref.WeakValueDictionary()
_BY_STORE: weakref.WeakValueDictionary[int, Keeper] = weakref.WeakValueDictionary()
_LOCK: Final = threading.Lock()


def keeper_of(cache: str | EmbeddingCache) -> Keeper:
    """Return the keeper of a store: one for all clients of this process that use it.

    Args:
        cache: The absolute path of a file, or a store.
    """
    with _LOCK:
        if isinstance(cache, str):
            found = _BY_PATH.get(cache)
            if found is None:
                found = _BY_PATH[cache] = Keeper(SQLiteCache(cache))
            return found
        found = _BY_STORE.get(id(cache))
        if found is None:  # it keeps the store alive, so the number stands for nothing else
            found = _BY_STORE[id(cache)] = Keeper(cache)
        return found


def _after_fork_in_child() -> None:
    """Leave the parent's writes to the parent."""
    for keeper in list(_KEEPERS):
        keeper.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
    )
    os.register_at_fork(after_in_child=_after_fork_in_child)
