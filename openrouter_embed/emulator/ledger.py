"""What the emulator has seen: counters and a bounded log, shared between threads.

Rules of this file:
- Every change happens under one lock, so a snapshot never mixes two moments.
- The log never holds an ``Authorization`` header.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from openrouter_embed.emulator.options import RecordedRequest, Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_COST_DECIMALS = 15  # sums of many tiny costs stay readable


class Seat:
    """One request's place among those in flight; leaving it twice counts once."""

    def __init__(self, number: int, leave: Callable[[], None], *, has_room: bool) -> None:
        self.number = number
        self.has_room = has_room
        self._leave: Callable[[], None] | None = leave if has_room else None

    def leave(self) -> None:
        """Count the departure of a request that had room."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Ledger:
    """Counts requests and remembers the latest of them."""

    def __init__(self, *, log_size: int, max_in_flight: int | None) -> None:
        self._lock = threading.Lock()
        self._limit = max_in_flight
        self._stats = Stats()
        self._log: deque[RecordedRequest] = deque(maxlen=log_size)

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        with self._lock:
            return self._stats

    @property
    def requests(self) -> list[RecordedRequest]:
        """The logged requests, oldest first."""
        with self._lock:
            return list(self._log)

    def reset(self) -> None:
        """Forget everything but the requests still in flight; numbering restarts at 1."""
        with self._lock:
            now = self._stats.in_flight
            self._stats = Stats(in_flight=now, peak_in_flight=now)
            self._log.clear()

    def begin(self) -> Seat:
        """Count an arrival, and seat it if there is room."""
        with self._lock:
            old = self._stats
            room = self._limit is None or old.in_flight < self._limit
            now = old.in_flight + int(room)
            self._stats = replace(
                old,
                requests=old.requests + 1,
                in_flight=now,
                peak_in_flight=max(old.peak_in_flight, now),
            )
            return Seat(self._stats.requests, self._leave, has_room=room)

    def _leave(self) -> None:
        with self._lock:
            self._stats = replace(self._stats, in_flight=self._stats.in_flight - 1)

    def bill(self, *, inputs: int, tokens: int, cost: float) -> None:
        """Count an answer with vectors."""
        with self._lock:
            old = self._stats
            self._stats = replace(
                old,
                inputs=old.inputs + inputs,
                tokens=old.tokens + tokens,
                cost=round(old.cost + cost, _COST_DECIMALS),
            )

    def record(self, number: int, body: object, headers: Mapping[str, str]) -> None:
        """Log a request without its key."""
        kept = {name.lower(): value for name, value in headers.items()}
        kept.pop("authorization", None)
        with self._lock:
            self._log.append(RecordedRequest(number=number, body=body, headers=kept))
