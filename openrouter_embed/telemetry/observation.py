"""One call as OpenTelemetry sees it: a span that is current meanwhile, and metrics at its end.

Rules of this file:
- One span per call of a client, its retries included; requests have none of ours, so that those of
  HTTP instrumentations nest right beneath it.
- Whatever fails here costs no vector: it is logged once, by type alone.
- Providers are asked for at every call: a program may set its own after the first.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed.clock import monotonic
from openrouter_embed.core.notice import kind_of_error
from openrouter_embed.errors import EmbeddingError
from openrouter_embed.notices import LOGGER, extras
from openrouter_embed.result import Usage
from openrouter_embed.telemetry.names import (
    ERROR_TYPE,
    METRICS,
    OPERATION,
    RESPONSE_MODEL,
    Outcome,
    at_end,
    at_start,
)
from openrouter_embed.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from openrouter_embed.core.call import Call
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.notices import Herald
    from openrouter_embed.options.settings import Settings
    from openrouter_embed.result import EmbeddingResult

SCOPE: Final = "openrouter_embed"
"""The name of our tracer and meter."""
SUPPRESSED: Final = "suppress_instrumentation"
"""What is set in the context where OpenTelemetry's `suppress_instrumentation` is in force."""
_STAND_INS: Final = ("opentelemetry.trace", "opentelemetry.metrics")


def begin(settings: Settings) -> Observation | None:
    """Return what observes a call, or `None` where nobody would see it."""
    try:
        context, metrics, trace = _api()
        tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
        # Without an SDK both are the API's own, which record nothing.
        if (
            type(tracers).__module__.startswith(_STAND_INS)
            and type(meters).__module__.startswith(_STAND_INS)
        ) or context.get_value(SUPPRESSED):
            return None
        return Observation(_tools(tracers, meters), settings)
    except Exception as error:  # noqa: BLE001 - providers are other people's
        _complain(type(error).__name__)
        return None


@functools.cache
def _api() -> tuple[Any, Any, Any]:
    from opentelemetry import context, metrics, trace  # noqa: PLC0415 - an extra

    return context, metrics, trace


@functools.cache
def _complain(kind: str) -> None:
    said = "OpenTelemetry failed with %s; calls go on unseen."
    LOGGER.warning(said, kind, extra=extras("telemetry", kind=kind))


class _Tools:
    """What one pair of providers gives us."""

    def __init__(self, tracers: Any, meters: Any) -> None:
        self.tracer = tracers.get_tracer(SCOPE, __version__)
        meter = meters.get_meter(SCOPE, __version__)
        self.histograms = [
            meter.create_histogram(
                row.name,
                unit=row.unit,
                description=row.says,
                explicit_bucket_boundaries_advisory=row.buckets,
            )
            for row in METRICS
        ]


_made = functools.lru_cache(maxsize=4)(_Tools)
_making = threading.Lock()


@functools.lru_cache(maxsize=4)
def _tools(tracers: Any, meters: Any) -> _Tools:
    with _making:  # an SDK complains of instruments that several threads make at once
        return _made(tracers, meters)


class Observation:
    """One call under way.

    Attributes:
        result: What it returned, once it has.
    """

    def __init__(self, tools: _Tools, settings: Settings) -> None:
        context, _, trace = _api()
        self.result: EmbeddingResult | None = None
        self._encoding: Callable[[], str] | None = None
        self._herald: Herald | None = None
        self._inputs = 0
        self._usage = Usage()
        self._tools = tools
        self._known = at_start(settings.model, settings.base_url)
        self._began = monotonic()
        self._span: Any = tools.tracer.start_span(
            f"{OPERATION} {settings.model}", kind=trace.SpanKind.CLIENT, attributes=self._known
        )
        self._token: Any = context.attach(trace.set_span_in_context(self._span))

    def follow(self, call: Call, memory: ModelMemory, herald: Herald, inputs: int) -> None:
        """Learn where the call's format, retries and size can be read at its end."""
        self._encoding = functools.partial(call.encoding, memory)
        self._herald = herald
        self._inputs = inputs

    def hearing(self, tell: Callable[[Usage], None]) -> Callable[[Usage], None]:
        """Return `tell`, heard here, too: a call that is broken off has no result to tell of."""

        def both(usage: Usage) -> None:
            self._usage += usage
            tell(usage)

        return both

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self._end(error)
        except Exception as failure:  # noqa: BLE001 - exporters are other people's
            _complain(type(failure).__name__)

    def _end(self, error: BaseException | None) -> None:
        context, _, trace = _api()
        context.detach(self._token)
        span = self._span
        try:
            outcome = self._outcome(error)
            if span.is_recording():
                span.set_attributes(at_end(outcome))
                if outcome.error:
                    span.set_status(trace.StatusCode.ERROR, outcome.error)
        finally:
            span.end()
        self._measure(outcome)

    def _outcome(self, error: BaseException | None) -> Outcome:
        result = error.result if isinstance(error, EmbeddingError) else self.result
        told: dict[str, Any] = {"usage": self._usage}
        if result is not None:
            told = {
                "usage": result.usage,
                "model": result.upstream_model,
                "width": result.vectors.shape[1] if len(result.failures) < len(result) else 0,
                "failed": len(result.failures),
                "providers": result.providers,
            }
        return Outcome(
            inputs=self._inputs,
            retries=self._herald.retries if self._herald else 0,
            encoding=self._encoding() if self._encoding else "",
            seconds=monotonic() - self._began,
            error="" if error is None else error_type(error),
            **told,
        )

    def _measure(self, outcome: Outcome) -> None:
        shared = dict(self._known)
        if outcome.model:
            shared[RESPONSE_MODEL] = outcome.model
        for row, histogram in zip(METRICS, self._tools.histograms, strict=True):
            value = row.read(outcome)
            if value is not None:
                kind = {ERROR_TYPE: outcome.error} if row.errors and outcome.error else {}
                histogram.record(value, {**shared, **dict(row.more), **kind})


def error_type(error: BaseException) -> str:
    """Return what kind of failure it was, in few enough words for a metric."""
    return kind_of_error(error) if isinstance(error, EmbeddingError) else type(error).__name__
