"""Life cycle: cancelling, interrupting, closing, forking, forgetting; nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from unittest import mock

import pytest
import requests
from fault_cases import FULL
from fault_harness import (
    DEFAULTS,
    KEY,
    SHELLS,
    TEXT,
    Client,
    no_backoff,
    no_leaks,
    no_tasks,
    run,
    run_loop,
    slack,
)
from fault_server import FaultServer, error_body, fin, good, response, send, stall, vector, wait
from requests.adapters import HTTPAdapter

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
from openrouter_embed.errors import (
    ClientClosedError,
    ConfigurationError,
    ServerError,
    TransportError,
)

TEXTS = [f"text {n}" for n in range(20)]
SINGLE = {"max_batch_inputs": 1}
NEEDS_311 = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio.timeout and TaskGroup came with Python 3.11"
)


def client_of(server, cls=EmbeddingClient, **options):
    return cls(**{**DEFAULTS, "base_url": server.url, **options})


# ---------------------------------------------------------------------- loops


def test_e1_a_client_made_outside_a_loop_serves_one_loop_after_another():
    with no_leaks(), FaultServer() as server:
        client = client_of(server, AsyncEmbeddingClient)
        for _ in range(3):
            result = asyncio.run(client.embed([TEXT]))
            assert result.tolist() == [vector(TEXT)]
        assert server.connections == 3
        assert (
            len(client._engine.connections.aiohttp._sessions) == 1
        )  # those of closed loops are dropped
        client._engine.close()


def test_e1_one_client_serves_loops_in_several_threads_at_once():
    with no_leaks(), FaultServer([[wait(0.02), good()]]) as server:
        client = client_of(server, AsyncEmbeddingClient)

        async def some(name):
            for n in range(5):
                text = f"{name} {n}"
                assert (await client.embed([text])).tolist() == [vector(text)]

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: asyncio.run(some(name)), "abcdefgh"))
        client._engine.close()


def test_e2_a_loop_may_end_before_the_client_is_closed():
    """No ResourceWarning, no "Event loop is closed": warnings are errors in this suite."""
    with no_leaks(), FaultServer() as server:
        client = client_of(server, AsyncEmbeddingClient)
        asyncio.run(client.embed([TEXT]))
        asyncio.run(client.aclose())
        asyncio.run(client.aclose())
        del client
        gc.collect()


def test_e2_a_client_that_nobody_closed_ends_with_its_loop():
    with no_leaks(), FaultServer() as server:
        asyncio.run(client_of(server, AsyncEmbeddingClient).embed([TEXT]))
        gc.collect()


# ---------------------------------------------------------------------- cancelling

STAGES = {
    "connecting": ([], [stall]),
    "headers": ([stall], []),
    "body": ([send(FULL[:150]), stall], []),
    "sleeping": ([send(response(error_body(503), 503, ["Retry-After: 9"]))], []),
}


@pytest.mark.parametrize(("act", "on_accept"), STAGES.values(), ids=STAGES.keys())
def test_e3_cancelling_ends_a_call_at_once(act, on_accept):
    async def main(server):
        client = client_of(server, AsyncEmbeddingClient, max_concurrency=1)
        calls = [asyncio.create_task(client.embed([text])) for text in ("first", "queued")]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert time.monotonic() - began < slack()
        assert client._engine.pacer.in_flight == 0
        await no_tasks()
        await client.aclose()

    with no_leaks(), FaultServer([act], on_accept=on_accept) as server:
        run_loop(lambda: main(server))


def test_e3_a_cancelled_call_leaves_the_others_alone():
    async def main(server):
        async with client_of(server, AsyncEmbeddingClient) as client:
            first = asyncio.create_task(client.embed(["first"]))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(client.embed(["second"]))
            await asyncio.sleep(0.05)
            first.cancel()
            assert (await second).tolist() == [vector("second")]
            assert first.cancelled()

    with no_leaks(), FaultServer([[stall], [wait(0.2), good()]]) as server:
        run_loop(lambda: main(server))


def test_e3_the_connection_of_a_cancelled_call_is_not_used_again():
    async def main(server):
        async with client_of(server, AsyncEmbeddingClient) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.embed(["first"]), 0.1)
            assert (await client.embed(["second"])).tolist() == [vector("second")]

    with (
        no_leaks(),
        FaultServer([[send(FULL[:150]), wait(0.3), send(FULL[150:])], [good()]]) as server,
    ):
        run_loop(lambda: main(server))
        assert server.connections == 2


@NEEDS_311
def test_e4_a_timeout_around_a_call_ends_it_at_once():
    async def main(server):
        async with client_of(server, AsyncEmbeddingClient) as client:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.embed(TEXTS, **SINGLE)
            assert time.monotonic() - began < 0.2 + slack()
            await no_tasks()

    with no_leaks(), FaultServer([[stall]]) as server:
        run_loop(lambda: main(server))


@NEEDS_311
def test_e4_a_failing_sibling_ends_a_call_at_once():
    async def fail():
        await asyncio.sleep(0.1)
        raise ZeroDivisionError

    async def together(client):
        async with asyncio.TaskGroup() as group:
            group.create_task(client.embed(TEXTS, **SINGLE))
            group.create_task(fail())

    async def main(server):
        async with client_of(server, AsyncEmbeddingClient) as client:
            began = time.monotonic()
            with pytest.RaisesGroup(ZeroDivisionError):
                await together(client)
            assert time.monotonic() - began < 0.1 + slack()
            await no_tasks()

    with no_leaks(), FaultServer([[stall]]) as server:
        run_loop(lambda: main(server))


# ---------------------------------------------------------------------- interrupting


@pytest.mark.parametrize("act", [[stall], [send(FULL[:150]), stall]], ids=["headers", "body"])
def test_e5_ctrl_c_ends_a_call_at_once(act):
    main = threading.main_thread().ident
    with no_leaks(), FaultServer([act]) as server:
        client = client_of(server, max_concurrency=2)
        timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.embed(TEXTS, **SINGLE)
        assert time.monotonic() - began < 0.2 + slack()
        timer.join()
        sent = len(server.hits)
        time.sleep(0.1)
        assert len(server.hits) == sent == 2
        assert client._engine.pacer.in_flight == 0
        client.close()


# ---------------------------------------------------------------------- forking


def in_child(work):
    """Run a function in a forked child; return what it says."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        said = b"nothing"
        try:
            said = repr(work()).encode()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is told
            said = repr(error).encode()
        finally:
            os.write(write, said)
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_e6_a_forked_child_opens_its_own_connections(shell, count):
    """So many answers in each process, none of them the other's."""

    def many(client, name):
        wrong = 0
        for n in range(count):
            text = f"{name} {n}"
            embed = client.embed([text])
            result = asyncio.run(embed) if asyncio.iscoroutine(embed) else embed
            wrong += result.tolist() != [vector(text)]
        return wrong

    with no_leaks(), FaultServer() as server:
        cls = EmbeddingClient if shell == "requests" else AsyncEmbeddingClient
        client = client_of(server, cls)
        many(client, "before")
        with ThreadPoolExecutor(1) as pool:
            child = pool.submit(in_child, lambda: many(client, "child"))
            while not any("child" in hit.inputs[0] for hit in server.hits):
                time.sleep(0.002)  # the fork happens while the parent's connection is idle
            assert many(client, "parent") == 0
            assert child.result() == "0"
        parents = {hit.connection for hit in server.hits if "child" not in hit.inputs[0]}
        children = {hit.connection for hit in server.hits if "child" in hit.inputs[0]}
        assert not parents & children
        client._engine.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_e6_a_fork_during_a_call_leaves_no_lock_held():
    with no_leaks(), FaultServer([[wait(0.2), good()]]) as server:
        client = client_of(server)
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(client.embed, TEXTS, **SINGLE) for _ in range(4)]
            time.sleep(0.1)
            said = in_child(lambda: client.embed([TEXT], deadline=5).tolist() == [vector(TEXT)])
            assert said == "True"
            for call in calls:
                assert call.result().tolist() == [vector(text) for text in TEXTS]
        client.close()


def test_e7_a_pickled_client_takes_its_settings_but_not_the_key(monkeypatch):
    with no_leaks(), FaultServer() as server, client_of(server) as client:
        client.embed([TEXT])
        data = pickle.dumps(client)
        assert KEY.encode() not in data
        with pickle.loads(data) as copy:
            assert copy.settings.base_url == server.url
            with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
                copy.embed([TEXT])
            monkeypatch.setenv("OPENROUTER_API_KEY", "another-key")
            copy.embed([TEXT])
        assert server.hits[-1].headers["authorization"] == "Bearer another-key"
        assert server.connections == 2


# ---------------------------------------------------------------------- threads


def test_e8_thirty_two_threads_share_a_client():
    with no_leaks(), FaultServer() as server, no_backoff():
        flaky = [good()]
        server.script = [
            [send(response(error_body(503), 503))] if n % 7 == 0 else flaky for n in range(400)
        ]
        client = client_of(server, max_retries=8, max_concurrency=8)

        def some(name):
            for n in range(8):
                texts = [f"{name} {n} {k}" for k in range(3)]
                assert client.embed(texts).tolist() == [vector(text) for text in texts]

        with ThreadPoolExecutor(32) as pool:
            list(pool.map(some, range(32)))
        pacer = client._engine.pacer
        assert pacer.in_flight == 0
        assert 0 <= pacer.budget.tokens <= pacer.budget.capacity
        client.close()


# ---------------------------------------------------------------------- closing


@pytest.mark.parametrize("shell", SHELLS)
def test_e9_closing_twice_is_harmless_and_use_after_it_an_error(shell):
    with no_leaks(), FaultServer() as server:
        client = Client(shell, base_url=server.url)
        client.embed([TEXT])
        client.close() if shell == "requests" else client.run(client.client.aclose())
        with pytest.raises(ClientClosedError):
            client.embed([TEXT])
        client.close()


def test_e9_closing_closes_idle_connections_that_something_still_refers_to():
    with no_leaks(), FaultServer() as server:
        client = client_of(server)
        client.embed([TEXT])
        manager = client._engine.connections.requests._own.get_adapter(server.url).poolmanager
        pool = manager.connection_from_url(server.url)
        client.close()
        assert pool.pool is None


def test_e9_closing_during_a_call_ends_it():
    with no_leaks(), FaultServer([[stall]]) as server:
        client = client_of(server)
        threading.Timer(0.15, client.close).start()
        began = time.monotonic()
        with pytest.raises(ClientClosedError):
            client.embed(TEXTS, **SINGLE)
        assert time.monotonic() - began < 0.15 + slack()


def test_e9_closing_during_an_asynchronous_call_ends_it():
    async def main(server):
        client = client_of(server, AsyncEmbeddingClient)
        call = asyncio.create_task(client.embed(TEXTS, **SINGLE))
        await asyncio.sleep(0.15)
        began = time.monotonic()
        await client.aclose()
        with pytest.raises(ClientClosedError):
            await call
        assert time.monotonic() - began < slack()
        await no_tasks()

    with no_leaks(), FaultServer([[stall]]) as server:
        run_loop(lambda: main(server))


def test_e9_closing_does_not_wait_long_for_threads_that_hang():
    """A name that takes for ever to resolve cannot be hurried, nor may it hold closing up."""
    release = threading.Event()

    def hang(*_, **__):
        release.wait(20)
        raise OSError

    with no_leaks():
        with (
            mock.patch("socket.getaddrinfo", hang),
            mock.patch("openrouter_embed.workers.JOIN_SECONDS", 0.2),
        ):
            client = EmbeddingClient(**DEFAULTS, base_url="https://slow.invalid/v1")
            with suppress(Exception):
                client.embed(TEXTS, deadline=0.2, **SINGLE)
            began = time.monotonic()
            client.close()
            assert time.monotonic() - began < 0.2 + slack()
        release.set()


# ---------------------------------------------------------------------- forgetting

SCRIPT = """
import asyncio, sys, threading, time, warnings
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
options = dict(model="acme/embed", api_key="k", base_url=sys.argv[1], max_batch_inputs=1)
texts = [f"text {n}" for n in range(4)]
"""
ENDINGS = {
    "a finished client": "EmbeddingClient(**options).embed(texts[:1])",
    "a call in a thread": """
client = EmbeddingClient(**options)
threading.Thread(target=client.embed, args=(texts,), daemon=True).start()
time.sleep(0.3)
""",
    "an asynchronous client": "asyncio.run(AsyncEmbeddingClient(**options).embed(texts[:1]))",
    "a task": """
async def main():
    asyncio.create_task(AsyncEmbeddingClient(**options).embed(texts))
    await asyncio.sleep(0.3)
asyncio.run(main())
""",
    "a reference cycle": """
client = EmbeddingClient(**options)
client.embed(texts[:1])
client.me = client
del client
""",
}


SIMILAR = ("an asynchronous client", "a reference cycle")
"""The same end of a program as those beside it."""


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(ending, id=name, marks=pytest.mark.slow if name in SIMILAR else ())
        for name, ending in ENDINGS.items()
    ],
)
def test_e10_a_program_ends_silently_with_work_in_flight(ending):
    act = [stall] if "texts)" in ending or "texts,)" in ending else [good()]
    with FaultServer([act]) as server:
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", SCRIPT + ending, server.url],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_e10_a_forgotten_client_is_collected_with_its_connections():
    with no_leaks(), FaultServer() as server:
        client = client_of(server)
        client.embed([TEXT])
        engine = weakref.ref(client._engine)
        del client
        gc.collect()
        assert engine() is None


def test_a_failed_request_is_not_kept_alive_by_its_exception():
    """Tracebacks form cycles, which would keep texts and key until the garbage collector comes."""
    gc.collect()
    gc.disable()
    try:
        with FaultServer([[fin]]) as server, client_of(server, max_retries=0) as client:
            with suppress(TransportError):
                client.embed([TEXT])
            kept = [o for o in gc.get_objects() if isinstance(o, requests.PreparedRequest)]
    finally:
        gc.enable()
    assert kept == []


# ---------------------------------------------------------------------- the caller's own things


def test_e11_the_callers_session_is_neither_closed_nor_changed():
    with FaultServer() as server, requests.Session() as session:
        session.headers["X-Mine"] = "yes"
        session.auth = ("someone", "secret")
        before = (dict(session.headers), session.auth, dict(session.hooks), dict(session.adapters))
        for _ in range(2):
            with client_of(server, session=session) as client:
                assert client.embed([TEXT]).tolist() == [vector(TEXT)]
        after = (dict(session.headers), session.auth, dict(session.hooks), dict(session.adapters))
        assert after == before
        assert server.hits[0].headers["authorization"] == f"Bearer {KEY}"
        assert server.connections == 1  # the first client did not close it


def test_e11_an_adapter_that_retries_by_itself_is_refused():
    with FaultServer() as server, requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=3))
        client = client_of(server, session=session)
        with client, pytest.raises(ConfigurationError, match="max_retries=0"):
            client.embed([TEXT])
        assert server.hits == []


def test_e11_an_exception_of_the_callers_adapter_shows_only_its_type_and_place():
    class Broken(HTTPAdapter):
        def send(self, request, **_):
            raise ZeroDivisionError(str(request.headers) + str(request.body))

    with requests.Session() as session:
        session.mount("http://", Broken())
        seen = run("requests", [TEXT], {"base_url": "http://127.0.0.1:9/v1", "session": session})
    assert type(seen.error) is ConfigurationError
    assert "ZeroDivisionError in test_fault_lifecycle.py" in str(seen.error)


def test_e12_the_synchronous_client_works_inside_a_running_loop():
    async def main(server):
        with client_of(server) as client:
            return client.embed([TEXT]).tolist()

    with no_leaks(), FaultServer() as server:
        assert run_loop(lambda: main(server)) == [vector(TEXT)]


@pytest.mark.parametrize("shell", SHELLS)
def test_e13_one_failing_request_ends_the_others_in_good_order(shell):
    """Those in flight may finish, nothing new is sent, and what arrived comes with the error."""

    def answer(wire):
        if "text 0" in wire.hit.inputs:
            wire.send(response(error_body(501), 501))
        else:
            wire.pause(0.1)
            good()(wire)

    options = {"max_batch_inputs": 1, "max_concurrency": 4}
    with FaultServer([[answer]]) as server:
        seen = run(shell, TEXTS, {"base_url": server.url, **options})
        assert type(seen.error) is ServerError
        assert len(server.hits) == 4
        assert seen.error.result.ok.tolist() == [False, True, True, True] + [False] * 16
        assert sorted(seen.error.result.failures) == [0, *range(4, 20)]


def test_e14_the_package_works_without_assertions():
    """`python -O`: no check of ours may stand in an `assert`."""
    code = SCRIPT + "print(EmbeddingClient(**options).embed(texts).vectors.shape)"
    with FaultServer() as server:
        done = subprocess.run(
            [sys.executable, "-O", "-c", code, server.url],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.stdout, done.stderr) == ("(4, 4)\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_e15_ten_thousand_calls_leave_everything_flat(shell):
    import psutil

    me = psutil.Process()
    with no_leaks(), FaultServer() as server, Client(shell, base_url=server.url) as client:
        for n in range(200):
            client.embed([f"text {n}"])
        before = (me.num_fds(), threading.active_count(), me.memory_info().rss)
        for n in range(10_000):
            server.hits.clear()
            client.embed([f"text {n}"])
        after = (me.num_fds(), threading.active_count(), me.memory_info().rss)
    assert after[0] == before[0]
    assert after[1] <= before[1] + 1  # one thread may still be finishing as the next call begins
    assert after[2] - before[2] < 8 * 1024 * 1024
