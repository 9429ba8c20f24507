"""Sends under way, and the session whose connections let another thread end one.

Rules of this file:
- A `requests` session as everybody knows it: what is ours are its pools, which tell an attempt by
  which connection it is served, and one TLS context that all of them share.
- `_validate_conn` is the one private name of urllib3, because no public one is called between
  connecting and sending. A test fails when it goes away.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from contextvars import ContextVar
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final, cast

import requests
from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.route import Route


class Attempt:
    """One send under way, each of whose reads and writes may take `timeout` seconds.

    It is the handle by which another thread can end it, and refers to no request: a connection
    remembers its last attempt for as long as it is kept.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.aborted = False
        self.reused = False
        self.in_body = False
        self._lock = threading.Lock()
        self._over = False
        self._connection: Any = None
        self.sock: Any = None

    def serve_by(self, connection: Any, connect: Callable[[], None]) -> None:
        """Remember the connection that serves this attempt, and see that it is connected.

        Raises:
            TimeoutError: The attempt was ended meanwhile, so it sends nothing.
        """
        earlier: Attempt | None = getattr(connection, "served", None)
        if earlier is not None:
            earlier.let_go()
            self.reused = connection.sock is not None and connection.sock is earlier.sock
        self._connection = connection
        connection.served = self
        connect()
        if connection.sock is None:
            connection.connect()
        with self._lock:
            # A connection forgets the socket of an answer that ends with it.
            self.sock = connection.sock
        if self.aborted:
            raise TimeoutError
        # Until the request is sent urllib3 allows what connecting may take.
        connection.timeout = self.timeout

    def let_go(self) -> None:
        """Forget the connection: it may serve another attempt from here on."""
        with self._lock:
            self._over = True
            self._connection = None

    def abort(self) -> None:
        """End the attempt from another thread by shutting its socket down."""
        self.aborted = True
        with self._lock:
            if not self._over:
                shut_down(self.sock or getattr(self._connection, "sock", None))


current: Final[ContextVar[Attempt | None]] = ContextVar("openrouter_embed_attempt", default=None)
"""The attempt that is being sent here: urllib3 has no other way to tell its pools."""


def shut_down(sock: Any) -> None:
    """End a connection; whoever reads or writes there gets an error or the end."""
    inner = getattr(sock, "socket", sock)  # TLS within TLS wraps it in an object
    if isinstance(inner, socket.socket):
        # Not the method of an `SSLSocket`: that one first takes the encryption off, and the thread
        # that is just sending would send on in the clear.
        with contextlib.suppress(OSError):  # not connected any more: nothing to end
            socket.socket.shutdown(inner, socket.SHUT_RDWR)


class _Tracked:
    """Mixed into a pool: tells the attempt which connection serves it."""

    def _validate_conn(self, conn: Any) -> None:
        validate = cast("Callable[[Any], None]", super()._validate_conn)  # type: ignore[misc]
        attempt = current.get()
        if attempt is None:
            validate(conn)
        else:
            attempt.serve_by(conn, functools.partial(validate, conn))


@functools.cache
def _tracked(pool: type) -> type:
    return type(f"Tracked{pool.__name__}", (_Tracked, pool), {})


def _close(pool: Any) -> None:
    pool.close()


def _track(manager: Any) -> Any:
    kinds = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _tracked(kind) for scheme, kind in kinds.items()}
    # Closing closes idle connections now; of itself urllib3 leaves them to the garbage collector.
    manager.pools.dispose_func = _close
    return manager


class _Adapter(HTTPAdapter):
    """requests' adapter with tracked pools and one shared TLS context."""

    def __init__(self, route: Route) -> None:
        self._route = route
        # It keeps far more idle connections than requests are ever in flight.
        super().__init__(pool_connections=2, pool_maxsize=256, max_retries=0)

    def _tls(self) -> dict[str, Any]:
        secure = self._route.base_url.startswith("https:") or self._route.proxy is not None
        return {"ssl_context": self._route.tls()} if secure else {}

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        """Make the pools tracked ones."""
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs, **self._tls())
        _track(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Make a proxy's pools tracked ones."""
        if proxy in self.proxy_manager:
            return self.proxy_manager[proxy]
        tls = self._tls()
        if proxy.startswith("https:"):
            tls["proxy_ssl_context"] = self._route.tls()
        return _track(super().proxy_manager_for(proxy, **proxy_kwargs, **tls))

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Load nothing more into the shared context."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Leave verification to the shared context, which always verifies."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}


def make_session(route: Route) -> requests.Session:
    """Make a session that reads no environment, keeps no cookie and goes one way."""
    session = requests.Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    if route.proxy:
        session.proxies = {"http": route.proxy, "https": route.proxy}
    session.adapters.clear()
    session.mount("http", _Adapter(route))
    return session
