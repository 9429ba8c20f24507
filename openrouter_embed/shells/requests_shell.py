"""The synchronous shell: sends on `requests`, and drives a job with threads.

Rules of this file:
- `send` returns a `Reply` or a `Fault` and raises nothing; it follows no redirect, reads no
  `.netrc`, keeps no cookie and never retries.
- It reads raw bytes, at most as many as the request allows, and decompresses them itself.
- Only the calling thread touches the job. Sends run in worker threads, so the caller can always
  time out, be interrupted, or give up on one.
- A request that nothing else can happen beside is sent in place, if an open connection waits for
  it: handing it to a thread and back takes longer than a fast server needs for a query.
"""

from __future__ import annotations

import http.client
import queue
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import requests
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
from openrouter_embed.options.key import Secret
from openrouter_embed.shells.connections import Adapter, Attempt, ColdError, here, prepare
from openrouter_embed.shells.route import find_route
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


class RequestsTransport:
    """Connections of one client; thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._route = find_route(settings)
        self._headers = _fixed_headers(settings)
        self._session = settings.session
        self._own: Adapter | None = None
        self._closed = False
        self._lock = threading.Lock()
        self.workers = Workers()
        ours = settings.session is None and isinstance(settings.api_key, Secret)
        self.may_block_caller = ours and not (self._route.proxy or "").startswith("https:")
        """Whether a send ends in time by itself: nothing of the user's runs in it, which could take
        any time, and there is no TLS within TLS, whose every read urllib3 makes of several."""

    def send(self, attempt: Attempt) -> Outcome:
        """Send a request and read its whole answer.

        Raises:
            ColdError: The attempt wants an open connection, and there is none.
        """
        request = attempt.request
        progress = _Progress()
        outer, here.attempt = here.attempt, attempt  # a signal's handler may embed as well
        try:
            attempt.begin()
            return self._exchange(request, progress)
        except ColdError:
            raise
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
            here.attempt = outer
            progress.end()

    def _fault(self, error: Exception, attempt: Attempt, *, in_body: bool) -> Fault:
        kind = classify(error, in_body=in_body)
        found = unforeseen(error) if kind is None else None
        forget_frames(error)
        stale = kind is FaultKind.RESET and attempt.reused
        return found or fault(kind or FaultKind.LOCAL, self._route.host, stale=stale)

    def _exchange(self, request: Request, progress: _Progress) -> Outcome:
        authorization = self._settings.authorization(public=request.public)
        headers = {**self._headers, **dict(request.headers), "Authorization": authorization}
        if request.body:
            headers["Content-Length"] = str(len(request.body))
        if self._session is None:
            raw = self._adapter().open(request.method, request.path, headers, request.body or None)
            status = raw.status
        else:
            response = self._send_by(self._session, request, headers)
            raw, status = response.raw, response.status_code
        progress.begin(raw)
        lines: Any = raw.headers
        fields = check_head(getattr(lines, "iteritems", lines.items)())
        body = _read(raw, request.max_reply)
        progress.whole = True
        content = decompress(body, fields.get("content-encoding", ""), request.max_reply)
        return Reply(status, fields, conceal(content, authorization), time.time())

    def _send_by(
        self, session: requests.Session, request: Request, headers: dict[str, Any]
    ) -> requests.Response:
        """Send through the caller's own session: its adapters, proxies and certificates."""
        url = self._route.base_url
        adapter = _refuse_retries(session.get_adapter(url))
        prepared = prepare(request.method, url + request.path, headers, request.body or None)
        read = request.timeout + SOCKET_SLACK
        response: requests.Response = adapter.send(
            prepared,
            stream=True,
            timeout=(min(CONNECT_TIMEOUT, read), read),
            verify=session.verify,
            cert=session.cert,
            proxies=session.proxies,
        )
        return response

    def _adapter(self) -> Adapter:
        with self._lock:
            if self._closed:
                raise ClientClosedError("The client was closed during the call.")
            if self._own is None:
                self._own = Adapter(self._route)
            return self._own

    def close(self) -> None:
        """Close the connections that are ours; the caller's session is left alone."""
        with self._lock:
            self._closed = True
            adapter, self._own = self._own, None
        if adapter is not None:
            adapter.close()
        self.workers.close()


def _fixed_headers(settings: Settings) -> dict[str, str | bytes]:
    """Return what every request carries; of names that differ in case alone the last counts."""
    table = CaseInsensitiveDict(settings.headers())
    table["Accept-Encoding"] = "gzip, deflate"
    return {name: _wire_text(text) for name, text in table.items()}


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
        self._raw: Any = None

    @property
    def in_body(self) -> bool:
        return self._raw is not None

    def begin(self, raw: Any) -> None:
        self._raw = raw

    def end(self) -> None:
        raw = self._raw
        if raw is None:
            return
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


class Inbox:
    """Where worker threads leave outcomes, and how another thread reaches a waiting call."""

    def __init__(self, closed: Callable[[], bool]) -> None:
        self._closed = closed
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._in_place: Attempt | None = None
        self.put = self._messages.put

    def wake(self) -> None:
        """Let the caller look again; end what it sends in place if the client was closed."""
        self._messages.put(None)
        attempt = self._in_place
        if attempt is not None and self._closed():
            attempt.abort()

    def get(self, until: float | None) -> Message:
        """Wait for a message, but no longer than `until` (monotonic seconds)."""
        left = None if until is None else max(0.0, until - time.monotonic())
        try:
            return self._messages.get(timeout=left)
        except queue.Empty:
            return None

    def send_in_place(self, attempt: Attempt, transport: RequestsTransport) -> Outcome | None:
        """Send in this very thread; `None` if the attempt needs a thread of its own."""
        self._in_place = attempt
        try:
            if not self._messages.empty():  # woken before it could be reached
                return None
            return transport.send(attempt)
        except ColdError:
            return None
        finally:
            self._in_place = None


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
            step = job.next(time.monotonic())
            if isinstance(step, Send):
                if not _sent_in_place(job, step, inbox, transport, attempts):
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


def _sent_in_place(
    job: Driven,
    step: Send,
    inbox: Inbox,
    transport: RequestsTransport,
    attempts: dict[int, Attempt],
) -> bool:
    """Send in this thread if nothing else is to be done meanwhile, and nothing can hold it."""
    if step.until is None or not transport.may_block_caller:
        return False
    attempt = Attempt(step.request, until=step.until, warm=True)
    attempts[step.request.id] = attempt
    outcome = inbox.send_in_place(attempt, transport)
    if outcome is None:
        return False
    now = time.monotonic()
    # Else the job itself knows best what has ended it: its clock, or the client's closing.
    if isinstance(outcome, Reply) or (now < step.until and not attempt.aborted):
        del attempts[step.request.id]
        job.feed(step.request.id, outcome, now)
    return True


def _await(job: Driven, inbox: Inbox, step: Wait, attempts: dict[int, Attempt]) -> None:
    message = inbox.get(step.until)
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
            outcome = _limited(attempt, inbox, settings) or transport.send(attempt)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            outcome = error
        inbox.put((attempt.request.id, outcome))

    return run


def _limited(attempt: Attempt, inbox: Inbox, settings: Settings) -> Fault | None:
    """Ask the limiter, here in the worker thread, where blocking blocks nobody else."""
    if settings.limiter is None or not attempt.request.limited:
        return None
    try:
        settings.limiter.acquire(attempt.request.tokens)
    except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
        return Fault(FaultKind.LOCAL, f"The limiter failed with {type(error).__name__}.")
    if attempt.aborted:
        return Fault(FaultKind.TIMEOUT, "The call had ended before the limiter let it through.")
    inbox.put((attempt.request.id, None))
    return None
