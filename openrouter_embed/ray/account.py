"""What all workers of a job have used, and how much each may still spend.

Rules of this file:
- Pure arithmetic: the moment is told, and no word of where the account lives or who carries the
  messages.
- Workers tell totals, not differences, so a message that is repeated counts once.
- What a worker was allowed to spend counts as spent until it says otherwise: then the limit holds
  even if the worker dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from openrouter_embed.result import Usage

PATIENCE: Final = 60.0
"""Seconds of silence after which nobody waits for what a worker may give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a worker says when its money does not suffice, in USD.

    Attributes:
        spent: What it has spent so far.
        held: What its requests in flight may cost.
        needed: What the next request may cost.
        wanted: What it would take, so as not to ask for every request.
    """

    spent: float
    held: float
    needed: float
    wanted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The answer to a wish.

    Attributes:
        limit: USD that the worker may spend in its life.
        others: Whether other workers hold money that may come back.
        spent: USD that all workers have spent.
    """

    limit: float
    others: bool
    spent: float


@dataclass(frozen=True, slots=True)
class _Claim:
    spent: float
    limit: float
    at: float

    def open(self, now: float) -> bool:
        return self.limit > self.spent and now - self.at < PATIENCE


class Account:
    """One bill; see the head of this file.

    Args:
        max_cost: USD that all workers may spend together; `None` is no limit.
    """

    def __init__(self, max_cost: float | None = None) -> None:
        self.max_cost = max_cost
        self._usages: dict[str, Usage] = {}
        self._claims: dict[str, _Claim] = {}

    def usage(self) -> Usage:
        """Return what all workers have told."""
        return sum(self._usages.values(), Usage())

    def report(self, worker: str, usage: Usage) -> None:
        """Take down what a worker has used in its life."""
        self._usages[worker] = usage

    def give_back(self, worker: str, spent: float, held: float, now: float) -> None:
        """Take back what a worker does not need of its lease.

        Args:
            worker: Its name.
            spent: USD that it has spent by its own count, lost answers included.
            held: USD that its requests in flight may cost.
            now: The moment, in seconds.
        """
        self._claims[worker] = _Claim(spent, spent + held, now)

    def lease(self, worker: str, wish: Wish, now: float) -> Lease:
        """Let a worker spend more, if there is enough for its next request."""
        own = wish.spent + wish.held
        others = [claim for name, claim in self._claims.items() if name != worker]
        limit = own + wish.wanted
        if self.max_cost is not None:
            room = self.max_cost - own - sum(claim.limit for claim in others)
            limit = own + (min(room, wish.wanted) if room >= wish.needed else 0.0)
        self._claims[worker] = _Claim(wish.spent, limit, now)
        return Lease(
            limit=limit,
            others=any(claim.open(now) for claim in others),
            spent=wish.spent + sum(claim.spent for claim in others),
        )
