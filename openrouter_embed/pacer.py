"""One pacing state for several clients of a process that share a limit.

Rules of this file:
- It brings what the core may not make for itself: a lock, chance, and a new life after a fork.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from typing import TYPE_CHECKING

from openrouter_embed.core import pacing
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self


class Pacer(pacing.Pacer):
    """How fast to send, for every client that it is handed to as `pacer=`.

    Clients that share a key share its limits: with one pacer they share what they learn of them as
    well, wait in one line, and have one retry budget. Copies of it are itself; in a pickle only
    `max_concurrency` goes along.
    """

    def __init__(self, max_concurrency: int = 64) -> None:
        """Begin with nothing known of any server.

        Args:
            max_concurrency: Most requests in flight, of all its clients together; theirs does not
                count then.

        Raises:
            ConfigurationError: It is no positive whole number.
        """
        if type(max_concurrency) is not int or max_concurrency < 1:
            raise ConfigurationError("`max_concurrency` must be a whole number, 1 or more.")
        self.max_concurrency = max_concurrency
        self._begin()
        _PACERS.add(self)

    def _begin(self) -> None:
        super().__init__(self.max_concurrency, lock=threading.Lock(), chance=random.random)

    def __copy__(self) -> Self:
        """Return itself: a client's copy shares its pacing."""
        return self

    def __deepcopy__(self, _: object) -> Self:
        """Return itself: a client's copy shares its pacing."""
        return self

    def __reduce__(self) -> tuple[type[Pacer], tuple[int]]:
        """Leave behind what was learned, locks and waiting calls."""
        return Pacer, (self.max_concurrency,)


_PACERS: weakref.WeakSet[Pacer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for pacer in list(_PACERS):
        # What is in flight is the parent's.
        pacer._begin()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
