"""Larger requests are tried with care, and given up at the first doubt."""

from __future__ import annotations

import math

import pytest
from core_world import World, answer, inputs_of, refusal, vector_of

from openrouter_embed.core.growth import size_may_be_to_blame
from openrouter_embed.core.limits import make_limits
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.core.verdict import judge
from openrouter_embed.core.wire import Fault, FaultKind, Reply
from openrouter_embed.errors import EmbeddingError, InvalidResponseError
from openrouter_embed.options.settings import make_settings


def limits_of(model="vendor/unknown", **options):
    return make_limits(make_settings({"model": model, "api_key": "sk-or-v1-fake", **options}, {}))


def verdict_of(status, message="no", headers=(), **error):
    body = b'{"error": {"message": "%b"}}' % message.encode()
    return judge(Reply(status, dict(headers), body), doubt=None, key_origin="")


# ---------------------------------------------------------------- where it is tried


def test_a_model_whose_limit_nobody_documents_may_get_twice_the_careful_number():
    limits = limits_of()
    assert (limits.inputs, limits.most) == (64, 128)


@pytest.mark.parametrize("model", ["google/gemini-embedding-001", "openai/text-embedding-3-small"])
def test_a_documented_limit_is_kept(model):
    limits = limits_of(model)
    assert limits.most <= limits.inputs


@pytest.mark.parametrize("number", [10, 64, 100])
def test_the_users_own_limit_is_kept(number):
    limits = limits_of(max_batch_inputs=number)
    assert limits.most <= limits.inputs == number


def test_answers_stay_below_what_hurts_when_it_is_lost():
    limits = limits_of(dimensions=16_000)
    assert limits.inputs < limits.most < 128


# ---------------------------------------------------------------- what ends it

BLAMED = {
    "too many inputs": verdict_of(400, "batch size 128 > maximum allowed batch size 64"),
    "too large": verdict_of(413),
    "a schema": verdict_of(422, "schema: list should have at most 64 entries"),
    "some refusal": verdict_of(400, "bad request"),
    "a host that breaks": verdict_of(500),
    "a host that gives up": verdict_of(504),
    "no time": judge(Fault(FaultKind.TIMEOUT, ""), doubt=None, key_origin=""),
    "a line that was cut": judge(Fault(FaultKind.RESET, ""), doubt=None, key_origin=""),
    "too few vectors": judge(
        Reply(200, {}, b"{}"), doubt=InvalidResponseError("", reason="count"), key_origin=""
    ),
}
NOT_BLAMED = {
    "too many requests": verdict_of(429),
    "asked to wait": verdict_of(503, headers={"retry-after": "2"}.items()),
    "a wrong key": verdict_of(401),
    "no credit": verdict_of(402),
    "not permitted": verdict_of(403),
    "no such model": verdict_of(404),
    "a text that is too long": verdict_of(400, "maximum context length is 512 tokens"),
    "told not to": verdict_of(500, headers={"x-should-retry": "false"}.items()),
    "no connection": judge(Fault(FaultKind.CONNECT, ""), doubt=None, key_origin=""),
    "a bad certificate": judge(Fault(FaultKind.TLS, ""), doubt=None, key_origin=""),
}


@pytest.mark.parametrize("what", BLAMED)
def test_size_may_be_to_blame_for(what):
    assert size_may_be_to_blame(BLAMED[what])


@pytest.mark.parametrize("what", NOT_BLAMED)
def test_size_is_not_to_blame_for(what):
    assert not size_may_be_to_blame(NOT_BLAMED[what])


# ---------------------------------------------------------------- what is remembered


def test_a_client_begins_without_larger_requests():
    assert ModelMemory().bears_more("route") is None


def test_what_was_borne_is_remembered_for_that_route_alone():
    memory = ModelMemory()
    memory.bore("route")
    assert memory.bears_more("route")
    assert not memory.bears_more("another")


def test_what_was_doubted_once_is_not_tried_again():
    memory = ModelMemory()
    memory.bore("route")
    memory.doubt_more("route")
    memory.bore("route")
    assert not memory.bears_more("route")


# ---------------------------------------------------------------- within a call

CAREFUL, MOST = 64, 128
MANY = 10_000


def sizes(world):
    return [len(inputs_of(sent.request)) for sent in world.sent]


def larger(world):
    return [size for size in sizes(world) if size > CAREFUL]


def call(world, texts=MANY, **options):
    job = world.job(texts, per_request=CAREFUL, most=MOST, **options)
    world.run()
    result = job.result()
    assert result.vectors.tolist() == [vector_of(f"t{at}") for at in range(texts)]
    return result


def at_most(count, outcome, *, seconds=0.15):
    """A server that answers larger requests with something else."""

    def serve(sent, world):
        if len(inputs_of(sent.request)) > count:
            return seconds, outcome(sent.request) if callable(outcome) else outcome
        return seconds, answer(sent.request)

    return serve


BEARS_ALL = at_most(math.inf, None)


def test_a_large_call_goes_on_in_larger_requests_once_one_has_come_back():
    world = World(BEARS_ALL)
    call(world)
    first = next(sent for sent in world.sent if len(inputs_of(sent.request)) > CAREFUL)
    others = [sent for sent in world.sent if len(inputs_of(sent.request)) > CAREFUL][1:]
    assert len(inputs_of(first.request)) == MOST
    assert len(others) > 10
    assert min(sent.at for sent in others) >= first.at + 0.15


def test_nothing_larger_goes_out_before_the_first_answer():
    world = World(BEARS_ALL)
    call(world)
    tried = next(sent for sent in world.sent if len(inputs_of(sent.request)) > CAREFUL)
    assert tried.at >= world.sent[0].at + 0.15


def test_a_call_that_fits_one_wave_tries_nothing():
    world = World(BEARS_ALL)
    call(world, texts=2_000)
    assert larger(world) == []


def test_the_next_call_begins_with_what_was_learned():
    world = World(BEARS_ALL)
    call(world)
    before = len(world.sent)
    call(world)
    assert len(world.sent) - before == math.ceil(MANY / MOST)


def test_larger_requests_are_fewer():
    learned, careful = World(BEARS_ALL), World(BEARS_ALL)
    call(learned)
    careful.job(MANY, per_request=CAREFUL)
    careful.run()
    assert len(learned.sent) < 0.8 * len(careful.sent)


UNBORNE = {
    "a refusal for the number": refusal(400, "batch size 128 > maximum allowed batch size 64"),
    "a refusal that names a schema": refusal(422, "schema: at most 64 entries"),
    "a refusal without a reason": refusal(400, ""),
    "a host that breaks": refusal(500),
    "a cut line": Fault(FaultKind.RESET, ""),
    "vectors for half of the inputs": lambda request: answer(
        request,
        data=[{"index": at, "embedding": [1.0, 1.0]} for at in range(CAREFUL)],
    ),
    "markup": Reply(200, {}, b"<html>"),
}


@pytest.mark.parametrize("what", UNBORNE)
def test_a_host_that_bears_no_more_meets_one_larger_request_in_the_life_of_a_client(what):
    world = World(at_most(CAREFUL, UNBORNE[what]))
    call(world)
    call(world)
    assert larger(world) == [MOST]


def test_without_retries_the_halves_are_sent_all_the_same():
    world = World(at_most(CAREFUL, refusal(500)))
    call(world, max_retries=0)
    assert larger(world) == [MOST]


def test_a_host_that_is_slow_with_it_is_not_asked_again():
    def serve(sent, world):
        slow = len(inputs_of(sent.request)) > CAREFUL
        return (13.0 if slow else 0.15), answer(sent.request)

    world = World(serve)
    call(world)
    assert larger(world) == [MOST]


def test_one_that_is_throttled_goes_again_as_it_is():
    refused = []

    def serve(sent, world):
        if len(inputs_of(sent.request)) > CAREFUL and not refused:
            refused.append(sent)
            return 0.15, refusal(429)
        return 0.15, answer(sent.request)

    world = World(serve)
    call(world)
    assert larger(world)[0] == MOST
    assert len(larger(world)) > 10


def test_what_is_final_ends_the_call_as_ever():
    world = World(at_most(CAREFUL, refusal(401)))
    with pytest.raises(EmbeddingError):
        call(world)


def test_a_culprit_in_a_larger_request_is_found_as_in_any_other():
    def serve(sent, world):
        bad = "t9999" in inputs_of(sent.request)
        return 0.15, refusal(400, "unsafe") if bad else answer(sent.request)

    world = World(serve)
    job = world.job(MANY, per_request=CAREFUL, most=MOST, on_error="return")
    world.run()
    assert list(job.result().failures) == [9999]
