"""One embed call as a state machine, driven on a fake clock by servers that follow a script."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from core_world import (
    SETTINGS,
    World,
    answer,
    inputs_of,
    refusal,
    steady,
    vector_of,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openrouter_embed.core.call import ATTEMPT_HEADER
from openrouter_embed.core.callbacks import Callbacks
from openrouter_embed.core.ledger import Ledger
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.core.pacing import START, Pacer
from openrouter_embed.core.wire import Abort, Done, Fault, FaultKind, Reply, Send, Wait
from openrouter_embed.errors import (
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InsufficientCreditsError,
    InvalidResponseError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
)

RESET = Fault(FaultKind.RESET, "The connection was lost.")
STALE = Fault(FaultKind.RESET, "The connection was lost.", stale=True)
NEVER = math.inf


def scripted(*outcomes, then="ok", latency=0.1):
    """A server that gives these outcomes in the order of the requests, and then `then`."""

    def serve(sent, world):
        at = len(world.sent) - 1
        step = outcomes[at] if at < len(outcomes) else then
        wait, step = step if isinstance(step, tuple) else (latency, step)
        if step == "ok":
            step = answer(sent.request)
        elif isinstance(step, int):
            step = refusal(step)
        elif callable(step):
            step = step(sent.request)
        return wait, step

    return serve


def run(server, texts=3, **kwargs):
    world = World(server, max_concurrency=kwargs.pop("max_concurrency", 64))
    job = world.job(texts, **kwargs)
    world.run()
    return world, job


def fails(kind, server, texts=3, **kwargs):
    world, job = run(server, texts, **kwargs)
    with pytest.raises(kind) as caught:
        job.result()
    return world, caught.value


def numbers(result):
    return result.vectors[:, 0].tolist()


def attempts(world):
    return [int(dict(one.request.headers)[ATTEMPT_HEADER]) for one in world.sent]


# ---------------------------------------------------------------- the ordinary call


def test_vectors_come_back_in_input_order():
    world, job = run(steady(), 40, per_request=7)
    assert numbers(job.result()) == list(range(40))
    assert [len(inputs_of(one.request)) for one in world.sent] == [7] * 5 + [5]


def test_no_inputs_need_no_request():
    world, job = run(steady(), [])
    assert (len(world.sent), job.result().vectors.shape) == (0, (0, 0))


def test_only_empty_inputs_need_no_request():
    world, job = run(steady(), ["", ""], expected_width=3)
    assert (len(world.sent), job.result().vectors.tolist()) == (0, [[0.0] * 3] * 2)


def test_repeated_inputs_are_sent_once():
    world, job = run(steady(), ["t1", "t2", "t1"], per_request=9)
    assert [inputs_of(one.request) for one in world.sent] == [["t1", "t2"]]
    assert numbers(job.result()) == [1.0, 2.0, 1.0]


def test_a_request_says_what_a_shell_must_know():
    world, _ = run(steady(), 2, per_request=9, timeout=7.0, expected_width=100)
    (request,) = (one.request for one in world.sent)
    assert (request.method, request.path, request.timeout) == ("POST", "/embeddings", 7.0)
    assert request.headers == ((ATTEMPT_HEADER, "1"),)
    assert request.tokens == 2 * 1
    assert request.max_reply == 2 * 2**20 + 2 * (1024 + 32 * 100)


def test_until_the_width_is_known_a_reply_may_have_64_mib():
    world, _ = run(steady(), 2, max_concurrency=1)
    assert [one.request.max_reply for one in world.sent] == [64 * 2**20, 2 * 2**20 + 1024 + 64]


def test_usage_and_progress_are_told_as_answers_arrive():
    world, job = run(steady(), 3, max_concurrency=1)
    assert [progress.done for progress in world.progress] == [1, 2, 3]
    assert {progress.total for progress in world.progress} == {3}
    total = job.result().usage
    assert (total.requests, total.inputs, total.cost, total.total_tokens) == (3, 3, 1.5, 3)
    assert sum(world.usage[1:], world.usage[0]) == total == world.progress[-1].usage


def test_inputs_are_spread_over_what_is_open_unless_told_not_to():
    spread, _ = run(steady(), 320, per_request=1000)
    assert [len(json.loads(sent.request.body)["input"]) for sent in spread.sent] == [40] * 8
    whole, _ = run(steady(), 320, per_request=1000, spread=False)
    assert len(whole.sent) == 1


def test_vectors_are_scaled_to_one_on_demand():
    _, job = run(steady(), 3, normalize=True)
    assert np.linalg.norm(job.result().vectors, axis=1).tolist() == pytest.approx([1.0] * 3)


def test_a_job_without_listeners_is_content():
    world = World(steady())
    job = world.job(2)
    job._callbacks = Callbacks(chance=lambda: 0.5, wake=lambda: world.wake(0))
    world.run()
    assert len(job.result()) == 2


def test_a_call_whose_thread_works_all_the_time_keeps_few_requests_in_flight():
    """An event loop reads while a call waits; answers that nobody has time for take memory."""
    idle, working = World(steady()), World(steady())
    idle.job(400)
    working.job(400, busy=lambda: working.now)
    assert (idle.run().highest, working.run().highest) == (64, 8)  # eight open every call
    assert max(sent.in_flight for sent in working.sent[100:]) == 2


@pytest.mark.parametrize("texts", [["t1", "t2", "t1"], ["t1", "t2"]])
def test_lists_may_be_made_on_the_way(texts):
    _, job = run(steady(), texts, lists=True, per_request=1)
    result = job.result()
    assert result.prepared == result.vectors.tolist()
    assert result.tolist()[0] is not result.tolist()[0]


def test_lists_are_made_of_the_vector_that_its_parts_gave():
    _, job = run(too_long(350), ["t0", LONG], lists=True, long_input="split", input_tokens=100)
    result = job.result()
    assert result.prepared == result.vectors.tolist()


@pytest.mark.parametrize(("texts", "terms"), [(["t1", ""], {}), (["t1"], {"normalize": True})])
def test_lists_that_would_not_be_the_result_are_not_kept(texts, terms):
    _, job = run(steady(), texts, lists=True, **terms)
    result = job.result()
    assert result.prepared is None
    assert result.tolist() == result.vectors.tolist()


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


def told(seconds, status=429):
    return refusal(status, headers={"retry-after": str(seconds)})


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


# ---------------------------------------------------------------- one for all, all for one


def test_one_slow_request_holds_up_nobody():
    def serve(sent, world):
        return (50.0 if inputs_of(sent.request) == ["t7"] else 0.1), answer(sent.request)

    world, job = run(serve, 50, max_concurrency=4)
    assert numbers(job.result()) == list(range(50))
    others = [one.at for one in world.sent if inputs_of(one.request) != ["t7"]]
    assert max(others) < 1003.0
    assert world.now == pytest.approx(1050.0, abs=1.0)


def test_402_stops_everything_that_was_not_sent():
    world, error = fails(InsufficientCreditsError, scripted("ok", 402), 50, max_concurrency=2)
    assert len(world.sent) <= 4
    arrived = [at for at in range(50) if at not in error.result.failures]
    assert arrived
    for at in arrived:
        assert error.result.vectors[at].tolist() == vector_of(f"t{at}")
    assert error.result.failures[49].result is None


def test_what_is_in_flight_when_the_call_fails_may_finish():
    world, error = fails(InsufficientCreditsError, scripted((5.0, "ok"), (0.1, 402)), 2)
    assert list(error.result.failures) == [1]
    assert world.now == pytest.approx(1005.0)


def test_what_fails_after_the_first_failure_is_not_tried_again():
    world, error = fails(InsufficientCreditsError, scripted((0.1, 402), (0.5, 503), (0.5, STALE)))
    assert len(world.sent) == 3
    assert type(error.result.failures[1]) is ServerError
    assert type(error.result.failures[2]) is TransportError


def test_a_failed_request_ends_the_call_unless_failures_are_asked_for():
    server = scripted(503, then="ok", latency=0.1)
    world, error = fails(ServerError, server, 50, max_retries=0, max_concurrency=1)
    assert (len(world.sent), len(error.result.failures)) == (1, 50)


def test_failures_asked_for_are_returned_and_the_rest_is_delivered():
    _, job = run(scripted(503), 5, max_retries=0, on_error="return")
    result = job.result()
    assert list(result.failures) == [0]
    assert numbers(result)[1:] == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ServerError):
        result.tolist()


def test_a_failure_of_the_whole_call_is_returned_for_every_row():
    world, job = run(scripted("ok", then=402), 9, on_error="return", max_concurrency=1)
    result = job.result()
    assert len(world.sent) == 2
    assert {type(error) for error in result.failures.values()} == {InsufficientCreditsError}
    assert list(result.failures) == list(range(1, 9))


# ---------------------------------------------------------------- hunting culprits


def refuses(*bad, status=400, message="could not read this input", **error):
    """A server that refuses every request holding one of these inputs."""
    poison = {f"t{at}" for at in bad}

    def serve(sent, world):
        hit = poison & set(inputs_of(sent.request))
        return 0.1, refusal(status, message, **error) if hit else answer(sent.request)

    return serve


def extra(world, first):
    return len(world.sent) - first


@pytest.mark.parametrize("on_error", ["raise", "return"])
@pytest.mark.parametrize("bad", [[0], [31], [13], [3, 4], [0, 15, 16, 31]])
def test_culprits_are_found_and_the_others_delivered(bad, on_error):
    world, job = run(refuses(*bad), 32, per_request=16, on_error=on_error)
    if on_error == "return":
        result = job.result()
    else:
        with pytest.raises(BadRequestError) as caught:
            job.result()
        result = caught.value.result
        assert f"{len(bad)} of 32 inputs were refused (index {bad[0]}" in str(caught.value)
        assert str(caught.value) == caught.value.message
    assert list(result.failures) == bad
    good = [at for at in range(32) if at not in bad]
    assert result.vectors[good, 0].tolist() == good
    assert extra(world, 2) <= 2 * math.ceil(math.log2(16)) * len(bad)


@given(st.integers(2, 64), st.data())
@settings(max_examples=150, deadline=None)
def test_a_culprit_costs_at_most_two_extra_requests_per_halving(count, data):
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=3))
    world, job = run(refuses(*bad), count, per_request=64, on_error="return", max_concurrency=1)
    result = job.result()
    halvings = math.ceil(math.log2(count))
    if any(outcome_ok(one) for one in world.sent):
        assert extra(world, 1) <= 2 * halvings * max(1, len(bad))
    else:
        assert extra(world, 1) <= 2 * halvings
    delivered = set(range(count)) - set(result.failures)
    assert bad <= set(result.failures)
    if delivered:
        assert set(result.failures) == bad


def outcome_ok(sent):
    return sent.outcome.status == 200


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize(("texts", "per_request"), [(64, 64), (640, 64), (7, 7), (2, 2)])
def test_a_systematic_refusal_costs_a_few_requests_and_gives_the_original_error(
    texts, per_request, concurrency
):
    server = refuses(*range(texts))
    world, error = fails(
        BadRequestError, server, texts, per_request=per_request, max_concurrency=concurrency
    )
    first = attempts(world).count(1)
    assert first <= concurrency
    assert extra(world, first) <= 2 * math.ceil(math.log2(per_request))
    assert "could not read this input" in str(error)
    assert list(error.result.failures) == list(range(texts))


@pytest.mark.parametrize("message", ["Model x does not exist", "dimensions must be below 9"])
def test_a_refusal_of_the_request_itself_is_not_split(message):
    world, error = fails(
        BadRequestError, refuses(0, message=message), 64, per_request=64, max_concurrency=1
    )
    assert len(world.sent) == 1
    assert message in str(error)


def test_a_hunt_that_is_spent_waits_for_what_may_still_succeed():
    def serve(sent, world):
        good = inputs_of(sent.request)[0] == "t4"
        return (5.0, answer(sent.request)) if good else (0.1, refusal(400, "unreadable"))

    world, error = fails(BadRequestError, serve, 8, per_request=4)
    assert list(error.result.failures) == [0, 1, 2, 3]
    assert numbers(error.result)[4:] == [4.0, 5.0, 6.0, 7.0]
    assert max(one.at for one in world.sent) >= 1005.0


def test_one_input_that_is_refused_is_final():
    world, error = fails(BadRequestError, refuses(0), 1)
    assert (len(world.sent), error.attempts) == (1, 1)
    assert str(error).startswith("could not read this input (400)")


def test_ten_culprits_are_named_and_the_rest_hinted_at():
    _, error = fails(BadRequestError, refuses(*range(12)), 32)
    assert "12 of 32 inputs were refused (index 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …)" in str(error)


def test_moderation_is_hunted_too():
    server = refuses(5, status=403, metadata={"reasons": ["x"]})
    _, error = fails(PermissionDeniedError, server, 16, per_request=16)
    assert list(error.result.failures) == [5]


def test_a_request_that_is_too_large_makes_the_next_ones_smaller():
    def serve(sent, world):
        size = len(inputs_of(sent.request))
        return 0.1, refusal(413) if size > 8 else answer(sent.request)

    world, job = run(serve, 96, per_request=32, max_concurrency=1)
    assert numbers(job.result()) == list(range(96))
    refused = [one for one in world.sent if not outcome_ok(one)]
    assert len(refused) <= 4


def test_a_retry_within_the_hunt_is_no_new_suspect():
    def serve(sent, world):
        if len(world.sent) == 2:
            return 0.1, refusal(503)
        return refuses(3)(sent, world)

    world, error = fails(BadRequestError, serve, 8, per_request=8)
    assert list(error.result.failures) == [3]
    assert extra(world, 1) <= 2 * 3 + 1


def test_no_refusal_quotes_the_inputs():
    secret = "t1 my diary of the summer at the lake"

    def serve(sent, world):
        return 0.1, refusal(400, f"cannot embed: {secret}")

    _, error = fails(BadRequestError, serve, [secret])
    assert "diary" not in str(error)
    assert "[input]" in str(error)


def test_a_refusal_carries_advice():
    _, error = fails(BadRequestError, refuses(0, message="dimensions are not supported"), 1)
    assert "Leave `dimensions` out" in str(error)


# ---------------------------------------------------------------- long inputs

LONG = "t1 " + "word and word. " * 40


def too_long(limit):
    def serve(sent, world):
        longest = max(map(len, inputs_of(sent.request)))
        if longest > limit:
            return 0.1, refusal(400, "maximum context length exceeded")
        return 0.1, answer(sent.request)

    return serve


def test_a_long_input_is_an_error_unless_splitting_is_asked_for():
    _, error = fails(BadRequestError, too_long(300), ["t0", LONG], per_request=9)
    assert list(error.result.failures) == [1]


@pytest.mark.parametrize("limit", [350, 100, 30])
def test_a_long_input_is_sent_in_parts_and_averaged(limit):
    world, job = run(
        too_long(limit), ["t0", LONG, "t2"], per_request=9, long_input="split", input_tokens=100
    )
    result = job.result()
    assert result.flags == {"split": (1,)}
    assert numbers(result)[::2] == [0.0, 2.0]
    assert np.linalg.norm(result.vectors[1]) == pytest.approx(1.0)
    assert [progress.done for progress in world.progress][-1] == 3
    assert all(0 <= progress.done <= 3 for progress in world.progress)
    assert result.usage.inputs == 3


def test_an_input_too_short_to_cut_is_refused_as_it_is():
    _, error = fails(BadRequestError, too_long(0), ["t"], long_input="split")
    assert "context length" in str(error)


def test_token_ids_are_not_cut():
    from openrouter_embed.inputs import Item

    server = scripted(then=refusal(400, "maximum context length exceeded"))
    world, _ = fails(BadRequestError, server, [Item("tokens", (1, 2, 3))], long_input="split")
    assert len(world.sent) == 1


def test_a_prefix_is_put_before_every_part():
    own = SETTINGS.replace(query_prefix="query: ")
    world, job = run(
        too_long(350), [LONG], long_input="split", settings=own, role="query", input_tokens=100
    )
    assert len(job.result()) == 1
    assert all(text.startswith("query: ") for one in world.sent for text in inputs_of(one.request))


# ---------------------------------------------------------------- base64 and floats


def formats(world):
    return [json.loads(one.request.body)["encoding_format"] for one in world.sent]


@pytest.mark.parametrize(
    ("known", "asked", "sent"),
    [(True, "auto", "base64"), (False, "auto", "float"), (False, "base64", "base64"),
     (True, "float", "float")],
)  # fmt: skip
def test_base64_is_asked_for_where_it_is_known_to_work(known, asked, sent):
    world, _ = run(steady(), 1, base64=known, encoding_format=asked)
    assert formats(world) == [sent]


@pytest.mark.parametrize(
    "failure",
    [
        refusal(404, "No successful provider responses."),
        refusal(400, "encoding_format is not supported"),
        Reply(200, {}, b'{"data": [{"index": 0, "embedding": "!!!"}]}'),
    ],
)
def test_a_host_that_fails_on_base64_is_asked_for_floats_once_and_for_all(failure):
    world = World(scripted(failure))
    first = world.job(1, base64=True, max_retries=0)
    world.run()
    second = world.job(1, base64=True)
    world.run()
    assert formats(world) == ["base64", "float", "float"]
    assert len(first.result()) == len(second.result()) == 1
    assert world.pacer.budget.tokens == 100


def test_a_format_that_was_asked_for_is_not_exchanged():
    server = scripted(then=refusal(400, "encoding_format is not supported"))
    world, _ = fails(BadRequestError, server, 1, encoding_format="base64")
    assert formats(world) == ["base64"]


def test_the_format_is_not_blamed_for_other_refusals():
    world, _ = fails(
        BadRequestError, scripted(then=refusal(400, "dimensions are bad")), 1, base64=True
    )
    assert formats(world) == ["base64"]


def test_a_failed_call_does_not_try_another_format():
    failure = refusal(404, "No successful provider responses.")
    world, _ = fails(InsufficientCreditsError, scripted((0.1, 402), (0.5, failure)), 2, base64=True)
    assert len(world.sent) == 2


def test_formats_are_remembered_by_model():
    memory = ModelMemory()
    memory.blame("a")
    assert memory.prefers_floats("a")
    assert not memory.prefers_floats("b")


# ---------------------------------------------------------------- one host for all vectors


def hosts(world):
    return [json.loads(one.request.body).get("provider", {}).get("only") for one in world.sent]


def test_the_host_that_serves_first_serves_all():
    def serve(sent, world):
        return 0.1, answer(sent.request, provider="Host")

    world, job = run(serve, 4, pin=True)
    assert hosts(world) == [None, ["Host"], ["Host"], ["Host"]]
    assert world.sent[1].at >= world.sent[0].at + 0.1
    assert job.result().providers == ("Host",)


def test_while_the_host_is_being_found_a_back_off_is_waited_out():
    def serve(sent, world):
        bad = len(world.sent) in (1, 3)
        return 0.1, refusal(503) if bad else answer(sent.request, provider="Host")

    world, job = run(serve, 4, pin=True)
    assert len(job.result()) == 4
    assert hosts(world)[0] is None


def test_a_server_that_names_no_host_is_not_asked_for_one():
    world, job = run(steady(), 4, pin=True)
    assert hosts(world) == [None] * 4
    assert {one.at for one in world.sent[1:]} == {1000.15}
    assert len(job.result()) == 4


def test_calls_that_look_for_a_host_at_the_same_time_end_with_one():
    def serve(sent, world):
        wanted = json.loads(sent.request.body).get("provider", {}).get("only")
        name = wanted[0] if wanted else f"Host {sent.job}"
        return 0.1 + 0.1 * sent.job, answer(sent.request, provider=name)

    world = World(serve)
    jobs = [world.job(3, pin=True) for _ in range(2)]
    world.run()
    assert {job.result().providers for job in jobs} == {("Host 0",)}
    assert {type(host) for host in hosts(world)} == {type(None), list}


def test_a_host_that_serves_in_spite_of_the_pin_is_not_believed():
    def serve(sent, world):
        return 0.1, answer(sent.request, provider=f"Host {len(world.sent)}")

    world, error = fails(InvalidResponseError, serve, 2, pin=True)
    assert error.reason == "provider"
    assert numbers(error.result)[0] == 0.0
    assert len(world.sent) == 1 + 4


def test_only_the_first_host_is_remembered():
    memory = ModelMemory()
    memory.served("m", "One")
    memory.served("m", "Two")
    memory.served("o", "")
    memory.served("o", "One")
    assert (memory.host("m"), memory.host("n"), memory.host("o")) == ("One", None, "")


# ---------------------------------------------------------------- a spending limit


def costs(usd):
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    if usd is not None:
        usage["cost"] = usd
    return lambda sent, world: (0.1, answer(sent.request, usage=usage))


def test_nothing_is_sent_that_could_pass_the_limit():
    ledger = Ledger(1.0)
    world, error = fails(BudgetExceededError, costs(0.4), 9, price=0.4, ledger=ledger)
    assert len(world.sent) == 2
    assert ledger.spent == 0.8
    assert ledger.held == pytest.approx(0.0)
    assert len(error.result.failures) == 7
    assert "$1" in str(error)


def test_what_costs_less_than_reserved_makes_room_for_more():
    ledger = Ledger(1.0)
    world, job = run(costs(0.1), 6, price=0.4, ledger=ledger)
    assert len(job.result()) == 6
    assert ledger.spent == pytest.approx(0.6)
    assert world.highest == 2


def test_where_no_cost_is_reported_tokens_are_priced():
    ledger = Ledger(1.0)
    run(costs(None), 2, price=0.25, ledger=ledger)
    assert ledger.spent == pytest.approx(0.5)


def test_a_refused_request_costs_nothing_and_a_lost_answer_its_estimate():
    ledger = Ledger(10.0)
    fails(BadRequestError, scripted(then=400), 1, price=1.0, ledger=ledger)
    assert ledger.spent == 0.0
    fails(TransportError, scripted(then=RESET), 1, price=1.0, ledger=ledger, max_retries=0)
    assert ledger.spent == 1.0


# ---------------------------------------------------------------- the end


def test_a_closed_client_ends_the_call_at_once():
    world = World(scripted("ok", then=(NEVER, "ok")), max_concurrency=2)
    job = world.job(5)
    world.run(until=1001.0)
    world.closed = True
    world.wake(0)
    world.run()
    assert not world.flights
    with pytest.raises(ClientClosedError) as caught:
        job.result()
    assert list(caught.value.result.failures) == [1, 2, 3, 4]


def test_closing_after_the_end_changes_nothing():
    world, job = run(steady(), 1)
    world.closed = True
    assert isinstance(job.next(world.now), Done)
    assert len(job.result()) == 1


def test_giving_up_returns_what_is_in_flight_and_every_permit():
    world = World(scripted(then=(NEVER, "ok")), max_concurrency=3)
    job = world.job(9)
    sent = [job.next(1000.0) for _ in range(3)]
    assert job.next(1000.0) == Wait(1060.0)
    assert sorted(job.close()) == sorted(step.request.id for step in sent)
    assert list(job.close()) == []
    assert (world.pacer.in_flight, world.pacer._line) == (0, {})


def test_giving_up_after_the_deadline_names_what_was_not_dropped_yet():
    world = World(scripted(then=(NEVER, "ok")))
    job = world.job(2, deadline=1001.0)
    first, second = job.next(1000.0), job.next(1000.0)
    assert job.next(1001.0) == Abort(first.request.id)
    assert list(job.close()) == [second.request.id]


def test_a_call_that_blocks_the_thread_others_need_is_let_in_at_once():
    world = World(scripted((NEVER, "ok"), then="ok"), max_concurrency=1)
    world.job(1)
    world.run(until=1000.5)
    world.job(2, urgent=True)
    world.run(until=1010.0)
    assert [one.job for one in world.sent] == [0, 1, 1]
    assert len(world.jobs[1].result()) == 2


def test_an_outcome_nobody_waits_for_is_ignored():
    world, job = run(steady(), 1)
    job.feed(1, RESET, world.now)
    job.feed(99, RESET, world.now)
    assert len(job.result()) == 1


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
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


# ---------------------------------------------------------------- no more than is of use


def drive(job, world, *, waits, works, serve=answer):
    """Answer the oldest request after `waits` seconds, and be busy with it for `works`."""
    flights, levels, sent = [], [], 0
    while not isinstance(step := job.next(world.now), Done):
        if isinstance(step, Send):
            flights.append(step.request)
            sent += 1
            continue
        assert isinstance(step, Wait)
        assert step.until is None or step.until > world.now, "it would spin"
        levels.append(len(flights))
        world.now += waits
        request = flights.pop(0)
        job.feed(request.id, serve(request), world.now)
        world.now += works
    return levels


def test_a_call_that_is_always_busy_keeps_few_requests_in_flight():
    world = World(steady())
    levels = drive(world.job(200), world, waits=0.0, works=0.01)
    assert levels[0] == START
    assert set(levels[3 * START :]) <= {1, 2}


def test_a_call_that_waits_for_its_answers_uses_all_it_may():
    world = World(steady())
    levels = drive(world.job(500), world, waits=0.1, works=0.01)
    assert max(levels) == 64


def test_a_retry_that_is_due_waits_until_it_is_of_use_without_spinning():
    world = World(steady())
    refused = iter([True] * 6)

    def serve(request):
        return refusal(503) if next(refused, False) else answer(request)

    job = world.job(40)
    drive(job, world, waits=0.0, works=1.0, serve=serve)
    assert len(job.result()) == 40
