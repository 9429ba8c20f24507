"""Connections of the synchronous shell: urllib3's pools, told when to give up and read strictly.

Rules of this file:
- Every read and every write knows the moment at which its attempt ends, so a server that sends a
  byte now and then holds nobody. Looking up a name is the one thing that cannot be limited.
- What is taken from urllib3 beside its public names is in `_TrackedPool`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, cast

import requests
import requests.adapters
import urllib3
import urllib3.connectionpool
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection

from openrouter_embed.core.wire import CONNECT_TIMEOUT, SOCKET_SLACK, Request
from openrouter_embed.shells.strict_http import StrictResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openrouter_embed.shells.route import Route


class ColdError(Exception):
    """There is no open connection, and the attempt may not make one."""


class Attempt:
    """One send under way; the handle by which another thread can end it.

    Args:
        request: What to send.
        until: The moment (monotonic seconds) at which it gives up; by default a little after the
            request's own time, which the job keeps.
        warm: Whether it may use an open connection only: making one can block without a limit.
    """

    def __init__(self, request: Request, *, until: float | None = None, warm: bool = False) -> None:
        self.request = request
        self.until = until
        self.warm = warm
        self.aborted = False
        self.reused = False
        self._lock = threading.Lock()
        self._connection: Any = None
        self._sock: Any = None

    def begin(self) -> None:
        """Let its time run from now, unless it has a moment to end at."""
        if self.until is None:
            self.until = time.monotonic() + self.request.timeout + SOCKET_SLACK

    def left(self) -> float:
        """Return the seconds that are left, a moment at least.

        Raises:
            TimeoutError: None are.
        """
        left = cast(float, self.until) - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def hold(self, connection: Any) -> None:
        """Remember the connection that serves this attempt.

        Raises:
            ColdError: It is not open, and this attempt may not open it.
        """
        with self._lock:
            self.reused = connection.sock is not None
            if self.warm and not self.reused:
                raise ColdError
            self._connection = connection

    def connected(self) -> None:
        """Remember the socket too: a connection forgets one that ends with its answer.

        Raises:
            TimeoutError: The attempt was ended while it connected, so it sends nothing.
        """
        with self._lock:
            connection = self._connection
            self._sock = connection.sock
        if self.aborted:
            raise TimeoutError
        connection.timeout = self.left()

    def let_go(self) -> None:
        """Forget the connection: it may serve another attempt from here on."""
        with self._lock:
            self._connection = self._sock = None

    def abort(self) -> None:
        """End the attempt from another thread by shutting its socket down."""
        self.aborted = True
        with self._lock:
            _shut_down(self._sock or getattr(self._connection, "sock", None))


def _shut_down(sock: Any) -> None:
    inner = getattr(sock, "socket", sock)  # TLS within TLS wraps the socket in an object
    if isinstance(inner, socket.socket):
        # Not the method of an `SSLSocket`: that one first takes the encryption off, and the thread
        # that is just sending would send on in the clear.
        with contextlib.suppress(OSError):  # not connected any more: nothing to end
            socket.socket.shutdown(inner, socket.SHUT_RDWR)


class _Here(threading.local):
    attempt: Attempt | None = None


here: Final = _Here()
"""The attempt that this thread serves: urllib3 has no other way to tell its hooks."""


class _Response(StrictResponse):
    """An answer to the attempt of the thread that reads it."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        if here.attempt is not None:
            self.limit_reads(sock, here.attempt.left)


class _Answer:
    """An answer whose head was read: what `urlopen` and the shell ask of one, and nothing else."""

    version_string = "HTTP/1.1"

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.headers
        self._connection: Any = None
        self._pool: Any = None

    def belongs_to(self, connection: Any, pool: Any) -> None:
        """Remember what to give back, and to whom."""
        self._connection, self._pool = connection, pool

    @property
    def length_remaining(self) -> int | None:
        return self._answer.length

    def read(self, size: int, **_: object) -> bytes:
        """Return at most `size` bytes as they came; none at the proper end of the body.

        Raises:
            IncompleteRead: The connection ended before the body did.
        """
        piece = self._answer.read(size)
        if not piece and self._answer.length:
            raise http.client.IncompleteRead(b"", self._answer.length)
        return piece

    def release_conn(self) -> None:
        """Give the connection back to its pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool._put_conn(connection)  # noqa: SLF001 - as urllib3's own answers do

    def close(self) -> None:
        """Close the connection with what is unread."""
        self._answer.close()
        if self._connection is not None:
            self._connection.close()


LARGEST_JOINED: Final = 64 * 1024
"""Bytes up to which a body is copied to travel in one write with its head."""


class _Lean:
    """urllib3's connection without what our requests do not need, which is half of its time.

    The calls of `http.client` beneath stay, because tracing tools hook into them.
    """

    _parts: list[bytes] | None = None

    def request(
        self, method: str, url: str, body: Any = None, headers: Any = None, **_: Any
    ) -> None:
        connection: Any = super()
        lines = _lines(headers)
        self._parts = []
        connection.putrequest(method, url, skip_accept_encoding=True)
        connection.endheaders()
        head = b"".join(self._parts).removesuffix(b"\r\n") + lines
        self._parts = None
        if body is None or len(body) <= LARGEST_JOINED:
            self._write(head + (body or b""))
        else:
            self._write(head)
            self._write(body)

    def _write(self, data: bytes) -> None:
        this: Any = self
        this.sock.settimeout(_left())
        this.send(data)

    def send(self, data: Any) -> None:
        if self._parts is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._parts.append(data)

    def getresponse(self) -> Any:
        answer = http.client.HTTPConnection.getresponse(self)  # type: ignore[arg-type]
        return _Answer(answer)


def _lines(headers: Mapping[str, str | bytes]) -> bytes:
    """Return header lines with the empty one that ends them.

    Raises:
        ValueError: A header would not stay on its line.
    """
    lines = [
        f"{name}: {value if isinstance(value, str) else value.decode('latin-1')}\r\n"
        for name, value in headers.items()
    ]
    block = "".join(lines)
    if not block.count("\r") == block.count("\n") == len(lines):
        raise ValueError("A header holds a line end.")
    return (block + "\r\n").encode("latin-1")


def _real(kind: type) -> Any:
    """Return urllib3's own class: this file may be loaded while a cassette has put in another."""
    own = (base for base in kind.__mro__ if base.__module__ == "urllib3.connection")
    return next(own, kind)


_HTTP: Any = _real(HTTPConnection)
_HTTPS: Any = _real(HTTPSConnection)


class _LeanHTTP(_Lean, _HTTP):  # type: ignore[misc]  # a class, found above
    """A plain connection."""


class _LeanHTTPS(_Lean, _HTTPS):  # type: ignore[misc]  # a class, found above
    """A TLS connection."""


_REQUESTS: Final = vars(requests.adapters)
_URLLIB3: Final = vars(urllib3.connectionpool)


def _is_own(function: object, module: Mapping[str, Any]) -> bool:
    """Whether a function is its library's own: test and tracing tools put others in their place.

    They may have done so before this file was loaded, so remembering the first one is no help.
    """
    return isinstance(function, FunctionType) and function.__globals__ is module


_LEAN: Final[dict[object, object]] = {_HTTP: _LeanHTTP, _HTTPS: _LeanHTTPS}


class _TrackedPool:
    """Tells the attempt of this thread which connection serves it, and when it is given back."""

    def _new_conn(self) -> Any:
        pool: Any = self
        pool.ConnectionCls = self._kind()
        return super()._new_conn()  # type: ignore[misc]

    def _kind(self) -> Any:
        made = cast(Any, type(self)).ConnectionCls  # a cassette puts a class of its own there
        return _LEAN.get(made, made)

    def _get_conn(self, timeout: float | None = None) -> Any:
        pool: Any = super()
        connection = pool._get_conn(timeout=timeout)  # noqa: SLF001 - the hook there is
        if type(connection) is not self._kind():  # a cassette has begun or ended since
            connection.close()
            connection = self._new_conn()
        connection.response_class = _Response
        if here.attempt is not None:
            here.attempt.hold(connection)
        return connection

    def _validate_conn(self, conn: Any) -> None:
        super()._validate_conn(conn)  # type: ignore[misc]
        if conn.sock is None:
            conn.connect()
        if here.attempt is not None:
            here.attempt.connected()

    def reuse(self, method: str, target: str, headers: Mapping[str, Any], body: Any) -> Any:
        """Send on an open connection; `urlopen` does the same in three times the steps.

        Returns:
            The answer with its body unread; `None` if `urlopen` must do it, because no connection
            of ours is open, or a proxy or somebody's tracing tool has a say in it.
        """
        pool: Any = self
        if pool.proxy is not None or not _is_own(urllib3.HTTPConnectionPool.urlopen, _URLLIB3):
            return None
        connection: Any = None
        try:
            connection = self._get_conn()
            if connection.sock is None or type(connection) not in _LEAN.values():
                self._put_conn(connection)
                return None
            self._validate_conn(connection)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # there may be
                connection.request(method, target, body, headers)  # an answer all the same
            answer = connection.getresponse()
        except BaseException:
            if connection is not None:
                connection.close()
            self._put_conn(None)
            raise
        answer.belongs_to(connection, self)
        return answer

    def _put_conn(self, conn: Any) -> None:
        if here.attempt is not None:
            here.attempt.let_go()
        super()._put_conn(conn)  # type: ignore[misc]


class _TrackedHTTPPool(_TrackedPool, urllib3.HTTPConnectionPool):
    """Plain connections."""


class _TrackedHTTPSPool(_TrackedPool, urllib3.HTTPSConnectionPool):
    """TLS connections."""


_POOLS: Final = {"http": _TrackedHTTPPool, "https": _TrackedHTTPSPool}
_NO_RETRIES: Final = urllib3.Retry(0, read=False)
MOST_IDLE: Final = 256
"""Idle connections kept; far more than requests are ever in flight."""


def prepare(
    method: str, url: str, headers: Mapping[str, Any], body: bytes | None
) -> requests.PreparedRequest:
    """Return a request as it is: requests' own way of preparing would change URL and headers."""
    prepared = requests.PreparedRequest()
    prepared.method = method
    prepared.url = url
    prepared.headers = CaseInsensitiveDict(headers)
    prepared.body = body
    return prepared


class Adapter(HTTPAdapter):
    """requests' adapter with tracked pools, one shared TLS context and a short way to send."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._ways: dict[str, tuple[Any, str]] = {}
        super().__init__(pool_connections=2, pool_maxsize=MOST_IDLE, max_retries=0)

    def open(self, method: str, path: str, headers: Mapping[str, Any], body: bytes | None) -> Any:
        """Send, and return the answer with its body unread.

        `send` does the same, and works out the way anew for every request; that and the `Response`
        it builds take as long as the exchange with a fast server.
        """
        if not _is_own(HTTPAdapter.send, _REQUESTS):
            return self._open_by_mock(method, path, headers, body)
        pool, target = self._ways.get(path) or self._ways.setdefault(path, self._find_way(path))
        return pool.reuse(method, target, headers, body) or pool.urlopen(
            method,
            target,
            body=body,
            headers=headers,
            retries=_NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=_timeout(),
            preload_content=False,
            decode_content=False,
        )

    def _open_by_mock(
        self, method: str, path: str, headers: Mapping[str, Any], body: bytes | None
    ) -> Any:
        """Let a test library answer that has put itself in the place of requests' `send`."""
        prepared = prepare(method, self._route.base_url + path, headers, body)
        proxies = self._proxies()
        left = _left()
        times = min(CONNECT_TIMEOUT, left), left
        return self.send(prepared, stream=True, timeout=times, proxies=proxies).raw

    def _proxies(self) -> dict[str, str]:
        proxy = self._route.proxy
        return {"http": proxy, "https": proxy} if proxy else {}

    def _find_way(self, path: str) -> tuple[Any, str]:
        prepared = prepare("POST", self._route.base_url + path, {}, None)
        proxies = self._proxies()
        pool = self.get_connection_with_tls_context(prepared, verify=True, proxies=proxies)
        return pool, self.request_url(prepared, proxies)

    def _tls(self) -> dict[str, Any]:
        secure = self._route.base_url.startswith("https:") or self._route.proxy is not None
        return {"ssl_context": self._route.tls()} if secure else {}

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Make the pools ours."""
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs, **self._tls())
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Make a proxy's pools ours."""
        tls = self._tls()
        if proxy.startswith("https:"):
            tls["proxy_ssl_context"] = self._route.tls()
        manager = super().proxy_manager_for(proxy, **proxy_kwargs, **tls)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close idle connections now; by itself urllib3 leaves that to the garbage collector."""
        managers: list[Any] = [self.poolmanager, *self.proxy_manager.values()]
        for manager in managers:
            for key in manager.pools.keys():  # noqa: SIM118 - it cannot be iterated otherwise
                pool = manager.pools.get(key)
                if pool is not None:
                    pool.close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Load nothing more into the shared context."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Leave verification to the shared context, which always verifies."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}


def _timeout() -> urllib3.Timeout:
    left = _left()
    return urllib3.Timeout(connect=min(CONNECT_TIMEOUT, left), read=left)


def _left() -> float:
    return SOCKET_SLACK if here.attempt is None else here.attempt.left()
