"""The synchronous shell: sends on `requests`, and drives a job with threads.

Rules of this file:
- `send` returns a `Reply` or a `Fault` and raises nothing; it follows no redirect, reads no
  `.netrc`, keeps no cookie and never retries.
- It reads raw bytes, at most as many as the request allows, and decompresses them itself.
- Only the calling thread touches the job. Sends run in worker threads, so the caller can always
  time out, be interrupted, or give up on one.
"""

from __future__ import annotations

import contextlib
import email.errors
import http.client
import queue
import re
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors

from openrouter_embed.core.codec import ContentError, TooLargeError, decompress
from openrouter_embed.core.steps import Abort, Driven, Send, Wait
from openrouter_embed.core.wire import (
    CONNECT_TIMEOUT,
    SOCKET_SLACK,
    Fault,
    FaultKind,
    Outcome,
    Reply,
    Request,
    fault,
)
from openrouter_embed.errors import ClientClosedError, ConfigurationError, EmbeddingError
from openrouter_embed.shells.route import Route, find_route
from openrouter_embed.shells.shared import (
    FramingError,
    check_head,
    conceal,
    forget_frames,
    unforeseen,
)
from openrouter_embed.shells.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openrouter_embed.settings import Settings

    # An outcome, an exception that is a bug, or `None` for "let through by the limiter"; a bare
    # `None` only wakes the caller.
    Message = tuple[int, Outcome | BaseException | None] | None
    Inbox = queue.SimpleQueue[Message]

# The first type that occurs anywhere in an exception's chain decides.
_FAULTS: Final[tuple[tuple[type[BaseException], FaultKind], ...]] = (
    (ssl.SSLError, FaultKind.TLS),
    (urllib3_errors.SSLError, FaultKind.TLS),
    (socket.gaierror, FaultKind.DNS),
    (urllib3_errors.NewConnectionError, FaultKind.CONNECT),
    (urllib3_errors.ConnectTimeoutError, FaultKind.CONNECT),
    (urllib3_errors.ProxyError, FaultKind.PROXY),
    (urllib3_errors.InvalidHeader, FaultKind.FRAMING),
    (urllib3_errors.ReadTimeoutError, FaultKind.TIMEOUT),
    (TimeoutError, FaultKind.TIMEOUT),
    (http.client.RemoteDisconnected, FaultKind.RESET),
    (http.client.IncompleteRead, FaultKind.TRUNCATED),
    (urllib3_errors.InvalidChunkLength, FaultKind.TRUNCATED),
    (http.client.BadStatusLine, FaultKind.PROTOCOL),
    (http.client.UnknownProtocol, FaultKind.PROTOCOL),
    (http.client.HTTPException, FaultKind.FRAMING),
    (FramingError, FaultKind.FRAMING),
    (UnicodeError, FaultKind.DNS),
    (urllib3_errors.LocationValueError, FaultKind.DNS),
    (OSError, FaultKind.RESET),
    (urllib3_errors.HTTPError, FaultKind.PROTOCOL),
)


def classify(error: BaseException, *, in_body: bool) -> FaultKind | None:
    """Return the kind of an exception of `requests`, `urllib3` or the standard library."""
    chain = list(_linked(error))
    for wanted, kind in _FAULTS:
        if any(isinstance(link, wanted) for link in chain):
            return FaultKind.TRUNCATED if in_body and kind is FaultKind.RESET else kind
    return None


def _linked(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    # requests and urllib3 put causes into `args` and `reason` as well as into the chain. Their own
    # base classes are OSErrors, so the wrappers themselves are left out.
    if not isinstance(error, requests.RequestException):
        yield error
    if depth < 6:
        inner = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
        for link in inner:
            if isinstance(link, BaseException):
                yield from _linked(link, depth + 1)


class Attempt:
    """One send under way; the handle by which another thread can end it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.aborted = False
        self.reused = False
        self._lock = threading.Lock()
        self._connection: Any = None
        self._sock: Any = None

    def hold(self, connection: Any) -> None:
        """Remember the connection that serves this attempt."""
        with self._lock:
            self._connection = connection
            self.reused = connection.sock is not None

    def connected(self) -> None:
        """Remember the socket too: a connection forgets one that ends with its answer.

        Raises:
            TimeoutError: The attempt was ended while it connected, so it sends nothing.
        """
        with self._lock:
            self._sock = self._connection.sock
        if self.aborted:
            raise TimeoutError

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


_here = threading.local()


class _Head:
    """An answer's stream while its head is read; it knows a head that was cut from a whole one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._begun = False

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(limit)
        while not self._begun and line in (b"\r\n", b"\n"):
            line = self._stream.readline(limit)
        cut = not line.endswith(b"\n") and len(line) < limit
        if cut and (self._begun or b"HTTP/".startswith(line[:5])):
            raise http.client.RemoteDisconnected("The head was cut.")
        self._begun = True
        return line

    def close(self) -> None:
        self._stream.close()


_NO_HEADER: Final = (
    email.errors.FirstHeaderLineIsContinuationDefect,
    email.errors.MissingHeaderBodySeparatorDefect,
)
_CHUNK_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;.*)?\r?\n", re.DOTALL)


class _Response(http.client.HTTPResponse):
    """An answer read as strictly as `aiohttp` reads one; `http.client` guesses what is missing."""

    def begin(self) -> None:
        stream: Any = self.fp
        self.fp = _Head(stream)  # type: ignore[assignment]  # only `readline` and `close` are used
        try:
            super().begin()
        finally:
            if not self.isclosed():
                self.fp = stream
        if any(isinstance(defect, _NO_HEADER) for defect in self.msg.defects):
            raise http.client.HTTPException

    def _read_status(self) -> tuple[str, int, str]:
        """Skip every interim answer, as HTTP asks; the library skips only 100."""
        while True:
            head: Any = super()._read_status()  # type: ignore[misc]
            if not 101 < head[1] < 200:
                return cast("tuple[str, int, str]", head)
            http.client.parse_headers(self.fp)

    def _read_next_chunk_size(self) -> int:
        line = self.fp.readline(65_536)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is not None:
            return int(size[1], 16)
        self._close_conn()  # type: ignore[attr-defined]
        raise http.client.HTTPException if line.endswith(b"\n") else http.client.IncompleteRead(b"")


class _TrackedPool:
    """Tells the attempt of this thread which connection serves it, and when it is given back."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        pool: Any = super()
        connection = pool._get_conn(timeout=timeout)  # noqa: SLF001 - the hook there is
        connection.response_class = _Response
        attempt: Attempt | None = getattr(_here, "attempt", None)
        if attempt is not None:
            attempt.hold(connection)
        return connection

    def _validate_conn(self, conn: Any) -> None:
        super()._validate_conn(conn)  # type: ignore[misc]
        if conn.sock is None:
            conn.connect()
        attempt: Attempt | None = getattr(_here, "attempt", None)
        if attempt is not None:
            attempt.connected()

    def _put_conn(self, conn: Any) -> None:
        attempt: Attempt | None = getattr(_here, "attempt", None)
        if attempt is not None:
            attempt.let_go()
        super()._put_conn(conn)  # type: ignore[misc]


class _TrackedHTTPPool(_TrackedPool, urllib3.HTTPConnectionPool):
    """Plain connections. It has no connection class of its own, so cassettes still apply."""


class _TrackedHTTPSPool(_TrackedPool, urllib3.HTTPSConnectionPool):
    """TLS connections; see above."""


_POOLS: Final = {"http": _TrackedHTTPPool, "https": _TrackedHTTPSPool}


class _Adapter(HTTPAdapter):
    """requests' adapter with tracked pools and one shared TLS context."""

    def __init__(self, route: Route) -> None:
        self._route = route
        super().__init__(pool_connections=2, pool_maxsize=256, max_retries=0)

    def _tls(self) -> dict[str, Any]:
        secure = self._route.base_url.startswith("https:") or self._route.proxy is not None
        return {"ssl_context": self._route.tls()} if secure else {}

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        super().init_poolmanager(connections, maxsize, block=block, **pool_kwargs, **self._tls())
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs, **self._tls())
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
        """Leave verification to the shared context, which always verifies."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}


class RequestsTransport:
    """Connections of one client; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._route = find_route(settings)
        self._headers = {name: _wire_text(text) for name, text in settings.headers().items()}
        self._session = settings.session
        self._own: _Adapter | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.workers = Workers()

    def send(self, request: Request, attempt: Attempt | None = None) -> Outcome:
        """Send a request and read its whole answer."""
        attempt = attempt or Attempt(request)
        _here.attempt = attempt
        progress = _Progress()
        try:
            return self._exchange(request, progress)
        except EmbeddingError as error:
            return Fault(FaultKind.LOCAL, error.message)
        except TooLargeError:
            return fault(FaultKind.TOO_LARGE, self._route.host, limit=request.max_reply)
        except ContentError:
            return fault(FaultKind.DECODE, self._route.host)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
            return self._fault(error, attempt, in_body=progress.in_body)
        finally:
            attempt.let_go()
            _here.attempt = None
            progress.end()

    def _fault(self, error: Exception, attempt: Attempt, *, in_body: bool) -> Fault:
        kind = classify(error, in_body=in_body)
        found = unforeseen(error) if kind is None else None
        forget_frames(error)
        stale = kind is FaultKind.RESET and attempt.reused
        return found or fault(kind or FaultKind.LOCAL, self._route.host, stale=stale)

    def _exchange(self, request: Request, progress: _Progress) -> Outcome:
        adapter, extra = self._adapter()
        prepared = self._prepare(request)
        timeout = (
            min(CONNECT_TIMEOUT, request.timeout + SOCKET_SLACK),
            request.timeout + SOCKET_SLACK,
        )
        response = adapter.send(prepared, stream=True, timeout=timeout, **extra)
        progress.begin(response)
        lines = response.raw.headers
        headers = check_head(getattr(lines, "iteritems", lines.items)())
        body = _read(response.raw, request.max_reply)
        progress.whole = True
        content = decompress(body, headers.get("content-encoding", ""), request.max_reply)
        content = conceal(content, str(prepared.headers["Authorization"]))
        return Reply(response.status_code, headers, content, time.time())

    def _prepare(self, request: Request) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._route.base_url + request.path
        prepared.headers = CaseInsensitiveDict(self._headers)  # type: ignore[arg-type] # bytes too
        prepared.headers.update(request.headers)
        prepared.headers["Accept-Encoding"] = "gzip, deflate"
        prepared.headers["Authorization"] = self._settings.authorization()
        if request.body:
            prepared.body = request.body
            prepared.headers["Content-Length"] = str(len(request.body))
        return prepared

    def _adapter(self) -> tuple[Any, dict[str, Any]]:
        session = self._session
        if session is not None:
            url = self._route.base_url
            extra = {"verify": session.verify, "cert": session.cert, "proxies": session.proxies}
            return _refuse_retries(session.get_adapter(url)), extra
        with self._lock:
            if self._closed:
                raise ClientClosedError("The client was closed during the call.")
            if self._own is None:
                self._own = _Adapter(self._route)
            adapter = self._own
        proxy = self._route.proxy
        return adapter, {"proxies": {"http": proxy, "https": proxy} if proxy else {}}

    def close(self) -> None:
        """Close the connections that are ours; the caller's session is left alone."""
        with self._lock:
            self._closed = True
            adapter, self._own = self._own, None
        if adapter is not None:
            adapter.close()
        self.workers.close()


def _wire_text(text: str) -> str | bytes:
    """`http.client` would send Latin-1 where `aiohttp` sends UTF-8."""
    return text if text.isascii() else text.encode()


def _refuse_retries(adapter: Any) -> Any:
    total = getattr(getattr(adapter, "max_retries", None), "total", 0)
    if total:
        raise ConfigurationError(
            "The session's adapter retries by itself, which would multiply our own retries: mount "
            "one with `max_retries=0`."
        )
    return adapter


class _Progress:
    """How far an exchange has come, and the end of it: a broken one drops its connection."""

    def __init__(self) -> None:
        self.whole = False
        self._response: requests.Response | None = None

    @property
    def in_body(self) -> bool:
        return self._response is not None

    def begin(self, response: requests.Response) -> None:
        self._response = response

    def end(self) -> None:
        if self._response is None:
            return
        raw = self._response.raw
        if self.whole:  # an answer of a cassette or of a caller's own adapter has no connection
            getattr(raw, "release_conn", raw.close)()
        else:
            raw.close()


_PIECE: Final = 4 * 1024 * 1024
"""Bytes per read: small ones cost time, and a whole limit at once costs memory."""


def _read(raw: Any, limit: int) -> bytes:
    """Read until the end; the second, empty read is what makes a short body an error."""
    pieces: list[bytes] = []
    size = 0
    while piece := raw.read(min(_PIECE, limit + 1 - size), decode_content=False):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLargeError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def drive(job: Driven, inbox: Inbox, transport: RequestsTransport, settings: Settings) -> None:
    """Do what a job says until it is done; on any exception drop what is in flight.

    Args:
        job: Its `wake` puts `None` into the inbox.
        inbox: Where worker threads leave outcomes.
        transport: Sends.
        settings: Brings the limiter.
    """
    attempts: dict[int, Attempt] = {}
    try:
        while True:
            step = job.next(time.monotonic())
            if isinstance(step, Send):
                attempt = attempts[step.request.id] = Attempt(step.request)
                transport.workers.submit(_task(attempt, inbox, transport, settings))
            elif isinstance(step, Abort):
                attempts.pop(step.id).abort()
            elif isinstance(step, Wait):
                _await(job, inbox, step, attempts)
            else:
                return
    finally:
        for request_id in job.close():
            if request_id in attempts:  # Ctrl-C may come before it is
                attempts[request_id].abort()


def _await(job: Driven, inbox: Inbox, step: Wait, attempts: dict[int, Attempt]) -> None:
    left = None if step.until is None else max(0.0, step.until - time.monotonic())
    try:
        message = inbox.get(timeout=left)
    except queue.Empty:
        return
    if message is None:
        return
    request_id, outcome = message
    if outcome is None:
        job.started(request_id, time.monotonic())
        return
    if isinstance(outcome, BaseException):
        raise outcome
    attempts.pop(request_id, None)
    job.feed(request_id, outcome, time.monotonic())


def _task(
    attempt: Attempt, inbox: Inbox, transport: RequestsTransport, settings: Settings
) -> Callable[[], None]:
    def run() -> None:
        outcome: Outcome | BaseException
        try:
            outcome = _limited(attempt, inbox, settings) or transport.send(attempt.request, attempt)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            outcome = error
        inbox.put((attempt.request.id, outcome))

    return run


def _limited(attempt: Attempt, inbox: Inbox, settings: Settings) -> Fault | None:
    """Ask the limiter, here in the worker thread, where blocking blocks nobody else."""
    if settings.limiter is None or attempt.request.method == "GET":
        return None  # what costs nothing needs no leave
    try:
        settings.limiter.acquire(attempt.request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return Fault(FaultKind.LOCAL, f"The limiter failed with {type(error).__name__}.")
    if attempt.aborted:
        return Fault(FaultKind.TIMEOUT, "The call had ended before the limiter let it through.")
    inbox.put((attempt.request.id, None))
    return None
