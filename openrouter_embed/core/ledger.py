"""A spending limit that holds while many requests are under way.

Rules of this file:
- A request reserves its estimate before it goes out, so the limit cannot be passed in flight.
- What was reserved is corrected by what the request cost; a lost answer counts as paid.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext


class Ledger:
    """What one client has spent and set aside, in USD."""

    def __init__(
        self, limit: float | None = None, *, lock: AbstractContextManager[object] | None = None
    ) -> None:
        self.limit = limit
        self.spent = 0.0
        self.held = 0.0
        self._lock = nullcontext() if lock is None else lock

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; `False` if the limit would be passed."""
        with self._lock:
            if self.limit is not None and self.spent + self.held + amount > self.limit:
                return False
            self.held += amount
            return True

    def settle(self, held: float, spent: float) -> None:
        """Replace what was set aside by what was spent."""
        with self._lock:
            self.held = max(0.0, self.held - held)
            self.spent += spent
