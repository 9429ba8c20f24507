"""Requests sent in the caller's own thread: when that happens, and that nothing gets worse by it.

Rules of this file:
- A client is warm when one call has left it an open connection; only then anything is in place.
- Whether something was in place is seen by what is handed to worker threads, never by time.
"""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from unittest import mock

import pytest
import requests
import trustme
import urllib3
from fault_cases import CASES, FULL
from fault_harness import (
    KEY,
    SHELLS,
    TEXT,
    Client,
    Seen,
    check_secrets,
    no_backoff,
    no_leaks,
    run,
    slack,
    watched,
)
from fault_server import (
    CHUNKED,
    FaultServer,
    ProxyServer,
    answer,
    chunk,
    drip,
    endless,
    error_body,
    fin,
    good,
    response,
    rst,
    send,
    stall,
    vector,
)
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from openrouter_embed.errors import (
    ClientClosedError,
    DeadlineExceededError,
    EmbeddingError,
    TransportError,
)
from openrouter_embed.shells import requests_shell

AUTHORITY = trustme.CA()


def transport_of(client):
    return client.client._engine.requests


@contextlib.contextmanager
def warm(*acts, server=None, **options):
    """A server that answers once and then does as told, and a client with an open connection."""
    server = server or FaultServer([[good()], *(acts or [[good()]])])
    options = {"base_url": server.url, **options}
    with no_leaks(), server, Client("requests", **options) as client:
        client.embed(["something to warm up on"])
        yield server, client


@contextlib.contextmanager
def counted(client):
    """Count what is handed to worker threads."""
    workers = transport_of(client).workers
    with mock.patch.object(workers, "submit", wraps=workers.submit) as submit:
        yield submit


@contextlib.contextmanager
def all_in_place(client):
    """Demand that nothing is handed to a worker thread."""
    with counted(client) as submit:
        yield
    assert submit.call_count == 0


# ---------------------------------------------------------------------- when


def test_the_first_call_is_made_by_a_worker():
    """Opening a connection can take any time, which looking up the name alone can."""
    with FaultServer() as server, Client("requests", base_url=server.url) as client:
        with counted(client) as submit:
            client.embed([TEXT])
        assert submit.call_count == 1


def test_a_second_call_starts_no_thread_and_hands_nothing_to_one():
    with warm() as (server, client), all_in_place(client):
        threads = set(threading.enumerate())
        for text in ("second", "third"):
            assert client.embed([text]).tolist() == [vector(text)]
            assert client.client.embed_query(text) == vector(text)
        assert {t for t in threading.enumerate() if t.name != "fault-server"} <= threads
        assert server.connections == 1


class Limiter:
    """Lets everything pass; asked while `active`."""

    def __init__(self, *, active=True):
        self.active = active
        self.asked = 0

    def acquire(self, tokens):
        self.asked += 1

    async def aacquire(self, tokens):
        self.asked += 1


TO_WORKERS = {
    "a callable key": ({"api_key": lambda: KEY}, [TEXT], 1),
    "a limiter": ({"limiter": Limiter()}, [TEXT], 1),
    "a limiter and a deadline": ({"limiter": Limiter(), "deadline": 5.0}, [TEXT], 1),
    "two requests": ({"max_batch_inputs": 1}, ["one", "two"], 2),
}


@pytest.mark.parametrize(("options", "texts", "count"), TO_WORKERS.values(), ids=TO_WORKERS.keys())
def test_whatever_could_hold_the_caller_is_left_to_workers(options, texts, count):
    with warm(**options) as (_, client), counted(client) as submit:
        assert client.embed(texts).tolist() == [vector(text) for text in texts]
        assert submit.call_count == count


def test_a_session_of_the_users_is_left_to_workers():
    with FaultServer() as server, requests.Session() as session:
        with Client("requests", base_url=server.url, session=session) as client:
            client.embed(["first"])
            with counted(client) as submit:
                client.embed([TEXT])
        assert (submit.call_count, server.connections) == (1, 1)


def test_an_inactive_limiter_keeps_nobody_from_sending_in_place():
    limiter = Limiter(active=False)
    with warm(limiter=limiter) as (_, client), all_in_place(client):
        client.embed([TEXT])
    assert limiter.asked == 0


def test_what_is_left_of_a_larger_job_goes_in_place():
    """Two requests, one refused at first: when it is sent again nothing else is to be done."""
    refusal = send(response(error_body(503), 503))
    options = {"max_batch_inputs": 1, "max_concurrency": 1}
    with no_backoff(), warm([refusal], [good()], **options) as (server, client):
        with counted(client) as submit:
            assert client.embed(["one", "two"]).tolist() == [vector("one"), vector("two")]
        assert len(server.hits) == 4
        assert submit.call_count < 3


# ---------------------------------------------------------------------- time

SLOW = {
    "nothing": [stall],
    "half a head": [send(FULL[:25]), stall],
    "half a body": [send(FULL[:-20]), stall],
    "nothing after the head": [send(FULL[:100]), stall],
    "a dripped head": [drip(FULL, 0.05)],
    "a dripped body": [send(FULL[:100]), drip(FULL[100:], 0.05)],
    "dripped chunks": [send(CHUNKED), drip(chunk(b" ") * 100, 0.05, size=6)],
    "a dripped chunk size": [send(CHUNKED), drip(b"0" * 15 + b"1;" + b"x" * 99, 0.05)],
    "dripped interim answers": [drip(b"HTTP/1.1 103 Wait\r\n\r\n" * 100, 0.05, size=21)],
    "endless interim answers": [endless(b"HTTP/1.1 103 Wait\r\n\r\n" * 100)],
    "dripped empty lines": [drip(b"\r\n" * 1000, 0.02, size=2)],
    "dripped until the close": [send("HTTP/1.1 200 OK\r\n\r\n"), drip(b" " * 1000, 0.05)],
}
LIMITS = {
    "timeout": ({"timeout": 0.2, "max_retries": 0}, TransportError),
    "deadline": ({"deadline": 0.2}, DeadlineExceededError),
}


@pytest.mark.parametrize("act", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize(("options", "kind"), LIMITS.values(), ids=LIMITS.keys())
def test_time_holds_whatever_the_server_drips(act, options, kind):
    with warm(act) as (_, client), all_in_place(client):
        began = time.monotonic()
        with pytest.raises(EmbeddingError) as caught:
            client.embed([TEXT], **options)
        assert 0.15 < time.monotonic() - began < 0.2 + slack()
        assert type(caught.value) is kind
        assert caught.value.attempts == 1
        assert client.pacer.in_flight == 0


class NotReading(FaultServer):
    """Answers one request; of the others it reads a few bytes now and then."""

    def __init__(self, *, size=0, every=0.0, **options):
        super().__init__(**options)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._size, self._every = size, every

    def serve(self, wire):
        wire.hit, _ = self.read_request(wire, b"")
        good()(wire)
        while not self.stopping.wait(self._every or 60):
            left = self._size
            while left > 0 and (piece := wire.sock.recv(left)):
                left -= len(piece)


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "authority.pem"
    path.write_bytes(AUTHORITY.cert_pem.bytes())
    return str(path)


LARGE = {"input_type": None, "timeout": 0.4, "max_retries": 0}
READERS = {"nothing": {}, "a little now and then": {"size": 300_000, "every": 0.05}}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_time_holds_whatever_the_server_reads(reader, encrypted, bundle):
    server = NotReading(**reader, tls=server_context() if encrypted else None)
    with warm(server=server, ca_bundle=bundle) as (_, client), all_in_place(client):
        began = time.monotonic()
        with pytest.raises(TransportError) as caught:
            client.embed(["x" * 9_000_000], **LARGE)
        assert 0.35 < time.monotonic() - began < 0.4 + 2 * slack()
        assert caught.value.kind == "timeout"


@pytest.mark.parametrize("place", ["cold", "warm"])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_body_may_take_longer_than_connecting(shell, place):
    """The time for connecting once was the time for sending, too."""

    def pausing(wire):
        wire.pause(0.7)

    with contextlib.ExitStack() as stack:
        for name in ("connections", "aiohttp_shell"):
            target = f"openrouter_embed.shells.{name}.CONNECT_TIMEOUT"
            stack.enter_context(mock.patch(target, 0.3))
        on_accept = [pausing] if place == "cold" else []
        server = FaultServer([[good(), pausing], [good()]], on_accept=on_accept)
        server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stack.enter_context(no_leaks())
        stack.enter_context(server)
        client = stack.enter_context(Client(shell, base_url=server.url, max_retries=0))
        if place == "warm":
            client.embed(["something to warm up on"])
        text = "x" * 9_000_000
        began = time.monotonic()
        assert client.embed([text], timeout=5, input_type=None).tolist() == [vector(text)]
        assert time.monotonic() - began > 0.6


def test_an_answer_is_kept_even_if_the_time_is_just_over():
    """It is paid for. Only what did not arrive is a timeout."""
    with warm() as (_, client), all_in_place(client):
        transport = transport_of(client)
        real, late = transport.send, []

        def tardy(attempt):
            outcome = real(attempt)
            time.sleep(max(0.0, attempt.until - time.monotonic()) + 0.01)
            late.append(time.monotonic() - attempt.until)
            return outcome

        with mock.patch.object(transport, "send", tardy):
            for limit in ({"timeout": 0.2}, {"deadline": 0.2}):
                assert client.embed([TEXT], max_retries=0, **limit).tolist() == [vector(TEXT)]
        assert len(late) == 2
        assert min(late) > 0


# ---------------------------------------------------------------------- the same errors


def second_call(way, act, inputs=(TEXT,), call=None, **options):
    """Make a call on a client that is warm; say what a user sees of it."""
    seen = Seen(way)
    shell = "aiohttp" if way == "aiohttp" else "requests"
    script = [[good()], *act]
    server = FaultServer(script)
    options = {"base_url": server.url, **options}
    with no_leaks(), no_backoff(), server, watched(seen), Client(shell, **options) as client:
        client.embed(["warm" for _ in inputs])
        if way == "threaded":
            transport_of(client).may_block_caller = False
        try:
            seen.result = client.embed(list(inputs), **(call or {}))
        except EmbeddingError as error:
            seen.error = error
    check_secrets(seen)
    return seen, [hit.body for hit in server.hits]


@pytest.mark.parametrize("name", ["nothing", "half a head", "a dripped body"])
@pytest.mark.parametrize("options", [row[0] for row in LIMITS.values()], ids=LIMITS.keys())
def test_a_slow_server_is_the_same_error_every_way(name, options):
    act = SLOW[name]
    seen = [second_call(way, [act], call=options) for way in ("in place", "threaded", "aiohttp")]
    with FaultServer([act]) as server:
        cold = run("requests", [TEXT], {"base_url": server.url}, **options)
    assert len({one.public for one, _ in seen} | {cold.public}) == 1


WARM_CASES = [case for case in CASES if not case.on_accept and case.script]


@pytest.mark.slow
@pytest.mark.parametrize("case", WARM_CASES, ids=[case.id for case in WARM_CASES])
def test_a_fault_is_the_same_in_place_and_in_threads(case):
    one, two = (
        second_call(way, case.script, case.inputs, case.call, **case.options)
        for way in ("in place", "threaded")
    )
    assert one[0].public == two[0].public
    assert one[1] == two[1]


# ---------------------------------------------------------------------- ending it

STAGES = {
    "head": [stall],
    "half a head": [send(FULL[:25]), stall],
    "body": [send(FULL[:150]), stall],
    "dripping": [send(FULL[:100]), drip(FULL[100:], 0.02)],
}
staged = pytest.mark.parametrize("act", STAGES.values(), ids=STAGES.keys())


def soon_after_arrival(server, count, action):
    """Act a moment after request number `count` arrived; return the thread and when it acted."""
    acted = []

    def work():
        while len(server.hits) < count:
            time.sleep(0.005)
        time.sleep(0.05)
        acted.append(time.monotonic())
        action()

    thread = threading.Thread(target=work, name="acting")
    thread.start()
    return thread, acted


@staged
@pytest.mark.parametrize("retries", [0, 2])
def test_closing_ends_a_call_that_is_sent_in_place(act, retries):
    """And always as what it is: not as the connection that was lost by it."""
    with warm(act) as (server, client), all_in_place(client):
        thread, acted = soon_after_arrival(server, 2, client.close)
        with pytest.raises(ClientClosedError):
            client.embed([TEXT], max_retries=retries)
        assert time.monotonic() - acted[0] < slack()
        thread.join()
        assert len(server.hits) == 2


@staged
def test_ctrl_c_ends_a_call_that_is_sent_in_place(act):
    main = threading.main_thread().ident
    with warm(act, [good()]) as (server, client):
        with all_in_place(client):
            thread, acted = soon_after_arrival(
                server, 2, lambda: signal.pthread_kill(main, signal.SIGINT)
            )
            with pytest.raises(KeyboardInterrupt):
                client.embed([TEXT])
            assert time.monotonic() - acted[0] < slack()
            thread.join()
        assert client.pacer.in_flight == 0
        assert client.embed(["after"]).tolist() == [vector("after")]
        assert [hit.connection for hit in server.hits] == [0, 0, 1]


def test_a_call_within_a_signals_handler_leaves_the_time_of_the_other_alone():
    """It comes while the outer one is being sent, in the same thread, by another connection."""

    def pausing(wire):
        wire.pause(0.4)

    server = FaultServer([[good(), pausing], [good()], [drip(FULL, 0.05)]])
    server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    inner = []
    with warm(server=server) as (_, client):
        before = signal.signal(
            signal.SIGALRM, lambda *_: inner.append(client.embed(["inner"]).tolist())
        )
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.15)
            began = time.monotonic()
            with pytest.raises(TransportError) as caught:
                client.embed(["x" * 9_000_000], input_type=None, timeout=0.8, max_retries=0)
            assert time.monotonic() - began < 0.8 + 2 * slack()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert caught.value.kind == "timeout"
        assert inner == [[vector("inner")]]


# ---------------------------------------------------------------------- stale, and again


def test_a_connection_closed_while_idle_is_replaced():
    with no_leaks(), FaultServer([[good(), fin], [good()]]) as server:
        with Client("requests", base_url=server.url, max_retries=0) as client:
            client.embed(["first"])
            time.sleep(0.05)  # the close has arrived, so that the connection is known to be dead
            result = client.embed([TEXT])
        assert result.tolist() == [vector(TEXT)]
        assert result.usage.total_tokens == 1
        assert [hit.inputs for hit in server.hits] == [["first"], [TEXT]]


@pytest.mark.parametrize("end", [fin, rst])
def test_a_close_that_crosses_the_request_costs_one_resend_and_is_billed_once(end):
    with warm([end], [good()], max_retries=0) as (server, client):
        result = client.embed([TEXT])
        assert result.tolist() == [vector(TEXT)]
        assert result.usage.total_tokens == 1
        assert client.client.usage.total_tokens == 2
        assert [hit.connection for hit in server.hits] == [0, 0, 1]


def test_retries_in_place_are_made_and_counted():
    refusal = send(response(error_body(503), 503))
    with no_backoff(), warm([refusal], [refusal], [good()]) as (server, client):
        with all_in_place(client):
            result = client.embed([TEXT])
        assert result.tolist() == [vector(TEXT)]
        sent = [hit.headers["x-openrouter-embed-attempt"] for hit in server.hits]
        assert sent == ["1", "1", "2", "3"]
        assert server.connections == 1


def test_retries_in_place_come_to_an_end():
    refusal = send(response(error_body(503), 503))
    with no_backoff(), warm([refusal]) as (server, client):
        with all_in_place(client), pytest.raises(EmbeddingError) as caught:
            client.embed([TEXT])
        assert caught.value.attempts == 3
        assert len(server.hits) == 4


# ---------------------------------------------------------------------- encrypted, by proxy


def test_an_encrypted_connection_is_used_in_place(bundle):
    server = FaultServer(tls=server_context())
    with warm(server=server, ca_bundle=bundle) as (_, client), all_in_place(client):
        assert client.embed([TEXT]).tolist() == [vector(TEXT)]
        assert server.connections == 1


class KeepingProxy(ProxyServer):
    """A proxy that forwards, and keeps its connections."""

    serve = FaultServer.serve


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a_forwarding_proxy_is_used_in_place(no_proxies):
    with KeepingProxy() as proxy:
        options = {"base_url": "http://127.0.0.2:9/v1", "proxy": proxy.proxy_url}
        with Client("requests", **options) as client:
            client.embed(["first"])
            with all_in_place(client):
                assert client.embed([TEXT]).tolist() == [vector(TEXT)]
        assert {hit.line for hit in proxy.hits} == {
            "POST http://127.0.0.2:9/v1/embeddings HTTP/1.1"
        }
        assert proxy.connections == 1


def test_a_tunnel_is_used_in_place(no_proxies, bundle):
    with FaultServer(tls=server_context()) as server, ProxyServer() as proxy:
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        with Client("requests", **options) as client:
            client.embed(["first"])
            with all_in_place(client):
                assert client.embed([TEXT]).tolist() == [vector(TEXT)]
        assert (len(proxy.hits), len(server.hits)) == (1, 2)


def test_time_holds_in_a_tunnel(no_proxies, bundle):
    script = [[good()], [drip(FULL, 0.05)]]
    with FaultServer(script, tls=server_context()) as server, ProxyServer() as proxy:
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        with Client("requests", **options) as client:
            client.embed(["first"])
            began = time.monotonic()
            with all_in_place(client), pytest.raises(DeadlineExceededError):
                client.embed([TEXT], deadline=0.3)
            assert time.monotonic() - began < 0.3 + slack()


@pytest.mark.parametrize("act", [[fin], [send(b"junk\r\n\r\n"), fin]], ids=["silent", "junk"])
def test_a_proxy_that_opens_no_tunnel_is_the_same_error_in_both_shells(act, no_proxies):
    seen = []
    for shell in SHELLS:
        with FaultServer([act]) as proxy, no_backoff():
            url = proxy.url.removesuffix("/v1")
            seen.append(run(shell, [TEXT], {"base_url": "https://127.0.0.1:9/v1", "proxy": url}))
    assert [type(one.error) for one in seen] == [TransportError] * 2
    assert seen[0].public == seen[1].public


def test_tls_within_tls_is_left_to_workers(no_proxies, bundle):
    """urllib3 makes one read of it out of several, each of which would have the whole time."""
    with FaultServer(tls=server_context()) as server:
        with ProxyServer(tls=server_context()) as proxy:
            url = proxy.proxy_url.replace("http:", "https:")
            options = {"base_url": server.url, "proxy": url, "ca_bundle": bundle}
            with Client("requests", **options) as client, counted(client) as submit:
                for text in ("first", "second"):
                    assert client.embed([text]).tolist() == [vector(text)]
            assert submit.call_count == 2
        assert server.connections == 1


# ---------------------------------------------------------------------- other people's tools


def mocked(adapter, request, **options):
    made = requests.Response()
    made.raw = mock.Mock(spec=["read", "close", "status", "headers"])
    made.raw.status = 200
    made.raw.headers = {"Content-Type": "application/json"}
    body = requests.compat.json.dumps(answer(["mocked"])).encode()
    made.raw.read.side_effect = [body, b""]
    return made


def test_a_library_that_replaces_requests_send_is_obeyed(monkeypatch):
    with FaultServer() as server, Client("requests", base_url=server.url) as client:
        monkeypatch.setattr(HTTPAdapter, "send", mocked)
        for _ in range(2):
            assert client.embed([TEXT]).tolist() == [vector("mocked")]
        assert server.connections == 0
        monkeypatch.undo()
        assert client.embed([TEXT]).tolist() == [vector(TEXT)]


FIRST = """
import sys
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
real = HTTPAdapter.send
def refuse(*_, **__):
    raise ConnectionResetError
HTTPAdapter.send = refuse
from openrouter_embed import EmbeddingClient, TransportError
client = EmbeddingClient("acme/embed", api_key="k", base_url=sys.argv[1], max_retries=0)
try:
    client.embed(["text"])
except TransportError as error:
    print(error.kind)
HTTPAdapter.send = real
print(client.embed(["text"]).vectors.shape)
"""


def test_it_is_obeyed_even_if_it_came_before_our_shell():
    """The shell is loaded by the first call, which in a test is within the mock."""
    with FaultServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", FIRST, server.url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.stdout, done.stderr) == ("reset\n(1, 4)\n", "")
        assert server.connections == 1


def test_a_tool_that_only_looks_on_changes_nothing(monkeypatch, no_proxies, bundle):
    """Certificates, proxy and time are still ours: a mock library may let requests pass."""
    real, seen = HTTPAdapter.send, []

    def looking(self, request, **options):
        seen.append(options["timeout"])
        return real(self, request, **options)

    monkeypatch.setattr(HTTPAdapter, "send", looking)
    script = [[good()], [good()], [stall]]
    with no_leaks(), FaultServer(script, tls=server_context()) as server, ProxyServer() as proxy:
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        with Client("requests", **options) as client:
            client.embed(["first"])
            with all_in_place(client):
                assert client.embed([TEXT]).tolist() == [vector(TEXT)]
                with pytest.raises(DeadlineExceededError):
                    client.embed([TEXT], deadline=0.2)
            certificates = transport_of(client)._route.tls().cert_store_stats()
        assert certificates["x509"] == 1  # those of `ca_bundle`, and no others beside them
        assert server.connections == proxy.connections == 1
    assert len(seen) == 4  # one of them found no open connection


def test_a_header_that_a_tracing_tool_adds_is_sent(monkeypatch):
    real = http.client.HTTPConnection.putrequest

    def tracing(self, method, url, *args, **options):
        real(self, method, url, *args, **options)
        self.putheader("sentry-trace", "abc-1")

    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", tracing)
    with warm() as (server, client), all_in_place(client):
        client.embed([TEXT])
        assert [hit.headers["sentry-trace"] for hit in server.hits] == ["abc-1"] * 2
        assert [hit.headers["authorization"] for hit in server.hits] == [f"Bearer {KEY}"] * 2


def test_a_request_travels_in_one_write(monkeypatch):
    """Two writes of a small request can cost a delayed acknowledgement, some 40 milliseconds."""
    with warm() as (_, client), all_in_place(client):
        sent = []
        real = http.client.HTTPConnection.send
        monkeypatch.setattr(
            http.client.HTTPConnection,
            "send",
            lambda self, data: (sent.append(bytes(data)), real(self, data)),
        )
        client.embed([TEXT])
    assert len(sent) == 1
    assert sent[0].startswith(b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1")
    assert sent[0].count(b"\r\n\r\n") == 1


def test_nothing_is_in_flight_in_place_once_a_call_is_over():
    with warm() as (_, client):
        boxes = []
        real = requests_shell.Inbox.send_in_place

        def noting(self, *args):
            boxes.append(self)
            return real(self, *args)

        with mock.patch.object(requests_shell.Inbox, "send_in_place", noting):
            client.embed([TEXT])
        assert [box._in_place for box in boxes] == [None]


class Elsewhere(HTTPConnection):
    """Stands for the class that a cassette puts in the place of urllib3's."""

    opened = 0

    def connect(self):
        type(self).opened += 1
        super().connect()


def test_a_recorder_that_begins_gets_connections_of_its_own_and_leaves_none(monkeypatch):
    monkeypatch.setattr(Elsewhere, "opened", 0)
    with warm([good()], [good()], [good()]) as (server, client):
        with monkeypatch.context() as patched:
            patched.setattr(urllib3.HTTPConnectionPool, "ConnectionCls", Elsewhere)
            client.embed([TEXT])
            client.embed([TEXT])
        assert (Elsewhere.opened, server.connections) == (1, 2)
        client.embed([TEXT])
        assert (Elsewhere.opened, server.connections) == (1, 3)


def test_a_tracing_tool_around_urlopen_sees_every_request(monkeypatch):
    seen = []
    plain = urllib3.HTTPConnectionPool.urlopen

    def traced(pool, method, url, *args, **more):
        seen.append((method, url))
        return plain(pool, method, url, *args, **more)

    with warm() as (_, client), all_in_place(client):
        monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", traced)
        client.embed([TEXT])
    assert seen == [("POST", "/v1/embeddings")]
