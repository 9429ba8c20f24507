"""One embed call as a state machine: `next(now)` says what to do, `feed(...)` takes what came.

Rules of this file:
- Nothing here sends, waits or measures time. A driver asks `next` in a loop, does what it says and
  feeds back what happened; the synchronous and the asynchronous driver share every decision.
- One driver owns a job; only the `Pacer` is shared, and it has its own lock.
- Every step is final: an id that was aborted or fed is never heard of again.

When a request fails for good nothing new is sent, those in flight may finish, and what arrived
travels with the error. A refusal for content or size is no such failure: the request is split until
the inputs to blame are found (`hunt.py`), and the others are delivered.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.advice import explain
from openrouter_embed.core.backlog import Backlog, Batch
from openrouter_embed.core.billed import CACHE_STATUS
from openrouter_embed.core.callbacks import Listener
from openrouter_embed.core.collect import Collector
from openrouter_embed.core.flight import Flight, Flights
from openrouter_embed.core.flow import Flow
from openrouter_embed.core.growth import Growth
from openrouter_embed.core.hunt import GiveUp, Hunt, Nothing, divide
from openrouter_embed.core.kept import Kept
from openrouter_embed.core.ledger import Ledger
from openrouter_embed.core.level import Signal, Ticket
from openrouter_embed.core.retry import backoff, says_when, try_again
from openrouter_embed.core.verdict import UNBELIEVED, Scope, Verdict, blames_base64, judge
from openrouter_embed.core.wire import Abort, Done, Fault, FaultKind, Reply, Send, Wait
from openrouter_embed.errors import (
    APIError,
    ClientClosedError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
)
from openrouter_embed.guard import bare
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.call import Call
    from openrouter_embed.core.callbacks import Callbacks
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.core.pacing import Pacer
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.core.wire import Outcome, Step
    from openrouter_embed.result import EmbeddingResult

POLL: Final = 0.05
"""Seconds between looks at a budget that other calls of the client have reserved."""


class Job:
    """One call; see the head of this file."""

    def __init__(
        self,
        plan: Plan,
        call: Call,
        *,
        pacer: Pacer,
        memory: ModelMemory,
        callbacks: Callbacks,
        ledger: Ledger | None = None,
    ) -> None:
        settings = call.settings
        self._plan = plan
        self._call = call
        self._pacer = pacer
        self._memory = memory
        self._callbacks = callbacks
        self._ledger = ledger or Ledger()
        self._growth = Growth(call.limits, memory, call.bodies.route, settings.timeout)
        self._backlog = Backlog(plan, call.limits, self._growth, spread=call.spread)
        width = settings.dimensions or memory.width(f"{settings.model} {settings.dimensions}")
        self._rows = Collector(plan, width, call.profile.dimensions, lists=call.lists)
        self.kept = Kept(call, self._rows, self._backlog, memory, callbacks)
        self.keeps = callbacks.cache is not None
        self._hunt = Hunt()
        self._flights = Flights()
        self._flow = Flow()
        self._aborts: deque[int] = deque()
        self._error: EmbeddingError | None = None
        self.listener = Listener(callbacks.on_progress)
        self._broke = False
        self._poor_until = -math.inf

    # ------------------------------------------------------------------ what to do next

    def next(self, now: float) -> Step:
        """Return the next thing to do at `now` (monotonic seconds)."""
        rest = now - self._callbacks.busy()
        self._flow.go_on(rest)
        step = self._next(now)
        if isinstance(step, Wait):
            self._flow.stop(rest)
        return step

    def _next(self, now: float) -> Step:
        if self.keeps:
            self.kept.read_news()
        self._check_time(now)
        if self._aborts:
            return Abort(self._aborts.popleft())
        if self._hunt.suspects:
            self._follow_suspects()
        if self._error is None and self._sendable(now):
            leave = self._pacer.enter(now, self._callbacks.wake, urgent=self._callbacks.urgent)
            return self._send(now, leave) if isinstance(leave, Ticket) else self._wait(leave.until)
        # Whoever wants nothing leaves the line, or a wake-up meant for another would be lost.
        self._pacer.forget(self._callbacks.wake)
        due = self._backlog.due
        held = self.keeps and (self.kept.awaited or (self._backlog.fresh and self.kept.congested))
        if not self._flights and (self._error is not None or (due is None and not held)):
            return Done()
        waiting = self._error is None and due is not None and not self._blocked()
        return self._wait(max(due, self._poor_until) if waiting and due is not None else None)

    def _wait(self, ready: float | None) -> Wait:
        """Wait for the first moment at which something is to be done though nothing has come."""
        return Wait(self._flights.soonest(ready, self._call.deadline))

    def _sendable(self, now: float) -> bool:
        due = self._backlog.due
        # Requests were refused and none has succeeded: more of them would be refused as well.
        doubtful = self._hunt.suspects and not self._rows.delivered
        ready = (due is not None and due <= now) or (self._backlog.fresh and not doubtful)
        blocked = self._blocked() or (self.keeps and self.kept.congested)
        return bool(ready) and now >= self._poor_until and not blocked

    def _blocked(self) -> bool:
        """Whether what is in flight must come back before anything else is sent."""
        if not self._flights:
            return False
        finding_host = self._call.settings.pin_provider and self._pinned() is None
        return len(self._flights) >= self._flow.width or self._broke or finding_host

    def _pinned(self) -> str | None:
        """Return the host that served first; nothing else is sent until there was an answer."""
        pins = self._call.settings.pin_provider
        return self._memory.host(self._call.bodies.route) if pins else None

    # ------------------------------------------------------------------ sending

    def _send(self, now: float, ticket: Ticket) -> Step:
        """Launch a request; whatever goes wrong, the place and the money set aside come back."""
        batch = self._backlog.take(now, self._pacer.spread, probe=not self._pacer.opened)
        counted = self._call.limited or self._call.price
        tokens = sum(self._plan.tokens[unit] for unit in batch.units) if counted else 0
        held = self._plan.cost(batch.units, self._call.price) if self._call.price else 0.0
        if not self._ledger.reserve(held):
            self._stop_spending(batch, ticket, held, now)
            return self._next(now)
        try:
            return self._launch(batch, ticket, tokens, held, now)
        except BaseException:
            self._pacer.release(ticket, Signal.NEUTRAL)
            self._ledger.settle(held, 0.0)
            raise

    def _launch(self, batch: Batch, ticket: Ticket, tokens: int, held: float, now: float) -> Send:
        call, batch = self._call, batch.sent_again(now)
        encoding = call.encoding(self._memory)
        request = call.request(
            next(self._flights.ids),
            [self._plan.units[unit] for unit in batch.units],
            encoding=encoding,
            host=self._pinned() or None,
            attempt=batch.attempts,
            tokens=tokens,
            width=self._rows.known_width,
        )
        expires = None if call.limited else now + call.settings.timeout
        flight = Flight(batch, ticket, encoding, now, self._flow.idle, held, expires)
        self._flights[request.id] = flight
        return Send(request)

    def _stop_spending(self, batch: Batch, ticket: Ticket, held: float, now: float) -> None:
        """Wait for what is in flight, which may cost less than it reserved; else send less."""
        self._pacer.release(ticket, Signal.NEUTRAL)
        # A call that blocks the others' thread would wait for ever for what they set aside.
        hopeless = not self._flights and (self._callbacks.urgent or not self._ledger.busy)
        smaller = hopeless and len(batch.units) > 1
        self._backlog.put_back(batch, halved=smaller)
        self._broke = not smaller
        if hopeless and not smaller:
            self._error = self._ledger.refusal(held)
        elif not self._flights and not hopeless:
            self._poor_until = now + POLL

    def started(self, request_id: int, now: float) -> None:
        """Let an attempt's time begin: a rate limiter has just let it through."""
        flight = self._flights.get(request_id)
        if flight is not None:
            flight.expires = now + self._call.settings.timeout

    def _check_time(self, now: float) -> None:
        deadline = self._call.deadline
        if self._callbacks.closed():
            self._end_all(ClientClosedError("The client was closed during the call."))
        elif deadline is not None and now >= deadline:
            arrived = f"{self._rows.delivered} of {self._rows.count} distinct inputs had arrived."
            message = f"The call did not end by its deadline: {arrived}"
            self._end_all(DeadlineExceededError(message, attempts=self._flights.attempts))
        for request_id in self._flights.overdue(now):
            self._aborts.append(request_id)
            message = f"No complete answer within {self._call.settings.timeout:g} seconds."
            self.feed(request_id, Fault(FaultKind.TIMEOUT, message), now)

    def _end_all(self, error: EmbeddingError) -> None:
        """Drop what is in flight and send nothing more; a call that is done keeps its result."""
        waiting = self._backlog.due is not None or self._hunt.suspects or self._backlog.fresh
        if self._flights or (self._error is None and (waiting or self.kept.awaited)):
            self._drop_flights()
            self._error = self._error or error

    def _drop_flights(self) -> None:
        for request_id in list(self._flights):
            self._aborts.append(request_id)
            self._land(request_id, Signal.NEUTRAL)

    # ------------------------------------------------------------------ what came back

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of a request; one that was aborted is ignored."""
        self._flow.go_on(now - self._callbacks.busy())
        flight = self._flights.get(request_id)
        if flight is None:
            return
        doubt: InvalidResponseError | None = None
        if isinstance(outcome, Reply) and outcome.status == 200:
            try:
                cached = outcome.headers.get(CACHE_STATUS, "")
                units, host, asked = flight.batch.units, self._pinned() or None, flight.encoding
                usage = self._rows.accept(units, outcome.body, host, asked=asked, cached=cached)
            except InvalidResponseError as error:
                doubt = error
                bare(doubt)  # its frames hold the texts and the whole answer
            else:
                self._accepted(request_id, usage, now)
                self._growth.landed(len(flight.batch.units), now - flight.sent)
                self._flow.landed(now, sent=flight.sent, idle=flight.idle, left=len(self._flights))
                return
        verdict = judge(outcome, doubt=doubt, key_origin=self._call.settings.key_origin)
        billed = Usage(requests=1) if doubt is None else self._rows.billed(outcome)
        # A refusal costs nothing unless it says so; what is lost on the way may have been billed.
        told = billed.billed or (0.0 if isinstance(verdict.error, APIError) else billed.billed)
        cost = told if isinstance(outcome, Reply) else None
        self._land(request_id, verdict.rule.signal, spent=cost)
        self._rows.usage += billed
        self._callbacks.on_usage(billed)
        self._settle(flight, outcome, verdict, now)

    def _accepted(self, request_id: int, usage: Usage, now: float) -> None:
        flight = self._flights[request_id]
        cost = self._call.spent(usage, flight.held)
        batch = self._land(request_id, Signal.FINE, spent=cost, took=now - flight.sent).batch
        self._pacer.succeeded(now, retried=batch.retries > batch.waits)
        self._rows.usage += usage
        self._callbacks.on_usage(usage)
        self.kept.keep()
        self.listener.tell(self._rows.progress)

    def _land(
        self, request_id: int, signal: Signal, spent: float | None = None, took: float | None = None
    ) -> Flight:
        """Take a request out of flight; one whose answer is lost may be billed, so it counts."""
        flight = self._flights.pop(request_id)
        self._pacer.release(flight.ticket, signal, took)
        if self._call.limited and flight.expires is not None:
            self._callbacks.on_landed(signal)
        self._ledger.settle(flight.held, spent)
        self._broke = False
        return flight

    # ------------------------------------------------------------------ what did not

    def _settle(self, flight: Flight, outcome: Outcome, verdict: Verdict, now: float) -> None:
        """Have a batch that failed sent again, or follow up its failure."""
        batch = flight.batch
        halved = self._growth.failed(len(batch.units), verdict)
        if self._error is not None:
            self._fail(batch, verdict)
            return
        chosen = self._call.settings.encoding_format != "auto"
        stale = isinstance(outcome, Fault) and outcome.stale and "stale" not in batch.causes
        if flight.encoding == "base64" and blames_base64(verdict, chosen=chosen):
            # Floats are worth one more request.
            distrust = verdict.cause == UNBELIEVED
            if self._memory.blame(self._call.settings.model, distrust=distrust):
                self._callbacks.turning("format", verdict.error, len(batch.units))
            self._backlog.put_back(batch, now)
        elif stale:
            self._backlog.put_back(replace(batch, causes=(*batch.causes, "stale")), now)
        elif self._tried_again(batch, verdict, now, halved=halved):
            pass
        elif verdict.rule.scope is Scope.INPUT and len(batch.units) > 1:
            self._hunt.suspect(batch, verdict)
        elif halved:
            self._callbacks.turning("split", verdict.error, len(batch.units))
            self._backlog.put_back(batch, now, halved=True)
        elif verdict.rule.scope is not Scope.INPUT or not self._divided(batch, verdict):
            self._fail(batch, verdict, took=now - batch.begun)

    def _tried_again(self, batch: Batch, verdict: Verdict, now: float, *, halved: bool) -> bool:
        """Have a batch sent again, if that may help, and others wait where that helps."""
        chance, pacer = self._callbacks.chance(), self._pacer
        if self._call.limited and verdict.rule.signal is Signal.THROTTLED:
            self._callbacks.on_refused(verdict.after)
        ready, waits = try_again(batch, verdict, self._call, pacer, now=now, chance=chance)
        if ready is None or not (waits or pacer.take_retry()):
            return False
        if verdict.rule.cool and says_when(verdict):
            if now >= pacer.cool_until:  # those that are refused meanwhile only make it longer
                self._callbacks.turning("cool_down", verdict.error, 0, ready - now)
            pacer.cool_down(ready)
        elif pacer.server_down:
            # Nobody gets through: one attempt at a time, and a pause for all after each.
            pacer.cool_down(now + backoff(min(batch.retries, 1), chance))
        retries, causes = batch.retries + 1, (*batch.causes, verdict.cause)
        again = replace(batch, retries=retries, causes=causes, waits=batch.waits + waits)
        self._backlog.put_back(again, ready, halved=halved)
        self._callbacks.retrying(self._call, verdict.error, batch, (now, ready), waits=waits)
        return True

    def _follow_suspects(self) -> None:
        while self._error is None:
            answer = self._hunt.next(
                proven=self._rows.delivered > 0,
                hunting=self._flights.hunting or self._backlog.hunting,
                in_flight=bool(self._flights),
            )
            if isinstance(answer, Nothing):
                return
            if isinstance(answer, GiveUp):
                self._fail(answer.batch, answer.verdict)
            else:
                count, error = len(answer.batch.units), answer.verdict.error
                self._callbacks.turning("split", error, count)
                self._backlog.put_halves(answer.batch, smaller=answer.verdict.size)

    def _divided(self, batch: Batch, verdict: Verdict) -> bool:
        """Send a text that is too long in parts, if the caller asked for that."""
        unit, rows = batch.units[0], self._rows
        parts = divide(batch, verdict, self._call, self._plan, believed=rows.believed)
        if not parts or rows.lost(unit):
            return False
        self._callbacks.turning("parts", verdict.error, len(parts))
        for part in rows.divide(unit, parts, self._call.bodies.prefix):
            self._backlog.put_back(Batch([part], batch.attempts, depth=batch.depth + 1))
        return True

    def _fail(self, batch: Batch, verdict: Verdict, *, took: float = 0.0) -> None:
        error = verdict.error
        error.attempts = batch.attempts
        texts = [self._plan.units[unit] for unit in batch.units]
        explain(error, texts, self._call.settings.model, took)
        self._rows.fail(batch.units, error)
        if self._rows.divided:
            self._backlog.drop(self._rows.lost)
        scope = verdict.rule.scope
        single = scope is Scope.INPUT and len(batch.units) == 1
        if scope is Scope.CALL or not (single or self._call.on_error == "return"):
            self._error = self._error or copy.copy(error)
        self.listener.tell(self._rows.progress)

    # ------------------------------------------------------------------ the end

    def result(self) -> EmbeddingResult:
        """Return the result once `next` said `Done`.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        rows, error = self._rows, self._error
        asked_for_all = self._call.on_error == "return"
        if error is None and rows.failures and not asked_for_all:
            error = rows.culprits()
        scales = self._call.scales(self._memory, rows)
        result = rows.result(self._error, normalize=scales)
        if error is None or asked_for_all:
            return result
        error.result = result
        raise error

    def close(self) -> Sequence[int]:
        """Give every permit back and return the requests to drop; for cancellation and Ctrl-C."""
        self._drop_flights()
        self._pacer.forget(self._callbacks.wake)
        ids, self._aborts = self._aborts, deque()
        return ids
