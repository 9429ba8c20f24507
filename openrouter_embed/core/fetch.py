"""One exchange that embeds nothing, with the same judgement and pacing as an embed call.

Rules of this file:
- It speaks a job's language (`next`, `feed`, `close`), so both shells drive it as they drive a job.
- Somebody waits for it, and nothing that was paid is lost with it: its patience is short unless
  whoever asks has more.
- What may not be done twice is sent again only where it cannot have been acted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import msgspec

from openrouter_embed.core.advice import tell_attempts
from openrouter_embed.core.codec import trim
from openrouter_embed.core.notice import Notice
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
    Sink,
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


def read_data(reply: Reply) -> Mapping[str, Any]:
    """Read an answer that is an object with `data` in it.

    Raises:
        InvalidResponseError: It is something else.
    """
    try:
        tree = msgspec.json.decode(trim(reply.body))
    except (msgspec.DecodeError, RecursionError, ValueError):
        tree = None
    table = cast("dict[str, Any]", tree) if isinstance(tree, dict) else {}
    if "data" not in table:
        raise InvalidResponseError("The answer is not the JSON expected.", reason="json")
    return table


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[T]):
    """What to ask for, and with how much patience.

    Attributes:
        path: Path below the API's root.
        root: Path of the root on the server, where it is another than that of `base_url`.
        method: `GET`, `POST` or `DELETE`.
        body: The JSON bytes, if any.
        public: Whether it may go without a key.
        once: Whether it may be acted on only once, so that what may have arrived is not repeated.
        after: Seconds to wait before it is sent.
        timeout: Seconds that one attempt may take; where a sink reads, seconds without news.
        patience: Seconds after which no other attempt begins.
        retries: Attempts beyond the first; a client that allows fewer keeps to its own.
        deadline: Seconds in all, if they are limited.
        read: Turns an answer into what was asked for, or raises `InvalidResponseError`.
        sink: Makes what reads the answer piece by piece, anew for each attempt.
    """

    path: str
    root: str | None = None
    method: str = "GET"
    body: bytes = field(default=b"", repr=False)
    public: bool = False
    once: bool = False
    after: float = 0.0
    timeout: float = PATIENCE
    patience: float = PATIENCE
    retries: int = MAX_RETRIES
    deadline: float | None = None
    read: Callable[[Reply], T]
    sink: Callable[[], Sink] | None = None

    def request(self, number: int, timeout: float, sink: Sink | None) -> Request:
        """Return the request of an attempt."""
        return Request(
            number,
            self.method,
            self.path,
            self.body,
            timeout=timeout,
            public=self.public,
            root=self.root,
            sink=sink,
        )


_UNSENT: Final = frozenset({FaultKind.DNS, FaultKind.CONNECT, FaultKind.REFUSED})
"""Faults before anything of a request has left."""


def is_unheard(outcome: Outcome) -> bool:
    """Whether a request that failed like this cannot have been acted on.

    That a connection was idle before is no proof: it may have been lost with the answer.
    """
    if isinstance(outcome, Fault):
        return outcome.kind in _UNSENT
    return outcome.status == 429


class Fetch(Generic[T]):
    """An exchange under way; see the head of this file."""

    keeps = False

    def __init__(
        self,
        ask: Ask[T],
        settings: Settings,
        *,
        now: float,
        chance: Callable[[], float],
        closed: Callable[[], bool] = lambda: False,
        on_retry: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._chance = chance
        self._closed = closed
        self._on_retry = on_retry
        self._allowed = 1 + min(settings.max_retries, ask.retries)
        self._timeout = ask.timeout
        self._ready = now + ask.after
        self._last_start = self._ready + ask.patience
        self._deadline = math.inf if ask.deadline is None else now + ask.deadline
        self._sent = 0
        self._causes: list[str] = []
        self._expires: float | None = None
        self._sink: Sink | None = None
        self._heard = 0
        self._abort = False
        self._answer: tuple[T] | None = None
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
            return self._begin(now)
        return Wait(min(self._deadline, self._ready if self._expires is None else self._expires))

    def _begin(self, now: float) -> Send:
        self._sent += 1
        self._expires = now + self._timeout
        self._sink = None if self._ask.sink is None else self._ask.sink()
        self._heard = 0
        return Send(self._ask.request(self._sent, self._timeout, self._sink))

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
        elif self._expires is not None and now >= self._expires and not self._goes_on(now):
            self._abort = True
            message = f"No complete answer within {self._timeout:g} seconds."
            self.feed(self._sent, Fault(FaultKind.TIMEOUT, message), now)

    def _goes_on(self, now: float) -> bool:
        """Whether more of a long answer has come since the last look."""
        heard = 0 if self._sink is None else self._sink.taken
        if heard == self._heard:
            return False
        self._heard = heard
        self._expires = now + self._timeout
        return True

    def started(self, request_id: int, now: float) -> None:
        """Do nothing: this passes no limiter, so its time began when it was sent."""

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of the request; one that was aborted is ignored."""
        if request_id != self._sent or self._expires is None:
            return
        self._expires = None
        doubt = None
        if isinstance(outcome, Reply) and 200 <= outcome.status < 300:
            try:
                self._answer = (self._read(outcome),)
            except InvalidResponseError as error:
                doubt = error
            else:
                return
            outcome = replace(outcome, status=200)
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
        if ready is None or (self._ask.once and not is_unheard(outcome)):
            self._error = verdict.error
            self._error.attempts = self._sent
            tell_attempts(self._error)
            return
        self._causes.append(verdict.cause)
        self._ready = ready
        retries = self._allowed - 1
        notice = Notice.of(verdict.error, self._sent, retries, (now, ready, self._end))
        self._on_retry(notice)

    def _read(self, reply: Reply) -> T:
        return self._ask.read(reply) if self._sink is None else cast("T", self._sink.finish())

    @property
    def _end(self) -> float:
        """When the last attempt must have begun."""
        return min(self._deadline, self._last_start)

    def close(self) -> Sequence[int]:
        """Return the request to drop, if one is in flight."""
        return [] if self._expires is None else [self._sent]

    def result(self) -> T:
        """Return the answer once `next` said `Done`.

        Raises:
            EmbeddingError: There is none.
        """
        if self._error is not None:
            raise self._error
        (answer,) = cast("tuple[T]", self._answer)
        return answer
