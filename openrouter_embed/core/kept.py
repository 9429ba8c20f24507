"""What of a call need not be bought: it is in the cache, or another call is buying it.

Rules of this file:
- The cache comes in as an object that is asked; when to ask it is decided here, not how.
- A vector is the same whoever bought it: of another width, or from a host that this client does not
  keep to, it counts as absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from openrouter_embed.errors import CacheMissError
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from openrouter_embed.core.backlog import Backlog
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.callbacks import Callbacks
    from openrouter_embed.core.collect import Collector
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.result import Progress

    Matrix = NDArray[np.float32]


_MISS: Final = (
    "It is not in the cache, and `cache_only` keeps this call from buying it: leave it out to buy, "
    "or pass `on_error='return'` for what is there."
)


class News(Protocol):
    """What another call says of a unit: its vector, or with no vector that it is ours to buy."""

    @property
    def unit(self) -> int:
        """As this call counts."""
        ...

    @property
    def row(self) -> Matrix | None:
        """The vector, float32 `(d,)`."""
        ...

    @property
    def host(self) -> str:
        """Who served it."""
        ...


class CallCache(Protocol):
    """The cache as a job sees it; nothing here blocks."""

    def landed(self, units: Sequence[int], rows: Matrix, host: str, *, averaged: bool) -> None:
        """Keep vectors that were bought, and let others who wait have them.

        The rows stay as they are until all is written, or until `Kept.leave_rows`.
        """
        ...

    def news(self) -> Sequence[News]:
        """Return what other calls have to say."""
        ...

    def congested(self) -> bool:
        """Whether to buy no more until what was bought is written; the call is woken then."""
        ...


class Kept:
    """What of one call was bought before, or is being bought by others."""

    def __init__(
        self,
        call: Call,
        rows: Collector,
        backlog: Backlog,
        memory: ModelMemory,
        callbacks: Callbacks,
    ) -> None:
        self._call = call
        self._rows = rows
        self._backlog = backlog
        self._memory = memory
        self._callbacks = callbacks
        self._space = f"{call.settings.model} {call.settings.dimensions}"
        self.cache = callbacks.cache
        rows.space, rows.asked = call.space, call.settings.model
        self._uncounted = 0
        self.awaited: set[int] = set()
        """Units that other calls are buying."""

    @property
    def missing(self) -> Sequence[int]:
        """Units that are not there."""
        return self._rows.missing()

    def placer(
        self, lock: AbstractContextManager[object]
    ) -> Callable[[Sequence[int], Matrix], None]:
        """Return what copies vectors that were bought before to their places, from any thread.

        Args:
            lock: Held for the moment in which the first of them makes room for all.
        """

        def place(units: Sequence[int], rows: Matrix) -> None:
            with lock:
                fits = self._rows.rows.make_room(rows.shape[1])
            if fits:
                self._rows.rows.place(units, rows)

        return place

    def recall(
        self,
        units: Sequence[int],
        rows: Matrix,
        host: str,
        *,
        averaged: bool,
        placed: bool = False,
    ) -> None:
        """Take in vectors that were bought before, if they are what this call would get."""
        way = "truncated" if self._call.settings.long_input == "truncate" else "split"
        flag = way if averaged else ""
        fits = self._is_wanted(host) and self._rows.recall(
            units, rows, host, flag=flag, placed=placed
        )
        if fits:
            self._memory.seen(self._space, rows.shape[1])
            self._uncounted += len(units)

    def _count(self) -> None:
        """Count what was taken in since this was last done."""
        found = Usage(inputs=self._uncounted, cache_hits=self._uncounted)
        self._uncounted = 0
        if found.inputs:
            self._rows.usage += found
            self._callbacks.on_usage(found)

    def _is_wanted(self, host: str) -> bool:
        """Whether a host's vectors may be taken; the first that has some is the one to keep to."""
        if not self._call.settings.pin_provider or not host:
            return True
        route = self._call.bodies.route
        self._memory.served(route, host)
        return self._memory.host(route) in (host, "")

    def begin(self, others: Iterable[int]) -> None:
        """Send what is missing and nobody else is buying, or let it fail if nothing may be bought.

        Args:
            others: Units that other calls are buying already.
        """
        self._count()
        missing = self.missing
        if self._call.settings.cache_only:
            self._rows.fail(missing, CacheMissError(_MISS))
            missing = ()
        self.awaited = set(others).intersection(missing)
        if self.awaited:
            missing = [unit for unit in missing if unit not in self.awaited]
        self._backlog.only(missing)

    def progress(self) -> Progress:
        """Return how far the call has come."""
        return self._rows.progress()

    def read_news(self) -> None:
        """Take in what other calls have bought, and buy what they gave up."""
        if self.cache is None or not self.awaited:
            return
        given_up: list[int] = []
        for news in self.cache.news():
            self.awaited.discard(news.unit)
            if news.row is not None:
                self.recall([news.unit], news.row[None, :], news.host, averaged=False)
            if not self._rows.has(news.unit):
                given_up.append(news.unit)
        self._count()
        if given_up:
            self._backlog.add(given_up)

    def keep(self) -> None:
        """Remember who served and how wide, and have the cache keep what the answer brought."""
        rows = self._rows
        self._memory.served(self._call.bodies.route, rows.host)
        self._memory.seen(self._space, rows.width or 0)
        if self.cache is not None:
            for units, averaged in rows.landed:
                self.cache.landed(units, rows.rows.at(units), rows.host, averaged=averaged)

    def leave_rows(self) -> None:
        """Leave the rows that the cache is still writing as they are."""
        self._rows.rows.leave()

    @property
    def congested(self) -> bool:
        """Whether the cache cannot keep up."""
        return self.cache is not None and self.cache.congested()
