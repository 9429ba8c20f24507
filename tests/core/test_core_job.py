"""One embed call as a state machine, driven on a fake clock by servers that follow a script."""

from __future__ import annotations

import json

import numpy as np
import pytest
from core_jobs import (
    LONG,
    NEVER,
    RESET,
    STALE,
    fails,
    numbers,
    run,
    scripted,
    too_long,
)
from core_world import (
    World,
    answer,
    inputs_of,
    refusal,
    steady,
    vector_of,
)

from openrouter_embed.core.call import ATTEMPT_HEADER
from openrouter_embed.core.callbacks import Callbacks
from openrouter_embed.core.level import START
from openrouter_embed.core.wire import Abort, Done, Send, Wait
from openrouter_embed.errors import (
    ClientClosedError,
    InsufficientCreditsError,
    ServerError,
    TransportError,
)

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
    options = {"timeout": 7.0, "expected_width": 100, "limited": True}
    world, _ = run(steady(), 2, per_request=9, **options)
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
