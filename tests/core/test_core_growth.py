"""Larger requests are tried with care, and given up at the first doubt."""

from __future__ import annotations

import pytest

from openrouter_embed.core.growth import came_soon, size_may_be_to_blame
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.core.plan import make_limits
from openrouter_embed.core.verdict import judge
from openrouter_embed.core.wire import Fault, FaultKind, Reply
from openrouter_embed.errors import InvalidResponseError
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


# ---------------------------------------------------------------- what must come first


def test_an_answer_within_a_fifth_of_its_time_came_soon():
    assert came_soon(12.0, 60.0)
    assert not came_soon(12.1, 60.0)


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
