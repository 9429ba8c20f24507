"""What can be set on an emulator and what it reports: plain data.

Rules of this file:
- Every option has a default that imitates the live service.
- Nothing here imports aiohttp or numpy, so importing the package stays cheap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Backend = Literal["auto", "wordllama", "hashed"]
FaultReply = tuple[int, Mapping[str, str], bytes]
# Called with the request's number (from 1) and its parsed body (None if it is not JSON).
# None lets the request pass. Status 0 cuts the connection after sending the bytes, if any.
# An async callable may stall first; a plain one must not block, for it runs on the server's loop.
Fault = Callable[[int, object], FaultReply | Awaitable[FaultReply | None] | None]


@dataclass(frozen=True, kw_only=True)
class BatchItem:
    """What the result of one request of a batch is to be.

    Attributes:
        status: Status of its answer; anything but 200 is a failure.
        body: Its answer, in place of vectors.
        error: Error that stands in place of an answer.
        copies: How often the result comes; 0 leaves it out.
        custom_id: Name it comes under, in place of its own.
    """

    status: int = 200
    body: Mapping[str, object] | None = None
    error: Mapping[str, object] | None = None
    copies: int = 1
    custom_id: str | None = None


# Called with a request's custom_id and body; None answers it as usual. Called several times.
BatchItems = Callable[[str, Mapping[str, object]], BatchItem | None]


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions:
    """How the emulator behaves.

    Attributes:
        latency: Seconds every embeddings request takes at least.
        latency_per_input: Seconds added for every input of a request.
        max_in_flight: Requests served at once; one more is answered 429. None: no limit.
        retry_after: Value of ``Retry-After`` on that 429, in seconds. None: no such header.
        api_key: The one key that is accepted. None: any non-empty bearer token is.
        keepalive: Whether a 200 begins with the white space the live service sends at once.
        fixed_time: Unix time of every id and ``Date`` header. None: the real time.
        fixed_ids: Whether generation ids are numbered (1, 2, …) instead of random.
        faults: Script of failures, called before a request is judged.
        byok: Whether the hosts bill a key of the user's own: then ``cost`` is the router's fee.
        availability: Whether refusals of a route carry ``error.availability``, as documented.
        page_size: Rows of a listing where the request names no limit.
        more_models: Rows that stand in the listings besides the models that are served.
        key_fields: What ``GET /key`` tells besides, or otherwise.
        backend: Where vectors come from; "auto" takes wordllama where it is installed.
        max_body_bytes: Larger request bodies are answered 413.
        log_size: How many requests the log keeps; the oldest go first.
        batch_seconds: Seconds a batch takes, so that nobody waits: none. More than a day expires.
        batch_items: What single results of batches are to be.
        batch_version: Version of the API that has batches: "beta" in the older documentation.
        batch_pages: Whether ``/batches/{id}/results`` is there, as in the newest documentation.
        max_batch_bytes: Larger submissions of batches are answered 413.
        max_batch_requests: Submissions of more requests are answered 413.
    """

    latency: float = 0.0
    latency_per_input: float = 0.0
    max_in_flight: int | None = None
    retry_after: float | None = None
    api_key: str | None = None
    keepalive: bool = True
    fixed_time: float | None = None
    fixed_ids: bool = False
    faults: Fault | None = None
    byok: bool = False
    availability: bool = False
    page_size: int = 500
    more_models: Sequence[Mapping[str, object]] = ()
    key_fields: Mapping[str, object] = field(default_factory=dict[str, object])
    backend: Backend = "auto"
    max_body_bytes: int = 32 * 1024 * 1024
    log_size: int = 1000
    batch_seconds: float = 0.0
    batch_items: BatchItems | None = None
    batch_version: Literal["v1", "beta"] = "v1"
    batch_pages: bool = True
    max_batch_bytes: int = 200 * 1000 * 1000
    max_batch_requests: int = 50_000


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Counters of the embeddings endpoint since the start or the last reset.

    ``requests`` counts every call, whatever its answer; ``inputs``, ``tokens`` and ``cost``
    count only what was answered with vectors, in batches as well, at half the price.
    """

    requests: int = 0
    inputs: int = 0
    tokens: int = 0
    cost: float = 0.0
    in_flight: int = 0
    peak_in_flight: int = 0


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """One request as it arrived: its parsed body and its headers without ``Authorization``.

    ``body`` is None if the request did not carry JSON. Header names are in lower case.
    """

    number: int
    body: object
    headers: Mapping[str, str]
