"""When a request is sent again, and how long a call waits for it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from core_jobs import (
    NEVER,
    RESET,
    STALE,
    attempts,
    fails,
    numbers,
    run,
    scripted,
    told,
)
from core_world import (
    World,
    answer,
    inputs_of,
    refusal,
    steady,
    vector_of,
)

from openrouter_embed.core.pacing import Pacer
from openrouter_embed.core.wire import Abort, Done, Fault, FaultKind, Reply, Send, Wait
from openrouter_embed.errors import (
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
    TransportError,
)

# ---------------------------------------------------------------- retries


@pytest.mark.parametrize("trouble", [503, 500, 408, 429, RESET, Fault(FaultKind.TRUNCATED, "x")])
def test_what_may_pass_is_tried_again_and_counted(trouble):
    world, job = run(scripted(trouble, trouble), 1)
    assert numbers(job.result()) == [0.0]
    assert attempts(world) == [1, 2, 3]
    assert job.result().usage.requests == 3


def test_retries_end_and_the_error_counts_them():
    world, error = fails(ServerError, scripted(then=503), 1, max_retries=3)
    assert (len(world.sent), error.attempts) == (4, 4)
    assert list(error.result.failures) == [0]


def test_without_retries_one_attempt_is_all():
    world, error = fails(TransportError, scripted(then=RESET), 1, max_retries=0)
    assert (len(world.sent), error.attempts, error.kind) == (1, 1, "reset")


@pytest.mark.parametrize(("outcome", "kind", "sent"), [
    (Fault(FaultKind.DNS, "x"), TransportError, 2),
    (Reply(200, {}, b""), InvalidResponseError, 2),
    (Reply(200, {}, b"{"), InvalidResponseError, 2),
    (Reply(200, {}, b'{"data": []}'), InvalidResponseError, 1),
    (Reply(204, {}, b""), InvalidResponseError, 2),
    (Fault(FaultKind.TLS, "x"), TransportError, 1),
    (Fault(FaultKind.LOCAL, "x"), ConfigurationError, 1),
    (401, EmbeddingError, 1),
    (404, EmbeddingError, 1),
    (501, ServerError, 1),
])  # fmt: skip
def test_a_cause_is_tried_as_often_as_its_rule_says(outcome, kind, sent):
    world, _ = fails(kind, scripted(then=outcome), 1)
    assert len(world.sent) == sent


def test_a_stale_connection_gets_one_free_retry_at_once():
    world, job = run(scripted(STALE), 1, max_retries=0)
    assert numbers(job.result()) == [0.0]
    assert world.sent[1].at == pytest.approx(world.sent[0].at + 0.1)
    assert world.pacer.budget.tokens == 100


def test_a_connection_that_is_stale_for_ever_is_not_free_for_ever():
    world, _ = fails(TransportError, scripted(then=STALE), 1, max_retries=2)
    assert len(world.sent) == 4


def test_retries_come_out_of_one_budget():
    world = World(scripted(then=503), pacer=Pacer(64, retries=5))
    job = world.job(1)
    world.run()
    assert len(world.sent) == 6
    with pytest.raises(ServerError):
        job.result()


def test_a_retry_waits_its_back_off_within_the_documented_interval():
    world, _ = fails(ServerError, scripted(then=503, latency=0.0), 1)
    waits = [after.at - before.at for before, after in pairwise(world.sent)]
    for number, wait in enumerate(waits):
        assert 0 <= wait <= min(20.0, 0.5 * 2**number)
    assert len(set(waits)) == len(waits)


def test_a_server_that_mostly_answers_is_asked_again_soon():
    """Back-off doubles with failures in a row, not with the age of one unlucky request."""

    def serve(sent, world):
        unlucky = inputs_of(sent.request) == ["t0"] and attempts(world)[-1] < 8
        return 0.05, refusal(503) if unlucky else answer(sent.request)

    world, job = run(serve, 400, max_concurrency=4)
    assert len(job.result()) == 400
    mine = [one.at for one in world.sent if inputs_of(one.request) == ["t0"]]
    assert all(after - before <= 0.05 + 0.5 + 0.2 for before, after in pairwise(mine))


# ---------------------------------------------------------------- Retry-After


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_and_only_ever_lengthened(status):
    world, job = run(scripted(told(2, status)), 1)
    assert len(job.result()) == 1
    refused = world.sent[0].at + 0.1
    assert refused + 2.0 <= world.sent[1].at <= refused + 2.2


@pytest.mark.parametrize("seconds", [121, 10**9])
def test_a_retry_after_beyond_reason_fails_at_once_and_tells(seconds):
    world, error = fails(RateLimitError, scripted(told(seconds)), 1)
    assert (len(world.sent), error.retry_after) == (1, float(seconds))
    assert world.now == pytest.approx(1000.1)


def test_a_retry_after_beyond_the_deadline_fails_at_once():
    world, error = fails(RateLimitError, scripted(told(30)), 1, deadline=1010.0)
    assert (len(world.sent), error.retry_after) == (1, 30.0)
    assert world.now == pytest.approx(1000.1)


# ---------------------------------------------------------------- time


def test_an_attempt_that_takes_too_long_is_dropped_and_tried_again():
    world, job = run(scripted((NEVER, "ok")), 1, timeout=5.0)
    assert numbers(job.result()) == [0.0]
    assert 1005.0 <= world.sent[1].at <= 1005.5
    assert not world.flights


def test_timeouts_for_ever_end_as_a_timeout():
    world, error = fails(
        TransportError, scripted(then=(NEVER, "ok")), 1, timeout=5.0, max_retries=1
    )
    assert (error.kind, error.attempts, len(world.sent)) == ("timeout", 2, 2)
    assert "within 5 seconds" in str(error)


def test_an_answer_after_its_time_is_ignored():
    world, job = run(scripted((6.0, "ok"), (0.1, "ok")), 1, timeout=5.0)
    assert job.result().usage.requests == 2
    assert len(world.sent) == 2


def test_the_deadline_ends_the_call_with_what_arrived():
    world, error = fails(
        DeadlineExceededError, scripted("ok", then=(NEVER, "ok")), 3, deadline=1002.0,
        max_concurrency=2,
    )  # fmt: skip
    assert world.now == 1002.0
    assert not world.flights
    assert (error.attempts, list(error.result.failures)) == (1, [1, 2])
    assert error.result.vectors[0].tolist() == vector_of("t0")
    assert "1 of 3" in str(error)


def test_the_deadline_ends_a_back_off_too():
    pacer = Pacer(64)
    pacer.cool_down(1e6)
    world = World(steady(), pacer=pacer)
    job = world.job(1, deadline=1003.0)
    world.run()
    assert (world.now, len(world.sent)) == (1003.0, 0)
    with pytest.raises(DeadlineExceededError):
        job.result()


def test_a_call_that_is_done_has_no_deadline():
    world, job = run(steady(), 1, deadline=1000.16)
    world.now = 2000.0
    assert isinstance(job.next(2000.0), Done)
    assert len(job.result()) == 1


def test_the_time_of_an_attempt_begins_when_the_limiter_lets_it_through():
    world = World(scripted((NEVER, "ok")))
    job = world.job(1, timeout=5.0, limited=True)
    world.after(100.0, lambda: (job.started(1, world.now), world.wake(0)))
    first = job.next(world.now)
    assert isinstance(first, Send)
    assert job.next(world.now) == Wait(None)
    job.started(first.request.id, 1100.0)
    job.started(999, 1100.0)
    assert job.next(1100.0) == Wait(1105.0)
    assert job.next(1105.0) == Abort(first.request.id)
