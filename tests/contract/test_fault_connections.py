"""Connections: refused, dark, stale, wrongly encrypted, through proxies; both shells alike."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import ssl
import subprocess
from contextlib import ExitStack
from unittest import mock

import certifi
import pytest
import trustme
from fault_harness import SHELLS, TEXT, Client, no_backoff, no_leaks, run, slack
from fault_server import (
    CHUNKED,
    FaultServer,
    ProxyServer,
    answer,
    chunk,
    drip,
    fin,
    good,
    response,
    rst,
    send,
    stall,
    vector,
    wait,
)

from openrouter_embed import route
from openrouter_embed.errors import (
    APIError,
    ConfigurationError,
    DeadlineExceededError,
    TransportError,
)
from openrouter_embed.route import CA_VARIABLES
from openrouter_embed.shells.attempt import shut_down

pytestmark = pytest.mark.parametrize("shell", SHELLS)

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _immediate():
    with no_backoff():
        yield


@pytest.fixture
def connect_timeout():
    """Give up connecting after 0.15 seconds instead of ten."""
    with ExitStack() as stack:
        for shell in ("requests_shell", "aiohttp_shell"):
            limit = f"openrouter_embed.shells.{shell}.CONNECT_TIMEOUT"
            stack.enter_context(mock.patch(limit, 0.15))
        yield


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "authority.pem"
    path.write_bytes(AUTHORITY.cert_pem.bytes())
    return str(path)


def server_context(*names, authority=AUTHORITY, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture
def dark():
    """A port that drops every SYN: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield f"http://127.0.0.1:{port}/v1"
        for filler in fillers:
            filler.close()


def fails(seen, kind, attempts):
    assert type(seen.error) is TransportError, seen
    assert (seen.error.kind, seen.error.attempts) == (kind, attempts)


def test_a1_a_refused_connection_to_this_machine_is_retried_once(shell):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fails(run(shell, [TEXT], {"base_url": f"http://127.0.0.1:{port}/v1"}), "connect", 2)


def test_a2_connecting_has_a_limit_of_its_own(shell, dark, connect_timeout):
    seen = run(shell, [TEXT], {"base_url": dark, "max_retries": 1})
    fails(seen, "connect", 2)
    assert 0.28 < seen.elapsed < 0.4 + slack()


def test_a2_the_deadline_holds_while_connecting(shell, dark, connect_timeout):
    with mock.patch("openrouter_embed.shells.requests_shell.CONNECT_TIMEOUT", 0.5):
        seen = run(shell, [TEXT], {"base_url": dark, "deadline": 0.1})
    assert type(seen.error) is DeadlineExceededError
    assert 0.08 < seen.elapsed < 0.1 + slack()


def test_a2_an_attempt_that_was_given_up_while_connecting_never_sends(shell):
    """The connection comes up after the deadline; a request on it would be paid for nothing."""
    accepted = FaultServer()
    real = socket.getaddrinfo

    def slow(*args, **options):
        accepted.stopping.wait(0.3)
        return real(*args, **options)

    with accepted, mock.patch("socket.getaddrinfo", slow):
        url = f"http://localhost:{accepted.port}/v1"
        seen = run(shell, [TEXT], {"base_url": url, "deadline": 0.1})
        assert type(seen.error) is DeadlineExceededError
        assert accepted.hits == []


@pytest.mark.parametrize("host", ["nowhere.invalid", "two..dots.invalid", "a" * 70 + ".invalid"])
def test_a3_an_unknown_host_is_tried_once_more_and_named(shell, host):
    def unknown(name, *_, **__):
        name.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with mock.patch("socket.getaddrinfo", unknown):
        seen = run(shell, [TEXT], {"base_url": f"https://{host}/v1"})
    fails(seen, "dns", 2)
    assert host in str(seen.error)


def test_a13_a_proxy_whose_name_is_unknown_is_looked_for_by_the_message(shell, no_proxies):
    def unknown(name, *_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    options = {"base_url": "https://127.0.0.2:9/v1", "proxy": "http://proxy.invalid:3128"}
    with mock.patch("socket.getaddrinfo", unknown):
        seen = run(shell, [TEXT], options)
    fails(seen, "dns", 2)
    assert "by the proxy a host name does not resolve: check `proxy`" in str(seen.error)


def test_a6_a_connection_closed_while_idle_costs_one_more_connection(shell):
    with no_leaks(), FaultServer([[good(), fin], [good()]]) as server:
        with Client(shell, base_url=server.url, max_retries=0) as client:
            client.embed([TEXT])
            assert client.embed([TEXT]).tolist() == [vector(TEXT)]
        assert server.connections == 2


@pytest.mark.parametrize("end", [fin, rst])
def test_a7_a_race_with_the_servers_close_is_retried_free(shell, end):
    """The server closes on receiving the second request of a kept connection."""
    with no_leaks(), FaultServer([[good()], [end], [good()]]) as server:
        with Client(shell, base_url=server.url, max_retries=0) as client:
            client.embed([TEXT])
            budget = client.pacer.budget.tokens
            assert client.embed([TEXT]).tolist() == [vector(TEXT)]
            assert client.pacer.budget.tokens >= budget
        assert [hit.connection for hit in server.hits] == [0, 0, 1]


def test_a8_a_race_for_ever_ends_after_the_usual_attempts(shell):
    with no_leaks(), FaultServer([[good()], [fin]]) as server:
        with Client(shell, base_url=server.url) as client:
            client.embed([TEXT])
            with pytest.raises(TransportError) as caught:
                client.embed([TEXT])
        assert caught.value.kind == "reset"
        assert caught.value.attempts == 4  # the first, the free one, two retries
        assert len(server.hits) == 5


def test_a9_an_untrusted_certificate_is_final_and_nothing_is_sent(shell):
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        fails(run(shell, [TEXT], {"base_url": server.url}), "tls", 1)
        assert server.hits == []


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (["example.org"], {}),
        (["127.0.0.1"], {"not_after": dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)}),
    ],
    ids=["wrong host", "expired"],
)
def test_a9_a_trusted_authority_is_not_enough(shell, bundle, names, options):
    with FaultServer(tls=server_context(*names, **options)) as server:
        fails(run(shell, [TEXT], {"base_url": server.url, "ca_bundle": bundle}), "tls", 1)
        assert server.hits == []


def test_a10_tls_to_a_plain_port_is_final(shell):
    plain = [send("HTTP/1.1 400 Bad Request\r\n\r\n"), wait(0.1), fin]
    with FaultServer(on_accept=plain) as server:
        url = server.url.replace("http:", "https:")
        fails(run(shell, [TEXT], {"base_url": url}), "tls", 1)


def test_a10_a_handshake_that_never_ends_is_a_timeout(shell, connect_timeout):
    with FaultServer(on_accept=[stall]) as server:
        url = server.url.replace("http:", "https:")
        seen = run(shell, [TEXT], {"base_url": url, "timeout": 0.1, "max_retries": 1})
        fails(seen, "timeout", 2)
        assert seen.elapsed < 0.2 + slack()


def test_a11_certificates_are_always_verified(shell):
    """There is no option to switch it off, so there is nothing to warn about."""
    with pytest.raises(ConfigurationError, match="verify"):
        Client(shell, verify=False)


def test_a12_a_custom_authority_is_trusted_by_option(shell, bundle):
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "ca_bundle": bundle})
        assert seen.result.tolist() == [vector(TEXT)]


@pytest.mark.parametrize("name", CA_VARIABLES)
def test_a12_both_shells_read_the_same_variables(shell, bundle, monkeypatch, name):
    for other in CA_VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, bundle)
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        assert run(shell, [TEXT], {"base_url": server.url}).result.tolist() == [vector(TEXT)]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the folder's names")
@pytest.mark.parametrize("beside", ["alone", "beside a file"])
def test_a12_a_folder_of_certificates_is_read_from_the_environment(
    shell, bundle, monkeypatch, tmp_path, beside
):
    for other in CA_VARIABLES:
        monkeypatch.delenv(other, raising=False)
    if beside == "beside a file":
        monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    # OpenSSL finds a certificate in a folder by a hash of its subject.
    command = ["openssl", "x509", "-hash", "-noout", "-in", bundle]
    hashed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(bundle, tmp_path / f"{hashed}.0")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'empty'}{os.pathsep}{tmp_path}")
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        assert run(shell, [TEXT], {"base_url": server.url}).result.tolist() == [vector(TEXT)]


def test_a12_the_systems_own_store_is_used_where_that_is_asked_for(shell, bundle, monkeypatch):
    pytest.importorskip("truststore")
    route._context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", bundle)  # on Linux, OpenSSL's way to name that store
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "ca_bundle": "system"})
        assert seen.result.tolist() == [vector(TEXT)]


def test_a12_the_systems_store_verifies_too(shell, monkeypatch):
    pytest.importorskip("truststore")
    route._context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    with FaultServer(tls=server_context("127.0.0.1")) as server:
        fails(run(shell, [TEXT], {"base_url": server.url, "ca_bundle": "system"}), "tls", 1)


def test_a12_the_systems_store_without_its_library_names_the_extra(shell, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'openrouter-embed\[system-ca\]'"):
        Client(shell, ca_bundle="system")


def test_a12_a_bundle_that_cannot_be_read_is_a_mistake_of_configuration(shell, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    seen = run(shell, [TEXT], {"base_url": "https://127.0.0.1:9/v1"})
    assert type(seen.error) is ConfigurationError
    assert "SSL_CERT_FILE" in str(seen.error)


@pytest.fixture
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_a13_a_proxy_forwards_plain_requests(shell, no_proxies):
    with ProxyServer() as proxy:
        options = {"base_url": "http://127.0.0.2:9/v1", "proxy": proxy.proxy_url}
        assert run(shell, [TEXT], options).result.tolist() == [vector(TEXT)]
        assert proxy.hits[0].line == "POST http://127.0.0.2:9/v1/embeddings HTTP/1.1"


def test_a13_a_proxy_tunnels_tls_and_never_sees_the_key(shell, bundle, no_proxies):
    with FaultServer(tls=server_context("127.0.0.1")) as server, ProxyServer() as proxy:
        url = proxy.proxy_url.replace("//", "//someone:pass-word@")
        options = {"base_url": server.url, "proxy": url, "ca_bundle": bundle}
        assert run(shell, [TEXT], options).result.tolist() == [vector(TEXT)]
        assert proxy.hits[0].line.startswith(f"CONNECT {server.origin} ")
        assert "authorization" not in proxy.hits[0].headers
        assert proxy.hits[0].headers["proxy-authorization"].startswith("Basic ")
        assert "proxy-authorization" not in server.hits[0].headers


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a13_a_proxy_that_refuses_is_final_and_its_password_stays_secret(shell, status, no_proxies):
    with ProxyServer(refuse=status) as proxy:
        url = proxy.proxy_url.replace("//", "//someone:pass-word@")
        seen = run(shell, [TEXT], {"base_url": "https://127.0.0.1:9/v1", "proxy": url})
        fails(seen, "connect", 1)
        assert "proxy" in str(seen.error)
        assert "pass-word" not in str(seen.error) + seen.log


def test_a13_a_forwarding_proxys_407_is_its_own_error(shell, no_proxies):
    with ProxyServer([[send(response("", 407))]]) as proxy:
        options = {"base_url": "http://127.0.0.2:9/v1", "proxy": proxy.proxy_url}
        error = run(shell, [TEXT], options).error
        assert isinstance(error, APIError)
        assert (error.status, error.attempts) == (407, 1)


def test_a13_a_proxy_that_is_down_is_a_failed_connection(shell, no_proxies):
    options = {"base_url": "https://127.0.0.2:9/v1", "proxy": "http://127.0.0.1:9"}
    fails(run(shell, [TEXT], options), "connect", 3)


def test_a13_a_new_tunnel_is_no_kept_connection(shell, no_proxies, bundle):
    """What it loses is a failure of the request: only what served before is retried free."""
    with FaultServer([[fin]], tls=server_context("127.0.0.1")) as server, ProxyServer() as proxy:
        options = {"base_url": server.url, "proxy": proxy.proxy_url, "ca_bundle": bundle}
        seen = run(shell, [TEXT], {**options, "max_retries": 1})
        fails(seen, "reset", 2)
        assert len(server.hits) == 2


@pytest.mark.parametrize("act", [[fin], [send(b"junk\r\n\r\n"), fin]], ids=["silent", "junk"])
def test_a13_a_proxy_that_opens_no_tunnel_is_the_same_error_in_both_shells(shell, act, no_proxies):
    with FaultServer([act]) as proxy:
        url = proxy.url.removesuffix("/v1")
        options = {"base_url": "https://127.0.0.1:9/v1", "proxy": url}
        seen = [run(one, [TEXT], options) for one in SHELLS]
    assert [type(one.error) for one in seen] == [TransportError] * 2
    assert seen[0].public == seen[1].public


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a13_both_shells_read_the_environments_proxy(shell, no_proxies, monkeypatch, name):
    with ProxyServer() as proxy:
        monkeypatch.setenv(name, proxy.proxy_url)
        run(shell, [TEXT], {"base_url": "http://127.0.0.2:9/v1"})
        assert len(proxy.hits) == 1


@pytest.mark.parametrize("form", ["127.0.0.1", "*", "localhost,127.0.0.1", "127.0.0.1:{port}"])
def test_a13_no_proxy_goes_straight_to_the_server(shell, no_proxies, monkeypatch, form):
    with FaultServer() as server, ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.proxy_url)
        monkeypatch.setenv("NO_PROXY", form.format(port=server.port))
        run(shell, [TEXT], {"base_url": server.url})
        assert (len(server.hits), len(proxy.hits)) == (1, 0)


def test_a14_waiting_for_a_place_does_not_eat_an_attempts_time(shell):
    """So many requests through two places take longer than one attempt may."""
    texts = [f"text {n}" for n in range(24)]
    with FaultServer([[wait(0.03), good()]]) as server:
        options = {
            "base_url": server.url,
            "timeout": 0.25,
            "max_retries": 0,
            "max_batch_inputs": 1,
            "max_concurrency": 2,
        }
        seen = run(shell, texts, options)
        assert seen.error is None
        assert seen.elapsed > 0.3


@pytest.mark.parametrize("extra", [response({"data": []}), b"junk", b"HTTP/1.1 200 OK\r\n"])
def test_b15_bytes_beyond_an_answer_are_never_the_next_answer(shell, extra):
    """The next call gets its own answer or, where bytes of both ran together, an error."""
    doubled = send(response(answer([TEXT])) + extra)

    with no_leaks(), FaultServer([[doubled], [wait(0.02), good()]]) as server:
        with Client(shell, base_url=server.url, max_retries=1) as client:
            assert client.embed([TEXT]).tolist() == [vector(TEXT)]
            try:
                said = client.embed(["another"]).tolist()
            except TransportError as error:
                said = error.kind
        assert said in ([vector("another")], "protocol")


@pytest.mark.parametrize("status", [101, 102, 103, 199])
@pytest.mark.parametrize("late", [0.0, 0.05])
def test_b12_an_interim_answer_never_gives_the_next_call_the_vector_of_this_one(
    shell, status, late
):
    """`http.client` takes it for the answer, and would keep the connection for the next request."""
    interim = send(f"HTTP/1.1 {status} Wait\r\nLink: x\r\n\r\n")
    with no_leaks(), FaultServer([[interim, wait(late), good()], [good()]]) as server:
        client = Client(shell, base_url=server.url, max_retries=0)
        with client:
            try:
                said = client.embed([TEXT]).tolist()
            except TransportError as error:
                said = error.kind
            assert client.embed(["another"]).tolist() == [vector("another")]
    assert said in ([vector(TEXT)], "protocol")


def test_d9_the_endless_body_of_a_redirect_is_read_no_further_than_any_other(shell):
    """Of itself `Session.send` reads it to the end, to look where the redirect leads."""
    head = CHUNKED.replace(b"200 OK", b"302 Found\r\nLocation: /elsewhere")
    with FaultServer([[send(head), drip(chunk(b" ") * 100, 0.05, size=6)]]) as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "deadline": 0.3})
        assert type(seen.error) is DeadlineExceededError
        assert len(server.hits) == 1
    assert seen.elapsed < 0.3 + slack()


def test_d9_a_redirect_is_not_followed(shell):
    for status in (301, 302, 303, 307, 308):
        with FaultServer(host="127.0.0.2") as other, FaultServer() as server:
            for target in (server.url, other.url):
                redirect = response("", status, [f"Location: {target}/embeddings"])
                server.script = [[send(redirect)]]
                fails(run(shell, [TEXT], {"base_url": server.url}), "redirect", 1)
            assert len(server.hits) == 2
            assert other.connections == 0


def test_f6_a_redirect_to_another_host_sends_nothing_there(shell):
    with FaultServer(host="127.0.0.2") as other:
        downgrade = response("", 307, [f"Location: {other.url}/embeddings"])
        with FaultServer([[send(downgrade)]]) as server:
            fails(run(shell, [TEXT], {"base_url": server.url}), "redirect", 1)
        assert other.connections == 0


def test_ending_an_encrypted_connection_never_takes_its_encryption_off(shell):
    """`SSLSocket.shutdown` does; a thread that is just sending would go on in the clear."""
    ours, theirs = socket.socketpair()
    context = ssl.create_default_context()
    tls = context.wrap_socket(ours, server_hostname="x", do_handshake_on_connect=False)
    with tls, theirs:
        shut_down(tls)
        with pytest.raises(OSError):
            tls.send(b"Authorization: Bearer key")
        assert tls._sslobj is not None
        assert theirs.recv(100) == b""
