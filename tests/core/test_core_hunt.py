"""Refused requests are split until the culprits are found, and long texts divided."""

from __future__ import annotations

import math

import numpy as np
import pytest
from core_jobs import (
    LONG,
    attempts,
    fails,
    numbers,
    refuses,
    run,
    scripted,
    too_long,
)
from core_world import (
    SETTINGS,
    answer,
    inputs_of,
    refusal,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.errors import (
    BadRequestError,
    PermissionDeniedError,
)

# ---------------------------------------------------------------- hunting culprits


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
@settings(max_examples=examples(150), deadline=None)
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
