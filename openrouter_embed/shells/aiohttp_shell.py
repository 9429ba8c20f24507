"""The asynchronous shell: sends on `aiohttp`, and drives a job with tasks.

Rules of this file:
- `send` returns a `Reply` or a `Fault`; only cancellation passes through it. It follows no
  redirect, keeps no cookie, reads no environment and never retries.
- Connections belong to an event loop. Each loop that uses a client gets its own, and they are
  closed with the loop, so one client serves any number of `asyncio.run`s.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import ssl
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from openrouter_embed.clock import call_later, monotonic, wall
from openrouter_embed.core import wire
from openrouter_embed.core.inflate import POURED, Inflow, TooLargeError, decompress
from openrouter_embed.core.wire import (
    CONNECT_TIMEOUT,
    Abort,
    Driven,
    Fault,
    FaultKind,
    Outcome,
    Reply,
    Request,
    Send,
    Wait,
)
from openrouter_embed.route import Route, find_route
from openrouter_embed.shells import shared
from openrouter_embed.shells.shared import FramingError, Table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from openrouter_embed.options.settings import Settings

    Tell = Callable[[int, Outcome | BaseException | None], None]

_FAULTS: Final[Table] = (
    ((ssl.SSLError, ssl.CertificateError, aiohttp.ClientSSLError), FaultKind.TLS),
    ((socket.gaierror,), FaultKind.DNS),
    ((aiohttp.ClientHttpProxyError,), FaultKind.PROXY),
    ((ConnectionRefusedError,), FaultKind.REFUSED),
    ((aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError), FaultKind.CONNECT),
    (("python_socks",), FaultKind.CONNECT),
    ((asyncio.TimeoutError,), FaultKind.TIMEOUT),
    ((aiohttp.ServerDisconnectedError,), FaultKind.RESET),
    ((http_exceptions.BadStatusLine,), FaultKind.PROTOCOL),
    ((aiohttp.ClientPayloadError,), FaultKind.TRUNCATED),
    ((http_exceptions.BadHttpMessage, FramingError), FaultKind.FRAMING),
    ((UnicodeError, aiohttp.InvalidURL), FaultKind.DNS),
    ((aiohttp.ClientOSError, OSError), FaultKind.RESET),
    ((aiohttp.ClientError,), FaultKind.PROTOCOL),
)
GRACE: Final = 1.0
"""Seconds that cancelled requests have to end; a limiter may swallow its cancellation."""
LARGE_BODY: Final = 512 * 1024
"""Bytes above which one write would keep the event loop busy; aiohttp warns from 1 MiB."""


class _Trace:
    """Learns whether a request went out on a connection that had served before."""

    def __init__(self) -> None:
        self.reused = False
        self.in_body = False


async def _on_reuse(_: Any, context: Any, __: Any) -> None:
    context.trace_request_ctx.reused = True


class _Answer(aiohttp.ClientResponse):
    """An answer that is refused with a status below 200; of those aiohttp itself skips all but 101.

    Its connection is closed then: it may have gone back to its pool already.
    """

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        transport = connection.transport
        await super().start(connection)
        if self.status < 200:
            transport.close()
            raise FramingError
        return self


class _LoopSession:
    """The session of one event loop."""

    def __init__(self, session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self._loop = loop
        self._keeper = _keep(session)
        self._begun = False

    async def open(self) -> None:
        # A generator that has begun is closed by the loop when the loop shuts down, which is the
        # only moment at which a session that nobody closed still can be.
        if not self._begun:
            self._begun = True
            await self._keeper.__anext__()

    async def close(self) -> None:
        await self._keeper.aclose()

    def bury(self) -> None:
        """Let go of a session whose loop closed without shutting down, as frameworks' loops do."""
        connector = self.session.connector
        self.session.detach()
        if connector is not None:
            # Nothing can be awaited in a closed loop, and there is nothing left to wait for.
            for _ in connector.close().__await__():
                break

    def __del__(self) -> None:
        if self._loop.is_closed() and not self.session.closed:
            self.bury()


async def _keep(session: aiohttp.ClientSession) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await session.close()


class AiohttpTransport:
    """Connections of one client, by event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._route = find_route(settings, "aiohttp_socks")
        self._headers = {**settings.headers(), "Accept-Encoding": "gzip, deflate"}
        self._lock = threading.Lock()
        self._sessions: dict[asyncio.AbstractEventLoop, _LoopSession] = {}

    async def send(self, request: Request) -> Outcome:
        """Send a request and read its whole answer."""
        trace = _Trace()
        try:
            return await self._exchange(request, trace)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
            kind = shared.classify(error, _FAULTS, in_body=trace.in_body)
            return shared.fault_of(error, request, self._route, kind, reused=trace.reused)

    async def _exchange(self, request: Request, trace: _Trace) -> Outcome:
        session = await self._session()
        connecting = min(CONNECT_TIMEOUT, request.timeout + wire.SOCKET_SLACK)
        key = self._settings.authorization(public=request.public)
        sent = {**self._headers, **dict(request.headers), "Authorization": key}
        async with session.request(
            request.method,
            URL(self._route.url(request.path, request.root), encoded=True),
            data=_payload(request.body),
            headers=sent,
            allow_redirects=False,
            proxy=None if self._route.socks else self._route.proxy,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connecting),
            trace_request_ctx=trace,
        ) as response:
            trace.in_body = True
            headers = shared.check_head(response.headers.items())
            coding = headers.get("content-encoding", "")
            if request.sink is not None and request.sink.begin(response.status):
                await _pour(response, Inflow(request.sink, coding))
                return wire.Reply(response.status, headers, b"", wall())
            body = await _read(response, request.max_reply)
        content = decompress(body, coding, request.max_reply)
        content = shared.conceal(content, key)
        return wire.Reply(response.status, headers, content, wall())

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        kept = self._sessions.get(loop)
        if kept is not None:
            return kept.session
        secure = self._route.base_url.startswith("https:") or self._route.proxy is not None
        tls = await loop.run_in_executor(None, self._route.tls) if secure else True
        with self._lock:
            kept = self._sessions.get(loop)
            if kept is None:
                open_ones = {at: kept for at, kept in self._sessions.items() if not at.is_closed()}
                kept = _LoopSession(_make_session(tls, self._route), loop)
                self._sessions = {**open_ones, loop: kept}
        await kept.open()
        return kept.session

    async def aclose(self) -> None:
        """Close the connections of every loop that still runs."""
        here = asyncio.get_running_loop()
        for loop, kept in self._take_sessions():
            if loop is here:
                await kept.close()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(kept.close(), loop))

    def close(self) -> None:
        """Ask every loop that still runs to close its connections; others did so at their end."""
        for loop, kept in self._take_sessions():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(kept.close(), loop)

    def _take_sessions(self) -> list[tuple[asyncio.AbstractEventLoop, _LoopSession]]:
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        return list(sessions.items())


def _make_connector(tls: ssl.SSLContext | bool, route: Route) -> aiohttp.TCPConnector:
    # The job bounds the requests in flight; a second bound here would eat into attempt timeouts.
    if not route.socks:
        return aiohttp.TCPConnector(limit=0, ssl=tls, resolver=aiohttp.ThreadedResolver())
    from aiohttp_socks import ProxyConnector  # noqa: PLC0415 - an extra

    scheme, _, rest = cast(str, route.proxy).partition("://")
    by_proxy = scheme.lower() == "socks5h"
    return ProxyConnector.from_url(f"socks5://{rest}", rdns=by_proxy, limit=0, ssl=tls)


def _make_session(tls: ssl.SSLContext | bool, route: Route) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_on_reuse)
    session = aiohttp.ClientSession(
        connector=_make_connector(tls, route),
        auto_decompress=False,
        response_class=_Answer,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        trace_configs=[trace],
        max_line_size=65_536,
        max_field_size=65_536,
    )
    # There is no other way to keep aiohttp from retrying a GET by itself.
    session._retry_connection = False  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return session


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Return what to send; large bodies as a stream, which aiohttp writes piece by piece."""
    return io.BytesIO(body) if len(body) > LARGE_BODY else body or None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in _pieces(response):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            response.close()
            raise TooLargeError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _pour(response: aiohttp.ClientResponse, inflow: Inflow) -> None:
    async for piece in _pieces(response):
        if not inflow.feed(piece):
            response.close()
            return
    inflow.end()


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    content = response.content
    told = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    _end_with_connection(response, open_ended=not told)
    async for piece in content.iter_chunked(POURED):
        yield piece
    error = content.exception()
    if error is not None:
        raise error


def _end_with_connection(response: aiohttp.ClientResponse, *, open_ended: bool) -> None:
    """Let a body end with its connection, and with an error if that did.

    By itself aiohttp waits for ever after a corrupt chunk, and takes a reset for the proper end of
    a body whose length nobody told.
    """
    content = response.content
    protocol = None if response.connection is None else response.connection.protocol
    closed: asyncio.Future[None] | None = getattr(protocol, "closed", None)

    def end(done: asyncio.Future[None]) -> None:
        lost = not done.cancelled() and done.exception() is not None
        if content.exception() is None and (not content.is_eof() or (open_ended and lost)):
            content.set_exception(aiohttp.ClientPayloadError() if lost else FramingError())

    if closed is not None:
        closed.add_done_callback(end)


class Bell:
    """Wakes one waiting coroutine; may be rung from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiter, now or when it next waits; called within the loop."""
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def ring_threadsafe(self) -> None:
        """Wake the waiter from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self.ring)

    async def wait(self, until: float | None) -> None:
        """Wait until rung, or until a moment (monotonic seconds)."""
        if not self._rung:
            self._waiter = self._loop.create_future()
            cancel = None
            if until is not None:
                cancel = call_later(self._loop, until - monotonic(), self.ring)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if cancel is not None:
                    cancel()
        self._rung = False


Box = deque[tuple[int, Outcome | BaseException | None]]


async def drive(job: Driven, bell: Bell, transport: AiohttpTransport, settings: Settings) -> None:
    """Do what a job says until it is done; on any exception drop what is in flight."""
    box: Box = deque()
    tasks: dict[int, asyncio.Task[None]] = {}
    dropped: set[int] = set()

    def tell(request_id: int, outcome: Outcome | BaseException | None) -> None:
        box.append((request_id, outcome))
        bell.ring()

    try:
        while True:
            step = job.next(monotonic())
            if isinstance(step, Send):
                work = _work(step.request, tell, dropped, transport, settings.limiter)
                tasks[step.request.id] = asyncio.create_task(work)
            elif isinstance(step, Abort):
                dropped.add(step.id)
                tasks[step.id].cancel()
            elif isinstance(step, Wait):
                await bell.wait(step.until)
                _feed(job, box, tasks)
            else:
                return
    except BaseException:
        for request_id, outcome in box if job.keeps else ():
            if isinstance(outcome, Reply):  # it was paid for, though the call is broken off
                job.feed(request_id, outcome, monotonic())
        raise
    finally:
        for request_id in job.close():
            if request_id in tasks:  # it may have been cancelled before it was begun
                dropped.add(request_id)
                tasks[request_id].cancel()
        if tasks:
            await asyncio.wait(tasks.values(), timeout=GRACE)


def _feed(job: Driven, box: Box, tasks: dict[int, asyncio.Task[None]]) -> None:
    while box:
        request_id, outcome = box.popleft()
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome is None:
            job.started(request_id, monotonic())
            continue
        tasks.pop(request_id)
        job.feed(request_id, outcome, monotonic())


async def _work(
    request: Request, tell: Tell, dropped: set[int], transport: AiohttpTransport, limiter: Any
) -> None:
    outcome: Outcome | BaseException
    try:
        outcome = await _limited(request, tell, limiter) or await transport.send(request)
    except asyncio.CancelledError:
        if request.id in dropped:
            raise
        # Not we, but a limiter, a key callable or a session that closes: the call must hear of it.
        outcome = Fault(FaultKind.RESET, "The request was cancelled from outside.")
    except Exception as error:  # noqa: BLE001 - raised again by the call
        outcome = error
    tell(request.id, outcome)


async def _limited(request: Request, tell: Tell, limiter: Any) -> Fault | None:
    if limiter is None or not request.limited:
        return None
    try:
        await limiter.aacquire(request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return shared.limiter_failed(error)
    tell(request.id, None)
    return None
