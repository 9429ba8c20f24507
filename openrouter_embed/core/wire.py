"""The whole language between the core and the shells: what to do, and what came of it.

Rules of this file:
- Plain data, nothing else: a shell turns a `Request` into a `Reply` or a `Fault` and never raises.
- A state machine answers with a `Step`; both shells understand the same few.
- Nothing here shows a body or a header in its repr: they hold texts and keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class FaultKind(str, Enum):
    """What kept an HTTP answer from arriving."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    RESET = "reset"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    DECODE = "decode"
    TOO_LARGE = "too_large"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    PROXY = "proxy"
    """The proxy refuses to connect us: it may want credentials."""
    FRAMING = "framing"
    """A protocol fault that a retry cannot mend: a head that is malformed or contradicts itself."""
    REFUSED = "refused"
    """Nothing listens on an address of this very machine."""
    LOCAL = "local"
    """The request could not be built here: a key callback or a limiter failed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to go but for the key and the origin.

    Attributes:
        id: Unique within one job.
        method: `POST`, `GET` or `DELETE`.
        path: Path below the base URL, such as `/embeddings`.
        body: The JSON bytes; empty for `GET`.
        headers: Headers of this request alone, such as its attempt number.
        tokens: Estimated tokens, if a rate limiter or `max_cost` is to know; else 0.
        max_reply: Bytes of decoded body above which the reply is refused.
        timeout: Seconds the attempt may take. The job keeps this time; a shell only makes sure that
            no socket outlives it by much.
        limited: Whether the client's limiter must let it pass first.
        public: Whether it may go without a key.
        root: Path of the API's root on the server, where it is not that of the base URL.
        sink: What takes the body as it comes, if the answer is one that it wants.
    """

    id: int
    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tokens: int = 0
    max_reply: int = 64 * 1024 * 1024
    timeout: float = 60.0
    limited: bool = False
    public: bool = False
    root: str | None = None
    sink: Sink | None = field(default=None, repr=False)


class Sink(Protocol):
    """Takes the body of a long answer piece by piece; never raises while it does."""

    @property
    def taken(self) -> int:
        """Bytes taken so far, decompressed."""
        ...

    def begin(self, status: int) -> bool:
        """Whether it wants the body of an answer with this status."""
        ...

    def feed(self, piece: bytes) -> bool:
        """Take a piece; return whether more is wanted."""
        ...

    def finish(self) -> object:
        """Return what the body says, or raise `InvalidResponseError`."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete HTTP answer.

    Attributes:
        status: The status as an integer, whatever it is.
        headers: Header names in lower case; of repeated ones the first.
        body: The body, decompressed.
        wall: Seconds since the epoch when it arrived, for servers that send no `Date`.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    wall: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """No complete HTTP answer.

    Attributes:
        kind: What happened.
        message: One safe sentence: host names at most, never texts, keys or foreign messages.
        stale: The connection had served before and died before a byte of the answer came: the
            server closed it while idle, so it cannot have acted on the request.
    """

    kind: FaultKind
    message: str
    stale: bool = False


Outcome = Reply | Fault


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request and feed its outcome back."""

    request: Request


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop this request and its connection; its outcome is settled."""

    id: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for an outcome or a wake-up, but no longer than `until` (monotonic seconds)."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do: ask for `result()`."""


Step = Send | Abort | Wait | Done


class Driven(Protocol):
    """A state machine that a shell can drive."""

    @property
    def keeps(self) -> bool:
        """Whether what has arrived is worth taking in even if the call is broken off."""
        ...

    def next(self, now: float) -> Step:
        """Return the next thing to do at `now` (monotonic seconds)."""
        ...

    def started(self, request_id: int, now: float) -> None:
        """Let an attempt's time begin: a rate limiter has just let it through."""
        ...

    def feed(self, request_id: int, outcome: Outcome, now: float) -> None:
        """Take in the outcome of a request; one that was aborted is ignored."""
        ...

    def close(self) -> Sequence[int]:
        """Give every permit back and return the requests to drop."""
        ...


CONNECT_TIMEOUT: Final = 10.0
"""Seconds a connection may take; a host that does not answer a SYN by then will not."""
SOCKET_SLACK: Final = 5.0
"""Seconds a socket's own timeout lies beyond the attempt's, so that the job's clock decides."""

_SENTENCES: Final[dict[FaultKind, str]] = {
    FaultKind.DNS: "The host name {host} does not resolve: check `base_url` and the network.",
    FaultKind.CONNECT: "No connection to {host}: check `base_url`, the network and any proxy.",
    FaultKind.REFUSED: "Nothing listens at {host}, on this machine: start the server, or check "
    "`base_url`.",
    FaultKind.TLS: "No trusted TLS connection to {host}: check the certificate, `ca_bundle` and "
    "the clock.",
    FaultKind.RESET: "The connection to {host} was lost before the answer.",
    FaultKind.TIMEOUT: "No complete answer from {host} in time.",
    FaultKind.TRUNCATED: "The connection to {host} was lost within the answer.",
    FaultKind.DECODE: "The body from {host} is not what its Content-Encoding says.",
    FaultKind.TOO_LARGE: "The answer from {host} is larger than {limit} bytes; it was not read on.",
    FaultKind.PROTOCOL: "What {host} answered is not HTTP.",
    FaultKind.FRAMING: "The head of the answer from {host} is malformed or contradicts itself.",
    FaultKind.PROXY: "The proxy refused to connect to {host}: it may want credentials.",
}
_BY_PROXY: Final[dict[FaultKind, str]] = {
    FaultKind.DNS: "On the way to {host} by the proxy a host name does not resolve: check `proxy` "
    "or the environment's, `base_url` and the network.",
}
"""What is said instead where a proxy is used."""

_LOOPBACK: Final = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[?::1\]?)(:\d+)?", re.IGNORECASE)


def fault(
    kind: FaultKind, host: str, *, limit: int = 0, stale: bool = False, proxied: bool = False
) -> Fault:
    """Make a fault with the sentence that both shells use for its kind.

    A far server or proxy that refuses may be starting again; on this machine the user would know.
    """
    if kind is FaultKind.REFUSED and (proxied or not _LOOPBACK.fullmatch(host)):
        kind = FaultKind.CONNECT
    said = _BY_PROXY.get(kind, _SENTENCES[kind]) if proxied else _SENTENCES[kind]
    return Fault(kind, said.format(host=host, limit=limit), stale)
