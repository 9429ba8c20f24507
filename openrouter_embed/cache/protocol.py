"""What a store of vectors is: many keys in, many vectors out.

Rules of this file:
- A key is 32 bytes that name one vector for ever; a store need not know what they are made of.
- A store may forget, fail and raise: calls then go on without it. It may not give wrong vectors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Found:
    """Vectors that were in a store.

    Attributes:
        at: Positions of their keys among the keys that were asked for.
        vectors: float32 `(len(at), d)`.
        host: Who served them, where that is known.
    """

    at: Sequence[int]
    vectors: NDArray[np.float32] = field(repr=False)
    host: str = ""


@runtime_checkable
class EmbeddingCache(Protocol):
    """A store of one's own; its methods are called from several threads, some of them at once."""

    def get(self, keys: Sequence[bytes]) -> Iterable[Found]:
        """Return the vectors that are there, in portions of any size and order.

        Args:
            keys: At most some thousands, all different.
        """
        ...

    def put(
        self,
        keys: Sequence[bytes],
        vectors: NDArray[np.float32],
        *,
        host: str = "",
        replace: bool = False,
    ) -> None:
        """Keep vectors.

        Args:
            keys: One for each vector.
            vectors: float32 `(len(keys), d)`, as the API gave them.
            host: Who served them, where that is known.
            replace: Whether they take the place of what is there; else what is there may stay.
        """
        ...
