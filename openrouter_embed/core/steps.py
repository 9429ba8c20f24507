"""What a state machine tells its driver to do, and what a driver may call.

Rules of this file:
- These few words are all that the two drivers understand; both understand the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.wire import Outcome, Request


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request and feed its outcome back."""

    request: Request


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop this request and its connection; its outcome is settled."""

    id: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for an outcome or a wake-up, but no longer than `until` (monotonic seconds)."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do: ask for `result()`."""


Step = Send | Abort | Wait | Done


class Driven(Protocol):
    """A state machine that a shell can drive."""

    def next(self, now: float) -> Step:
        """Return the next thing to do at `now` (monotonic seconds)."""
        ...

    def started(self, request_id: int, now: float) -> None:
        """Let an attempt's time begin: a rate limiter has just let it through."""
        ...

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of a request; one that was aborted is ignored."""
        ...

    def close(self) -> Sequence[int]:
        """Give every permit back and return the requests to drop."""
        ...
