"""A spending limit that holds while many requests are under way.

Rules of this file:
- A request reserves `MARGIN` times its estimate before it goes out, so the limit cannot be passed
  in flight by anything that is billed up to that margin, not even by the first request.
- What was reserved is corrected by what the request cost. An answer that was lost may have been
  billed: it counts as paid, at the margin.
- Where something was billed beyond the margin, later requests reserve as much. Then the limit may
  be passed by what was in flight at that moment, and nothing more goes out.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

from openrouter_embed.errors import BudgetExceededError

MARGIN: Final = 2.5
"""How many times its estimate a text may cost: columns of digits come near."""


class Ledger:
    """What one client has spent and set aside, in USD."""

    def __init__(
        self, limit: float | None = None, *, lock: AbstractContextManager[object] | None = None
    ) -> None:
        self.limit = limit
        self.spent = 0.0
        self.held = 0.0
        self._open = 0
        self._factor = MARGIN
        self._lock = nullcontext() if lock is None else lock

    def twin(self, lock: AbstractContextManager[object]) -> Ledger:
        """Return a ledger that has spent as much, with nothing set aside; for a forked child."""
        other = Ledger(self.limit, lock=lock)
        other.spent = self.spent
        other._factor = self._factor
        return other

    @property
    def busy(self) -> bool:
        """Whether some request's true cost is still to come."""
        return self._open > 0

    def most(self, amount: float) -> float:
        """Return the most that something estimated at an amount is expected to cost."""
        return self._factor * amount

    def refusal(self, amount: float) -> BudgetExceededError:
        """Return the error of what was not let through."""
        return BudgetExceededError(
            f"The next request could pass `max_cost` of ${self.limit:g}: it may cost up to "
            f"${self.most(amount):.3g}, and ${self.spent:.3g} are spent. "
            "To go on raise `max_cost` in a new client, or send less."
        )

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; `False` if the limit could be passed."""
        with self._lock:
            most = self.spent + self._factor * (self.held + amount)
            if self.limit is not None and most > self.limit:
                return False
            self.held += amount
            self._open += 1
            return True

    def settle(self, held: float, spent: float | None) -> None:
        """Replace what was set aside by what was spent; `None` where nobody can tell."""
        with self._lock:
            self._open -= 1
            self.held = max(0.0, self.held - held) if self._open else 0.0
            self.spent += self.most(held) if spent is None else spent
            if held > 0 and spent is not None:
                self._factor = max(self._factor, spent / held)

    def correct(self, difference: float) -> None:
        """Add to what was spent, or take off it, once a bill differs from what was expected."""
        with self._lock:
            self.spent = max(0.0, self.spent + difference)
