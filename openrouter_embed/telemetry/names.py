"""What is told of a call, and under which names: tables, which the documentation prints too.

Rules of this file:
- Names are those of OpenTelemetry's conventions for generative AI (version 1.41, which released
  instrumentations and backends speak) where they have one. Cost has none yet: it goes out under the
  names that Langfuse and Logfire read. What only we know stands under `openrouter_embed.`.
- Names and numbers only: no text, no vector, no key, no sentence of a server.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openrouter_embed.result import EmbeddingResult, Usage

OPERATION: Final = "embeddings"
ERROR_TYPE: Final = "error.type"
RESPONSE_MODEL: Final = "gen_ai.response.model"
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What is known before anything is sent."""

    model: str
    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a call, whether it ended well or not.

    Attributes:
        usage: What it consumed.
        inputs: How many inputs it had.
        failed: How many of them have no vector.
        retries: Requests that were sent again after a failure.
        model: What the host calls the model.
        width: Components of a vector.
        encoding: The format asked for last.
        providers: Hosts that served.
        seconds: How long it took.
        error: What kind of failure ended it; empty for none.
    """

    usage: Usage
    inputs: int = 0
    failed: int = 0
    retries: int = 0
    model: str = ""
    width: int = 0
    encoding: str = ""
    providers: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the span; one whose value is `None`, empty text or list is left out."""

    name: str
    says: str
    read: Callable[[Any], Any]


AT_START: Final = (
    Attribute("gen_ai.operation.name", "`embeddings`", lambda _: OPERATION),
    Attribute("gen_ai.provider.name", "`openrouter`", lambda _: "openrouter"),
    Attribute("gen_ai.request.model", "the id asked for", lambda start: start.model),
    Attribute("server.address", "host of `base_url`", lambda start: start.host),
    Attribute("server.port", "its port", lambda start: start.port),
)
"""From a `Beginning`, there when the span starts, so that samplers can go by it."""

AT_END: Final = (
    Attribute(RESPONSE_MODEL, "what the host calls the model", lambda end: end.model),
    Attribute("gen_ai.usage.input_tokens", "tokens billed", lambda end: end.usage.total_tokens),
    Attribute(
        "gen_ai.embeddings.dimension.count",
        "components of a vector",
        lambda end: end.width or None,
    ),
    Attribute(
        "gen_ai.request.encoding_formats",
        "`base64` or `float`, if anything was sent",
        lambda end: [end.encoding] if end.encoding and end.usage.requests else None,
    ),
    Attribute(
        "gen_ai.usage.cost",
        "USD, whoever bills them; left out where nothing was reported",
        lambda end: end.usage.billed,
    ),
    Attribute("operation.cost", "the same, as Logfire calls it", lambda end: end.usage.billed),
    Attribute("openrouter_embed.inputs", "inputs of the call", lambda end: end.inputs),
    Attribute(
        "openrouter_embed.failed_inputs",
        "of these, inputs that have no vector, if any",
        lambda end: end.failed or None,
    ),
    Attribute(
        "openrouter_embed.requests",
        "HTTP requests sent, retries included",
        lambda end: end.usage.requests,
    ),
    Attribute(
        "openrouter_embed.retries", "of these, sent again after a failure", lambda end: end.retries
    ),
    Attribute(
        "openrouter_embed.cache_hits",
        "distinct inputs found in the cache",
        lambda end: end.usage.cache_hits,
    ),
    Attribute("openrouter_embed.providers", "hosts that served", lambda end: list(end.providers)),
    Attribute(
        ERROR_TYPE,
        "a `TransportError`'s kind, an `APIError`'s status, else the name of the exception",
        lambda end: end.error,
    ),
)
"""From an `Outcome`, when the call ends."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One histogram.

    Attributes:
        name: Its name.
        unit: Its unit.
        says: Its description.
        buckets: Its boundaries.
        read: From an `Outcome`, the value; none is recorded where that is `None`.
        more: Attributes besides those of the start and the host's name of the model.
        errors: Whether the kind of a failure is told with it.
    """

    name: str
    unit: str
    says: str
    buckets: tuple[float, ...]
    read: Callable[[Outcome], float | None]
    more: tuple[tuple[str, str], ...] = ()
    errors: bool = False


METRICS: Final = (
    Metric(
        "gen_ai.client.operation.duration",
        "s",
        "Seconds of a call, its retries included.",
        tuple(0.01 * 2**power for power in range(14)),
        lambda end: end.seconds,
        errors=True,
    ),
    Metric(
        "gen_ai.client.token.usage",
        "{token}",
        "Tokens billed for a call.",
        tuple(float(4**power) for power in range(14)),
        lambda end: end.usage.total_tokens or None,
        (("gen_ai.token.type", "input"),),
    ),
    Metric(
        "operation.cost",
        "{USD}",
        "USD that a call cost.",
        tuple(1e-7 * 10**power for power in range(9)),
        lambda end: end.usage.billed or None,
    ),
)
"""Boundaries of the first two are the conventions'."""


@functools.lru_cache(maxsize=64)
def at_start(model: str, base_url: str) -> Mapping[str, Any]:
    """Return the attributes that are known before a call."""
    parts = urlsplit(base_url)
    port = parts.port or _PORTS.get(parts.scheme, 443)
    start = Beginning(model=model, host=parts.hostname or "", port=port)
    return MappingProxyType(_told(AT_START, start))


def at_end(outcome: Outcome) -> dict[str, Any]:
    """Return the attributes that are known at the end of a call."""
    return _told(AT_END, outcome)


def of_result(result: EmbeddingResult) -> dict[str, Any]:
    """Return what a result tells by itself, under the same names: for a framework's own events."""
    outcome = Outcome(usage=result.usage, model=result.upstream_model, providers=result.providers)
    rows = tuple(row for row in AT_END if row.name in _OF_RESULT)
    return {"gen_ai.request.model": result.model, **_told(rows, outcome)}


_OF_RESULT: Final = {
    RESPONSE_MODEL, "gen_ai.usage.input_tokens", "gen_ai.usage.cost", "openrouter_embed.requests",
    "openrouter_embed.cache_hits", "openrouter_embed.providers",
}  # fmt: skip


def _told(rows: tuple[Attribute, ...], about: object) -> dict[str, Any]:
    values = {row.name: row.read(about) for row in rows}
    return {name: value for name, value in values.items() if value not in (None, "", [])}
