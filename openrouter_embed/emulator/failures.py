"""Failures on purpose: which request fails, how, and how often.

Rules of this file:
- It decides and counts; carrying a failure out is the server's.
- Of several failures that fit a request, the one that was asked for first strikes.
- Every change happens under one lock: tests ask from their thread, the server strikes from its.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FailureKind = Literal["reset", "stall", "lost", "truncated", "garbage", "no_provider", "short"]
Endpoint = Literal["embeddings", "batches", "models", "key"]

late_failure: Final[ContextVar[str]] = ContextVar("late_failure", default="")
"""What is to become of the answer that is being made: "lost", "truncated", or nothing."""

_KINDS: Final[tuple[FailureKind, ...]] = (
    "reset",
    "stall",
    "lost",
    "truncated",
    "garbage",
    "no_provider",
    "short",
)
_OF_EMBEDDINGS: Final[frozenset[FailureKind]] = frozenset({"no_provider", "short"})
_ENDPOINTS: Final[tuple[Endpoint, ...]] = ("embeddings", "batches", "models", "key")
_LOWEST_STATUS: Final = 400
_HIGHEST_STATUS: Final = 599
_MESSAGES: Final[Mapping[int, str]] = {
    400: "Invalid request",
    401: "User not found.",
    402: "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    403: "This request was refused by the provider's moderation.",
    404: "No endpoints found.",
    408: "Request timed out",
    413: "Request body is too large.",
    429: "Rate limit exceeded",
    500: "Internal Server Error",
    502: "Provider returned error",
    503: "Service temporarily unavailable",
    524: "A timeout occurred",
    529: "Provider is overloaded",
}


@dataclass(frozen=True)
class Terms:
    """How and where something fails: a status from 400 on, or a kind."""

    what: int | FailureKind = 503
    on: Endpoint = "embeddings"
    method: str | None = None
    holding: str | None = None
    retry_after: float | None = None
    message: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer carries besides."""
        return {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}

    @property
    def text(self) -> str:
        """What the answer says."""
        status = self.what if isinstance(self.what, int) else 0
        return self.message or _MESSAGES.get(status, "Emulated failure")

    def fits(self, endpoint: str, method: str, body: object) -> bool:
        """Whether a request is one of those that fail."""
        return (
            endpoint == self.on
            and self.method in (None, method)
            and (self.holding is None or any(self.holding in text for text in _texts(body)))
        )


class Failure:
    """A failure that was asked for: what it has done, and its end."""

    def __init__(self, terms: Terms, *, times: int | None, after: int) -> None:
        self.terms = terms
        self._left = times
        self._pass = after
        self._count = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        left = "any number of" if self._left is None else self._left
        return f"Failure({self.terms.what!r}, count={self._count}, {left} left)"

    @property
    def count(self) -> int:
        """How many requests it has failed."""
        return self._count

    @property
    def over(self) -> bool:
        """Whether it fails no more."""
        return self._left == 0

    def end(self) -> None:
        """Let every request pass from now on."""
        with self._lock:
            self._left = 0

    def strike(self) -> bool:
        """Count a request that fits; say whether it fails."""
        with self._lock:
            if self._left == 0:
                return False
            if self._pass:
                self._pass -= 1
                return False
            if self._left is not None:
                self._left -= 1
            self._count += 1
            return True


class Failures:
    """All that were asked for, in that order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: list[Failure] = []

    def add(self, terms: Terms, *, times: int | None, after: int) -> Failure:
        """Fail requests from now on.

        Raises:
            ConfigurationError: There is no such failure.
        """
        _check(terms, times, after)
        failure = Failure(terms, times=times, after=after)
        with self._lock:
            self._asked = [*(known for known in self._asked if not known.over), failure]
        return failure

    def clear(self) -> None:
        """End all of them."""
        with self._lock:
            asked, self._asked = self._asked, []
        for failure in asked:
            failure.end()

    def strike(self, endpoint: str, method: str, body: object) -> Terms | None:
        """How a request fails, or None if it does not."""
        for failure in self._asked:
            if failure.terms.fits(endpoint, method, body) and failure.strike():
                return failure.terms
        return None

    def needs_body(self, endpoint: str) -> bool:
        """Whether somebody has to look into the requests of an endpoint."""
        return any(
            failure.terms.on == endpoint and failure.terms.holding is not None
            for failure in self._asked
        )


def _check(terms: Terms, times: int | None, after: int) -> None:
    what = terms.what
    if isinstance(what, int):
        if not _LOWEST_STATUS <= what <= _HIGHEST_STATUS:
            raise ConfigurationError(
                f"{what} is no failing status: pass one from 400 to 599, or one of "
                f"{_quoted(_KINDS)}."
            )
    elif what not in _KINDS:
        raise ConfigurationError(
            f"There is no failure {what!r}: pass a status from 400 to 599, or one of "
            f"{_quoted(_KINDS)}."
        )
    if terms.on not in _ENDPOINTS:
        raise ConfigurationError(f"`on` must be one of {_quoted(_ENDPOINTS)}, not {terms.on!r}.")
    if what in _OF_EMBEDDINGS and terms.on != "embeddings":
        raise ConfigurationError(f"{what!r} is a failure of embeddings, not of {terms.on}.")
    if (times is not None and times < 1) or after < 0:
        raise ConfigurationError("`times` must be at least 1 or None, and `after` at least 0.")


def _quoted(words: tuple[str, ...]) -> str:
    return ", ".join(repr(word) for word in words)


def _texts(value: object) -> Iterator[str]:
    """Every string in a parsed body, of inputs as of all else."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in cast("list[object]", value):
            yield from _texts(element)
    elif isinstance(value, dict):
        for element in cast("dict[str, object]", value).values():
            yield from _texts(element)
