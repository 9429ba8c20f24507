"""A client's cache as a job uses it: by keys alone, since a job knows no texts.

Rules of this file:
- Both ways may block; a job has them done where that harms nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.batch import api

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from openrouter_embed.batch.record import Record
    from openrouter_embed.cache.keeper import Keeper
    from openrouter_embed.engine import Engine

    Matrix = NDArray[np.float32]

AT_ONCE: Final = 2048
"""Vectors that are written at a time."""


class JobCache:
    """The cache of one job."""

    def __init__(self, keeper: Keeper, record: Record) -> None:
        self._keeper = keeper
        self._record = record

    def absent(self, units: Sequence[int]) -> list[int]:
        """Return those of some inputs that are not there."""
        return [units[at] for at in self._keeper.absent(self._keys(units))]

    def recall(self, units: Sequence[int]) -> Iterator[tuple[Sequence[int], Matrix, str]]:
        """Yield what is there: inputs, their vectors, and who served them."""
        yield from self._keeper.read(
            self._keys(units),
            lambda start, found: (
                [units[start + at] for at in found.at],
                found.vectors,
                found.host,
            ),
        )

    def keep(self, units: Sequence[int], rows: Matrix, host: str) -> None:
        """Keep vectors, which are not changed any more; return when they are there.

        Args:
            units: Whose they are.
            rows: float32 `(len(units), d)`; the cache's own from now on.
            host: Who served them.
        """
        keys = self._keys(units)
        for start in range(0, len(keys), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            replace = self._record.refresh
            self._keeper.wait(self._keeper.offer(keys[part], rows[part], host, replace=replace))

    def _keys(self, units: Sequence[int]) -> list[bytes]:
        names = self._record.keys
        return [api.key_of(names[unit]) for unit in units]


def open_cache(engine: Engine, record: Record) -> JobCache | None:
    """Return the cache of a client as a job uses it, if it has one."""
    keeper = engine.keeper
    return None if keeper is None else JobCache(keeper, record)
