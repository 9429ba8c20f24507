"""Security and privacy: what is refused before anything is sent, and what never leaves us."""

from __future__ import annotations

import base64
import copy
import pickle
import socket
from unittest import mock

import pytest
from fault_cases import BODY
from fault_harness import CANARIES, DEFAULTS, KEY, SHELLS, TEXT, Client, no_backoff, no_leaks, run
from fault_server import FaultServer, error_body, good, response, send, stall, vector

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient, ImageInput
from openrouter_embed.errors import ConfigurationError, EmbeddingError

both = pytest.mark.parametrize("shell", SHELLS)
faces = pytest.mark.parametrize("face", [EmbeddingClient, AsyncEmbeddingClient])

SECRET = "sk-or-v1-canary0key"


def refused(face, match, **options):
    """Demand a refusal before any look-up or connection, whose message holds no secret."""
    with (
        mock.patch("socket.getaddrinfo", side_effect=AssertionError),
        mock.patch("socket.socket.connect", side_effect=AssertionError),
        pytest.raises(ConfigurationError, match=match) as caught,
    ):
        face(**{**DEFAULTS, **options})
    assert SECRET not in str(caught.value)
    assert "pass-word" not in str(caught.value)


@faces
@pytest.mark.parametrize(
    "key",
    [
        f"{SECRET}\nx",
        f"{SECRET}\r\nX-Evil: 1",
        f"{SECRET}\0",
        f"{SECRET} x",
        f"{SECRET}\u2019",
        "",
        "  ",
    ],
    ids=["newline", "header", "nul", "space", "non-ascii", "empty", "white"],
)
def test_f1_a_key_that_cannot_be_sent_is_refused_and_not_shown(face, key):
    refused(face, "API key", api_key=key)


@both
def test_f1_white_space_around_a_key_is_dropped(shell):
    """A key read from a file ends in a newline."""
    with FaultServer() as server:
        run(shell, [TEXT], {"base_url": server.url, "api_key": f"{KEY}\r\n"})
        assert server.hits[0].headers["authorization"] == f"Bearer {KEY}"


@both
@pytest.mark.parametrize("given", [f"{KEY}\nX: y", "", None, 7])
def test_f1_a_callable_that_gives_no_key_is_refused_and_nothing_is_sent(shell, given):
    with FaultServer() as server:
        seen = run(shell, [TEXT], {"base_url": server.url, "api_key": lambda: given})
        assert type(seen.error) is ConfigurationError
        assert server.hits == []


@both
def test_f1_what_a_failing_callable_says_is_not_repeated(shell):
    def fail():
        raise OSError(KEY)

    seen = run(shell, [TEXT], {"base_url": "http://127.0.0.1:9/v1", "api_key": fail})
    assert type(seen.error) is ConfigurationError
    assert "OSError" in str(seen.error)


@faces
@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-Evil: 1"},
        {"X-A": "b\n"},
        {"X-A": "b\0c"},
        {"X A": "b"},
        {"X-A\r\nB": "c"},
        {"": "b"},
        {"X-A": "\u2019"},
        {"Authorization": "Basic x"},
        {"authorization": "x"},
        {"Host": "evil"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Cookie": "a=b"},
        {"Proxy-Authorization": "x"},
    ],
    ids=repr,
)
def test_f2_a_header_that_could_break_the_request_is_refused(face, headers):
    refused(face, "default_headers", default_headers=headers)


@both
def test_f2_an_honest_header_goes_out(shell):
    with FaultServer() as server:
        run(shell, [TEXT], {"base_url": server.url, "default_headers": {"X-Trace": "caf\xe9 7"}})
        assert server.hits[0].headers["x-trace"] == "caf\xe9 7".encode().decode("latin-1")


@faces
def test_f3_no_view_of_a_client_holds_the_key(face, tmp_path):
    client = face(**DEFAULTS)
    twin = copy.deepcopy(client)
    views = [
        repr(client),
        str(client),
        repr(vars(client)),
        repr(client.settings),
        repr(client.settings.api_key),
    ]
    views += [repr(pickle.dumps(client)), repr(pickle.dumps(client.settings)), repr(twin)]
    assert not any(canary in view for view in views for canary in CANARIES)
    assert twin.settings.authorization() == f"Bearer {KEY}"  # a copy in memory keeps it


@both
@pytest.mark.parametrize(
    "act", [[send(response(error_body(500), 500))], [stall]], ids=["answer", "timeout"]
)
def test_f4_an_error_holds_neither_key_nor_text(shell, act):
    """Checked on messages, attributes, chain, pickle, log and the locals of our frames."""
    with FaultServer([act]) as server, no_backoff():
        seen = run(shell, [TEXT], {"base_url": server.url, "timeout": 0.2, "max_retries": 0})
    assert isinstance(seen.error, EmbeddingError)


@both
def test_f4_a_message_that_quotes_the_input_is_cut(shell):
    said = error_body(400, f"Cannot embed '{TEXT}' with key {KEY}", raw=TEXT)
    with FaultServer([[send(response(said, 400))]]) as server:
        seen = run(shell, [TEXT], {"base_url": server.url})
    assert "Cannot embed" in str(seen.error)


@both
def test_f5_a_netrc_entry_changes_nothing(shell, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password pass-word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultServer() as server:
        run(shell, [TEXT], {"base_url": server.url})
        assert server.hits[0].headers["authorization"] == f"Bearer {KEY}"


@faces
@pytest.mark.parametrize(
    "url",
    [
        "https://someone:pass-word@example.org/v1",
        "https://pass-word@example.org/v1",
        "https://example.org/v1?a=b",
        "https://example.org/v1#x",
        "https://example.org/v1?",
        "file:///etc/passwd",
        "ftp://example.org",
        "example.org/v1",
        "https://exa mple.org/v1",
        "https://example.org/v 1",
        "https://",
        "https:///v1",
        "https://example.org:port/v1",
        "https://example.org/v1\r\nX: y",
        "https://ex\u0430mple.org/v1",
    ],
)
def test_f7_a_base_url_that_is_no_plain_origin_is_refused(face, url):
    refused(face, "base_url", base_url=url)


@faces
def test_f7_plain_http_is_warned_about(face):
    with pytest.warns(UserWarning, match="unencrypted"):
        face(**DEFAULTS, base_url="http://example.org/v1")


def test_f8_dangerous_image_urls_are_refused():
    for url in (
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "ftp://example.org/x.png",
        "//example.org/x",
    ):
        with pytest.raises(ConfigurationError):
            ImageInput.from_url(url)


def test_f8_a_data_url_has_a_size_limit():
    with pytest.raises(ConfigurationError):
        ImageInput.from_url("data:image/png;base64," + base64.b64encode(bytes(40_000_000)).decode())


@both
def test_f8_an_image_url_is_never_resolved_or_fetched(shell):
    """The client opens connections to its origin only."""
    looked_up = []
    real = socket.getaddrinfo

    def spy(host, *args, **options):
        looked_up.append(host)
        return real(host, *args, **options)

    with FaultServer() as server, mock.patch("socket.getaddrinfo", spy):
        image = ImageInput.from_url("https://images.invalid/one.png")
        assert run(shell, [image], {"base_url": server.url}).error is None
        assert b"images.invalid" in server.hits[0].body
    assert set(looked_up) <= {"127.0.0.1"}


@both
def test_f9_a_cookie_is_not_sent_back(shell):
    cookie = response(BODY, headers=["Set-Cookie: tracked=yes; Path=/"])
    with no_leaks(), FaultServer([[send(cookie)], [good()]]) as server:
        with Client(shell, base_url=server.url) as client:
            client.embed([TEXT])
            client.embed([TEXT])
        assert not any("cookie" in hit.headers for hit in server.hits)


@both
def test_f11_the_key_goes_out_in_one_scheme_only(shell):
    ask = response(error_body(401), 401, ['WWW-Authenticate: Basic realm="x"'])
    with FaultServer([[send(ask)]]) as server:
        run(shell, [TEXT], {"base_url": server.url})
        assert [hit.headers["authorization"] for hit in server.hits] == [f"Bearer {KEY}"]


@both
@pytest.mark.parametrize("times", [1, 40_000], ids=["small", "two megabytes"])
def test_f12_requests_are_not_compressed_and_say_what_they_accept(shell, times):
    with FaultServer() as server:
        run(shell, [TEXT * times], {"base_url": server.url})
        headers = server.hits[0].headers
        assert "transfer-encoding" not in headers
        assert "content-encoding" not in headers
        assert headers["accept-encoding"] == "gzip, deflate"
        assert headers["content-length"] == str(len(server.hits[0].body))


def test_both_shells_send_the_same_headers():
    """Apart from what every connection needs, a server cannot tell the shells apart."""
    sent = []
    for shell in SHELLS:
        with FaultServer() as server:
            run(shell, [TEXT], {"base_url": server.url, "app_title": "Tests", "user": "me"})
            hit = server.hits[0]
        sent.append(
            (
                hit.line,
                hit.body,
                {k: v for k, v in hit.headers.items() if k not in ("host", "connection")},
            )
        )
    assert sent[0] == sent[1]
    assert vector(TEXT)
