"""How many requests may be in flight: what the answers to one client tell it of its share.

Rules of this file:
- Nothing here waits, and no time is measured: how long an answer took comes in.

The rule is AIMD, additive increase and multiplicative decrease: the one that lets strangers who
share a limit come to equal shares (Chiu and Jain, 1989; TCP; Netflix recommends it for clients).
It moves a `level`, which need not be whole. It starts low, and until the first refusal it grows by
`BURST` with every success while it is what holds requests back: a server that bears it is used in
full after two or three round trips.

A refusal for load cuts the level by a share. Nothing is read out of the order in which requests
were sent, for on a network that jitters the server saw another one: the refusals of one round trip
count once, and how many there were, not which, tells how far the level was off. A success raises
it, by more the longer the runs of successes are on average: they are the only measure of how
crowded a server is that every client has, whatever its share. The average, not the run at hand, for
what hangs on the luck of one run makes shares that drift apart. By steps of that size refusals
settle at a few percent, which is what strangers must bear to notice one another; and because a step
hardly depends on the level but a cut does, large shares shrink and small ones grow. A run far
beyond the usual means that there is room: then steps double.

Below a level of one a client waits between two requests, as long as its level says. A little above
it does so too, because one and two in flight are far apart. Elsewhere a gap only keeps what waited
for a cool-down from being sent in one burst. Chance makes gaps longer and shorter, and puts the
first one after a cool-down anywhere: clients that were refused together come back apart.

Single failures say nothing about load. Many in a row mean that the server is down: the level falls
to one until it answers, then rises by one with every success to where it was; and a job pauses
every sender between two attempts.
"""

from __future__ import annotations

import math
from collections import deque
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
LARGEST_CUT: Final = 5.0
"""but no more requests than this,"""
LEAST_CUT: Final = 0.08
"""and no smaller share than this."""
HALF: Final = 0.5
"""Share of the level that all refusals of one round trip leave at least."""
GAIN: Final = 0.0055
"""By how much a success raises a level of one in a crowd; others by the square root of theirs."""
FULL_GAIN: Final = 0.1
"""By how much it raises a level of `FEW` or more where there is no crowd."""
CROWDED: Final = 16
"""Successes in a row, on average, that mean a crowd: 6 % are refused."""
ROOMY: Final = 28
"""Successes in a row, on average, that mean none: below 4 % are refused."""
LATEST: Final = 0.1
"""Weight of the latest run in the average."""
FEW: Final = 4.0
"""Level below which requests go out evenly: there a whole number says too little."""
LONGEST_RUN: Final = 200
"""Successes in a row beyond which a run says nothing more about how crowded it is."""
PER_ROUND_TRIP: Final = 0.75
"""By how much all successes of a round trip raise the level at most."""
RUN: Final = 64
"""Successes in a row after which the level rises faster."""
DOUBLING: Final = 32
"""Successes in a row that double the pace beyond `RUN`."""
LONGEST_GAP: Final = 5.0
"""Seconds between two requests, however crowded the server."""
STRANGER: Final = 4.0
"""Seconds between two requests, at most, of a client that was never served."""
UNKNOWN: Final = 1.0
"""Seconds that a round trip is taken for before there was one."""
SMOOTH: Final = 0.125
"""Weight of the latest round trip in their average."""
PACE: Final = 2.0
"""How much faster than answers come requests may go out, so that a pause ends without a burst."""
OUTAGE: Final = 10
"""Failures in a row that mean an outage; with 30 % random ones that is 6 in a million."""
MEMORY: Final = 2 * OUTAGE
"""Failures remembered to find rows among them."""


class Signal(Enum):
    """What an outcome says about the load on the server."""

    FINE = "fine"
    THROTTLED = "throttled"
    TROUBLED = "troubled"
    NEUTRAL = "neutral"


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
        self._usual_run = float(RUN)
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
            # A few at once are tried again whoever asked: calls one after the other are never held
            # back by a small level, and would otherwise lose some of it with every chance refusal.
            held_back = self.crowd > ticket.crowd or self.level < min(FEW, self.highest)
            if held_back and ticket.epoch == self.epoch:
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
        pace: float = 2.0 ** min(8.0, max(0.0, (self._run - RUN) / DOUBLING))
        return min(PER_ROUND_TRIP / max(1.0, self.level), self._gain() * pace)

    def _gain(self) -> float:
        crowded = GAIN * math.sqrt(self.level)
        if self.level < 1:
            return crowded
        room = (max(self._run, self._usual_run) - CROWDED) / (ROOMY - CROWDED)
        alone = GAIN + (FULL_GAIN - GAIN) * min(1.0, (self.level - 1) / (FEW - 1))
        return crowded + min(1.0, max(0.0, room)) * max(0.0, alone - crowded)

    def _cut(self, ticket: Ticket) -> None:
        if ticket.epoch == self.epoch:
            self.epoch += 1
            self._cut_from = self.level
            self._usual_run += LATEST * (min(self._run, LONGEST_RUN) - self._usual_run)
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
