"""SOCKS proxies: by option and by environment, on both sides alike, with the extra and without."""

from __future__ import annotations

import contextlib
import importlib.util
import select
import socket
import ssl
import struct
import threading

import pytest
import trustme
from tools_faces import ALL, KEY

from openrouter_embed import ConfigurationError, TransportError

VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
every = pytest.mark.parametrize("embed", ALL.values(), ids=ALL.keys())
FACES = ("client", "async client")


class Socks5:
    """A SOCKS5 server in threads; `asked` holds the addresses that it was to connect to."""

    def __init__(self, *, refuse=0, login=None):
        self.asked, self.connections = [], 0
        self._refuse, self._login = refuse, login
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, work, *args):
        thread = threading.Thread(target=work, args=args, name="socks", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, sock)

    def _serve(self, sock):
        with sock, contextlib.suppress(OSError, struct.error, IndexError):
            if not self._greet(sock):
                return
            host, port = self._read_address(sock)
            self.asked.append(host)
            sock.sendall(bytes([5, self._refuse, 0, 1, 0, 0, 0, 0, 0, 0]))
            if not self._refuse:
                with socket.create_connection(("127.0.0.1", port)) as onward:
                    self._pump(sock, onward)

    def _greet(self, sock):
        _, count = self._exactly(sock, 2)
        self._exactly(sock, count)
        sock.sendall(b"\x05\x02" if self._login else b"\x05\x00")
        if not self._login:
            return True
        said = []
        self._exactly(sock, 1)
        for _ in range(2):
            (size,) = self._exactly(sock, 1)
            said.append(self._exactly(sock, size).decode())
        right = tuple(said) == self._login
        sock.sendall(b"\x01\x00" if right else b"\x01\x01")
        return right

    def _read_address(self, sock):
        kind = self._exactly(sock, 4)[3]
        if kind == 1:
            host = socket.inet_ntoa(self._exactly(sock, 4))
        else:
            (size,) = self._exactly(sock, 1)
            host = self._exactly(sock, size).decode()
        return host, struct.unpack(">H", self._exactly(sock, 2))[0]

    @staticmethod
    def _exactly(sock, size):
        data = b""
        while len(data) < size:
            data += sock.recv(size - len(data)) or bytes(size)
        return data

    @staticmethod
    def _pump(one, other):
        ends = {one: other, other: one}
        while True:
            for sock in select.select(list(ends), [], [], 10)[0]:
                data = sock.recv(65_536)
                if not data:
                    return
                ends[sock].sendall(data)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def at(emulator, host):
    return f"http://{host}:{emulator.port}/api/v1"


@every
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_used_by_option(embed, scheme, openrouter_emulator):
    with Socks5() as proxy:
        options = {"proxy": f"{scheme}://{proxy.address}"}
        base = at(openrouter_emulator, "127.0.0.1")
        assert len(embed("a question", base_url=base, **options)) == 1536
        assert proxy.asked == ["127.0.0.1"]


@every
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY"])
def test_a_socks_proxy_is_used_by_environment(embed, name, monkeypatch, openrouter_emulator):
    with Socks5() as proxy:
        monkeypatch.setenv(name, f"socks5://{proxy.address}")
        assert len(embed("a question")) == 1536
        assert proxy.connections == 1


@pytest.mark.filterwarnings("ignore:.*plain http")
@pytest.mark.parametrize("embed", [ALL[name] for name in FACES], ids=FACES)
def test_with_socks5h_the_proxy_looks_the_name_up(embed, openrouter_emulator):
    with Socks5() as proxy:
        base = at(openrouter_emulator, "nowhere.invalid")
        embed("a question", base_url=base, proxy=f"socks5h://{proxy.address}")
        assert proxy.asked == ["nowhere.invalid"]


@pytest.mark.parametrize("embed", [ALL[name] for name in FACES], ids=FACES)
def test_with_socks5_the_name_is_looked_up_here(embed, openrouter_emulator):
    with Socks5() as proxy:
        base = at(openrouter_emulator, "localhost")
        embed("a question", base_url=base, proxy=f"socks5://{proxy.address}")
        assert proxy.asked == ["127.0.0.1"]


@pytest.mark.parametrize("embed", [ALL[name] for name in FACES], ids=FACES)
def test_a_socks_proxy_may_want_a_password(embed, openrouter_emulator):
    with Socks5(login=("someone", "pass-word")) as proxy:
        embed("a question", proxy=f"socks5://someone:pass-word@{proxy.address}")
        assert proxy.asked == ["127.0.0.1"]


def serve_tls(listener, context, emulator):
    with contextlib.suppress(OSError):
        while True:
            sock, _ = listener.accept()
            onward = socket.create_connection(("127.0.0.1", emulator.port))
            with onward, context.wrap_socket(sock, server_side=True) as tls:
                Socks5._pump(tls, onward)


@pytest.mark.parametrize("embed", [ALL[name] for name in FACES], ids=FACES)
def test_tls_goes_through_a_socks_proxy(embed, openrouter_emulator, tmp_path):
    authority, bundle = trustme.CA(), tmp_path / "authority.pem"
    bundle.write_bytes(authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("secure.invalid").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    args = (listener, context, openrouter_emulator)
    thread = threading.Thread(target=serve_tls, args=args, daemon=True)
    thread.start()
    with Socks5() as proxy:
        base = f"https://secure.invalid:{listener.getsockname()[1]}/api/v1"
        url = f"socks5h://{proxy.address}"
        assert len(embed("a question", base_url=base, proxy=url, ca_bundle=str(bundle))) == 1536
        assert proxy.asked == ["secure.invalid"]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    listener.close()


def outcome(embed, **options):
    with pytest.raises((TransportError, ConfigurationError)) as caught:
        embed("a private question", api_key=KEY, **options)
    error = caught.value
    return type(error), str(error), getattr(error, "kind", None), getattr(error, "attempts", None)


@pytest.mark.parametrize(
    "options",
    [{"refuse": 2}, {"refuse": 5}, {"login": ("someone", "else")}],
    ids=["not allowed", "no connection", "wrong password"],
)
def test_a_socks_proxy_that_refuses_is_the_same_error_on_both_sides(options):
    with Socks5(**options) as proxy:
        url = f"socks5://someone:pass-word@{proxy.address}"
        both = {"base_url": "http://127.0.0.1:9/v1", "proxy": url, "max_retries": 0}
        one, two = (outcome(ALL[name], **both) for name in FACES)
    assert one == two
    assert one[2] == "connect"
    assert "pass-word" not in one[1]


def test_a_socks_proxy_that_is_down_is_a_failed_connection_on_both_sides():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"socks5://127.0.0.1:{taken.getsockname()[1]}"
    both = {"base_url": "http://127.0.0.1:9/v1", "proxy": url, "max_retries": 0}
    one, two = (outcome(ALL[name], **both) for name in FACES)
    assert one == two
    assert one[2] == "connect"


@pytest.fixture
def without_the_extra(monkeypatch):
    real = importlib.util.find_spec
    gone = ("socks", "aiohttp_socks")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in gone else real(name)
    )


WAYS = {
    "option": ({"proxy": "socks5://{}"}, {}, "`proxy`"),
    "ALL_PROXY": ({}, {"ALL_PROXY": "socks5h://{}"}, "ALL_PROXY"),
    "http_proxy": ({}, {"http_proxy": "socks5://{}"}, "http_proxy"),
}


@pytest.mark.parametrize(("options", "variables", "named"), WAYS.values(), ids=WAYS.keys())
def test_without_the_extra_it_is_one_error_and_nothing_is_sent(
    options, variables, named, without_the_extra, monkeypatch
):
    with Socks5() as proxy:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(proxy.address))
        given = {name: value.format(proxy.address) for name, value in options.items()}
        said = {outcome(embed, base_url="http://127.0.0.1:9/v1", **given) for embed in ALL.values()}
        assert proxy.connections == 0
    assert len(said) == 1
    ((kind, message, *_),) = said
    assert kind is ConfigurationError
    assert named in message
    assert "openrouter-embed[socks]" in message


@pytest.mark.parametrize("scheme", ["socks4", "ftp", "socks"])
def test_a_proxy_of_another_kind_is_one_error_that_names_the_variable(scheme, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:9")
    said = {outcome(embed, base_url="http://127.0.0.1:9/v1") for embed in ALL.values()}
    assert len(said) == 1
    ((kind, message, *_),) = said
    assert kind is ConfigurationError
    assert "ALL_PROXY" in message
    assert "socks5h" in message
