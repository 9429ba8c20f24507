"""One embed call as a state machine: `next(now)` says what to do, `feed(...)` takes what came.

Rules of this file:
- Nothing here sends, waits or measures time. A driver asks `next` in a loop, does what it says and
  feeds back what happened; the synchronous and the asynchronous driver share every decision.
- One driver owns a job; only the `Pacer` is shared, and it has its own lock.
- Every step is final: an id that was aborted or fed is never heard of again.

When a request fails for good nothing new is sent, those in flight may finish, and what arrived
travels with the error. A refusal for content or size is no such failure: the request is split until
the inputs to blame are found, and the others are delivered. Splitting stays cheap: until some part
of the call has succeeded, at most 2·ceil(log2 n) extra requests are spent on it in all.
"""

from __future__ import annotations

import copy
import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.collect import Collector
from openrouter_embed.core.flow import Flow
from openrouter_embed.core.hints import advise
from openrouter_embed.core.ledger import Ledger
from openrouter_embed.core.long import count_parts, split_text
from openrouter_embed.core.pacing import Pacer, Signal, Ticket
from openrouter_embed.core.plan import BodyMaker, Limits, Packer, Plan
from openrouter_embed.core.redact import redact
from openrouter_embed.core.steps import Abort, Done, Send, Step, Wait
from openrouter_embed.core.verdict import (
    MAX_ERROR_BYTES,
    BACKOFF_BASE,
    MAX_WAIT,
    PATIENCE,
    Scope,
    Verdict,
    backoff,
    judge,
    pause,
)
from openrouter_embed.core.wire import Fault, FaultKind, Outcome, Reply, Request
from openrouter_embed.errors import (
    APIError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
    TransportError,
)
from openrouter_embed.guard import bare
from openrouter_embed.result import EmbeddingResult, Progress, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.options.settings import Settings


DEEPEST: Final = 3
"""How often the parts of a text are cut again while no answer has been believed."""
SHORTEST_PART: Final = 8
"""Tokens below which a text is too long for no model."""
PATH: Final = "/embeddings"
ATTEMPT_HEADER: Final = "X-OpenRouter-Embed-Attempt"
MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes a reply may have while the width of its vectors is not known."""
BYTES_PER_COMPONENT: Final = 32
"""No way to write a float in JSON is longer, its comma included."""
POLL: Final = 0.05
"""Seconds between looks at a budget that other calls of the client have reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under what terms a job runs.

    Attributes:
        model: The model id, for remembering its formats.
        encoding_format: `auto`, `float` or `base64`.
        base64: Whether the model is known to honour base64.
        width: Components that were asked for; `None` for the model's own.
        expected_width: Components the model is known to answer with, if it is known.
        timeout: Seconds one attempt may take.
        deadline: The moment (monotonic seconds) by which the call must end.
        max_retries: Attempts beyond the first, per request.
        on_error: `raise` or `return`.
        normalize: Whether to scale rows to unit length.
        long_input: `split` embeds a text that is too long in parts; `error` reports it.
        input_tokens: Tokens of one input that the model reads, if known.
        price: USD per token, for the spending limit; `None` where there is none.
        lists: Whether Python lists are made as vectors arrive.
        pin: Whether every vector must come from the host that served first.
        spread: Whether inputs may be spread over several requests for the sake of speed.
        limited: The client's limiter is asked first, and an attempt's time begins with `started`.
        key_origin: Where the key came from, for messages.
    """

    model: str
    encoding_format: str = "auto"
    base64: bool = False
    width: int | None = None
    expected_width: int | None = None
    timeout: float = 60.0
    deadline: float | None = None
    max_retries: int = 8
    on_error: str = "raise"
    normalize: bool = False
    long_input: str = "error"
    input_tokens: int | None = None
    price: float | None = None
    lists: bool = False
    pin: bool = False
    spread: bool = True
    limited: bool = False
    key_origin: str = ""


def make_terms(
    settings: Settings, on_error: str, now: float, *, price: float | None, lists: bool
) -> Terms:
    """Return the terms that a call's settings ask for, its deadline counted from `now`."""
    profile = settings.profile
    return Terms(
        model=settings.model,
        encoding_format=settings.encoding_format,
        base64=profile.base64,
        width=settings.dimensions,
        expected_width=profile.dimensions,
        timeout=settings.timeout,
        deadline=None if settings.deadline is None else now + settings.deadline,
        max_retries=settings.max_retries,
        on_error=on_error,
        normalize=settings.normalize,
        long_input=settings.long_input,
        input_tokens=profile.max_input_tokens,
        price=price,
        lists=lists,
        pin=settings.pin_provider,
        # Free models allow some twenty requests a minute: there fewer is faster.
        spread=not settings.model.endswith(":free"),
        limited=settings.limited,
        key_origin=settings.key_origin,
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Units that travel together, and what they have been through."""

    units: Sequence[int]
    attempts: int = 0
    retries: int = 0
    causes: tuple[str, ...] = ()
    hunted: bool = False
    depth: int = 0
    waits: int = 0
    since: float = math.inf

    def sent_again(self, now: float) -> _Batch:
        """Return the batch after one more attempt; `replace` does it four times as slowly."""
        retries, causes = self.retries, self.causes
        since = min(now, self.since)
        return _Batch(
            self.units, self.attempts + 1, retries, causes, self.hunted, self.depth, self.waits, since
        )


@dataclass(slots=True)
class _Flight:
    batch: _Batch
    ticket: Ticket
    encoding: str
    expires: float | None
    sent: float
    idle: float
    held: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a job is given to reach the world: chance, a way to be woken, and listeners."""

    chance: Callable[[], float]
    wake: Callable[[], None]
    closed: Callable[[], bool] = field(default=lambda: False)
    urgent: bool = False
    """Whether the call blocks the very thread that others in flight need to finish."""
    busy: Callable[[], float] = field(default=lambda: 0.0)
    """Seconds that the thread has worked, where it works while the call waits: an event loop."""
    on_usage: Callable[[Usage], None] = field(default=lambda _: None)
    on_progress: Callable[[Progress], None] | None = None


class Job:
    """One call; see the head of this file."""

    def __init__(
        self,
        plan: Plan,
        *,
        bodies: BodyMaker,
        limits: Limits,
        terms: Terms,
        pacer: Pacer,
        memory: ModelMemory,
        ports: Ports,
        ledger: Ledger | None = None,
    ) -> None:
        self._plan = plan
        self._bodies = bodies
        self._terms = terms
        self._pacer = pacer
        self._memory = memory
        self._ports = ports
        self._ledger = ledger or Ledger()
        self._packer = Packer(plan, limits)
        self._space = f"{terms.model} {terms.width}"
        width = terms.width or memory.width(self._space)
        self._rows = Collector(plan, width, terms.expected_width, lists=terms.lists)
        self._ids = itertools.count()
        self._again: list[tuple[float, int, _Batch]] = []
        self._suspects: deque[tuple[_Batch, Verdict]] = deque()
        self._flights: dict[int, _Flight] = {}
        self._flow = Flow()
        self._aborts: deque[int] = deque()
        self._error: EmbeddingError | None = None
        self.complaint = ""
        """What a listener did wrong, to be told once the call is over."""
        self._believed = False
        self._broke = False
        self._poor_until = -math.inf
        self._extra = 0
        self._largest = 1

    # ------------------------------------------------------------------ what to do next

    def next(self, now: float) -> Step:
        """Return the next thing to do at `now` (monotonic seconds)."""
        self._flow.go_on(self._rest(now))
        step = self._next(now)
        if isinstance(step, Wait):
            self._flow.stop(self._rest(now))
        return step

    def _rest(self, now: float) -> float:
        """Return the time on a clock that stands still while the waiting thread works."""
        return now - self._ports.busy()

    def _next(self, now: float) -> Step:
        if self._ports.closed() and self._unfinished:
            self._end_all(ClientClosedError("The client was closed during the call."))
        self._check_time(now)
        if self._aborts:
            return Abort(self._aborts.popleft())
        self._follow_suspects()
        if self._error is None and self._sendable(now):
            leave = self._pacer.enter(now, self._ports.wake, urgent=self._ports.urgent)
            if isinstance(leave, Ticket):
                return self._send(now, leave)
            return self._wait(leave.until)
        # Whoever wants nothing leaves the line, or a wake-up meant for another would be lost.
        self._pacer.forget(self._ports.wake)
        if not self._flights and (self._error is not None or not self._again):
            return Done()
        waiting = self._error is None and bool(self._again) and not self._blocked()
        return self._wait(max(self._again[0][0], self._poor_until) if waiting else None)

    def _wait(self, ready: float | None) -> Wait:
        return Wait(self._soonest(ready))

    def _soonest(self, ready: float | None = None) -> float | None:
        """Return the first moment at which something is to be done though nothing has come."""
        ends = [flight.expires for flight in self._flights.values()]
        moments = [m for m in (ready, self._terms.deadline, *ends) if m is not None]
        return min(moments) if moments else None

    def _sendable(self, now: float) -> bool:
        ready = bool(self._again) and self._again[0][0] <= now
        fresh = self._packer.remaining > 0 and not self._doubtful()
        return not self._blocked() and now >= self._poor_until and (ready or fresh)

    def _doubtful(self) -> bool:
        """Whether requests were refused and none has succeeded: more of them would be as well."""
        return bool(self._suspects) and not self._rows.delivered

    def _blocked(self) -> bool:
        """Whether what is in flight must come back before anything else is sent."""
        many = len(self._flights) >= self._flow.width
        return bool(self._flights) and (many or self._broke or self._finding_host())

    def _pinned(self) -> str | None:
        """Return the only host that may serve, once it is known."""
        return (self._memory.host(self._bodies.route) or None) if self._terms.pin else None

    def _finding_host(self) -> bool:
        return self._terms.pin and self._memory.host(self._bodies.route) is None

    def _send(self, now: float, ticket: Ticket) -> Step:
        """Launch a request; whatever goes wrong, the place and the money set aside come back."""
        batch = self._pick(now)
        tokens = sum(self._plan.tokens[unit] for unit in batch.units)
        held = tokens * (self._terms.price or 0.0)
        if not self._ledger.reserve(held):
            self._stop_spending(batch, ticket, now)
            return self._next(now)
        try:
            return Send(self._launch(batch, ticket, tokens, held, now))
        except BaseException:
            self._pacer.release(ticket, Signal.NEUTRAL)
            self._ledger.settle(held, 0.0)
            raise

    def _launch(
        self, batch: _Batch, ticket: Ticket, tokens: int, held: float, now: float
    ) -> Request:
        batch = batch.sent_again(now)
        units = [self._plan.units[unit] for unit in batch.units]
        encoding = self._encoding()
        request = Request(
            id=next(self._ids),
            method="POST",
            path=PATH,
            body=self._bodies.make(units, encoding, self._pinned()),
            headers=((ATTEMPT_HEADER, str(batch.attempts)),),
            tokens=tokens,
            max_reply=self._max_reply(len(units)),
            timeout=self._terms.timeout,
            limited=self._terms.limited,
        )
        expires = None if self._terms.limited else now + self._terms.timeout
        idle = self._flow.idle
        self._flights[request.id] = _Flight(batch, ticket, encoding, expires, now, idle, held)
        return request

    def _stop_spending(self, batch: _Batch, ticket: Ticket, now: float) -> None:
        """Wait for what is in flight, which may cost less than it reserved; else end the call."""
        self._pacer.release(ticket, Signal.NEUTRAL)
        self._requeue(batch, -math.inf)
        self._broke = True
        # A call that blocks the others' thread would wait for ever for what they set aside.
        if not self._flights and self._ledger.busy and not self._ports.urgent:
            self._poor_until = now + POLL
        elif not self._flights:
            self._error = BudgetExceededError(
                f"The next request could pass `max_cost` of ${self._ledger.limit:g}: "
                f"${self._ledger.spent:g} are spent."
            )

    def _pick(self, now: float) -> _Batch:
        if self._again and self._again[0][0] <= now:
            return heapq.heappop(self._again)[2]
        if not self._terms.spread:
            return _Batch(self._packer.take(1))
        return _Batch(self._packer.take(self._pacer.spread, probe=not self._pacer.opened))

    def _encoding(self) -> str:
        if self._terms.encoding_format != "auto":
            return self._terms.encoding_format
        good = self._terms.base64 and not self._memory.prefers_floats(self._terms.model)
        return "base64" if good else "float"

    def _max_reply(self, count: int) -> int:
        width = self._rows.width or self._terms.expected_width
        if width is None:
            return MAX_REPLY
        return MAX_ERROR_BYTES + count * (1024 + BYTES_PER_COMPONENT * width)

    def started(self, request_id: int, now: float) -> None:
        """Let an attempt's time begin: a rate limiter has just let it through."""
        flight = self._flights.get(request_id)
        if flight is not None:
            flight.expires = now + self._terms.timeout

    # ------------------------------------------------------------------ time

    def _check_time(self, now: float) -> None:
        deadline = self._terms.deadline
        if deadline is not None and now >= deadline and self._unfinished:
            self._run_out()
        for request_id, flight in list(self._flights.items()):
            if flight.expires is not None and now >= flight.expires:
                self._aborts.append(request_id)
                message = f"No complete answer within {self._terms.timeout:g} seconds."
                self.feed(request_id, Fault(FaultKind.TIMEOUT, message), now)

    @property
    def _unfinished(self) -> bool:
        waiting = self._again or self._suspects or self._packer.remaining
        return bool(self._flights or (self._error is None and waiting))

    def _run_out(self) -> None:
        attempts = max((f.batch.attempts for f in self._flights.values()), default=0)
        message = (
            f"The call did not end by its deadline: {self._rows.delivered} of "
            f"{self._rows.count} distinct inputs had arrived."
        )
        self._end_all(DeadlineExceededError(message, attempts=attempts))

    def _end_all(self, error: EmbeddingError) -> None:
        """Drop what is in flight and send nothing more."""
        for request_id in list(self._flights):
            self._aborts.append(request_id)
            self._land(request_id, Signal.NEUTRAL)
        self._error = self._error or error

    # ------------------------------------------------------------------ what came back

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of a request; one that was aborted is ignored."""
        self._flow.go_on(self._rest(now))
        if request_id not in self._flights:
            return
        flight = self._flights[request_id]
        batch = flight.batch
        doubt: InvalidResponseError | None = None
        if isinstance(outcome, Reply) and outcome.status == 200:
            try:
                usage = self._rows.accept(batch.units, outcome.body, self._pinned())
            except InvalidResponseError as error:
                doubt = error
                bare(doubt)  # its frames hold the texts and the whole answer
            else:
                self._accepted(request_id, usage, now)
                left = len(self._flights)
                self._flow.landed(now, sent=flight.sent, idle=flight.idle, left=left)
                return
        verdict = judge(outcome, doubt=doubt, key_origin=self._terms.key_origin)
        refused = isinstance(outcome, Reply) and doubt is None
        billed = Usage(requests=1) if doubt is None else self._rows.billed(outcome)
        spent = 0.0 if refused else billed.cost
        self._land(request_id, verdict.rule.signal, spent=spent)
        self._charge(billed)
        stale = isinstance(outcome, Fault) and outcome.stale
        self._settle(flight, verdict, now, stale=stale)

    def _accepted(self, request_id: int, usage: Usage, now: float) -> None:
        price = self._terms.price or 0.0
        spent = usage.cost if usage.cost is not None else usage.total_tokens * price
        took = now - self._flights[request_id].sent
        flight = self._land(request_id, Signal.FINE, spent=spent, took=took)
        self._believed = True
        self._pacer.succeeded(now, retried=flight.batch.retries > 0)
        self._memory.served(self._bodies.route, self._rows.host)
        self._memory.seen(self._space, self._rows.width or 0)
        self._charge(usage)
        self._report()

    def _land(
        self,
        request_id: int,
        signal: Signal,
        *,
        spent: float | None = None,
        took: float | None = None,
    ) -> _Flight:
        """Take a request out of flight; one whose answer is lost may be billed, so it counts."""
        flight = self._flights.pop(request_id)
        self._pacer.release(flight.ticket, signal, took)
        self._ledger.settle(flight.held, flight.held if spent is None else spent)
        self._broke = False
        return flight

    def _charge(self, usage: Usage) -> None:
        self._rows.usage += usage
        self._ports.on_usage(usage)

    def _report(self) -> None:
        listener = self._ports.on_progress
        if listener is None or self.complaint:
            return
        done = self._rows.settled * self._plan.count // max(1, self._rows.count)
        try:
            listener(Progress(done=done, total=self._plan.count, usage=self._rows.usage))
        except Exception as error:  # noqa: BLE001 - whatever the user's listener raises
            # What is paid is worth more than what is shown: the call goes on without it.
            self.complaint = (
                f"`on_progress` raised {type(error).__name__} and was not called again."
            )

    def _settle(self, flight: _Flight, verdict: Verdict, now: float, *, stale: bool) -> None:
        batch = flight.batch
        if self._blames_format(flight, verdict):
            self._memory.blame(self._terms.model)
            self._requeue(batch, now)
        elif stale and "stale" not in batch.causes and self._error is None:
            self._requeue(replace(batch, causes=(*batch.causes, "stale")), now)
        elif (ready := self._retry_at(batch, verdict, now)) is not None:
            causes = (*batch.causes, verdict.cause)
            waited = self._worth_waiting(batch, verdict, now)
            retries, waits = batch.retries + (not waited), batch.waits + waited
            self._requeue(replace(batch, retries=retries, waits=waits, causes=causes), ready)
        else:
            self._finally(batch, verdict)

    def _blames_format(self, flight: _Flight, verdict: Verdict) -> bool:
        """Some hosts fail on base64 without saying so: floats are worth one more request."""
        mine = self._terms.encoding_format == "auto" and flight.encoding == "base64"
        if not mine or self._error is not None:
            return False
        name = verdict.cause.rpartition(":")[2]
        return name in ("no_provider", "base64") or (
            name == "parameter" and "encoding" in verdict.error.message.lower()
        )

    def _worth_waiting(self, batch: _Batch, verdict: Verdict, now: float) -> bool:
        """Whether a refusal for load will pass: then it is no failure, and waits for its turn."""
        if verdict.rule.signal is not Signal.THROTTLED or not self._terms.max_retries:
            return False
        served = self._pacer.served_at
        told = verdict.after is not None and verdict.after >= BACKOFF_BASE
        lately = now - max(served, batch.since) < PATIENCE
        return (told or now - served < PATIENCE) and (lately or self._terms.deadline is not None)

    def _retry_at(self, batch: _Batch, verdict: Verdict, now: float) -> float | None:
        """Return when to try again; `None` if the failure is final."""
        tries = batch.retries + batch.waits
        throttled = verdict.rule.signal is Signal.THROTTLED
        waits = self._worth_waiting(batch, verdict, now)
        spent = tries >= self._terms.max_retries and not waits
        often = batch.causes.count(verdict.cause) >= verdict.rule.retry.value
        if self._error is not None or spent or often:
            return None
        chance = self._ports.chance()
        # Longer with bad luck, not with age: a server that mostly answers is asked again soon.
        # But a refusal for load says that the server is crowded: there who was refused often waits.
        steps = tries if throttled else min(tries, self._pacer.failures // 2)
        wait = pause(verdict.after, steps, chance)
        ready = now + wait
        deadline = self._terms.deadline
        too_late = deadline is not None and ready >= deadline
        too_long = (verdict.after or 0) > MAX_WAIT
        if too_late or too_long or not (waits or self._pacer.take_retry()):
            return None
        if verdict.rule.cool and verdict.after is not None and verdict.after >= BACKOFF_BASE:
            self._pacer.cool_down(ready)
        elif self._pacer.server_down:
            # Nobody gets through: one attempt at a time, and a pause for all after each.
            self._pacer.cool_down(now + backoff(min(tries, 1), chance))
        return ready

    def _requeue(self, batch: _Batch, ready: float) -> None:
        heapq.heappush(self._again, (ready, next(self._ids), batch))

    def _finally(self, batch: _Batch, verdict: Verdict) -> None:
        if verdict.rule.scope is Scope.INPUT and self._error is None:
            if len(batch.units) > 1:
                self._suspects.append((batch, verdict))
                return
            if self._divided(batch, verdict):
                return
        self._fail(batch, verdict)

    def _divided(self, batch: _Batch, verdict: Verdict) -> bool:
        """Send a text that is too long in parts, if the caller asked for that."""
        unit = batch.units[0]
        whole = self._plan.units[unit]
        too_long = verdict.length or verdict.size
        if self._terms.long_input != "split" or not too_long or not isinstance(whole, str):
            return False
        # Cut again and again, and never accepted: it is refused for another reason.
        in_vain = batch.depth >= DEEPEST and not self._believed
        tokens = self._plan.tokens[unit]
        if self._rows.lost(unit) or in_vain or tokens < SHORTEST_PART:
            return False
        prefix = self._bodies.prefix
        count = count_parts(tokens, self._terms.input_tokens)
        parts = split_text(whole[len(prefix) :], count)
        if len(parts) < 2:
            return False
        for part in self._rows.divide(unit, parts, prefix):
            child = _Batch([part], attempts=batch.attempts, depth=batch.depth + 1)
            self._requeue(child, -math.inf)
        return True

    def _fail(self, batch: _Batch, verdict: Verdict) -> None:
        error = verdict.error
        error.attempts = batch.attempts
        if isinstance(error, APIError):
            redact(error, [self._plan.units[unit] for unit in batch.units])
            advise(error, self._terms.model)
        elif isinstance(error, TransportError) and batch.attempts > 1:
            error.message += f" It was tried {batch.attempts} times."
            error.args = (error.message,)
        self._rows.fail(batch.units, error)
        self._drop_lost_parts()
        scope = verdict.rule.scope
        single = scope is Scope.INPUT and len(batch.units) == 1
        if scope is Scope.CALL or not (single or self._terms.on_error == "return"):
            self._error = self._error or copy.copy(error)
        self._report()

    def _drop_lost_parts(self) -> None:
        """Send no more parts of an input that has failed: they would be paid in vain."""
        if self._rows.divided:
            kept = [entry for entry in self._again if not self._rows.lost(entry[2].units[0])]
            self._again = kept
            heapq.heapify(self._again)

    # ------------------------------------------------------------------ hunting culprits

    def _follow_suspects(self) -> None:
        """Split refused batches, one after the other until something has succeeded."""
        while self._suspects and self._error is None:
            hunting = any(flight.batch.hunted for flight in self._flights.values())
            waiting = any(entry[2].hunted for entry in self._again)
            proven = self._rows.delivered > 0
            if not proven and (hunting or waiting):
                return
            batch, verdict = self._suspects[0]
            self._largest = max(self._largest, len(batch.units))
            if not proven and self._extra + 2 > 2 * math.ceil(math.log2(self._largest)):
                if not self._flights:
                    self._suspects.popleft()
                    self._fail(
                        batch, replace(verdict, rule=replace(verdict.rule, scope=Scope.CALL))
                    )
                return
            self._suspects.popleft()
            self._split(batch, verdict)

    def _split(self, batch: _Batch, verdict: Verdict) -> None:
        half = len(batch.units) // 2
        if verdict.size:
            limits = self._packer.limits
            self._packer.limits = replace(limits, inputs=min(limits.inputs, half))
        self._extra += 2
        for units in (batch.units[:half], batch.units[half:]):
            self._requeue(_Batch(units, attempts=batch.attempts, hunted=True), -math.inf)

    # ------------------------------------------------------------------ the end

    def result(self) -> EmbeddingResult:
        """Return the result once `next` said `Done`.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        rows = self._rows
        error = self._error
        if self._plan.empty and not self._plan.units and not rows.known_width:
            raise ConfigurationError(
                "All inputs are empty, and how wide this model's vectors are is not known yet: "
                "pass `dimensions=`, or embed a text first."
            )
        if self._terms.on_error == "return":
            return rows.result(error, normalize=self._terms.normalize)
        if error is None and rows.failures:
            error = self._name_culprits()
        result = rows.result(self._error, normalize=self._terms.normalize)
        if error is None:
            return result
        error.result = result
        raise error

    def _name_culprits(self) -> EmbeddingError:
        """Return one error for all refused inputs, which names them by index."""
        positions = self._plan.positions()
        bad = sorted(at for unit in self._rows.failures for at in positions[unit])
        first = self._rows.failures[min(self._rows.failures)]
        if self._plan.count == 1:
            return copy.copy(first)  # what is raised carries a result, what is listed does not
        shown = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
        error = copy.copy(first)
        error.message = (
            f"{len(bad)} of {self._plan.count} inputs were refused (index {shown}): {first}"
        )
        error.args = (error.message,)
        return error

    def close(self) -> Sequence[int]:
        """Give every permit back and return the requests to drop; for cancellation and Ctrl-C."""
        for request_id in list(self._flights):
            self._aborts.append(request_id)
            self._land(request_id, Signal.NEUTRAL)
        self._pacer.forget(self._ports.wake)
        ids, self._aborts = self._aborts, deque()
        return ids
