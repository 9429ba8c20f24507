"""How fast to send: a retry budget, an adaptive limit of requests in flight, a shared cool-down.

Rules of this file:
- One `Pacer` per client, shared by all of its calls, synchronous and asynchronous.
- Time comes in as an argument; the lock comes in too, because calls share the state.
- Waiting is not done here. Who cannot go stands in a line and is woken when there is room.

The limit starts low, and until the first refusal it grows by `BURST` with every success while it is
what holds requests back: a server that bears it is used in full after one round trip. A refusal
for load tells a level at which the server has had enough: the limit goes just below it, though
never by more than half in one round trip. There it stays, and after a calm of many round trips
tries one more. A trial that succeeds makes the next come sooner, one that fails makes it come
later: a server that has recovered is used in full again, one that has not is hardly bothered.

Single failures say nothing about load. Many in a row mean that the server is down: the limit falls
to one until it answers, and a job pauses every sender between two attempts.

The line is served in order, but a call that has no request in flight may pass it: a query is not
kept waiting by a bulk job, and a call that nobody can wake keeps nobody waiting.
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

START: Final = 8
"""Requests in flight to begin with: what a wrong key or model costs, whatever the size of a job."""
BURST: Final = 8
"""By how much a success raises the limit before anything was ever refused."""
SHRINK: Final = 0.5
"""Share of the limit that the refusals of one round trip leave at least."""
CALM: Final = 32.0
"""Round trips without a refusal before one more request is tried: 3 % refusals at the worst."""
LONGEST_CALM: Final = 256.0
"""Round trips between trials that keep failing."""
LEAST_CALM: Final = 0.25
"""Round trips between trials that keep succeeding."""
CALM_AFTER_OUTAGE: Final = 2.0
"""Round trips before the first trial once the server is back: an outage says little about load."""
OUTAGE: Final = 10
"""Failures in a row that mean an outage; with 30 % random ones that is 6 in a million."""
MEMORY: Final = 2 * OUTAGE
"""Failures remembered to find rows among them."""

RETRY_CAPACITY: Final = 100.0
"""Retries a client may spend in an outage, whatever the number of calls."""
RETRY_REFILL: Final = 0.25
"""Retries earned by a request that succeeds at once (enough for 30 % random failures for ever)."""


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


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to have one request in flight; given back by `Pacer.release`.

    Attributes:
        wake: Whose it is.
        number: Counts the requests of the client in the order in which they were sent.
        level: Requests in flight when it was given, this one included.
        epoch: How often the limit had shrunk by then.
        crowd: How often the limit had held somebody back by then.
    """

    wake: Wake
    number: int
    level: int
    epoch: int
    crowd: int


@dataclass(frozen=True, slots=True)
class Hold:
    """No leave now: ask again at `until`, or when woken."""

    until: float | None


class Luck:
    """How many requests failed in a row, in the order in which they were sent.

    Failures often come back faster than successes, and old successes still arrive when a server
    has gone down: only the order of sending tells chance from an outage.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._failed: deque[int] = deque(maxlen=MEMORY)
        self._newest_success = -1

    def succeeded(self, number: int) -> None:
        """Record a success; an older one than the newest failure does not end a row."""
        self._newest_success = max(self._newest_success, number)
        if not self._failed or number > max(self._failed):
            self.failures = 0

    def failed(self, number: int) -> None:
        """Record a failure; one that newer successes have overtaken stands alone."""
        self._failed.append(number)
        row = 1
        if number > self._newest_success:
            known = set(self._failed)
            row += _steps(known, number, -1) + _steps(known, number, 1)
        self.failures = row


def _steps(known: set[int], start: int, step: int) -> int:
    count = 0
    while start + step * (count + 1) in known:
        count += 1
    return count


class AdaptiveLimit:
    """How many requests may be in flight; see the head of this file."""

    def __init__(self, highest: int, start: int = START) -> None:
        self.highest = highest
        self.limit = self._start = min(start, highest)
        self.epoch = 0
        self.crowd = 0
        self.luck = Luck()
        self.ceiling = highest
        self._floor = 1
        self._calm = 0.0
        self._patience = CALM
        self._trying = False

    def update(self, signal: Signal, ticket: Ticket) -> None:
        """Record what the outcome of a request says about load."""
        if signal is Signal.FINE:
            self.luck.succeeded(ticket.number)
            if self.crowd > ticket.crowd:
                self._grow()
        elif signal is Signal.THROTTLED:
            self.luck.failed(ticket.number)
            self._refused(ticket)
        elif signal is Signal.TROUBLED:
            self.luck.failed(ticket.number)
            if self.down and self.limit > 1 and ticket.epoch == self.epoch:
                self._fall()

    @property
    def opened(self) -> bool:
        """Whether it has ever moved, and so says more than where it began."""
        return self.epoch > 0 or self.limit != self._start or self.limit == self.highest

    @property
    def down(self) -> bool:
        """Whether the server seems to be down."""
        return self.luck.failures >= OUTAGE

    def _grow(self) -> None:
        if self.limit < self.ceiling:
            self.limit = min(self.ceiling, self.limit + (1 if self.epoch else BURST))
        elif self.limit < self.highest:
            self._calm += 1 / self.limit
            if self._calm >= self._patience:
                self._try_one_more()

    def _try_one_more(self) -> None:
        self._calm = 0.0
        self._patience = max(LEAST_CALM, self._patience / 2)
        self._trying = True
        self.limit += 1
        self.ceiling = self.limit

    def _refused(self, ticket: Ticket) -> None:
        if ticket.level == 1:
            return  # alone and yet refused: not for the number in flight
        if ticket.epoch == self.epoch:
            self.epoch += 1
            self._floor = max(1, math.ceil(self.limit * SHRINK))
            # A trial halves the patience: four times that is twice what it was.
            longer = max(CALM, 4 * self._patience) if self._trying else CALM
            self._patience = min(LONGEST_CALM, longer)
            self._trying = False
        # Older requests were sent into the same crowd: they tell its level more exactly.
        self.ceiling = min(self.ceiling, max(self._floor, ticket.level - 1))
        self.limit = min(self.limit, self.ceiling)
        self._calm = 0.0

    def _fall(self) -> None:
        self.epoch += 1
        self.ceiling = math.ceil(self.limit * SHRINK)
        self._patience = CALM_AFTER_OUTAGE
        self._calm = 0.0
        self._floor = self.limit = 1


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
        self._number = 0
        self._held: dict[Wake, int] = {}
        self._line: dict[Wake, None] = {}

    @property
    def spread(self) -> int:
        """Over how many requests at once a call may come to be spread, as far as is known."""
        return self.limit.ceiling if self.limit.opened else self.limit.limit

    @property
    def opened(self) -> bool:
        """Whether anything is known of what the server bears: before that a call feels its way."""
        return self.limit.opened

    @property
    def failures(self) -> int:
        """Failures in a row, of any call: how little reason there is to try again at once."""
        return self.limit.luck.failures

    @property
    def server_down(self) -> bool:
        """Whether the server seems to be down, so that whoever fails should pause everyone."""
        return self.limit.down

    def enter(self, now: float, wake: Wake, *, urgent: bool = False) -> Ticket | Hold:
        """Ask for leave to send.

        Args:
            now: Seconds, monotonic.
            wake: Called from any thread when asking again may help; it also tells calls apart.
            urgent: Admit this call's first request whatever is in flight: what is in flight cannot
                finish before this call does, because it needs the thread that this call blocks.
        """
        with self.lock:
            if now < self.cool_until:
                return Hold(self.cool_until)
            must = urgent and wake not in self._held
            full = self.in_flight >= self.limit.limit and not must
            if full or (wake in self._held and next(iter(self._line), wake) != wake):
                self.limit.crowd += full
                self._line.setdefault(wake)
                return Hold(None)
            ticket = self._admit(wake)
            others = self._next_in_line(wake)
        _ring(others)
        return ticket

    def _admit(self, wake: Wake) -> Ticket:
        self._line.pop(wake, None)
        self._held[wake] = self._held.get(wake, 0) + 1
        self.in_flight += 1
        self._number += 1
        return Ticket(wake, self._number, self.in_flight, self.limit.epoch, self.limit.crowd)

    def release(self, ticket: Ticket, signal: Signal) -> None:
        """Give leave back, with what the outcome says about load."""
        with self.lock:
            self.limit.update(signal, ticket)
            self.in_flight -= 1
            left = self._held.pop(ticket.wake) - 1
            if left:
                self._held[ticket.wake] = left
            others = self._next_in_line(ticket.wake)
        _ring(others)

    def forget(self, wake: Wake) -> None:
        """Take a call out of the line: it wants nothing now, and its turn is another's."""
        if not self._line:
            return  # nobody waits, and who joins now is not asked on our account
        with self.lock:
            self._line.pop(wake, None)
            others = self._next_in_line(wake)
        _ring(others)

    def _next_in_line(self, asking: Wake) -> list[Wake]:
        """Return those for whom there is room; who is just asking need not be woken."""
        if not self._line:
            return []
        room = self.limit.limit - self.in_flight
        first = [wake for wake, _ in zip(self._line, range(room), strict=False)]
        return [wake for wake in first if wake != asking]

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


def _ring(wakes: list[Wake]) -> None:
    for wake in wakes:
        wake()
