"""Inputs that are being bought: a call that wants the same waits for them instead of buying too.

Rules of this file:
- An input has at most one buyer. Whoever waits hears of it either way: with the vector, or as the
  next buyer if the one before gave up.
- A call that others of its thread depend on waits for nobody.
- Nothing is kept of an input that nobody is buying.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


class News(NamedTuple):
    """What another call has to say of a unit: its vector, or that it is this call's to buy.

    Attributes:
        unit: As this call counts.
        row: float32 `(d,)`; `None` if the other gave up.
        host: Who served it.
    """

    unit: int
    row: NDArray[np.float32] | None
    host: str = ""


class Flights:
    """What the calls of one process are buying for one store, by key."""

    def __init__(self) -> None:
        self.begin()
        _ALL.add(self)

    def begin(self) -> None:
        """Start with nothing in flight, as a forked child does."""
        self.lock = threading.Lock()
        self.buyers: dict[bytes, Claims] = {}
        self.waiters: dict[bytes, deque[tuple[Claims, int]]] = {}


class Claims:
    """What one call buys, and what it waits for.

    Args:
        flights: Those of the store.
        wake: Lets the call look for news.
        patient: Whether it may wait for others.
    """

    def __init__(self, flights: Flights, wake: Callable[[], None], *, patient: bool) -> None:
        self._flights = flights
        self._wake = wake
        self._patient = patient
        self._news: deque[News] = deque()
        self._mine: set[bytes] = set()
        self._left = False

    @property
    def left(self) -> bool:
        """Whether the call is over."""
        return self._left

    def claim(self, wanted: Mapping[int, bytes]) -> set[int]:
        """Say what is about to be bought; return the units that others are buying already.

        Args:
            wanted: Unit → key.
        """
        flights = self._flights
        others: set[int] = set()
        with flights.lock:
            if self._left:  # it was cancelled while it looked into the store
                return others
            for unit, key in wanted.items():
                if key not in flights.buyers:
                    flights.buyers[key] = self
                    self._mine.add(key)
                elif self._patient:
                    flights.waiters.setdefault(key, deque()).append((self, unit))
                    others.add(unit)
        return others

    def landed(self, keys: Sequence[bytes], rows: NDArray[np.float32], host: str) -> None:
        """Say that inputs are there: nobody need wait for them any more."""
        flights = self._flights
        woken: set[Claims] = set()
        with flights.lock:
            for key in keys:
                if key in self._mine:
                    self._mine.discard(key)
                    flights.buyers.pop(key, None)
            if flights.waiters:
                for at, key in enumerate(keys):
                    for other, unit in flights.waiters.pop(key, ()):
                        other._news.append(News(unit, rows[at].copy(), host))  # noqa: SLF001 - our own class
                        woken.add(other)
        self._ring(woken)

    def news(self) -> list[News]:
        """Return what has come in since the last look."""
        if not self._news:
            return []
        with self._flights.lock:
            found = list(self._news)
            self._news.clear()
        return found

    def leave(self) -> None:
        """Buy nothing more and wait for nothing more; who waited for this call buys instead."""
        flights = self._flights
        woken: set[Claims] = set()
        with flights.lock:
            self._left = True
            self._news.clear()
            for key in self._mine:
                flights.buyers.pop(key, None)
                heir = self._heir(key)
                if heir is not None:
                    woken.add(heir)
            self._mine.clear()
        self._ring(woken)

    def _heir(self, key: bytes) -> Claims | None:
        """Let the first who waits for an input and is still there buy it."""
        waiters = self._flights.waiters.get(key)
        while waiters:
            other, unit = waiters.popleft()
            if not other._left:  # noqa: SLF001 - our own class
                self._flights.buyers[key] = other
                other._mine.add(key)  # noqa: SLF001 - our own class
                other._news.append(News(unit, None))  # noqa: SLF001 - our own class
                break
        else:
            self._flights.waiters.pop(key, None)
            return None
        if not waiters:
            self._flights.waiters.pop(key, None)
        return other

    @staticmethod
    def _ring(others: Iterable[Claims]) -> None:
        for other in others:
            other._wake()  # noqa: SLF001 - our own class


_ALL: weakref.WeakSet[Flights] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for flights in list(_ALL):
        flights.begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
