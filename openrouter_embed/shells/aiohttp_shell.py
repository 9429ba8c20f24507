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
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from openrouter_embed.core.codec import ContentError, TooLargeError, decompress
from openrouter_embed.core.wire import (
    CONNECT_TIMEOUT,
    SOCKET_SLACK,
    Abort,
    Driven,
    Fault,
    FaultKind,
    Outcome,
    Reply,
    Request,
    Send,
    Wait,
    fault,
)
from openrouter_embed.errors import EmbeddingError
from openrouter_embed.shells.route import find_route
from openrouter_embed.shells.shared import (
    FramingError,
    check_head,
    check_status,
    conceal,
    forget_frames,
    unforeseen,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from openrouter_embed.options.settings import Settings

# The first type that occurs anywhere in an exception's chain decides.
_FAULTS: Final[tuple[tuple[type[BaseException], FaultKind], ...]] = (
    (ssl.SSLError, FaultKind.TLS),
    (ssl.CertificateError, FaultKind.TLS),
    (aiohttp.ClientSSLError, FaultKind.TLS),
    (socket.gaierror, FaultKind.DNS),
    (aiohttp.ClientHttpProxyError, FaultKind.PROXY),
    (aiohttp.ClientConnectorError, FaultKind.CONNECT),
    (aiohttp.ConnectionTimeoutError, FaultKind.CONNECT),
    (asyncio.TimeoutError, FaultKind.TIMEOUT),
    (aiohttp.ServerDisconnectedError, FaultKind.RESET),
    (http_exceptions.BadStatusLine, FaultKind.PROTOCOL),
    (aiohttp.ClientPayloadError, FaultKind.TRUNCATED),
    (http_exceptions.BadHttpMessage, FaultKind.FRAMING),
    (FramingError, FaultKind.FRAMING),
    (UnicodeError, FaultKind.DNS),
    (aiohttp.InvalidURL, FaultKind.DNS),
    (aiohttp.ClientOSError, FaultKind.RESET),
    (OSError, FaultKind.RESET),
    (aiohttp.ClientError, FaultKind.PROTOCOL),
)


def classify(error: BaseException, *, in_body: bool) -> FaultKind | None:
    """Return the kind of an exception of `aiohttp` or the standard library."""
    chain = list(_linked(error))
    for wanted, kind in _FAULTS:
        if any(isinstance(link, wanted) for link in chain):
            return FaultKind.TRUNCATED if in_body and kind is FaultKind.RESET else kind
    return None


def _linked(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    yield error
    if depth < 6:
        inner = (error.__cause__, error.__context__, getattr(error, "os_error", None))
        for link in inner:
            if isinstance(link, BaseException):
                yield from _linked(link, depth + 1)


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
    """An answer that is none while its status is below 200; of those aiohttp waits only for 101."""

    async def start(self, connection: Any) -> aiohttp.ClientResponse:
        """Read the head.

        Raises:
            FramingError: The status is below 200. Its connection is closed: it may have gone back
                to its pool, and the real answer would be the next request's.
        """
        transport = connection.transport
        await super().start(connection)
        try:
            check_status(self.status)
        except FramingError:
            transport.close()
            raise
        return self


class _Lane:
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
        self._route = find_route(settings)
        self._headers = settings.headers()
        self._lock = threading.Lock()
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane] = {}

    async def send(self, request: Request) -> Outcome:
        """Send a request and read its whole answer."""
        trace = _Trace()
        try:
            return await self._exchange(request, trace)
        except EmbeddingError as error:
            return Fault(FaultKind.LOCAL, error.message)
        except TooLargeError:
            return fault(FaultKind.TOO_LARGE, self._route.host, limit=request.max_reply)
        except ContentError:
            return fault(FaultKind.DECODE, self._route.host)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
            return self._fault(error, trace)

    def _fault(self, error: Exception, trace: _Trace) -> Fault:
        kind = classify(error, in_body=trace.in_body)
        found = unforeseen(error) if kind is None else None
        forget_frames(error)
        stale = kind is FaultKind.RESET and trace.reused
        return found or fault(kind or FaultKind.LOCAL, self._route.host, stale=stale)

    async def _exchange(self, request: Request, trace: _Trace) -> Outcome:
        session = await self._session()
        sent = self._request_headers(request)
        async with session.request(
            request.method,
            URL(self._route.base_url + request.path, encoded=True),
            data=_payload(request.body),
            headers=sent,
            allow_redirects=False,
            proxy=self._route.proxy,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(CONNECT_TIMEOUT, request.timeout + SOCKET_SLACK)
            ),
            trace_request_ctx=trace,
        ) as response:
            trace.in_body = True
            headers = check_head(response.headers.items())
            body = await _read(response, request.max_reply)
        content = decompress(body, headers.get("content-encoding", ""), request.max_reply)
        content = conceal(content, sent["Authorization"])
        return Reply(response.status, headers, content, time.time())

    def _request_headers(self, request: Request) -> dict[str, str]:
        return {
            **self._headers,
            **dict(request.headers),
            "Accept-Encoding": "gzip, deflate",
            "Authorization": self._settings.authorization(public=request.public),
        }

    async def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(loop)
        if lane is not None:
            return lane.session
        tls = await self._tls(loop)
        with self._lock:
            lane = self._lanes.get(loop)
            if lane is None:
                open_ones = {at: lane for at, lane in self._lanes.items() if not at.is_closed()}
                lane = _Lane(_make_session(tls), loop)
                self._lanes = {**open_ones, loop: lane}
        await lane.open()
        return lane.session

    async def _tls(self, loop: asyncio.AbstractEventLoop) -> ssl.SSLContext | bool:
        if self._route.base_url.startswith("http:") and self._route.proxy is None:
            return True
        return await loop.run_in_executor(None, self._route.tls)

    async def aclose(self) -> None:
        """Close the connections of every loop that still runs."""
        here = asyncio.get_running_loop()
        for loop, lane in self._take_lanes():
            if loop is here:
                await lane.close()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(lane.close(), loop))

    def close(self) -> None:
        """Ask every loop that still runs to close its connections; others did so at their end."""
        for loop, lane in self._take_lanes():
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(lane.close(), loop)

    def _take_lanes(self) -> list[tuple[asyncio.AbstractEventLoop, _Lane]]:
        with self._lock:
            lanes, self._lanes = self._lanes, {}
        return list(lanes.items())


def _make_session(tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_on_reuse)
    # The job bounds the requests in flight; a second bound here would eat into attempt timeouts.
    connector = aiohttp.TCPConnector(limit=0, ssl=tls, resolver=aiohttp.ThreadedResolver())
    session = aiohttp.ClientSession(
        connector=connector,
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
    content = response.content
    told = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    _end_with_connection(response, open_ended=not told)
    async for piece in content.iter_chunked(262_144):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            response.close()
            raise TooLargeError
    error = content.exception()
    if error is not None:
        raise error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
            timer = None
            if until is not None:
                timer = self._loop.call_later(max(0.0, until - time.monotonic()), self.ring)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        self._rung = False


Box = deque[tuple[int, Outcome | BaseException | None]]


async def drive(job: Driven, bell: Bell, transport: AiohttpTransport, settings: Settings) -> None:
    """Do what a job says until it is done; on any exception drop what is in flight.

    Args:
        job: Its `wake` rings the bell.
        bell: Belongs to the running loop.
        transport: Sends.
        settings: Brings the limiter.
    """
    box: Box = deque()
    tasks: dict[int, asyncio.Task[None]] = {}
    dropped: set[int] = set()
    try:
        while True:
            step = job.next(time.monotonic())
            if isinstance(step, Send):
                work = _work(
                    step.request,
                    box=box,
                    bell=bell,
                    dropped=dropped,
                    transport=transport,
                    settings=settings,
                )
                tasks[step.request.id] = asyncio.create_task(work)
            elif isinstance(step, Abort):
                dropped.add(step.id)
                tasks[step.id].cancel()
            elif isinstance(step, Wait):
                await bell.wait(step.until)
                _feed(job, box, tasks)
            else:
                return
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
            job.started(request_id, time.monotonic())
            continue
        tasks.pop(request_id)
        job.feed(request_id, outcome, time.monotonic())


async def _work(
    request: Request,
    *,
    box: Box,
    bell: Bell,
    dropped: set[int],
    transport: AiohttpTransport,
    settings: Settings,
) -> None:
    outcome: Outcome | BaseException
    try:
        outcome = await _limited(request, box, bell, settings) or await transport.send(request)
    except asyncio.CancelledError:
        if request.id in dropped:
            raise
        # Not we, but a limiter, a key callable or a session that closes: the call must hear of it.
        outcome = Fault(FaultKind.RESET, "The request was cancelled from outside.")
    except Exception as error:  # noqa: BLE001 - raised again by the call
        outcome = error
    box.append((request.id, outcome))
    bell.ring()


async def _limited(request: Request, box: Box, bell: Bell, settings: Settings) -> Fault | None:
    if settings.limiter is None or not request.limited:
        return None
    try:
        await settings.limiter.aacquire(request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return Fault(FaultKind.LOCAL, f"The limiter failed with {type(error).__name__}.")
    box.append((request.id, None))
    bell.ring()
    return None
