"""The matrix of a call's vectors.

Rules of this file:
- It is made when the first vector tells how wide all are, and anew only where none of that width
  can have been counted.
- It knows which rows there are, not which of them count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]


def as_run(units: Sequence[int]) -> Sequence[int]:
    """Return numbers as a range if they are one: their rows are then moved in one piece."""
    if isinstance(units, range) or not units:
        return units
    span = range(units[0], units[0] + len(units))
    return span if units[-1] == span[-1] and list(units) == list(span) else units


class Rows:
    """The vectors of one call's units.

    Args:
        count: How many units there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._matrix: Matrix | None = None

    def of_width(self, width: int) -> Matrix:
        """Return the whole matrix, float32 `(count, width)`; one of another width is dropped."""
        if self._matrix is None or self._matrix.shape[1] != width:
            self._matrix = np.empty((self._count, width), dtype=np.float32)
        return self._matrix

    def make_room(self, width: int) -> bool:
        """Return whether vectors fit in; the first tell how wide all are.

        Not to be called by two threads at once.
        """
        if self._matrix is None:
            self.of_width(width)
        return self._matrix is not None and self._matrix.shape[1] == width

    def place(self, units: Sequence[int], rows: NDArray[np.floating[Any]]) -> None:
        """Copy vectors to where there is room for them; threads may do so at once."""
        if self._matrix is None:
            return
        if isinstance(units, range):  # in one piece
            self._matrix[units.start : units.stop] = rows
        else:
            self._matrix[list(units)] = rows

    def at(self, units: Sequence[int]) -> Matrix:
        """Return the vectors of units; a view where they lie together."""
        if self._matrix is None:
            return np.empty((0, 0), dtype=np.float32)
        if isinstance(units, range):
            return self._matrix[units.start : units.stop]
        return self._matrix[list(units)]

    def drop(self) -> None:
        """Forget how wide vectors are."""
        self._matrix = None

    def leave(self) -> None:
        """Go on with a copy: somebody still reads the rows that were given out."""
        if self._matrix is not None:
            self._matrix = np.array(self._matrix)
