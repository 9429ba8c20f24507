"""The matrix of a call's vectors, and what is done with rows of any.

Rules of this file:
- A call's matrix is made when the first vector tells how wide all are, and anew only where none of
  that width can have been counted.
- It knows which rows there are, not which of them count.
- Rows that follow one another, told by a range, are moved in one piece.
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


def rows_of(matrix: Matrix, units: Sequence[int]) -> Matrix:
    """Return rows of a matrix; a view where they lie together."""
    if isinstance(units, range):
        return matrix[units.start : units.stop]
    return matrix[list(units)]


def mark(flags: bytearray, units: Sequence[int]) -> None:
    """Set the flags of units."""
    if isinstance(units, range):
        flags[units.start : units.stop] = b"\x01" * len(units)
    else:
        for unit in units:
            flags[unit] = 1


def zeros(rows: Matrix) -> set[int]:
    """Return which rows are all zeros: faults that may not come again, so they are not kept.

    Few others begin with some, so few are looked at whole.
    """
    suspects: list[int] = np.flatnonzero(~rows[:, :8].any(axis=1)).tolist()
    return {at for at in suspects if not rows[at].any()}


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
        return rows_of(self._matrix, units)

    def drop(self) -> None:
        """Forget how wide vectors are."""
        self._matrix = None

    def leave(self) -> None:
        """Go on with a copy: somebody still reads the rows that were given out."""
        if self._matrix is not None:
            self._matrix = np.array(self._matrix)
