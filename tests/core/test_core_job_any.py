"""Whatever comes back, in whatever order, every call ends within all limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from core_jobs import (
    NEVER,
    RESET,
    STALE,
    scripted,
    told,
)
from core_world import (
    World,
    refusal,
    vector_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core.call import ATTEMPT_HEADER
from openrouter_embed.core.ledger import Ledger
from openrouter_embed.core.wire import Fault, FaultKind, Reply
from openrouter_embed.errors import (
    EmbeddingError,
)

# ---------------------------------------------------------------- whatever comes

OUTCOMES = st.sampled_from(
    ["ok", "ok", "ok", 429, 503, 500, 400, 402, 401, 413, 404, RESET, STALE,
     Fault(FaultKind.DNS, "x"), Fault(FaultKind.TLS, "x"), Fault(FaultKind.PROTOCOL, "x"),
     Reply(200, {}, b""), Reply(200, {}, b"<html>"), Reply(200, {}, b'{"data": []}'), "never",
     told(1), told(500), refusal(404, "No successful provider responses."),
     refusal(403, "flagged", metadata={"reasons": []}), refusal(200, "x", code=503),
     refusal(400, "maximum context length"), refusal(400, "bad encoding_format")]
)  # fmt: skip
CALLS = st.fixed_dictionaries(
    {
        "texts": st.integers(0, 25),
        "per_request": st.integers(1, 9),
        "on_error": st.sampled_from(["raise", "return"]),
        "max_retries": st.integers(0, 4),
        "deadline": st.none() | st.floats(1000.5, 1100.0),
        "base64": st.booleans(),
        "long_input": st.sampled_from(["error", "split"]),
        "pin": st.booleans(),
        "price": st.sampled_from([None, 0.01, 0.3]),
    }
)


def check_call(world, job, call):
    for one in world.sent:
        if world.jobs[one.job] is not job:
            continue
        assert int(dict(one.request.headers)[ATTEMPT_HEADER]) <= bound(call)
    try:
        result = job.result()
    except EmbeddingError as error:
        assert call["on_error"] == "raise"
        result = error.result
        assert result.failures
        assert not any(failure.result for failure in result.failures.values())
    assert len(result) == call["texts"]
    for at, row in enumerate(result.vectors):
        if at in result.failures:
            assert np.isnan(row).all()
        elif at not in result.flags.get("split", ()):
            assert row.tolist() == vector_of(f"t{at}")


def bound(call):
    """Attempts, one free retry and one for another format, for every halving of a batch."""
    halvings = math.ceil(math.log2(call["per_request"])) + 8 * (call["long_input"] == "split")
    return (call["max_retries"] + 3) * (1 + halvings)


@given(
    calls=st.lists(CALLS, min_size=1, max_size=3),
    script=st.lists(OUTCOMES, max_size=40),
    then=st.sampled_from(["ok", 503, 400, RESET]),
    concurrency=st.integers(1, 6),
    seed=st.integers(0, 9),
)
@settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_outcomes_end_every_call_in_order_and_within_all_limits(
    calls, script, then, concurrency, seed
):
    check_world(calls, script, then, concurrency, seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(
    calls=st.lists(CALLS, min_size=1, max_size=4),
    script=st.lists(OUTCOMES, max_size=80),
    then=st.sampled_from(["ok", 503, 400, RESET]),
    concurrency=st.integers(1, 8),
    seed=st.integers(0, 9),
)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_outcomes_at_length(calls, script, then, concurrency, seed):
    check_world(calls, script, then, concurrency, seed)


def check_world(calls, script, then, concurrency, seed):
    """The world itself checks lost wake-ups, spinning, permits and the budget at every step."""
    steps = [(NEVER, "ok") if step == "never" else step for step in script]
    world = World(scripted(*steps, then=then), seed, max_concurrency=concurrency)
    ledger = Ledger(3.0)
    jobs = [world.job(ledger=ledger, **call) for call in calls]
    world.run()
    assert world.highest <= concurrency
    assert world.pacer.in_flight == 0
    assert not world.pacer._line
    assert not world.flights
    assert ledger.held == pytest.approx(0.0, abs=1e-6)
    for job, call in zip(jobs, calls, strict=True):
        if call["deadline"] is not None:
            assert all(one.at <= call["deadline"] for one in world.sent if jobs[one.job] is job)
        check_call(world, job, call)
