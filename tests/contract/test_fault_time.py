"""Time: `timeout` bounds an attempt and `deadline` the call, whatever the server drips."""

from __future__ import annotations

import time

import pytest
from fault_cases import FULL
from fault_harness import SHELLS, TEXT, no_backoff, run, slack
from fault_server import (
    CHUNKED,
    FaultServer,
    chunk,
    drip,
    endless,
    error_body,
    good,
    response,
    send,
    stall,
    vector,
    wait,
)

from openrouter_embed.errors import DeadlineExceededError, RateLimitError, TransportError

pytestmark = pytest.mark.parametrize("shell", SHELLS)

SLOW = {
    "dripped headers": [drip(FULL, 0.05)],
    "dripped body": [send(FULL[:100]), drip(FULL[100:], 0.05)],
    "dripped chunks": [send(CHUNKED), drip(chunk(b" ") * 100, 0.05, size=6)],
    "half a head": [send(FULL[:25]), stall],
    "half a body": [send(FULL[:-20]), stall],
    "a dripped chunk size": [send(CHUNKED), drip(b"0" * 15 + b"1;" + b"x" * 99, 0.05)],
    "dripped until the close": [send("HTTP/1.1 200 OK\r\n\r\n"), drip(b" " * 1000, 0.05)],
    "nothing": [stall],
    "nothing after the head": [send(FULL[:100]), stall],
}
ENOUGH = ("dripped body", "half a head", "nothing after the head")
"""What tells any two ways of being slow apart; the others take the same road in the slow suite."""
every = pytest.mark.parametrize("act", SLOW.values(), ids=SLOW.keys())
some = pytest.mark.parametrize(
    "act",
    [
        pytest.param(act, id=name, marks=() if name in ENOUGH else pytest.mark.slow)
        for name, act in SLOW.items()
    ],
)
NO_HEAD = {
    "dripped interim answers": [drip(b"HTTP/1.1 103 Wait\r\n\r\n" * 100, 0.05, size=21)],
    "endless interim answers": [endless(b"HTTP/1.1 103 Wait\r\n\r\n" * 100)],
    "endless empty lines": [drip(b"\r\n" * 1000, 0.02, size=2)],
}
"""What `http.client` takes for a head, and `aiohttp` for nothing yet."""


@every
def test_b4_b5_the_deadline_holds(shell, act):
    with FaultServer([act]) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "deadline": 0.2})
    assert type(seen.error) is DeadlineExceededError
    assert seen.error.attempts == 1
    assert 0.17 < seen.elapsed < 0.2 + slack()


@pytest.mark.parametrize("act", NO_HEAD.values(), ids=NO_HEAD.keys())
def test_b5_b12_what_is_no_head_ends_by_the_deadline_at_the_latest(shell, act):
    with FaultServer([act]) as server, no_backoff():
        seen = run(shell, [TEXT], {"base_url": server.url, "deadline": 0.15})
    assert type(seen.error) in (DeadlineExceededError, TransportError)
    # An endless flood is written by a thread of this very process, which takes its turns, too.
    assert seen.elapsed < 0.15 + 6 * slack()


@some
def test_b6_the_timeout_of_an_attempt_holds(shell, act):
    with FaultServer([act, [good()]]) as server, no_backoff():
        seen = run(shell, [TEXT], {"base_url": server.url, "timeout": 0.2})
        assert seen.error is None
        assert len(server.hits) == 2
    assert 0.15 < seen.elapsed < 0.2 + slack()


def test_b6_every_attempt_has_the_whole_timeout(shell):
    """The first byte is late, but in time; the second attempt has as long as the first."""
    with FaultServer([[stall], [wait(0.3), good()]]) as server, no_backoff():
        seen = run(shell, [TEXT], {"base_url": server.url, "timeout": 0.5})
    assert seen.error is None
    assert 0.75 < seen.elapsed < 0.8 + slack()


def test_a_deadline_bounds_waiting_for_a_place(shell):
    """Two calls' worth of requests queue behind one place."""
    texts = [f"text {n}" for n in range(10)]
    options = {"deadline": 0.35, "max_batch_inputs": 1, "max_concurrency": 1}
    with FaultServer([[wait(0.1), good()]]) as server:
        seen = run(shell, texts, {"base_url": server.url, **options})
        assert type(seen.error) is DeadlineExceededError
        assert 1 <= seen.error.result.ok.sum() <= 3
    assert seen.elapsed < 0.35 + slack()


def test_a_deadline_bounds_the_sleeps_between_attempts(shell):
    """A back-off that would pass the deadline is not begun: the error itself is reported."""
    reply = response(error_body(429), 429, ["Retry-After: 0.4"])
    with FaultServer([[send(reply)]]) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "deadline": 0.75, "max_retries": 9})
    assert type(seen.error) is RateLimitError
    assert seen.error.attempts == 2
    assert seen.elapsed < 0.75


def test_d10_retry_after_is_waited_for(shell):
    reply = response(error_body(429), 429, ["Retry-After: 0.3"])
    with FaultServer([[send(reply)], [good()]]) as server:
        assert run(shell, [TEXT], {"base_url": server.url}).error is None
        first, second = server.hits
    assert 0.3 <= second.at - first.at < 0.3 * 1.1 + slack()


def test_d12_nothing_is_slept_for_a_wait_beyond_the_deadline(shell):
    reply = response(error_body(429), 429, ["Retry-After: 5"])
    with FaultServer([[send(reply)]]) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "deadline": 1.0})
    assert seen.error.retry_after == 5
    assert seen.elapsed < slack()


def test_d19_one_slow_batch_blocks_no_other(shell):
    texts = [f"text {n}" for n in range(50)]

    def answer(wire):
        if "text 7" in wire.hit.inputs:
            wire.pause(0.4)
        good()(wire)

    options = {"max_batch_inputs": 1, "max_concurrency": 8, "deadline": 2.0}
    with FaultServer([[answer]]) as server:
        seen = run(shell, texts, {"base_url": server.url, **options})
        assert seen.result.tolist() == [vector(text) for text in texts]
        late = [hit for hit in server.hits if hit.at > server.hits[0].at + 0.35]
    assert late == []
    assert seen.elapsed < 0.4 + slack()


def test_d21_attempts_are_counted_in_a_header(shell):
    with FaultServer([[stall], [send(response("", 503))], [good()]]) as server, no_backoff():
        run(shell, [TEXT], {"base_url": server.url, "timeout": 0.2})
        sent = [hit.headers["x-openrouter-embed-attempt"] for hit in server.hits]
    assert sent == ["1", "2", "3"]


def test_a_timeout_ends_the_connection_too(shell):
    """The server sees the connection close when the attempt ends, not later."""
    gone = []

    def watch(wire):
        wire.sock.settimeout(3)
        wire.sock.recv(1)
        gone.append(time.monotonic())

    with FaultServer([[watch]]) as server:
        began = time.monotonic()
        seen = run(shell, [TEXT], {"base_url": server.url, "timeout": 0.3, "max_retries": 0})
    assert type(seen.error) is TransportError
    assert gone[0] - began < 0.3 + slack()
