"""A spending limit that holds while many requests are under way.

Rules of this file:
- A request reserves its estimate before it goes out, so the limit cannot be passed in flight.
- What was reserved is corrected by what the request cost; a lost answer counts as paid.
- Estimates can be too low. What requests have cost beyond theirs, later ones reserve as well; and
  until one has told, only so many go out that even `CAUTION` times their estimate is within reach.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final

CAUTION: Final = 2.5
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
        self._learned = False
        self._worst = 1.0
        self._lock = nullcontext() if lock is None else lock

    def twin(self, lock: AbstractContextManager[object]) -> Ledger:
        """Return a ledger that has spent as much, with nothing set aside; for a forked child."""
        other = Ledger(self.limit, lock=lock)
        other.spent = self.spent
        return other

    @property
    def busy(self) -> bool:
        """Whether some request's true cost is still to come."""
        return self._open > 0

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; `False` if the limit could be passed."""
        with self._lock:
            factor = self._worst if self._learned or not self._open else CAUTION
            if self.limit is not None and self.spent + factor * (self.held + amount) > self.limit:
                return False
            self.held += amount
            self._open += 1
            return True

    def settle(self, held: float, spent: float) -> None:
        """Replace what was set aside by what was spent."""
        with self._lock:
            self._open -= 1
            self.held = max(0.0, self.held - held) if self._open else 0.0
            self.spent += spent
            if held > 0 and spent > 0:
                self._learned = True
                self._worst = max(self._worst, spent / held)
