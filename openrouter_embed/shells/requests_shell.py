"""The synchronous shell: sends on `requests`, and drives a job with threads.

Rules of this file:
- `send` returns a `Reply` or a `Fault` and raises nothing; every request goes through
  `Session.send`, which follows no redirect here and never retries.
- It reads raw bytes, at most as many as the request allows, and decompresses them itself.
- Only the calling thread touches the job and keeps time. Sends run in worker threads, so the caller
  can always time out, be interrupted, or give up on one.
"""

from __future__ import annotations

import contextvars
import functools
import http.client
import queue
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors

from openrouter_embed.clock import monotonic, wall
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
from openrouter_embed.errors import ClientClosedError, ConfigurationError, EmbeddingError
from openrouter_embed.shells.attempt import Attempt, current, make_session
from openrouter_embed.shells.route import find_route
from openrouter_embed.shells.shared import (
    FramingError,
    check_head,
    check_status,
    conceal,
    forget_frames,
    unforeseen,
)
from openrouter_embed.shells.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from openrouter_embed.options.settings import Settings

    # An outcome, an exception that is a bug, or `None` for "let through by the limiter"; a bare
    # `None` only wakes the caller.
    Message = tuple[int, Outcome | BaseException | None] | None

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
    (urllib3_errors.InvalidChunkLength, FaultKind.FRAMING),
    (http.client.IncompleteRead, FaultKind.TRUNCATED),
    (http.client.BadStatusLine, FaultKind.PROTOCOL),
    (http.client.UnknownProtocol, FaultKind.PROTOCOL),
    (http.client.HTTPException, FaultKind.FRAMING),
    (FramingError, FaultKind.FRAMING),
    (UnicodeError, FaultKind.DNS),
    (urllib3_errors.LocationValueError, FaultKind.DNS),
    (OSError, FaultKind.RESET),
    (urllib3_errors.HTTPError, FaultKind.PROTOCOL),
)

_CUT: Final = (FaultKind.RESET, FaultKind.PROTOCOL)
"""What is wrong with a body is that it was cut, whatever urllib3 calls it."""


def classify(error: BaseException, attempt: Attempt) -> FaultKind | None:
    """Return the kind of an exception of `requests`, `urllib3` or the standard library."""
    chain = list(_linked(error))
    for wanted, kind in _FAULTS:
        # What a proxy's connection loses once it stands, urllib3 still calls the proxy's fault.
        beyond = kind is FaultKind.PROXY and attempt.sock is not None
        if not beyond and any(isinstance(link, wanted) for link in chain):
            return FaultKind.TRUNCATED if attempt.in_body and kind in _CUT else kind
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


class RequestsTransport:
    """Connections of one client; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._route = find_route(settings)
        self._headers = _fixed_headers(settings)
        self._own: requests.Session | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.workers = Workers()

    def send(self, request: Request, attempt: Attempt) -> Outcome:
        """Send a request and read its whole answer."""
        outer = current.set(attempt)
        try:
            return self._exchange(request, attempt)
        except EmbeddingError as error:
            return Fault(FaultKind.LOCAL, error.message)
        except TooLargeError:
            return fault(FaultKind.TOO_LARGE, self._route.host, limit=request.max_reply)
        except ContentError:
            return fault(FaultKind.DECODE, self._route.host)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
            return self._fault(error, attempt)
        finally:
            attempt.let_go()
            current.reset(outer)

    def _fault(self, error: Exception, attempt: Attempt) -> Fault:
        kind = classify(error, attempt)
        found = unforeseen(error) if kind is None else None
        forget_frames(error)
        stale = kind is FaultKind.RESET and attempt.reused
        return found or fault(kind or FaultKind.LOCAL, self._route.host, stale=stale)

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
            check_status(response.status_code)
            fields, body, coding = _read(response, request.max_reply)
        content = decompress(body, coding, request.max_reply)
        return Reply(response.status_code, fields, conceal(content, authorization), wall())

    def _prepare(self, request: Request, authorization: str) -> requests.PreparedRequest:
        """Return the request as it is: requests' own way would change URL and headers."""
        prepared = requests.PreparedRequest()
        prepared.method = request.method
        prepared.url = self._route.base_url + request.path
        prepared.headers = self._headers.copy()
        prepared.headers.update(request.headers)
        prepared.headers["Authorization"] = authorization
        if request.body:
            prepared.body = request.body
            prepared.headers["Content-Length"] = str(len(request.body))
        prepared.hooks = _HOOKS
        return prepared

    def _session(self) -> requests.Session:
        """Return the caller's session, or ours."""
        session = self._settings.session
        if session is not None:
            _refuse_retries(session.get_adapter(self._route.base_url))
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
        self.workers.close()


def _forget_target(response: requests.Response, **_: object) -> None:
    """Let a redirect lead nowhere: `Session.send` would read its whole body, without a limit."""
    response.headers.pop("Location", None)


_HOOKS: Final[dict[str, Any]] = {"response": [_forget_target]}


def _fixed_headers(settings: Settings) -> CaseInsensitiveDict[Any]:
    """Return what every request carries; of names that differ in case alone the last counts."""
    table = CaseInsensitiveDict[Any](settings.headers())
    table["Accept-Encoding"] = "gzip, deflate"
    for name, text in table.items():
        if not text.isascii():
            table[name] = text.encode()  # `http.client` would send Latin-1, `aiohttp` sends UTF-8
    return table


def _refuse_retries(adapter: Any) -> None:
    total = getattr(getattr(adapter, "max_retries", None), "total", 0)
    if total:
        raise ConfigurationError(
            "The session's adapter retries by itself, which would multiply our own retries: mount "
            "one with `max_retries=0`."
        )


_PIECE: Final = 4 * 1024 * 1024
"""Bytes per read: small ones cost time, and a whole limit at once costs memory."""


def _read(response: requests.Response, limit: int) -> tuple[dict[str, str], bytes, str]:
    """Return headers, body, and how the body is still encoded."""
    raw = response.raw
    if not isinstance(raw, urllib3.HTTPResponse):  # a mock library answers with less
        fields = check_head(response.headers.items())
        return fields, _join(response.iter_content(_PIECE), limit), ""
    fields = check_head(raw.headers.iteritems())
    if raw.tell():  # somebody who looks on has read it, and requests has kept it, decoded
        return fields, _join(response.iter_content(_PIECE), limit), ""
    pieces = raw.stream(min(_PIECE, limit + 1), decode_content=False)
    return fields, _join(pieces, limit), fields.get("content-encoding", "")


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

    def wake(self) -> None:
        """Let the caller look again."""
        self._messages.put(None)

    def get(self, until: float | None) -> Message:
        """Wait for a message, but no longer than `until` (monotonic seconds)."""
        left = None if until is None else max(0.0, until - monotonic())
        try:
            return self._messages.get(timeout=left)
        except queue.Empty:
            return None


def drive(job: Driven, inbox: Inbox, transport: RequestsTransport, settings: Settings) -> None:
    """Do what a job says until it is done; on any exception drop what is in flight.

    Args:
        job: Its `wake` is the inbox's.
        inbox: Where worker threads leave outcomes.
        transport: Sends.
        settings: Brings the limiter.
    """
    attempts: dict[int, Attempt] = {}
    try:
        while True:
            step = job.next(monotonic())
            if isinstance(step, Send):
                attempt = attempts[step.request.id] = Attempt(step.request.timeout + SOCKET_SLACK)
                transport.workers.submit(_task(step.request, attempt, inbox, transport, settings))
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
    request: Request,
    attempt: Attempt,
    inbox: Inbox,
    transport: RequestsTransport,
    settings: Settings,
) -> Callable[[], None]:
    """Return what a worker does, in the caller's context: what is traced there belongs to it."""

    def run() -> None:
        outcome: Outcome | BaseException
        try:
            outcome = _limited(request, attempt, inbox, settings) or transport.send(
                request, attempt
            )
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            outcome = error
        inbox.put((request.id, outcome))

    return functools.partial(contextvars.copy_context().run, run)


def _limited(request: Request, attempt: Attempt, inbox: Inbox, settings: Settings) -> Fault | None:
    """Ask the limiter, here in the worker thread, where blocking blocks nobody else."""
    if settings.limiter is None or not request.limited:
        return None
    try:
        settings.limiter.acquire(request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return Fault(FaultKind.LOCAL, f"The limiter failed with {type(error).__name__}.")
    if attempt.aborted:
        return Fault(FaultKind.TIMEOUT, "The call had ended before the limiter let it through.")
    inbox.put((request.id, None))
    return None
