"""Failures on purpose: which requests fail, how, and until when."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from emulator_calls import call, post

from openrouter_embed.emulator import Emulator
from openrouter_embed.errors import ConfigurationError

BROKEN = (http.client.HTTPException, ConnectionError)


@pytest.fixture
def fresh():
    with Emulator(backend="hashed") as running:
        yield running


def test_the_next_request_fails_and_the_one_after_it_does_not(fresh):
    fresh.fail(429)

    assert [post(fresh).status for _ in range(2)] == [429, 200]


def test_so_many_requests_fail_after_so_many_have_passed(fresh):
    fresh.fail(500, times=2, after=1)

    assert [post(fresh).status for _ in range(4)] == [200, 500, 500, 200]


def test_all_requests_fail_until_the_end_of_it(fresh):
    failure = fresh.fail(503, times=None)
    before = [post(fresh).status for _ in range(3)]
    failure.end()

    assert before == [503] * 3
    assert post(fresh).status == 200
    assert failure.count == 3


def test_setting_the_counters_to_zero_ends_failures(fresh):
    fresh.fail(503, times=None)
    fresh.reset()

    assert post(fresh).status == 200


def test_the_answer_says_how_long_to_wait_and_why(fresh):
    fresh.fail(429, retry_after=1.5, message="Slow down.")
    answer = post(fresh)

    assert answer.headers["retry-after"] == "1.5"
    assert answer.json == {"error": {"code": 429, "message": "Slow down."}}


def test_only_requests_that_hold_a_text_fail(fresh):
    fresh.fail(403, times=None, holding="forbidden")

    assert post(fresh, input=["fine", "as well"]).status == 200
    assert post(fresh, input=["fine", "a forbidden word"]).status == 403


def test_the_failure_that_was_asked_for_first_strikes_first(fresh):
    fresh.fail(500)
    fresh.fail(429)

    assert [post(fresh).status for _ in range(3)] == [500, 429, 200]


def test_a_failed_request_is_counted_and_not_billed(fresh):
    fresh.fail(503)
    post(fresh)

    assert (fresh.stats.requests, fresh.stats.inputs, fresh.stats.cost) == (1, 0, 0.0)
    assert len(fresh.requests) == 1


def test_a_connection_is_reset(fresh):
    fresh.fail("reset")

    with pytest.raises(BROKEN):
        post(fresh)
    assert fresh.stats.inputs == 0


def test_an_answer_is_lost_after_it_was_billed(fresh):
    fresh.fail("lost")

    with pytest.raises(BROKEN):
        post(fresh)
    assert fresh.stats.inputs == 1


def test_an_answer_ends_in_its_middle(fresh):
    fresh.fail("truncated")

    with pytest.raises(http.client.IncompleteRead):
        post(fresh)


def test_no_answer_comes_until_the_client_gives_up(fresh):
    failure = fresh.fail("stall")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, fresh)
        while not failure.count:
            time.sleep(0.001)
        assert post(fresh).status == 200
        assert not waiting.done()
        fresh.stop()
        with pytest.raises(BROKEN):
            waiting.result(10)


def test_a_web_page_comes_in_place_of_json(fresh):
    fresh.fail("garbage")
    answer = post(fresh)

    assert (answer.status, answer.raw[:9]) == (200, b"<!DOCTYPE")


def test_an_error_comes_inside_http_200(fresh):
    fresh.fail("no_provider")
    answer = post(fresh)

    assert answer.status == 200
    assert answer.message == "No successful provider responses."


def test_a_vector_is_missing(fresh):
    fresh.fail("short")

    assert len(post(fresh, input=["one", "two"]).vectors) == 1


@pytest.mark.parametrize(("endpoint", "path"), [("models", "/embeddings/models"), ("key", "/key")])
def test_other_endpoints_fail_as_well(fresh, endpoint, path):
    fresh.fail(503, on=endpoint)

    assert post(fresh).status == 200
    assert [call(fresh, "GET", path).status for _ in range(2)] == [503, 200]


def test_a_listing_may_be_lost_or_end_in_its_middle(fresh):
    fresh.fail("lost", on="models")
    fresh.fail("truncated", on="models")

    for _ in range(2):
        with pytest.raises(BROKEN):
            call(fresh, "GET", "/models")
    assert call(fresh, "GET", "/models").status == 200


def test_a_method_can_be_named(fresh):
    fresh.fail(429, on="batches", method="POST", holding="first")
    body = {"endpoint": "/v1/embeddings", "model": "baai/bge-m3"}
    body["requests"] = [{"custom_id": "a", "body": {"input": "a first text"}}]

    assert call(fresh, "GET", "/batches").status == 200
    assert [call(fresh, "POST", "/batches", body).status for _ in range(2)] == [429, 202]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"what": 200}, "no failing status"),
        ({"what": "explode"}, "no failure 'explode'"),
        ({"on": "chat"}, "`on` must be one of"),
        ({"what": "short", "on": "key"}, "is a failure of embeddings"),
        ({"times": 0}, "`times` must be at least 1"),
        ({"after": -1}, "`after` at least 0"),
    ],
)
def test_what_cannot_be_is_refused(fresh, arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        fresh.fail(**arguments)


def test_a_failure_tells_what_is_left_of_it(fresh):
    failure = fresh.fail("reset", times=2)

    assert repr(failure) == "Failure('reset', count=0, 2 left)"
    assert repr(fresh.fail(times=None)) == "Failure(503, count=0, any number of left)"
