"""What is in flight: which requests of a call are under way, and until when each may be.

Rules of this file:
- Time comes in as an argument; nothing is judged, a flight only remembers what it began with.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openrouter_embed.core.backlog import Batch
    from openrouter_embed.core.level import Ticket


@dataclass(slots=True)
class Flight:
    """One request under way.

    Attributes:
        batch: What it carries.
        ticket: The leave it was given, to be given back.
        encoding: The format it asked for.
        sent: When it was sent.
        idle: Seconds that the call had waited by then.
        held: USD set aside for it.
        expires: When its time is up; `None` before its time has begun.
    """

    batch: Batch
    ticket: Ticket
    encoding: str
    sent: float
    idle: float
    held: float
    expires: float | None


class Flights(dict[int, Flight]):
    """The requests of one call that are under way, by id."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = itertools.count()

    def soonest(self, *others: float | None) -> float | None:
        """Return the first of these moments and of those at which a flight's time is up."""
        ends = [flight.expires for flight in self.values()]
        moments = [moment for moment in (*others, *ends) if moment is not None]
        return min(moments) if moments else None

    def overdue(self, now: float) -> list[int]:
        """Return the flights whose time is up."""
        ends = [(number, flight.expires) for number, flight in self.items()]
        return [number for number, end in ends if end is not None and now >= end]

    @property
    def hunting(self) -> bool:
        """Whether half of a refused request is under way."""
        return any(flight.batch.hunted for flight in self.values())

    @property
    def attempts(self) -> int:
        """The most requests that were sent for one batch under way."""
        return max((flight.batch.attempts for flight in self.values()), default=0)
