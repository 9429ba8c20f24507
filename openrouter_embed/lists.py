"""Numbers of a matrix written into Python lists that exist already.

Rules of this file:
- Lists are made empty first and filled later, a few rows at a time.

A list that is made together with its numbers is young, and the garbage collector goes through all
numbers of every young list, several times. Lists that grew old while they were empty are left
alone: that takes a quarter off the whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE: Final = 16
"""So few that what is made on the way does not count as garbage to be collected."""


def empty_lists(count: int) -> list[list[float]]:
    """Return lists to write into."""
    return [[] for _ in range(count)]


def write_lists(rows: NDArray[np.float32], lists: Sequence[list[float]]) -> None:
    """Write each row into its list, in place of what the list held."""
    for at in range(0, len(lists), _ROWS_AT_ONCE):
        numbers: list[list[float]] = rows[at : at + _ROWS_AT_ONCE].tolist()
        for kept, row in zip(lists[at : at + _ROWS_AT_ONCE], numbers, strict=True):
            kept[:] = row
