"""Starting, stopping, counting, slowing down and failing on purpose."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from emulator_calls import SMALL, post

from openrouter_embed.emulator import Emulator, EmulatorOptions, Stats


def start(**options):
    return Emulator(backend="hashed", **options)


def in_parallel(work, count):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: work(), range(count)))


def test_the_emulator_loads_neither_aiohttp_nor_numpy_before_it_starts():
    code = (
        "import sys, openrouter_embed; before = set(sys.modules); "
        "import openrouter_embed.emulator as e; e.Emulator(); "
        "sys.exit(bool({'aiohttp', 'numpy', 'msgspec'} & (set(sys.modules) - before)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_single_options_win_over_an_options_object():
    emulator = Emulator(EmulatorOptions(latency=1, keepalive=False), latency=2)

    assert emulator.options == EmulatorOptions(latency=2, keepalive=False)


def test_the_address_is_loopback_and_known_only_while_running():
    emulator = start()
    with emulator:
        assert emulator.base_url == f"http://127.0.0.1:{emulator.port}/api/v1"
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url


def test_stopping_leaves_no_thread_and_closes_the_port():
    before = set(threading.enumerate())
    with start() as emulator:
        post(emulator)
        port = emulator.port
        idle = http.client.HTTPConnection("127.0.0.1", port)
        idle.request("GET", "/api/v1/models")
        idle.getresponse().read()  # a kept-alive connection must not hold up the stop
    idle.close()

    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def test_stopping_does_not_wait_for_slow_requests():
    emulator = start(latency=30).start()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(post, emulator)
        wait_for(lambda: emulator.stats.in_flight == 1)
        started = time.monotonic()
        emulator.stop()
        assert time.monotonic() - started < 3
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            slow.result()


def test_it_stops_twice_and_starts_again():
    emulator = start()
    emulator.start()
    emulator.stop()
    emulator.stop()
    with emulator:
        assert post(emulator).status == 200


def test_it_refuses_to_start_twice():
    with start() as emulator, pytest.raises(RuntimeError, match="already running"):
        emulator.start()


def test_a_taken_port_is_reported_to_the_caller():
    with start() as first:
        second = Emulator(backend="hashed", port=first.port)
        with pytest.raises(OSError, match="address already in use"):
            second.start()


def test_counters_tell_requests_inputs_tokens_and_cost():
    with start() as emulator:
        answers = [post(emulator, input=["one", "two"]), post(emulator), post(emulator, input="")]
        usages = [answer.json["usage"] for answer in answers[:2]]

        assert emulator.stats == Stats(
            requests=3,
            inputs=3,
            tokens=sum(usage["prompt_tokens"] for usage in usages),
            cost=pytest.approx(sum(usage["cost"] for usage in usages)),
            peak_in_flight=1,
        )
        emulator.reset()
        assert emulator.stats == Stats()
        assert emulator.requests == []


def test_counters_stay_readable_after_the_stop():
    with start() as emulator:
        post(emulator)

    assert emulator.stats.requests == 1


def test_the_log_holds_bodies_and_headers_but_no_key():
    with start(log_size=2) as emulator:
        for text in ("one", "two", "three"):
            post(emulator, input=text, key="secret")
        seen = emulator.requests

    assert [(request.number, request.body["input"]) for request in seen] == [
        (2, "two"),
        (3, "three"),
    ]
    assert "host" in seen[0].headers
    assert "secret" not in repr(seen)


def test_latency_is_served_in_parallel_and_the_peak_is_counted():
    with start(latency=0.3) as emulator:
        started = time.monotonic()
        in_parallel(lambda: post(emulator), 8)
        elapsed = time.monotonic() - started

        assert 0.3 <= elapsed < 1.5
        assert emulator.stats.peak_in_flight == 8


def test_whoever_has_its_answer_is_no_longer_in_flight():
    with start(max_in_flight=1) as emulator:
        for _ in range(200):
            assert post(emulator).status == 200
            assert emulator.stats.in_flight == 0


def test_every_input_adds_its_share_of_latency():
    with start(latency=0.1, latency_per_input=0.05) as emulator:
        started = time.monotonic()
        post(emulator, input=["a"] * 4)

        assert time.monotonic() - started >= 0.3


def test_the_white_space_arrives_before_the_vectors_are_ready():
    with start(latency=0.4) as emulator:
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port)
        body = b'{"model": "%b", "input": "text"}' % SMALL.encode()
        started = time.monotonic()
        connection.request("POST", "/api/v1/embeddings", body, {"Authorization": "Bearer k"})
        response = connection.getresponse()
        first = response.read1(11)
        early = time.monotonic() - started
        response.read()
        connection.close()

    assert first == b"\n         \n"
    assert early < 0.3


def test_more_requests_than_the_limit_are_answered_429():
    with start(latency=0.4, max_in_flight=2, retry_after=3) as emulator:
        answers = in_parallel(lambda: post(emulator), 5)

        refused = [answer for answer in answers if answer.status == 429]
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
        assert emulator.stats.peak_in_flight == 2
        assert refused[0].headers["retry-after"] == "3"
        assert refused[0].headers["x-ratelimit-remaining"] == "0"
        assert refused[0].message == "Rate limit exceeded"


def test_a_429_tells_no_waiting_time_unless_asked_to():
    with start(max_in_flight=0) as emulator:
        assert "retry-after" not in post(emulator).headers


def test_a_client_that_hangs_up_is_no_longer_in_flight():
    with start(latency=30) as emulator:
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port)
        body = b'{"model": "%b", "input": "text"}' % SMALL.encode()
        connection.request("POST", "/api/v1/embeddings", body, {"Authorization": "Bearer k"})
        wait_for(lambda: emulator.stats.in_flight == 1)
        connection.close()

        wait_for(lambda: emulator.stats.in_flight == 0)


def test_failures_can_be_scripted_by_request_number_and_body():
    def faults(number, body):
        if number == 1:
            return 503, {"Retry-After": "1", "Content-Type": "text/html"}, b"<html>busy</html>"
        return (200, {}, b"\n   \n") if body["input"] == "cut" else None

    with start(faults=faults) as emulator:
        first = post(emulator)
        cut = post(emulator, input="cut")
        fine = post(emulator)

    assert (first.status, first.raw) == (503, b"<html>busy</html>")
    assert (first.headers["retry-after"], first.headers["content-type"]) == ("1", "text/html")
    assert (cut.status, cut.raw) == (200, b"\n   \n")
    assert fine.status == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", http.client.RemoteDisconnected),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", http.client.IncompleteRead),
    ],
)
def test_a_scripted_failure_can_cut_the_connection(sent, expected):
    with start(faults=lambda number, body: (0, {}, sent)) as emulator, pytest.raises(expected):
        post(emulator)


def test_an_async_script_can_stall_a_request():
    async def faults(number, body):
        await asyncio.sleep(0.3)

    with start(faults=faults) as emulator:
        started = time.monotonic()
        assert post(emulator).status == 200
        assert time.monotonic() - started >= 0.3


@pytest.mark.skipif(os.name != "posix", reason="signals work otherwise there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_blocking_form_says_what_it_is_and_ends_on_a_signal(number):
    code = (
        "from openrouter_embed.emulator import EmulatorOptions, serve; "
        "serve(port=0, options=EmulatorOptions(backend='hashed'))"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(number)
        rest = process.stderr.read()

    assert "NOT OpenRouter: http://127.0.0.1:" in line
    assert process.returncode == 0
    assert "Traceback" not in rest


def wait_for(condition, seconds=5.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)
