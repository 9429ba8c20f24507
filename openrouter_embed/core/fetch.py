"""One `GET`, with the same judgement and pacing as an embed call but nothing to embed.

Rules of this file:
- It speaks a job's language (`next`, `feed`, `close`), so both shells drive it as they drive a job.
- Somebody waits for it, and nothing that was paid is lost with it: its patience is short.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from openrouter_embed.core.codec import trim
from openrouter_embed.core.notice import Notice, tried
from openrouter_embed.core.retry import retry_at
from openrouter_embed.core.verdict import judge
from openrouter_embed.core.wire import (
    Abort,
    Done,
    Fault,
    FaultKind,
    Outcome,
    Reply,
    Request,
    Send,
    Step,
    Wait,
)
from openrouter_embed.errors import (
    ClientClosedError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openrouter_embed.options.settings import Settings


MAX_RETRIES: Final = 2
"""Attempts beyond the first; a client that allows fewer keeps to its own."""
PATIENCE: Final = 15.0
"""Seconds that one attempt may take, and after which no other begins."""


class Fetch:
    """A request for one JSON object; see the head of this file."""

    keeps = False

    def __init__(
        self,
        path: str,
        settings: Settings,
        *,
        now: float,
        chance: Callable[[], float],
        closed: Callable[[], bool] = lambda: False,
        on_retry: Callable[[Notice], None] = lambda _: None,
        public: bool = False,
    ) -> None:
        self._path = path
        self._settings = settings
        self._chance = chance
        self._closed = closed
        self._on_retry = on_retry
        self._allowed = 1 + min(settings.max_retries, MAX_RETRIES)
        self._timeout = min(settings.timeout, PATIENCE)
        self._last_start = now + PATIENCE
        self._public = public
        self._deadline = math.inf if settings.deadline is None else now + settings.deadline
        self._sent = 0
        self._causes: list[str] = []
        self._expires: float | None = None
        self._ready = now
        self._abort = False
        self._answer: dict[str, Any] | None = None
        self._error: EmbeddingError | None = None

    def next(self, now: float) -> Step:
        """Return the next thing to do at `now` (monotonic seconds)."""
        if self._answer is None and self._error is None:
            self._check_closed()
            self._check_time(now)
        if self._abort:
            self._abort = False
            return Abort(self._sent)
        if self._answer is not None or self._error is not None:
            return Done()
        if self._expires is None and now >= self._ready:
            self._sent += 1
            self._expires = now + self._timeout
            seconds, public = self._timeout, self._public
            return Send(Request(self._sent, "GET", self._path, timeout=seconds, public=public))
        return Wait(min(self._deadline, self._ready if self._expires is None else self._expires))

    def _check_closed(self) -> None:
        if self._closed():
            self._abort = self._expires is not None
            self._expires = None
            self._error = ClientClosedError("The client was closed during the call.")

    def _check_time(self, now: float) -> None:
        if self._error is not None:
            return
        in_flight = self._expires is not None
        if now >= self._deadline:
            self._abort = in_flight
            self._expires = None
            message = "The call did not end by its deadline."
            self._error = DeadlineExceededError(message, attempts=self._sent)
        elif self._expires is not None and now >= self._expires:
            self._abort = True
            message = f"No complete answer within {self._timeout:g} seconds."
            self.feed(self._sent, Fault(FaultKind.TIMEOUT, message), now)

    def started(self, request_id: int, now: float) -> None:
        """Do nothing: a `GET` passes no limiter, so its time began when it was sent."""

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of the request; one that was aborted is ignored."""
        if request_id != self._sent or self._expires is None:
            return
        self._expires = None
        doubt = None
        if isinstance(outcome, Reply) and outcome.status == 200:
            self._answer = _read_object(outcome.body)
            if self._answer is not None:
                return
            doubt = InvalidResponseError("The answer is not the JSON expected.", reason="json")
        verdict = judge(outcome, doubt=doubt, key_origin=self._settings.key_origin)
        ready = retry_at(
            verdict,
            now=now,
            causes=self._causes,
            retries=self._sent - 1,
            max_retries=self._allowed - 1,
            deadline=self._end,
            chance=self._chance(),
        )
        if ready is None:
            self._error = verdict.error
            tried(self._error, self._sent)
            return
        self._causes.append(verdict.cause)
        self._ready = ready
        retries = self._allowed - 1
        notice = Notice.of(verdict.error, self._sent, retries, (now, ready, self._end))
        self._on_retry(notice)

    @property
    def _end(self) -> float:
        """When the last attempt must have begun."""
        return min(self._deadline, self._last_start)

    def close(self) -> Sequence[int]:
        """Return the request to drop, if one is in flight."""
        return [] if self._expires is None else [self._sent]

    def result(self) -> Mapping[str, Any]:
        """Return the answer once `next` said `Done`.

        Raises:
            EmbeddingError: There is none.
        """
        if self._error is not None:
            raise self._error
        return self._answer or {}


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        tree = msgspec.json.decode(trim(body))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    table = cast("dict[str, Any]", tree) if isinstance(tree, dict) else {}
    return table if "data" in table else None
