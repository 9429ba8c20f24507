"""How a job reaches the world: functions that are given to it, and the one that may fail.

Rules of this file:
- Functions and one flag; whatever does I/O, waits or rolls dice comes in this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrouter_embed.core.notice import Notice, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.core.backlog import Batch
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.kept import CallCache
    from openrouter_embed.core.level import Signal
    from openrouter_embed.errors import EmbeddingError
    from openrouter_embed.result import Progress, Usage


def _open() -> bool:
    return False


def _never_busy() -> float:
    return 0.0


def _unheard(_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """What a job may call.

    Attributes:
        chance: Returns a random number in [0, 1).
        wake: Makes the driver ask `next` again.
        closed: Whether the client was closed.
        urgent: Whether the call blocks the very thread that others in flight need to finish.
        busy: Seconds that the thread has worked, where it works while the call waits: a loop.
        on_landed: Told, of a request that the limiter let through, what its end says about load.
        on_refused: Told of a refusal for load, with the seconds that the server asks to wait.
        on_usage: Told what each request has cost.
        on_retry: Told of each retry, before the wait.
        on_turn: Told of another way that the call takes.
        on_progress: The user's listener, if there is one.
        cache: The call's cache, if there is one.
    """

    chance: Callable[[], float]
    wake: Callable[[], None]
    closed: Callable[[], bool] = _open
    urgent: bool = False
    busy: Callable[[], float] = _never_busy
    on_landed: Callable[[Signal], None] = _unheard
    on_refused: Callable[[float | None], None] = _unheard
    on_usage: Callable[[Usage], None] = _unheard
    on_retry: Callable[[Notice], None] = _unheard
    on_turn: Callable[[Turn], None] = _unheard
    on_progress: Callable[[Progress], None] | None = None
    cache: CallCache | None = None

    def turning(self, event: str, error: EmbeddingError, count: int, wait: float = 0.0) -> None:
        """Tell of another way that the call takes; see `Turn`."""
        self.on_turn(Turn.of(event, error, count, wait))

    def retrying(
        self,
        call: Call,
        error: EmbeddingError,
        batch: Batch,
        moments: tuple[float, float],
        *,
        waits: bool,
    ) -> None:
        """Tell of a retry.

        Args:
            call: Says how many there may be, and until when.
            error: Why it is tried again.
            batch: What failed.
            moments: Now, and when it is tried again (monotonic seconds).
            waits: Whether it only waits for its turn, so that attempts are not counted.
        """
        allowed, times = None if waits else call.settings.max_retries, (*moments, call.deadline)
        self.on_retry(Notice.of(error, batch.attempts, allowed, times))


class Listener:
    """The user's `on_progress`, called until it fails.

    Attributes:
        complaint: What it did wrong, to be told once the call is over.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self.complaint = ""
        self._listen = on_progress

    def tell(self, progress: Callable[[], Progress]) -> None:
        """Tell how far the call has come, if anybody listens."""
        listen = self._listen
        if listen is None:
            return
        try:
            listen(progress())
        except Exception as error:  # noqa: BLE001 - whatever the user's listener raises
            # What is paid is worth more than what is shown: the call goes on without it.
            name = type(error).__name__
            self.complaint = f"`on_progress` raised {name} and was not called again."
            self._listen = None
