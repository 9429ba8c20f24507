"""The bodies of batches: the object, and the results whose vectors are made while they are read.

Rules of this file:
- Requests are embedded in groups, so that a large batch is neither slow nor held in memory.
- Results come in another order than the requests: the last one first.
- A request that fails is an item of its own; it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from openrouter_embed.emulator import answers
from openrouter_embed.emulator.batches import TERMINAL, WINDOW, Tally
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.options import BatchItem
from openrouter_embed.emulator.planning import Plan, make_plan
from openrouter_embed.emulator.schema import parse_request
from openrouter_embed.emulator.submissions import ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openrouter_embed.emulator.batches import Batch, BatchRequest, State
    from openrouter_embed.emulator.options import EmulatorOptions
    from openrouter_embed.emulator.vectors import Embedder

GROUP: Final = 128
"""Results that are made in one go."""
DISCOUNT: Final = Decimal("0.5")
"""Share of the listed price that a batch costs."""
_OK: Final = 200
_PLAIN: Final = BatchItem()


@dataclass(frozen=True)
class _Outcome:
    """What one request comes to: a plan, or the refusal of it, and what was set for it."""

    request: BatchRequest
    number: int
    plan: Plan | ApiError
    item: BatchItem

    @property
    def good(self) -> Plan | None:
        """The plan, if the request is answered with vectors."""
        told = self.item
        if isinstance(self.plan, ApiError) or self.plan.fails:
            return None
        return self.plan if told.error is None and told.status == _OK else None


def host_and_refusal(batch_model: str, provider: Mapping[str, object]) -> tuple[str | None, str]:
    """The host that serves a batch, or why there is none."""
    try:
        plan = make_plan(
            parse_request({"model": _served(batch_model), "provider": provider, "input": "x"})
        )
    except ApiError as error:
        return None, str(error)
    return plan.host.name, ""


def _served(model: str) -> str:
    """The model behind an id: the batch variant of one is the same model."""
    return model.removesuffix(":batch")


def tally(batch: Batch, done: int, options: EmulatorOptions) -> Tally:
    """Count what the first requests of a batch come to."""
    good = failed = tokens = 0
    cost = Decimal(0)
    for number in range(done):
        plan = _outcome(batch, number, options).good
        if plan is None:
            failed += 1
            continue
        good += 1
        tokens += plan.tokens
        cost += plan.tokens * plan.host.token_price * DISCOUNT
    return Tally(completed=good, failed=failed, tokens=tokens, cost=float(cost))


def described(batch: Batch, state: State, counted: Tally | None) -> dict[str, object]:
    """The batch object without its results."""
    ended = state.status in TERMINAL
    finalized = state.finalized_at
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "model": batch.model,
        "completion_window": "24h",
        "status": state.status,
        "created_at": int(batch.created_at),
        "finalized_at": None if finalized is None else int(finalized),
        "expires_at": int(batch.created_at + WINDOW),
        "provider": batch.host,
        "request_counts": {
            "total": len(batch.requests),
            "completed": state.done if counted is None else counted.completed,
            "failed": 0 if counted is None else counted.failed,
        },
        "usage": _usage(counted) if ended and counted is not None and state.done else None,
        "results": None,
        "error": _error(state),
    }


def _usage(counted: Tally) -> dict[str, object]:
    return {
        "prompt_tokens": counted.tokens,
        "completion_tokens": 0,
        "total_tokens": counted.tokens,
        "cost": counted.cost,
        "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
    }


def _error(state: State) -> dict[str, object] | None:
    if state.error is None:
        return None
    if state.http_status != _OK:
        return {"code": state.http_status, "message": state.error}
    return {"message": state.error}


def groups(start: int, stop: int) -> Iterator[range]:
    """The places of results, in pieces that are made in one go."""
    return (range(at, min(at + GROUP, stop)) for at in range(start, stop, GROUP))


def result_rows(
    batch: Batch, done: int, places: range, embedder: Embedder, options: EmulatorOptions
) -> bytes:
    """The results at some places, without the brackets around; may be empty."""
    outcomes = [_outcome(batch, done - 1 - place, options) for place in places]
    vectors = _vectors([outcome.good for outcome in outcomes], embedder)
    rows = [
        row
        for outcome, body in zip(outcomes, vectors, strict=True)
        for row in [_result(outcome, body)] * outcome.item.copies
    ]
    return b",".join(rows)


def _outcome(batch: Batch, number: int, options: EmulatorOptions) -> _Outcome:
    request = batch.requests[number]
    told = options.batch_items and options.batch_items(request.custom_id, request.body)
    plan: Plan | ApiError
    try:
        body = {**request.body, "model": _served(batch.model), "provider": batch.provider}
        plan = make_plan(parse_request(body))
    except ApiError as error:
        plan = error
    return _Outcome(request, number, plan, told or _PLAIN)


def _vectors(plans: list[Plan | None], embedder: Embedder) -> list[bytes]:
    """The answers of requests, whose vectors are made together; empty where there is none."""
    bodies = [b""] * len(plans)
    for width in {plan.width for plan in plans if plan}:
        chosen = [(at, plan) for at, plan in enumerate(plans) if plan and plan.width == width]
        model = chosen[0][1].model
        items = [item for _, plan in chosen for item in plan.items]
        rows = embedder.embed(
            items, native=model.width, width=width, scale=model.scale, norm=model.norm
        )
        first = 0
        for at, plan in chosen:
            last = first + len(plan.items)
            bodies[at] = answers.batch_body(plan, rows[first:last])
            first = last
    return bodies


def _result(outcome: _Outcome, vectors: bytes) -> bytes:
    told = outcome.item
    error: Mapping[str, object] | None = told.error
    status, body = told.status, vectors
    if isinstance(outcome.plan, ApiError):
        status, body = outcome.plan.status, msgspec.json.encode(outcome.plan.body())
    elif outcome.plan.fails:
        error = error or _NO_PROVIDER
    if told.body is not None:
        body = msgspec.json.encode(told.body)
    elif status != _OK and not isinstance(outcome.plan, ApiError):
        body = msgspec.json.encode({"error": {"code": status, "message": "Emulated failure"}})
    name = msgspec.json.encode(told.custom_id or outcome.request.custom_id)
    head = b'{"id":"batch_req_%024d","custom_id":%b,' % (outcome.number, name)
    if error is not None:
        return b'%b"response":null,"error":%b}' % (head, msgspec.json.encode(error))
    return b'%b"response":{"status_code":%d,"request_id":"req_%024d","body":%b},"error":null}' % (
        head,
        status,
        outcome.number,
        body,
    )


_NO_PROVIDER: Final[Mapping[str, object]] = {
    "message": "No successful provider responses.",
    "type": "provider_error",
    "param": None,
}
