"""A client's spending limit where many clients share one: it grows by leases.

Rules of this file:
- Reserving and settling are the ledger's own; only where its limit is reached is anybody asked.
- Nothing is spent that was not leased first, so all together stay within the limit.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.ledger import Ledger
from openrouter_embed.errors import BudgetExceededError
from openrouter_embed.ray.account import Wish

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.ray.account import Lease

AHEAD: Final = 16
"""Requests of a size that are leased at a time: asking takes about a millisecond."""


class LeasedLedger(Ledger):
    """The ledger of one worker.

    Args:
        max_cost: USD that all workers may spend together.
        ask: Asks for a lease.
    """

    def __init__(self, max_cost: float, ask: Callable[[Wish], Lease]) -> None:
        super().__init__(0.0, lock=threading.Lock())
        self._max_cost = max_cost
        self._ask = ask
        self._asking = threading.Lock()
        self._others = False
        self._spent_by_all = 0.0

    @property
    def busy(self) -> bool:
        """Whether money may come back, be it this worker's or another's."""
        return self._others or super().busy

    def reserve(self, amount: float) -> bool:
        """Set an amount aside; `False` if there is none left now."""
        if super().reserve(amount):
            return True
        with self._asking:
            with self._lock:  # both of one moment: what is settled goes from one to the other
                spent, held, needed = self.spent, self.most(self.held), self.most(amount)
            wanted = AHEAD * needed
            lease = self._ask(Wish(spent=spent, held=held, needed=needed, wanted=wanted))
            self.limit = lease.limit
            self._others = lease.others
            self._spent_by_all = lease.spent
        return super().reserve(amount)

    def give_back(self, tell: Callable[[float, float], None]) -> None:
        """Keep no more than requests in flight may cost.

        Args:
            tell: Is told USD spent and USD held, while nobody can lease.
        """
        with self._asking:
            with self._lock:  # nothing may be set aside that is being given back
                spent, held = self.spent, self.most(self.held)
                self.limit = spent + held
            tell(spent, held)

    def refusal(self, amount: float) -> BudgetExceededError:
        """Return the error of what was not let through."""
        return BudgetExceededError(
            f"The next request could pass `max_cost` of ${self._max_cost:g}, which all workers "
            f"share: it may cost up to ${self.most(amount):.3g}, and ${self._spent_by_all:.3g} "
            "are spent."
        )
