"""What the emulator knows of batches: who submitted what, and how far each has come.

Rules of this file:
- A batch's state is a function of the clock, unless somebody put it into one.
- The clock is that of the emulator and what was added to it: a day passes in no time.
- Every change happens under one lock: tests ask from their thread, the server from its own.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openrouter_embed.emulator.options import EmulatorOptions

WINDOW: Final = 86_400.0
"""Seconds after which what is not finished expires."""
KEPT: Final = 30 * 86_400.0
"""Seconds after which a batch and its results are deleted."""
TERMINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})

_PHASES: Final = ((0.05, "validating"), (0.9, "in_progress"), (1.0, "finalizing"))
"""Up to which part of its time a batch is in which state."""


@dataclass(frozen=True, kw_only=True)
class BatchRequest:
    """One request of a batch."""

    custom_id: str
    body: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What the finished requests of a batch came to."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a batch has come.

    Attributes:
        status: The word for it.
        done: Requests that are finished, well or badly: the first ones.
        finalized_at: Unix time of its end, or None.
        error: Why it failed, or None.
        http_status: What a look at it is answered with.
    """

    status: str
    done: int = 0
    finalized_at: float | None = None
    error: str | None = None
    http_status: int = 200


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as it was submitted."""

    id: str
    model: str
    provider: Mapping[str, object]
    host: str | None
    requests: Sequence[BatchRequest] = field(repr=False)
    created_at: float
    refusal: str | None = None
    put: State | None = None


def state_of(batch: Batch, now: float, seconds: float) -> State:
    """How far a batch has come at a moment, if it takes so many seconds."""
    if batch.put is not None:
        return batch.put
    total = len(batch.requests)
    passed = now - batch.created_at
    if passed >= min(seconds, WINDOW):
        end = batch.created_at + min(seconds, WINDOW)
        if batch.refusal is not None:
            return State(status="failed", finalized_at=end, error=batch.refusal)
        if seconds > WINDOW:
            return State(status="expired", done=int(total * WINDOW / seconds), finalized_at=end)
        return State(status="completed", done=total, finalized_at=end)
    share = passed / seconds
    status = next(word for until, word in _PHASES if share < until)
    return State(status=status, done=0 if status == "validating" else int(total * share))


class Batches:
    """The batches of one emulator, oldest first, and their clock."""

    def __init__(self, options: EmulatorOptions, now: Callable[[], float]) -> None:
        self._options = options
        self._now = now
        self._added = 0.0
        self._lock = threading.Lock()
        self._batches: dict[str, Batch] = {}
        self._tallies: dict[tuple[str, int], Tally] = {}

    @property
    def ids(self) -> list[str]:
        """The ids of the batches that exist, oldest first."""
        with self._lock:
            return list(self._batches)

    def status(self, batch_id: str) -> str:
        """The state of a batch."""
        return self.state(self.find(batch_id)).status

    def requests(self, batch_id: str) -> Sequence[BatchRequest]:
        """The requests that a batch was submitted with, in that order."""
        return self.find(batch_id).requests

    def advance(self, seconds: float) -> None:
        """Let time pass for all batches."""
        with self._lock:
            self._added += seconds

    def put(
        self,
        batch_id: str,
        status: str,
        *,
        completed: int | None = None,
        error: str | None = None,
        http_status: int = 200,
    ) -> None:
        """Put a batch into a state, where it stays.

        Args:
            batch_id: Which one.
            status: Any word, of OpenRouter's or not.
            completed: Requests that are finished: as many as there are for "completed", else none.
            error: What it says of itself.
            http_status: What a look at it is answered with: 402, for example.

        Raises:
            ConfigurationError: There is no such batch.
        """
        batch = self._known(batch_id)
        done = completed if completed is not None else 0
        if completed is None and status == "completed":
            done = len(batch.requests)
        end = self.now() if status in TERMINAL else None
        state = State(
            status=status, done=done, finalized_at=end, error=error, http_status=http_status
        )
        with self._lock:
            self._batches[batch_id] = replace(batch, put=state)

    def now(self) -> float:
        """The Unix time that batches live by."""
        return self._now() + self._added

    def add(
        self,
        *,
        model: str,
        provider: Mapping[str, object],
        host: str | None,
        requests: Sequence[BatchRequest],
        refusal: str | None,
    ) -> Batch:
        """Take in what was submitted."""
        with self._lock:
            number = len(self._batches) + 1
            tail = f"{number:024d}" if self._options.fixed_ids else secrets.token_hex(12)
            batch = Batch(
                id=f"batch_{tail}",
                model=model,
                provider=provider,
                host=host,
                requests=requests,
                created_at=self.now(),
                refusal=refusal,
            )
            self._batches[batch.id] = batch
        return batch

    def find(self, batch_id: str) -> Batch:
        """The batch of an id.

        Raises:
            ApiError: 404, or 410 if it is too old.
        """
        with self._lock:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"Batch {batch_id} not found")
        if self.now() - batch.created_at >= KEPT:
            raise ApiError(410, "The artifacts of this batch were deleted after 30 days")
        return batch

    def state(self, batch: Batch) -> State:
        """How far a batch has come by now."""
        return state_of(batch, self.now(), self._options.batch_seconds)

    def newest_first(self) -> list[Batch]:
        """All batches, for a listing."""
        with self._lock:
            return list(reversed(self._batches.values()))

    def delete(self, batch_id: str) -> Batch:
        """Forget a batch that has ended.

        Raises:
            ApiError: 404, 409 while it runs, 410.
        """
        batch = self.find(batch_id)
        if self.state(batch).status not in TERMINAL:
            raise ApiError(409, "Batch is not in a terminal status and cannot be deleted")
        with self._lock:
            self._batches.pop(batch_id, None)
        return batch

    def tally(self, batch: Batch, done: int, make: Callable[[], Tally]) -> tuple[Tally, bool]:
        """What the first requests of a batch came to, and whether that was asked for just now."""
        key = (batch.id, done)
        with self._lock:
            known = self._tallies.get(key)
        if known is not None:
            return known, False
        made = make()
        with self._lock:
            first = self._tallies.setdefault(key, made) is made
        return made, first

    def clear(self) -> None:
        """Forget all of them, and the time that was added."""
        with self._lock:
            self._batches.clear()
            self._tallies.clear()
            self._added = 0.0

    def _known(self, batch_id: str) -> Batch:
        with self._lock:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise ConfigurationError(f"There is no batch {batch_id!r}: `ids` lists them.")
        return batch
