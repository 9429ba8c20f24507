"""The synchronous shell alone: what its sockets and pools do while another thread keeps time."""

from __future__ import annotations

import http.client
import pathlib
import re
import socket
import ssl
import threading
import time
from unittest import mock

import pytest
import requests
import trustme
import urllib3
from fault_cases import FULL
from fault_harness import DEFAULTS, SHELLS, TEXT, Client, no_backoff, no_leaks, run, slack
from fault_server import (
    CHUNKED,
    WIDTH,
    FaultServer,
    ProxyServer,
    chunk,
    drip,
    endless,
    fin,
    good,
    send,
    stall,
    vector,
)
from urllib3.connection import HTTPConnection

from openrouter_embed import EmbeddingClient
from openrouter_embed.errors import ClientClosedError, DeadlineExceededError, TransportError
from openrouter_embed.shells import attempt, requests_shell
from openrouter_embed.shells.attempt import Attempt

AUTHORITY = trustme.CA()


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "authority.pem"
    path.write_bytes(AUTHORITY.cert_pem.bytes())
    return str(path)


def server_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


# ---------------------------------------------------------------------- one road


def test_every_request_goes_through_session_send(monkeypatch):
    """With our session and the caller's alike, and in the same way."""
    real, seen = requests.Session.send, []

    def looking(self, request, **options):
        kept = {name: options[name] for name in ("stream", "allow_redirects")}
        seen.append((request.method, request.url, kept, threading.current_thread()))
        return real(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", looking)
    with FaultServer() as server, requests.Session() as session:
        for own in (None, session):
            with Client("requests", base_url=server.url, session=own) as client:
                for _ in range(2):
                    client.embed([TEXT])
        url = f"{server.url}/embeddings"
    assert [one[:3] for one in seen] == [
        ("POST", url, {"stream": True, "allow_redirects": False})
    ] * 4
    assert threading.main_thread() not in {one[3] for one in seen}


def test_the_private_name_of_urllib3_is_still_called_between_connecting_and_sending(monkeypatch):
    """If it goes away nothing can be ended from outside: then this fails, and not in silence."""
    calls = []
    real = HTTPConnection.request
    monkeypatch.setattr(
        HTTPConnection, "request", lambda *args, **more: (calls.append("send"), real(*args, **more))
    )
    plain = urllib3.HTTPConnectionPool._validate_conn
    monkeypatch.setattr(
        urllib3.HTTPConnectionPool,
        "_validate_conn",
        lambda pool, conn: (calls.append("validate"), plain(pool, conn)),
    )
    with FaultServer() as server, Client("requests", base_url=server.url) as client:
        client.embed([TEXT])
    assert calls == ["validate", "send"]


def test_no_other_private_name_of_a_library_is_used():
    """The names that our classes define or call with one underscore are ours, but for this one."""
    libraries = (
        http.client.HTTPConnection, http.client.HTTPResponse, HTTPConnection,
        urllib3.HTTPSConnectionPool, urllib3.HTTPResponse, urllib3.PoolManager,
        requests.Session, requests.adapters.HTTPAdapter, requests.PreparedRequest,
    )  # fmt: skip
    theirs = {name for kind in libraries for name in dir(kind) if re.match(r"_[a-z]", name)}
    used = set()
    for module in (attempt, requests_shell):
        code = pathlib.Path(module.__file__).read_text(encoding="utf-8")
        used |= set(re.findall(r"(?:\.|def )(_[a-z]\w*)", code))
    assert used & theirs == {"_validate_conn"}


HOLES = {
    "an interim answer": [send("HTTP/1.1 103 Wait\r\n\r\n"), good()],
    "a redirect without an end": [
        send(CHUNKED.replace(b"200 OK", b"302 Found\r\nLocation: /elsewhere")),
        endless(chunk(b" " * 4096)),
    ],
}


@pytest.mark.parametrize("act", HOLES.values(), ids=HOLES.keys())
def test_a_session_of_the_callers_has_no_hole_that_ours_has_not(act):
    with FaultServer([act, [good()]]) as server, requests.Session() as session:
        options = {"base_url": server.url, "session": session, "dimensions": WIDTH}
        with Client("requests", **options) as client:
            with pytest.raises(TransportError):
                client.embed([TEXT])
            assert client.embed(["another"]).tolist() == [vector("another")]
        assert len(server.hits) == 2


# ---------------------------------------------------------------------- time


class NotReading(FaultServer):
    """Of a request it reads the head, and of the body a few bytes now and then."""

    def __init__(self, *, size=0, every=0.0, **options):
        super().__init__(**options)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self._size, self._every = size, every

    def serve(self, wire):
        while not self.stopping.wait(self._every or 60):
            left = self._size
            while left > 0 and (piece := wire.sock.recv(left)):
                left -= len(piece)


READERS = {"nothing": {}, "a little now and then": {"size": 300_000, "every": 0.05}}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_b6_time_holds_whatever_the_server_reads(reader, encrypted, bundle):
    server = NotReading(**reader, tls=server_context() if encrypted else None)
    options = {"timeout": 0.4, "max_retries": 0, "input_type": None}
    with no_leaks(), server:
        client = Client("requests", base_url=server.url, ca_bundle=bundle)
        began = time.monotonic()
        with client, pytest.raises(TransportError) as caught:
            client.embed(["x" * 9_000_000], **options)
    assert caught.value.kind == "timeout"
    assert 0.35 < time.monotonic() - began < 0.6 + 2 * slack()


@pytest.mark.parametrize("shell", SHELLS)
def test_b6_a_body_may_take_longer_than_connecting(shell):
    """Of itself urllib3 allows sending no more time than connecting."""

    def pausing(wire):
        wire.pause(0.4)

    server = FaultServer(on_accept=[pausing])
    server._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    name = "requests_shell" if shell == "requests" else "aiohttp_shell"
    text = "x" * 6_000_000
    with mock.patch(f"openrouter_embed.shells.{name}.CONNECT_TIMEOUT", 0.15), no_leaks(), server:
        client = Client(shell, base_url=server.url, max_retries=0)
        began = time.monotonic()
        with client:
            assert client.embed([text], timeout=30, input_type=None).tolist() == [vector(text)]
    assert time.monotonic() - began > 0.35


def test_a13_time_holds_in_a_tunnel(bundle):
    script = [[drip(FULL, 0.05)]]
    with FaultServer(script, tls=server_context()) as server, ProxyServer() as proxy:
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        seen = run("requests", [TEXT], options, deadline=0.3)
    assert type(seen.error) is DeadlineExceededError
    assert seen.elapsed < 0.3 + slack()


def test_a13_an_encrypted_proxy_tunnels_tls(bundle):
    """Time holds there as well, though each read within is several outside."""
    script = [[good()], [drip(FULL, 0.05)]]
    context = server_context()
    with FaultServer(script, tls=context) as server, ProxyServer(tls=context) as proxy:
        url = proxy.proxy_url.replace("http:", "https:")
        options = {"base_url": server.url, "proxy": url, "ca_bundle": bundle}
        with Client("requests", **options) as client:
            assert client.embed([TEXT]).tolist() == [vector(TEXT)]
            began = time.monotonic()
            with pytest.raises(DeadlineExceededError):
                client.embed([TEXT], deadline=0.3)
            assert time.monotonic() - began < 0.3 + slack()


# ---------------------------------------------------------------------- ending it

STAGES = {
    "head": [stall],
    "half a head": [send(FULL[:25]), stall],
    "body": [send(FULL[:150]), stall],
    "dripping": [send(FULL[:100]), drip(FULL[100:], 0.02)],
}


@pytest.mark.parametrize("act", STAGES.values(), ids=STAGES.keys())
@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
def test_an_attempt_that_is_over_leaves_neither_thread_nor_connection(act, kept):
    """Its socket is shut: the worker is free at once, though its reads might take a minute."""
    script = [[good()], act] if kept else [act]
    with no_leaks(), FaultServer(script) as server:
        client = EmbeddingClient(**{**DEFAULTS, "base_url": server.url, "timeout": 60})
        with client:
            if kept:
                client.embed([TEXT])
            with pytest.raises(DeadlineExceededError):
                client.embed([TEXT], deadline=0.15)
            workers, until = client._engine.connections.requests._workers, time.monotonic() + 2
            while len(workers.threads) > len(workers.free) and time.monotonic() < until:
                time.sleep(0.005)
            assert len(workers.threads) == len(workers.free)


def test_closing_waits_for_threads_no_longer_than_it_must():
    """A thread that hangs ends with its send, and whoever closes is not held up by it."""
    gate, done = threading.Event(), threading.Event()
    with no_leaks():
        client = EmbeddingClient(**DEFAULTS)
        transport = client._engine.connections.requests
        transport.start(lambda: (gate.wait(5), done.set()))
        with mock.patch("openrouter_embed.workers.JOIN_SECONDS", 0.05):
            client.close()
        assert not done.is_set()
        gate.set()
        assert done.wait(5)


@pytest.mark.parametrize("act", STAGES.values(), ids=STAGES.keys())
def test_closing_ends_a_call_as_what_it_is(act):
    """Not as the connection that was lost by it."""
    with no_leaks(), FaultServer([act]) as server:
        client = EmbeddingClient(**{**DEFAULTS, "base_url": server.url})
        threading.Timer(0.15, client.close).start()
        began = time.monotonic()
        with pytest.raises(ClientClosedError):
            client.embed([TEXT])
        assert time.monotonic() - began < 0.15 + slack()
        assert len(server.hits) == 1


def test_an_attempt_that_is_over_never_ends_the_next_one_on_its_connection():
    """A connection is back in its pool a moment before its attempt knows that it is done."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = mock.Mock(spec=["sock", "connect", "timeout"], sock=ours)
        first, second = Attempt(1.0), Attempt(1.0)
        for one in (first, second):
            one.serve_by(connection, lambda: None)
        first.abort()
        theirs.sendall(b"still here")
        assert ours.recv(100) == b"still here"
        assert (first.reused, second.reused) == (False, True)
        second.abort()
        assert ours.recv(100) == b""


def test_a_connection_that_was_opened_anew_is_no_kept_one():
    connection = mock.Mock(spec=["sock", "connect", "timeout"], sock=mock.Mock())
    Attempt(1.0).serve_by(connection, lambda: None)
    connection.sock = mock.Mock()
    second = Attempt(1.0)
    second.serve_by(connection, lambda: None)
    assert second.reused is False


# ---------------------------------------------------------------------- proxies


@pytest.mark.parametrize("tunnel", [False, True], ids=["forwarding", "tunnel"])
def test_what_is_lost_behind_a_proxy_is_not_the_proxys_refusal(tunnel, bundle):
    """urllib3 calls both a proxy error; a refusal is final, a lost connection is not."""
    context = server_context() if tunnel else None
    with FaultServer([[fin]], tls=context) as server, ProxyServer([[fin]]) as proxy, no_backoff():
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        error = run("requests", [TEXT], {**options, "max_retries": 1}).error
    assert (type(error), error.kind, error.attempts) == (TransportError, "reset", 2)


# ---------------------------------------------------------------------- other people's tools


def test_a_header_that_a_tracing_tool_adds_is_sent(monkeypatch):
    """Sentry adds its own within `putrequest` of `http.client`."""
    real = http.client.HTTPConnection.putrequest

    def tracing(self, method, url, *args, **options):
        real(self, method, url, *args, **options)
        self.putheader("sentry-trace", "abc-1")

    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", tracing)
    with FaultServer() as server, Client("requests", base_url=server.url) as client:
        client.embed([TEXT])
        assert server.hits[0].headers["sentry-trace"] == "abc-1"


class Elsewhere(HTTPConnection):
    """Stands for the class that a cassette puts in the place of urllib3's."""

    opened = 0

    def connect(self):
        type(self).opened += 1
        super().connect()


def test_a_recorder_in_the_place_of_urllib3s_connection_is_used(monkeypatch):
    monkeypatch.setattr(Elsewhere, "opened", 0)
    monkeypatch.setattr(urllib3.HTTPConnectionPool, "ConnectionCls", Elsewhere)
    with FaultServer() as server, Client("requests", base_url=server.url) as client:
        assert client.embed([TEXT]).tolist() == [vector(TEXT)]
    assert Elsewhere.opened == 1
