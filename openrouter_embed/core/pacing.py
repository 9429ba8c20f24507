"""How fast to send: a retry budget, an adaptive limit of requests in flight, a shared cool-down.

Rules of this file:
- One `Pacer` per client, shared by all of its calls, synchronous and asynchronous.
- Time comes in as an argument; the lock comes in too, because calls share the state.
- Waiting is not done here. Who cannot go stands in a line and is woken when there is room.

The rule is AIMD, additive increase and multiplicative decrease: the one that lets strangers who
share a limit come to equal shares (Chiu and Jain, 1989; TCP; Netflix recommends it for clients).
It moves a `level`, which need not be whole. It starts low, and until the first refusal it grows by
`BURST` with every success while it is what holds requests back: a server that bears it is used in
full after two or three round trips.

A refusal for load cuts the level by a share. Nothing is read out of the order in which requests
were sent, for on a network that jitters the server saw another one: the refusals of one round trip
count once, and how many there were, not which, tells how far the level was off. A success raises
it, by more the longer the run of successes: a run is the only measure of how crowded a server is
that every client has, whatever its share. By steps of that size refusals settle at a few percent,
which is what strangers must bear to notice one another; and because a step hardly depends on the
level but a cut does, large shares shrink and small ones grow.

Below a level of one a client waits between two requests, as long as its level says. A little above
it does so too, because one and two in flight are far apart. Elsewhere a gap only keeps what waited
for a cool-down from being sent in one burst. Chance makes gaps longer and shorter, and puts the
first one after a cool-down anywhere: clients that were refused together come back apart.

Single failures say nothing about load. Many in a row mean that the server is down: the level falls
to one until it answers, then rises by one with every success to where it was; and a job pauses
every sender between two attempts.

The line is served in order, and who gives a place back for which others wait joins its end. A call
that has no request in flight and is not in the line may pass it: a query is not kept waiting by a
bulk job. Nor does a call that nobody can wake keep others waiting for longer than `GRACE`.
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
"""By how much a success raises the level before anything was ever refused."""
CUT: Final = 0.25
"""Share of the level that a refusal takes,"""
LARGEST_CUT: Final = 4.0
"""but no more requests than this,"""
LEAST_CUT: Final = 0.08
"""and no smaller share than this."""
HALF: Final = 0.5
"""Share of the level that all refusals of one round trip leave at least."""
GAIN: Final = 0.0055
"""By how much a success raises a level of one; a smaller one by less, as the square root."""
FULL_GAIN: Final = 0.07
"""By how much it raises a level of `FEW` or more after a long `RUN`."""
FEW: Final = 4.0
"""Level below which requests go out evenly: there a whole number says too little."""
PER_ROUND_TRIP: Final = 0.75
"""By how much all successes of a round trip raise the level at most."""
RUN: Final = 32
"""Successes in a row after which the level rises faster: refusals are below 3 %."""
DOUBLING: Final = 16
"""Successes in a row that double the pace beyond `RUN`."""
LONGEST_GAP: Final = 20.0
"""Seconds between two requests, however crowded the server."""
STRANGER: Final = 4.0
"""Seconds between two requests, at most, of a client that was never served."""
UNKNOWN: Final = 1.0
"""Seconds that a round trip is taken for before there was one."""
SMOOTH: Final = 0.125
"""Weight of the latest round trip in their average."""
PACE: Final = 2.0
"""How much faster than answers come requests may go out, so that a pause ends without a burst."""
SPREAD: Final = 0.5
"""Share of a gap by which chance makes it shorter or longer."""
GRACE: Final = 1.0
"""Seconds that whoever is next in line has to take a free place, before others may."""
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
        epoch: How often the level had been cut by then.
        crowd: How often the level had held somebody back by then.
    """

    wake: Wake
    number: int
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
        self.level = self._start = float(min(start, highest))
        self.epoch = 0
        self.crowd = 0
        self.luck = Luck()
        self.round_trip = UNKNOWN
        self._seen = False
        self._run = 0
        self._safe = 0.0
        self._cut_from = self.level
        self._refused = 0
        """Refusals of the latest round trip that had any; none if there never was one."""

    @property
    def limit(self) -> int:
        """Requests that may be in flight."""
        if self.level < FEW and self._refused:
            return math.ceil(self.level)
        return int(self.level)

    @property
    def gap(self) -> float:
        """Seconds between two requests; none before anything was ever refused."""
        if not self._refused or not (self._seen or self.level < 1):
            return 0.0
        pace = self.level if self.level < FEW else PACE * self.level
        return min(LONGEST_GAP, self.round_trip / pace)

    @property
    def opened(self) -> bool:
        """Whether it has ever moved, and so says more than where it began."""
        return self.epoch > 0 or self.level != self._start or self.level == self.highest

    @property
    def ceiling(self) -> int:
        """How far it may come, as far as is known."""
        return max(self.limit, int(self._safe)) if self._refused else self.highest

    @property
    def down(self) -> bool:
        """Whether the server seems to be down."""
        return self.luck.failures >= OUTAGE

    def update(self, signal: Signal, ticket: Ticket, took: float | None = None) -> None:
        """Record what the outcome of a request says about load.

        Args:
            signal: What it says.
            ticket: Of which request.
            took: Seconds until it was answered.
        """
        if signal is Signal.FINE:
            self._answered(took)
            self.luck.succeeded(ticket.number)
            if self.crowd > ticket.crowd and ticket.epoch == self.epoch:
                self._grow()
        elif signal is Signal.THROTTLED:
            self.luck.failed(ticket.number)
            self._cut(ticket)
        elif signal is Signal.TROUBLED:
            self.luck.failed(ticket.number)
            if self.down and self.level > 1 and ticket.epoch == self.epoch:
                self._fall()

    def _answered(self, took: float | None) -> None:
        if took is None:
            return
        weight = SMOOTH if self._seen else 1.0
        self._seen = True
        self.round_trip += weight * (took - self.round_trip)

    def _grow(self) -> None:
        self._run += 1
        self.level = min(float(self.highest), self.level + self._step())

    def _step(self) -> float:
        if self.level < self._safe:
            return 1.0
        if not self._refused:
            return BURST
        calm = self._run - RUN
        gain = self._gain(quick=calm > 0)
        pace = 2.0 ** min(8.0, max(0.0, calm / DOUBLING))
        return min(PER_ROUND_TRIP / max(1.0, self.level), gain * pace)

    def _gain(self, *, quick: bool) -> float:
        if self.level < 1 or not quick:
            return GAIN * math.sqrt(self.level)
        return GAIN + (FULL_GAIN - GAIN) * min(1.0, (self.level - 1) / (FEW - 1))

    def _cut(self, ticket: Ticket) -> None:
        if ticket.epoch == self.epoch:
            self.epoch += 1
            self._cut_from = self.level
            self._refused = 0
            self.level -= max(LEAST_CUT * self.level, min(CUT * self.level, LARGEST_CUT))
        self._refused += 1
        self._run = 0
        # Who was never served knows nothing of its share: it may look for it once it is.
        self._safe = 0.0 if self._seen else self._start
        left = max(HALF * self._cut_from, self._cut_from - self._refused + 1)
        self.level = max(self._least, min(self.level, left))

    @property
    def _least(self) -> float:
        return min(1.0, self.round_trip / (LONGEST_GAP if self._seen else STRANGER))

    def _fall(self) -> None:
        self._safe = self.level
        self.epoch += 1
        self._run = 0
        self.level = self._cut_from = 1.0


class Pacer:
    """The pacing state of one client."""

    def __init__(
        self,
        max_concurrency: int,
        *,
        lock: AbstractContextManager[object] | None = None,
        chance: Callable[[], float] = lambda: 0.5,
        start: int = START,
        retries: float = RETRY_CAPACITY,
    ) -> None:
        self.lock = nullcontext() if lock is None else lock
        self.budget = RetryBudget(retries)
        self.limit = AdaptiveLimit(max_concurrency, start)
        self.in_flight = 0
        self.cool_until = -math.inf
        self.served_at = -math.inf
        """When a request last brought what it was sent for, seconds, monotonic."""
        self._chance = chance
        self.next_at = -math.inf
        self._number = 0
        self._held: dict[Wake, int] = {}
        self._line: dict[Wake, float] = {}

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
            must = urgent and wake not in self._held
            if now < self.cool_until:
                return Hold(self.cool_until)
            if self.in_flight >= self.limit.limit and not must:
                self.limit.crowd += 1
                self._join(now, wake)
                return Hold(None)
            if not must and self._behind(now, wake):
                self._join(now, wake)
                return Hold(now + GRACE)
            if now < self.next_at:
                self.limit.crowd += 1
                self._join(now, wake)
                return Hold(self.next_at)
            ticket = self._admit(now, wake)
            others = self._next_in_line(wake)
        _ring(others)
        return ticket

    def _join(self, now: float, wake: Wake) -> None:
        self._line[wake] = min(now, self._line.get(wake, now))

    def _behind(self, now: float, wake: Wake) -> bool:
        """Whether it is another's turn, who is not late for it."""
        first = next(iter(self._line), wake)
        if first == wake:
            return False
        if wake in self._held:
            return True
        joined = self._line.get(wake)
        return joined is not None and now < joined + GRACE

    def _admit(self, now: float, wake: Wake) -> Ticket:
        self._line.pop(wake, None)
        self._held[wake] = self._held.get(wake, 0) + 1
        self.in_flight += 1
        self._number += 1
        self.next_at = now + self._gap()
        return Ticket(wake, self._number, self.limit.epoch, self.limit.crowd)

    def _gap(self) -> float:
        return self.limit.gap * (1 + SPREAD * (2 * self._chance() - 1))

    def release(self, ticket: Ticket, signal: Signal, took: float | None = None) -> None:
        """Give leave back, with what the outcome says about load.

        Args:
            ticket: What `enter` returned.
            signal: What the outcome says.
            took: Seconds until the answer, if there was one.
        """
        with self.lock:
            self.limit.update(signal, ticket, took)
            self.in_flight -= 1
            left = self._held.pop(ticket.wake) - 1
            if left:
                self._held[ticket.wake] = left
            elif self._line:
                # Others wait for the place that it gives back: it asks for its next one behind them.
                self._line.setdefault(ticket.wake, math.inf)
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
            # Those who were refused together do not come back together.
            self.next_at = max(self.next_at, self.cool_until + self._chance() * self.limit.gap)

    def take_retry(self) -> bool:
        """Take one retry out of the budget; `False` if it is spent."""
        with self.lock:
            return self.budget.take()

    def succeeded(self, now: float, *, retried: bool) -> None:
        """Record a request that brought what it was sent for."""
        with self.lock:
            self.served_at = now
            self.budget.succeeded(retried=retried)


def _ring(wakes: list[Wake]) -> None:
    for wake in wakes:
        wake()
