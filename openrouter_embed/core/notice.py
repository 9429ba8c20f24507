"""What is told of a call while it goes on: plain data, for whoever writes the log.

Rules of this file:
- It holds no text, key or URL: a cause in our own words, numbers and names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrouter_embed.errors import APIError, TransportError

if TYPE_CHECKING:
    from openrouter_embed.errors import EmbeddingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One retry, just decided.

    Attributes:
        cause: Why, in a sentence.
        kind: A transport fault's kind, an API error's status, or the name of another error.
        attempts: Requests sent so far for the part that failed.
        allowed: Requests that may be sent for it in all; `None` while it only waits for its turn.
        wait: Seconds until the next.
        now: When this was decided (monotonic seconds).
        ends: When the call ends at the latest (monotonic seconds); `None` for no end.
    """

    cause: str
    kind: str
    attempts: int
    allowed: int | None
    wait: float
    now: float
    ends: float | None

    @classmethod
    def of(
        cls,
        error: EmbeddingError,
        attempts: int,
        max_retries: int | None,
        moments: tuple[float, float, float | None],
    ) -> Notice:
        """Make the notice of a failure that is not final.

        Args:
            error: The failure.
            attempts: Requests sent so far for what failed.
            max_retries: Attempts allowed beyond the first; `None` if they are not counted.
            moments: Now, when it is tried again, and when the call ends (monotonic seconds).
        """
        now, ready, ends = moments
        return cls(
            cause=cause_of(error),
            kind=kind_of_error(error),
            attempts=attempts,
            allowed=None if max_retries is None else 1 + max_retries,
            wait=ready - now,
            now=now,
            ends=ends,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Another way that a call takes because something failed, but for retries.

    Attributes:
        event: `cool_down`, `split`, `parts` or `format`, as the log names it.
        cause: Why, in a sentence.
        kind: As a `Notice`'s.
        count: How many inputs go another way, or how many parts one has.
        wait: Seconds for which the client's requests all wait.
    """

    event: str
    cause: str
    kind: str
    count: int = 0
    wait: float = 0.0

    @classmethod
    def of(cls, event: str, error: EmbeddingError, count: int = 0, wait: float = 0.0) -> Turn:
        """Say of a failure what it leads to."""
        kind = kind_of_error(error)
        return cls(event=event, cause=cause_of(error), kind=kind, count=count, wait=wait)


def cause_of(error: EmbeddingError) -> str:
    """Say what failed in words of our own: what a server says may quote a text."""
    return f"The server answered {error.status}." if isinstance(error, APIError) else error.message


def kind_of_error(error: EmbeddingError) -> str:
    """Return the shortest name of a failure that still tells it from others."""
    if isinstance(error, TransportError):
        return error.kind
    return str(error.status) if isinstance(error, APIError) else type(error).__name__
