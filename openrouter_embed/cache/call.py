"""One call's dealings with the cache: what is there, what others are buying, what has landed.

Rules of this file:
- It is asked by a job, which decides; it knows keys, where the job knows units.
- `recall` and `flush` may block and belong where blocking harms nobody; the rest takes
  microseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from openrouter_embed.cache.flights import Claims
from openrouter_embed.core.rows import mark, zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from openrouter_embed.cache.flights import News
    from openrouter_embed.cache.keeper import Keeper
    from openrouter_embed.cache.protocol import Found
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.options.space import Keys

    Matrix = NDArray[np.float32]
    Names = Sequence[bytes | None]
    Place = Callable[[Sequence[int], Matrix], None]


class Recalled(NamedTuple):
    """Vectors that were in the store.

    Attributes:
        units: Whose they are.
        rows: float32 `(len(units), d)`.
        host: Who served them.
        averaged: Whether they are averages of the vectors of parts.
    """

    units: Sequence[int]
    rows: Matrix
    host: str
    averaged: bool


class CallCache:
    """The cache as one call sees it.

    Args:
        keeper: Of the store.
        keys: Makes the keys of units.
        plan: The call's units, as they are sent.
        wake: Lets the call look again.
        patient: Whether it may wait for what other calls are buying.
        refresh: Whether everything is bought anew and replaces what is there.
    """

    def __init__(
        self,
        keeper: Keeper,
        keys: Keys,
        plan: Plan,
        *,
        wake: Callable[[], None],
        patient: bool,
        refresh: bool,
    ) -> None:
        self._keeper = keeper
        self._make = keys
        self._plan = plan
        self._keys = keys.of(plan.units)
        self._wake = wake
        self._refresh = refresh
        self._claims = Claims(keeper.flights, wake, patient=patient)
        self._ticket = 0
        self._seen = 0

    def recall(self, units: Sequence[int], place: Place) -> Iterator[Recalled]:
        """Yield what is there of some units, once it is in its place."""
        if self._refresh:
            return
        self._seen = self._keeper.written
        there = bytearray(len(self._keys))
        keys = self._keys if len(units) == len(there) else [self._keys[unit] for unit in units]
        for found in self._read(units, keys, place, averaged=False):
            mark(there, found.units)
            yield found
        if self._make.divides and 0 in there:
            missing = [unit for unit in units if not there[unit]]
            yield from self._read(missing, self._averaged(missing), place, averaged=True)

    def _read(
        self, units: Sequence[int], keys: Names, place: Place, *, averaged: bool
    ) -> Iterator[Recalled]:
        if None in keys:
            kept = [at for at, key in enumerate(keys) if key is not None]
            units, keys = [units[at] for at in kept], [keys[at] for at in kept]

        def use(start: int, found: Found) -> Recalled:
            if isinstance(found.at, range) and found.at.step == 1:
                whose = units[start + found.at.start : start + found.at.stop]
            else:
                whose = [units[start + at] for at in found.at]
            place(whose, found.vectors)
            return Recalled(whose, found.vectors, found.host, averaged)

        for recalled in self._keeper.read(cast("Sequence[bytes]", keys), use):
            if self._claims.left:  # it was cancelled, and the program waits for this thread to end
                return
            yield recalled

    def claim(self, units: Iterable[int]) -> set[int]:
        """Say what is about to be bought; return what others are buying already."""
        if self._refresh:
            return set()
        keys = self._keys
        wanted = ((unit, keys[unit]) for unit in units)
        return self._claims.claim({unit: key for unit, key in wanted if key is not None})

    def recall_again(self, units: Sequence[int], place: Place) -> Iterator[Recalled]:
        """Yield what was on its way into the store: nobody is buying it any more."""
        issued = self._keeper.issued
        if self._refresh or issued == self._seen:
            return
        self._keeper.wait(issued)
        for found in self.recall(units, place):
            self._claims.landed(self._names(found.units), found.rows, found.host)
            yield found

    def absent(self) -> list[int]:
        """Return the units that are not there."""
        if self._refresh:
            return list(range(len(self._keys)))
        missing = self._without(range(len(self._keys)), self._keys)
        return self._without(missing, self._averaged(missing))

    def _without(self, units: Sequence[int], keys: Names) -> list[int]:
        """Return those of some units that have no key, or have nothing under it."""
        known = [(unit, key) for unit, key in zip(units, keys, strict=True) if key is not None]
        left = self._keeper.absent([key for _, key in known])
        there = {unit for unit, _ in known}.difference(known[at][0] for at in left)
        return [unit for unit in units if unit not in there]

    def _averaged(self, units: Sequence[int]) -> Names:
        """Return the keys under which averages of these units' parts are kept."""
        if not self._make.divides:  # nor need tokens be estimated
            return [None] * len(units)
        plan = self._plan
        return self._make.averaged((plan.units[unit], plan.tokens[unit]) for unit in units)

    def _names(self, units: Sequence[int]) -> list[bytes]:
        return [key for key in map(self._keys.__getitem__, units) if key is not None]

    def landed(self, units: Sequence[int], rows: Matrix, host: str, *, averaged: bool) -> None:
        """Keep vectors that were bought, and let others who wait have them."""
        bad, keys = zeros(rows), self._keys
        kept = [at for at, unit in enumerate(units) if at not in bad and keys[unit] is not None]
        if not kept:
            return
        if len(kept) < len(units):
            units, rows = [units[at] for at in kept], rows[kept]
        names = self._names(units)
        stored = [key for key in self._averaged(units) if key is not None] if averaged else names
        if len(stored) == len(units):
            self._ticket = self._keeper.offer(stored, rows, host, replace=self._refresh)
        # After that: whoever no longer finds it in flight must find it on its way into the store.
        self._claims.landed(names, rows, host)

    def news(self) -> Sequence[News]:
        """Return what other calls have to say."""
        return self._claims.news()

    def congested(self) -> bool:
        """Whether to buy no more until what was bought is written; the call is woken then."""
        return self._keeper.congested(self._wake)

    @property
    def flushed(self) -> bool:
        """Whether nothing is left to wait for."""
        return self._keeper.settled(self._ticket)

    def leave(self) -> None:
        """Buy nothing more: those who wait for this call buy for themselves."""
        self._claims.leave()

    def flush(self) -> bool:
        """Wait until what was bought is in the store; return whether it is."""
        return self._keeper.wait(self._ticket)

    def complaints(self) -> list[str]:
        """Return what is to be said about the store."""
        return self._keeper.complaints()
