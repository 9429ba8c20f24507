"""How fast to send: a retry budget, an adaptive limit of requests in flight, a shared cool-down.

Rules of this file:
- One `Pacer` per client, shared by all of its calls, synchronous and asynchronous.
- Time comes in as an argument; the lock comes in too, because calls share the state.
- Waiting is not done here. Who cannot go leaves a callback and is woken when a place is free.

The limit of requests in flight works like this. It starts moderate and grows by one with every
success while the limit is what holds requests back, so it doubles in each round trip. A refusal
for load shrinks it by a factor, once per round trip, and marks the level it was at as the ceiling.
Below the ceiling it grows slowly; next to it it stays, and only after a long calm tries one more.
A probe that succeeds makes the next one come sooner, so a recovered server is used in full again.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Wake = Callable[[], None]

START: Final = 16
"""Requests in flight to begin with."""
SHRINK: Final = 0.7
"""Factor on a refusal for load; Netflix's concurrency-limits and TCP's CUBIC use 0.7 to 0.9."""
CALM: Final = 100
"""Successes next to the ceiling before one more is tried: at most one refusal in a hundred."""
TROUBLE_WINDOW: Final = 40
"""Outcomes looked at to tell random failures from a server that is going under."""
TROUBLE_SHARE: Final = 0.5
"""Failures within the window above which they count as overload."""

RETRY_CAPACITY: Final = 100.0
"""Retries a client may spend in an outage, whatever the number of calls."""
RETRY_REFILL: Final = 0.2
"""Retries earned by a request that succeeds at once (Finagle's 20 % budget)."""


class Signal(Enum):
    """What an outcome says about the load on the server."""

    FINE = "fine"
    THROTTLED = "throttled"
    TROUBLED = "troubled"
    NEUTRAL = "neutral"


class RetryBudget:
    """A token bucket of retries: an outage cannot multiply traffic.

    A retry takes one token; it comes back if the retry succeeds (botocore's rule), and a request
    that succeeds at once adds a fraction.
    """

    def __init__(self, capacity: float = RETRY_CAPACITY) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def take(self) -> bool:
        """Take one retry; `False` if none is left."""
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def succeeded(self, *, retried: bool) -> None:
        """Record a success, of a first attempt or of a retry."""
        self.tokens = min(self.capacity, self.tokens + (1.0 if retried else RETRY_REFILL))


class AdaptiveLimit:
    """How many requests may be in flight; see the head of this file."""

    def __init__(self, highest: int, start: int = START) -> None:
        self.highest = highest
        self.limit = float(min(start, highest))
        self._ceiling: int | None = None
        self._calm = 0
        self._patience = CALM
        self._epoch = 0
        self._recent: deque[bool] = deque(maxlen=TROUBLE_WINDOW)

    @property
    def whole(self) -> int:
        """The limit as a count of requests."""
        return max(1, math.floor(self.limit))

    @property
    def epoch(self) -> int:
        """Changes with every shrinking; a request remembers the epoch it was sent in."""
        return self._epoch

    def update(self, signal: Signal, epoch: int, in_flight: int) -> None:
        """Record an outcome.

        Args:
            signal: What it says about load.
            epoch: The epoch in which the request was sent.
            in_flight: Requests in flight when it ended, itself included.
        """
        if signal is Signal.NEUTRAL:
            return
        self._recent.append(signal is not Signal.FINE)
        if signal is Signal.FINE:
            self._grow(in_flight)
        elif epoch == self._epoch and (signal is Signal.THROTTLED or self._going_under()):
            self._shrink(in_flight)

    def _going_under(self) -> bool:
        full = len(self._recent) == TROUBLE_WINDOW
        return full and sum(self._recent) > TROUBLE_SHARE * TROUBLE_WINDOW

    def _grow(self, in_flight: int) -> None:
        if in_flight < self.whole:
            return
        if self._ceiling is None:
            self.limit = min(self.limit + 1, self.highest)
        elif self.whole < self._ceiling - 1:
            self.limit = min(self.limit + 1 / self.limit, self._ceiling - 1)
        else:
            self._stay()

    def _stay(self) -> None:
        self._calm += 1
        if self._calm < max(self._patience, self.whole):
            return
        self._calm = 0
        self._patience //= 2
        if self.whole >= self.highest:
            self._ceiling = None
            return
        self._ceiling = self.whole + 2
        self.limit = float(self.whole + 1)

    def _shrink(self, in_flight: int) -> None:
        probed = self._ceiling is not None and self.whole >= self._ceiling - 1
        level = min(in_flight, self.whole)
        self._ceiling = max(2, level)
        smaller = level - 1 if probed else level * SHRINK
        self.limit = max(1.0, smaller)
        self._calm = 0
        self._patience = CALM
        self._epoch += 1
        self._recent.clear()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to have one request in flight; given back by `Pacer.release`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Hold:
    """No leave now: ask again at `until`, or when woken."""

    until: float | None


class Pacer:
    """The pacing state of one client."""

    def __init__(
        self,
        max_concurrency: int,
        *,
        lock: AbstractContextManager[object] | None = None,
        start: int = START,
        retries: float = RETRY_CAPACITY,
    ) -> None:
        self.lock = nullcontext() if lock is None else lock
        self.budget = RetryBudget(retries)
        self.limit = AdaptiveLimit(max_concurrency, start)
        self.in_flight = 0
        self.cool_until = -math.inf
        self._waiting: dict[Wake, None] = {}

    @property
    def spread(self) -> int:
        """Over how many requests a call's inputs are best spread now."""
        return self.limit.whole

    def enter(self, now: float, wake: Wake) -> Ticket | Hold:
        """Ask for leave to send.

        Args:
            now: Seconds, monotonic.
            wake: Called from any thread when asking again may help.
        """
        with self.lock:
            if now < self.cool_until:
                return Hold(self.cool_until)
            if self.in_flight >= self.limit.whole:
                self._waiting[wake] = None
                return Hold(None)
            self.in_flight += 1
            return Ticket(self.limit.epoch)

    def release(self, ticket: Ticket, signal: Signal) -> None:
        """Give leave back, with what the outcome says about load."""
        with self.lock:
            self.limit.update(signal, ticket.epoch, self.in_flight)
            self.in_flight -= 1
            free = self.limit.whole - self.in_flight
            woken = [wake for wake, _ in zip(tuple(self._waiting), range(free), strict=False)]
            for wake in woken:
                del self._waiting[wake]
        for wake in woken:
            wake()

    def forget(self, wake: Wake) -> None:
        """Drop a callback whose call is over, and pass its turn on."""
        with self.lock:
            self._waiting.pop(wake, None)
            others = tuple(self._waiting) if self.in_flight < self.limit.whole else ()
            self._waiting = {} if others else self._waiting
        for other in others:
            other()

    def cool_down(self, until: float) -> None:
        """Let nobody send before `until`, seconds, monotonic."""
        with self.lock:
            self.cool_until = max(self.cool_until, until)

    def take_retry(self) -> bool:
        """Take one retry out of the budget; `False` if it is spent."""
        with self.lock:
            return self.budget.take()

    def succeeded(self, *, retried: bool) -> None:
        """Record a request that brought what it was sent for."""
        with self.lock:
            self.budget.succeeded(retried=retried)
