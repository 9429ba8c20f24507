"""The synchronous shell: sends on `requests`, and drives a job with threads.

Rules of this file:
- `send` returns a `Reply` or a `Fault` and raises nothing; every request goes through
  `Session.send`, which follows no redirect here and never retries.
- It reads raw bytes, at most as many as the request allows, and decompresses them itself.
- Only the calling thread touches the job and keeps time. Sends run in worker threads, so the caller
  can always time out, be interrupted, or give up on one.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import http.client
import queue
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as errors

from openrouter_embed.clock import monotonic, wall
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
from openrouter_embed.errors import ClientClosedError, ConfigurationError
from openrouter_embed.route import find_route
from openrouter_embed.shells import shared
from openrouter_embed.shells.attempt import Attempt, current, make_session
from openrouter_embed.shells.shared import FramingError, Table, check_head
from openrouter_embed.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openrouter_embed.options.settings import Settings

    # An outcome, an exception that is a bug, or `None` for "let through by the limiter"; a bare
    # `None` only wakes the caller.
    Message = tuple[int, Outcome | BaseException | None] | None

_FAULTS: Final[Table] = (
    ((ssl.SSLError, errors.SSLError), FaultKind.TLS),
    ((socket.gaierror,), FaultKind.DNS),
    ((ConnectionRefusedError,), FaultKind.REFUSED),
    ((errors.NewConnectionError, errors.ConnectTimeoutError), FaultKind.CONNECT),
    ((errors.ProxyError,), FaultKind.PROXY),
    ((errors.InvalidHeader,), FaultKind.FRAMING),
    ((errors.ReadTimeoutError, TimeoutError), FaultKind.TIMEOUT),
    ((http.client.RemoteDisconnected,), FaultKind.RESET),
    ((errors.InvalidChunkLength,), FaultKind.FRAMING),
    ((http.client.IncompleteRead,), FaultKind.TRUNCATED),
    ((http.client.BadStatusLine, http.client.UnknownProtocol), FaultKind.PROTOCOL),
    ((http.client.HTTPException, FramingError), FaultKind.FRAMING),
    ((UnicodeError, errors.LocationValueError), FaultKind.DNS),
    ((OSError,), FaultKind.RESET),
    ((errors.HTTPError,), FaultKind.PROTOCOL),
)
_BEYOND: Final[Table] = tuple(row for row in _FAULTS if row[1] is not FaultKind.PROXY)
"""What a proxy's connection loses once it stands, urllib3 still calls the proxy's fault."""
_RETRIES: Final = (
    "The session's adapter retries by itself, which would multiply our own retries: mount one with "
    "`max_retries=0`."
)
_NO_THREAD: Final = Fault(
    FaultKind.LOCAL,
    "The system gives no further thread to send in: lower `max_concurrency`, or allow it more.",
)
_PIECE: Final = 4 * 1024 * 1024
"""Bytes per read: small ones cost time, and a whole limit at once costs memory."""


class RequestsTransport:
    """Connections of one client; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The caller's session has proxies of its own.
        self._route = find_route(settings, "socks" if settings.session is None else None)
        self._headers = _fixed_headers(settings)
        self._own: requests.Session | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._workers = Workers()
        self.start = self._workers.start
        weakref.finalize(self, self._workers.dismiss)

    def send(self, request: Request, attempt: Attempt) -> Outcome:
        """Send a request and read its whole answer."""
        outer = current.set(attempt)
        try:
            return self._exchange(request, attempt)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
            table = _FAULTS if attempt.sock is None else _BEYOND
            kind = shared.classify(error, table, in_body=attempt.in_body)
            return shared.fault_of(error, request, self._route, kind, reused=attempt.reused)
        finally:
            attempt.let_go()
            current.reset(outer)

    def _exchange(self, request: Request, attempt: Attempt) -> Outcome:
        session = self._session()
        authorization = self._settings.authorization(public=request.public)
        response = session.send(
            self._prepare(request, authorization),
            stream=True,
            allow_redirects=False,
            timeout=(min(CONNECT_TIMEOUT, attempt.timeout), attempt.timeout),
            verify=session.verify,
            cert=session.cert,
            proxies=session.proxies,
        )
        with response:  # one that is not read to its end loses its connection
            attempt.in_body = True
            if response.status_code < 200:
                raise FramingError
            fields, body, coding = _read(response, request)
        content = decompress(body, coding, request.max_reply)
        content = shared.conceal(content, authorization)
        return wire.Reply(response.status_code, fields, content, wall())

    def _prepare(self, request: Request, authorization: str) -> requests.PreparedRequest:
        """Return the request as it is: requests' own way would change URL and headers."""
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._route.url(request.path, request.root)
        headers = {**self._headers, **dict(request.headers), "Authorization": authorization}
        if request.body:
            prepared.body = request.body
            headers["Content-Length"] = str(len(request.body))
        prepared.headers = CaseInsensitiveDict(headers)
        prepared.hooks = {"response": [_forget_target]}
        return prepared

    def _session(self) -> requests.Session:
        """Return the caller's session, or ours."""
        session = self._settings.session
        if session is not None:
            adapter = session.get_adapter(self._route.base_url)
            if getattr(getattr(adapter, "max_retries", None), "total", 0):
                raise ConfigurationError(_RETRIES)
            return session
        with self._lock:
            if self._closed:
                raise ClientClosedError("The client was closed during the call.")
            if self._own is None:
                self._own = make_session(self._route)
            return self._own

    def close(self) -> None:
        """Close the connections that are ours; the caller's session is left alone."""
        with self._lock:
            self._closed = True
            session, self._own = self._own, None
        if session is not None:
            session.close()
        self._workers.close()


def _forget_target(response: requests.Response, **_: object) -> None:
    """Let a redirect lead nowhere: `Session.send` would read its whole body, without a limit."""
    response.headers.pop("Location", None)


def _fixed_headers(settings: Settings) -> dict[str, Any]:
    """Return what every request carries; of names that differ in case alone the last counts."""
    table = CaseInsensitiveDict({**settings.headers(), "Accept-Encoding": "gzip, deflate"})
    # `http.client` would send Latin-1 where `aiohttp` sends UTF-8.
    return {name: text if text.isascii() else text.encode() for name, text in table.items()}


def _read(response: requests.Response, request: Request) -> tuple[dict[str, str], bytes, str]:
    """Return headers, body, and how the body is still encoded."""
    raw, limit = response.raw, request.max_reply
    pour = request.sink is not None and request.sink.begin(response.status_code)
    size = POURED if pour else _PIECE
    # A mock library answers with less; a tool that looks on has read it, and requests unpacked it.
    if not isinstance(raw, urllib3.HTTPResponse) or raw.closed:
        fields, coding = check_head(response.headers.items()), ""
        pieces: Iterable[bytes] = response.iter_content(size)
    else:
        fields = check_head(raw.headers.iteritems())
        coding = fields.get("content-encoding", "")
        pieces = raw.stream(min(size, limit + 1), decode_content=False)
    if request.sink is None or not pour:
        return fields, _join(pieces, limit), coding
    inflow = Inflow(request.sink, coding)
    if all(map(inflow.feed, pieces)):
        inflow.end()
    return fields, b"", ""


def _join(stream: Iterable[bytes], limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in stream:
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLargeError
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Inbox:
    """Where worker threads leave outcomes, and how another thread reaches a waiting call."""

    def __init__(self) -> None:
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.put = self._messages.put
        self.wake: Callable[[], None] = functools.partial(self.put, None)

    def get(self, until: float | None) -> Message:
        """Wait for a message, but no longer than `until` (monotonic seconds)."""
        left = None if until is None else max(0.0, until - monotonic())
        with contextlib.suppress(queue.Empty):
            return self._messages.get(timeout=left)
        return None

    def arrived(self) -> Iterator[tuple[int, Outcome | BaseException | None]]:
        """Yield the messages that are there, without waiting for more."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._messages.get_nowait()
                if message is not None:
                    yield message


def drive(job: Driven, inbox: Inbox, transport: RequestsTransport, settings: Settings) -> None:
    """Do what a job says until it is done; on any exception drop what is in flight."""
    attempts: dict[int, Attempt] = {}
    try:
        while True:
            step = job.next(monotonic())
            if isinstance(step, Send):
                request = step.request
                attempt = attempts[request.id] = Attempt(request.timeout + wire.SOCKET_SLACK)
                task = _task(request, attempt, inbox, transport, settings.limiter)
                try:
                    transport.start(task)
                except RuntimeError:
                    inbox.put((request.id, _NO_THREAD))
            elif isinstance(step, Abort):
                attempts.pop(step.id).abort()
            elif isinstance(step, Wait):
                _await(job, inbox, step, attempts)
            else:
                return
    except BaseException:
        if job.keeps:
            _take_in(job, inbox)
        raise
    finally:
        for request_id in job.close():
            if request_id in attempts:  # Ctrl-C may come before it is
                attempts[request_id].abort()


def _take_in(job: Driven, inbox: Inbox) -> None:
    """Have what has arrived kept, though the call that paid for it is broken off."""
    for request_id, outcome in inbox.arrived():
        if isinstance(outcome, Reply):
            job.feed(request_id, outcome, monotonic())


def _await(job: Driven, inbox: Inbox, step: Wait, attempts: dict[int, Attempt]) -> None:
    message = inbox.get(step.until)
    if message is None:
        return
    request_id, outcome = message
    if outcome is None:
        job.started(request_id, monotonic())
        return
    if isinstance(outcome, BaseException):
        raise outcome
    attempts.pop(request_id, None)
    job.feed(request_id, outcome, monotonic())


def _task(
    request: Request, attempt: Attempt, inbox: Inbox, transport: RequestsTransport, limiter: Any
) -> Callable[[], None]:
    """Return what a worker does, in the caller's context: what is traced there belongs to it."""

    def run() -> None:
        try:
            outcome: Any = _limited(request, attempt, inbox, limiter)
            outcome = outcome or transport.send(request, attempt)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            outcome = error
        inbox.put((request.id, outcome))

    return functools.partial(contextvars.copy_context().run, run)


def _limited(request: Request, attempt: Attempt, inbox: Inbox, limiter: Any) -> Fault | None:
    """Ask the limiter, here in the worker thread, where blocking blocks nobody else."""
    if limiter is None or not request.limited:
        return None
    try:
        limiter.acquire(request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return shared.limiter_failed(error)
    if attempt.aborted:
        return Fault(FaultKind.TIMEOUT, "The call had ended before the limiter let it through.")
    inbox.put((request.id, None))
    return None
