"""What is to be sent, for the first time or again, and how it is packed into requests.

Rules of this file:
- A request holds units of one kind and stays within the count, token and byte limits.
- Requests are packed when they are sent, not before: how many inputs fit the concurrency that is
  open is known only then.
- What is to be sent again and is due goes before what was never sent.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, cast

from openrouter_embed.core.rows import as_run
from openrouter_embed.core.tokens import most_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openrouter_embed.core.growth import Growth
    from openrouter_embed.core.limits import Limits
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.inputs import Item

AT_ONCE: Final = -math.inf
"""A moment that has always come."""
SMALLEST_SPREAD: Final = 16
"""Inputs below which a request is not made smaller for the sake of concurrency."""
WIDEST: Final = 3
"""Bytes of a character that is no ASCII, as most are counted; few have four."""
LARGEST_PROBE: Final = 64
"""Inputs up to which the first requests of a client carry their full share."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Units that travel together, and what they have been through.

    Attributes:
        units: Their numbers in the plan.
        attempts: Requests sent for them.
        retries: Those of the requests that repeated a failed one.
        causes: What each of the failed ones failed of.
        hunted: Whether it is half of a refused request.
        depth: How often its text was cut.
        waits: Retries that only waited for their turn: refusals for load, which are no failures.
        begun: When they were first sent, seconds, monotonic.
    """

    units: Sequence[int]
    attempts: int = 0
    retries: int = 0
    causes: tuple[str, ...] = ()
    hunted: bool = False
    depth: int = 0
    waits: int = 0
    begun: float = math.inf

    def sent_again(self, now: float) -> Batch:
        """Return the batch after one more attempt; `replace` does it four times as slowly."""
        rest = self.retries, self.causes, self.hunted, self.depth, self.waits
        return Batch(self.units, self.attempts + 1, *rest, min(now, self.begun))

    def halves(self) -> tuple[Batch, Batch]:
        """Return two batches that have been through the same."""
        half = len(self.units) // 2
        return replace(self, units=self.units[:half]), replace(self, units=self.units[half:])


class Backlog:
    """What one call still has to send.

    Attributes:
        fresh: Units that were never sent.
        due: The moment from which something may be sent again, if anything is to be.
    """

    def __init__(self, plan: Plan, limits: Limits, growth: Growth, *, spread: bool) -> None:
        self.fresh = len(plan.units)
        self.due: float | None = None
        self._packer = Packer(plan, limits)
        self._growth = growth
        self._spread = spread
        self._numbers = itertools.count()
        self._again: list[tuple[float, int, Batch]] = []

    @property
    def hunting(self) -> bool:
        """Whether half of a refused request waits to be sent."""
        return any(entry[2].hunted for entry in self._again)

    def take(self, now: float, spread: int, *, probe: bool) -> Batch:
        """Return what to send next.

        Args:
            now: Seconds, monotonic.
            spread: Over how many requests the call is to be spread.
            probe: Whether nothing is known of the server yet.
        """
        if self.due is not None and self.due <= now:
            batch = heapq.heappop(self._again)[2]
            self.due = self._again[0][0] if self._again else None
            return batch
        spread = max(1, spread) if self._spread else 1
        tried = self._growth.begin(self.fresh, spread)
        units = self._packer.take(
            1 if tried else spread,
            probe=probe and self._spread and not tried,
            more=tried or self._growth.proven,
        )
        self.fresh -= len(units)
        return Batch(units)

    def put_back(self, batch: Batch, ready: float = AT_ONCE, *, halved: bool = False) -> None:
        """Have a batch, or both halves of it, sent again from a moment on."""
        for part in batch.halves() if halved else (batch,):
            heapq.heappush(self._again, (ready, next(self._numbers), part))
        self.due = self._again[0][0]

    def only(self, units: Sequence[int]) -> None:
        """Send these units alone; nothing may have been sent yet."""
        self._packer.only(units)
        self.fresh = len(units)

    def add(self, units: Sequence[int]) -> None:
        """Send these units, too."""
        self._packer.add(units)
        self.fresh += len(units)

    def put_halves(self, batch: Batch, *, smaller: bool) -> None:
        """Have both halves of a refused batch sent; `smaller` keeps later ones as small."""
        if smaller:
            limits, half = self._packer.limits, len(batch.units) // 2
            self._packer.limits = replace(limits, inputs=min(limits.inputs, half))
        self.put_back(Batch(batch.units, attempts=batch.attempts, hunted=True), halved=True)

    def drop(self, lost: Callable[[int], bool]) -> None:
        """Send no more parts of an input that has failed: they would be paid in vain."""
        self._again = [entry for entry in self._again if not lost(entry[2].units[0])]
        heapq.heapify(self._again)
        self.due = self._again[0][0] if self._again else None


class Packer:
    """Hands out the units of a plan, one request at a time."""

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self.limits = limits
        self._plan = plan
        self._left = deque(_by_kind(plan.units, range(len(plan.units))))
        self._at = 0
        self.remaining = self._all = len(plan.units)

    def only(self, units: Sequence[int]) -> None:
        """Hand out these units instead of those that were added before."""
        self._left.clear()
        self._at = self.remaining = self._all = 0
        self.add(units)

    def add(self, units: Sequence[int]) -> None:
        """Hand out these units, too."""
        self._left.extend(_by_kind(self._plan.units, units))
        self.remaining += len(units)
        self._all += len(units)

    def take(self, spread: int, *, probe: bool = False, more: bool = False) -> Sequence[int]:
        """Return the units of the next request.

        Args:
            spread: Over how many requests the call is to be spread.
            probe: Whether nothing is known of the server yet: a large call then begins with small
                requests, whose answers come soon and whose refusal costs little.
            more: Whether it may be larger than the careful ones.
        """
        run = self._left[0]
        even = math.ceil(self._all / max(1, spread))
        wanted = SMALLEST_SPREAD if probe and even > LARGEST_PROBE else max(SMALLEST_SPREAD, even)
        inputs = max(self.limits.inputs, self.limits.most if more else 0)
        most = min(inputs, wanted, len(run) - self._at)
        size = self._fit(run, most) if most > 1 else 1
        batch = as_run(run[self._at : self._at + size])
        self._at += size
        self.remaining -= size
        if self._at == len(run):
            self._left.popleft()
            self._at = 0
        return batch

    def _fit(self, run: Sequence[int], most: int) -> int:
        """Return how many of the next units go into one request; at least one."""
        if self._is_small([self._plan.units[unit] for unit in run[self._at : self._at + most]]):
            return most
        tokens = size = 0
        for count in range(most):
            unit = run[self._at + count]
            tokens += self._plan.tokens[unit]
            size += _size(self._plan.units[unit])
            if count and (tokens > self.limits.tokens or size > self.limits.size):
                return count
        return most

    def _is_small(self, units: Sequence[str | Item]) -> bool:
        """Whether texts fit in whatever they hold; if so, as mostly, none need be estimated."""
        if not isinstance(units[0], str):  # those that go together are of one kind
            return False
        texts = cast("Sequence[str]", units)
        tokens = most_tokens(texts) + len(texts) * self._plan.counting.special
        return tokens <= self.limits.tokens and WIDEST * sum(map(len, texts)) <= self.limits.size


def _by_kind(plan: Sequence[str | Item], units: Sequence[int]) -> list[Sequence[int]]:
    """Requests are homogeneous: strings, token arrays and content objects go apart."""
    whole = len(units) == len(plan)
    kinds = set(map(type, plan if whole else map(plan.__getitem__, units)))
    if all(issubclass(kind, str) for kind in kinds):
        return [units] if units else []
    runs: dict[str, list[int]] = {}
    for unit in units:
        item = plan[unit]
        runs.setdefault("text" if isinstance(item, str) else item.kind, []).append(unit)
    return list(runs.values())


def _size(unit: str | Item) -> int:
    if isinstance(unit, str):
        return len(unit) if unit.isascii() else WIDEST * len(unit)
    return len(unit.value) * (8 if unit.kind == "tokens" else 1)
