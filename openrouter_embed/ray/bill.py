"""One bill for a job: a small actor that sums what workers tell it and leases them one `max_cost`.

Rules of this file:
- A bill that travels is a name: workers find the actor by it, and it ends with the driver's bill.
- What it says is what workers told it. One that is killed cannot tell what it bought last, so the
  sum is a lower bound; what it was allowed to spend counts as spent all the same.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from openrouter_embed.clock import monotonic
from openrouter_embed.options.checks import check_maybe_dollars
from openrouter_embed.ray import cluster
from openrouter_embed.ray.account import Account
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from typing_extensions import Self

    from openrouter_embed.ray.account import Lease, Wish


class AccountActor:
    """The account where it lives: it has a clock."""

    def __init__(self, max_cost: float | None) -> None:
        self._account = Account(max_cost)

    def report(self, worker: str, usage: Usage) -> None:
        """Take down what a worker has used in its life."""
        self._account.report(worker, usage)

    def give_back(self, worker: str, spent: float, held: float) -> None:
        """Take back what a worker does not need of its lease."""
        self._account.give_back(worker, spent, held, monotonic())

    def lease(self, worker: str, wish: Wish) -> Lease:
        """Let a worker spend more."""
        return self._account.lease(worker, wish, monotonic())

    def usage(self) -> Usage:
        """Return what all workers have told."""
        return self._account.usage()


class Bill:
    """What all workers of a job use, and may spend, together.

    Hand it to `embed_column` or `Embedder`, and ask it at any time, from any thread of the driver.
    It lives in the cluster as long as this object lives.

    Example:
        >>> bill = Bill(max_cost=20.0)  # doctest: +SKIP
        >>> ds = embed_column(ds, "openai/text-embedding-3-small", bill=bill)  # doctest: +SKIP
        >>> ds.write_parquet("embedded"); print(bill.usage())  # doctest: +SKIP

    Args:
        max_cost: USD that all workers may spend together; what would pass it is not sent.

    Raises:
        ConfigurationError: `max_cost` is no number of USD.
    """

    def __init__(self, *, max_cost: float | None = None) -> None:
        self.max_cost = check_maybe_dollars("max_cost", max_cost)
        self._name = f"bill-{uuid.uuid4().hex}"
        self._actor: Any = None
        self._travelled = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Bill(max_cost={self.max_cost!r})"

    def usage(self) -> Usage:
        """Return what workers have used so far: tokens, USD, requests; told twice a second.

        After a worker was killed it is a lower bound: what it bought last it could not tell.

        Raises:
            EmbeddingError: The bill's actor is gone.
        """
        if self._actor is None and not self._travelled:
            return Usage()  # nobody can have told it anything
        usage: Usage = self._ask("usage")
        return usage

    def start(self) -> None:
        """Start the actor, if it does not run; Ray is started where it is not.

        Raises:
            ConfigurationError: Ray is not installed.
        """
        with self._lock:
            if self._actor is not None:
                return
            if self._travelled:
                self._actor = cluster.find_actor(self._name)
            else:
                self._actor = cluster.start_actor(AccountActor, (self.max_cost,), self._name)

    def mention(self, worker: str, usage: Usage) -> None:
        """Tell the same as `report`, without waiting until it is heard; for workers."""
        self.start()
        cluster.tell(self._actor, "report", worker, usage)

    def report(self, worker: str, usage: Usage) -> None:
        """Tell what a worker has used in its life; for workers."""
        self._ask("report", worker, usage)

    def give_back(self, worker: str, spent: float, held: float) -> None:
        """Give back what is not needed of a lease; for workers."""
        self._ask("give_back", worker, spent, held)

    def lease(self, worker: str, wish: Wish) -> Lease:
        """Ask for more to spend; for workers."""
        lease: Lease = self._ask("lease", worker, wish)
        return lease

    def _ask(self, method: str, *arguments: Any) -> Any:
        self.start()
        return cluster.ask(self._actor, method, *arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name; the actor runs from then on."""
        self.start()
        return type(self).found, (self.max_cost, self._name)

    @classmethod
    def found(cls, max_cost: float | None, name: str) -> Self:
        """Return a bill as it arrives at a worker: its actor runs elsewhere."""
        bill = cls(max_cost=max_cost)
        bill._name = name
        bill._travelled = True
        return bill
