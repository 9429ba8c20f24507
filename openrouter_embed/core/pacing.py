"""How fast to send: a retry budget, an adaptive limit of requests in flight, a shared cool-down.

Rules of this file:
- One `Pacer` per client, shared by all of its calls, synchronous and asynchronous.
- Time comes in as an argument; the lock comes in too, because calls share the state.
- Waiting is not done here. Who cannot go stands in a line and is woken when there is room.

How many requests may be in flight is a matter of its own, in `level.py`.

The line is served in order, and who gives a place back for which others wait joins its end. A call
that has no request in flight and is not in the line may pass it: a query is not kept waiting by a
bulk job. Nor does a call that nobody can wake keep others waiting for longer than `GRACE`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.level import START, AdaptiveLimit, Signal, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.core.level import Wake

SPREAD: Final = 0.5
"""Share of a gap by which chance makes it shorter or longer."""
GRACE: Final = 1.0
"""Seconds that whoever is next in line has to take a free place, before others may."""
RETRY_CAPACITY: Final = 100.0
"""Retries a client may spend in an outage, whatever the number of calls."""
RETRY_REFILL: Final = 0.25
"""Retries earned by a request that succeeds at once (enough for 30 % random failures for ever)."""


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
                # Others wait for the place that it gives back: it goes behind them.
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
