"""Inputs into batches: by count, by bytes, and by the size of their answers.

Rules of this file:
- Requests are written one after the other and kept only while their batch is being filled.
- One input that is larger than a batch may be goes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openrouter_embed.batch import api
from openrouter_embed.core.limits import vector_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from openrouter_embed.options.settings import Settings


@dataclass(frozen=True, slots=True)
class Most:
    """How much one batch may hold.

    Attributes:
        count: Requests.
        size: Bytes of the requests.
    """

    count: int
    size: int = api.MAX_BYTES


def most_of(settings: Settings) -> Most:
    """Return what one batch may hold, so that its answer can be read in one go."""
    answerable = api.MAX_ANSWER_BYTES // (vector_bytes(settings) + api.RESULT_BYTES)
    wish = settings.max_batch_inputs or api.MAX_REQUESTS
    return Most(max(1, min(wish, api.MAX_REQUESTS, answerable)))


@dataclass(frozen=True, slots=True)
class Portion:
    """What goes into one batch.

    Attributes:
        units: The distinct inputs, by number.
        lines: A request for each.
    """

    units: Sequence[int]
    lines: Sequence[bytes] = field(repr=False)

    def halves(self) -> Sequence[Portion]:
        """Return the same in two, for a server that finds it too large."""
        middle = (len(self.units) + 1) // 2
        return (
            Portion(self.units[:middle], self.lines[:middle]),
            Portion(self.units[middle:], self.lines[middle:]),
        )


def portions(requests: Iterable[tuple[int, bytes]], most: Most) -> Iterator[Portion]:
    """Yield batches, in the order of the inputs.

    Args:
        requests: The number of an input and the request for it.
        most: How much one batch may hold.
    """
    units: list[int] = []
    lines: list[bytes] = []
    size = 0
    for unit, line in requests:
        if units and (len(units) >= most.count or size + len(line) > most.size):
            yield Portion(units, lines)
            units, lines, size = [], [], 0
        units.append(unit)
        lines.append(line)
        size += len(line) + 1
    if units:
        yield Portion(units, lines)
