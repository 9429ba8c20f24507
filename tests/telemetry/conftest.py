"""Providers that keep what they are given, and retries that come at once."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from telemetry_table import check_span

OURS = "openrouter_embed"


class Watch:
    """What a program with OpenTelemetry's SDK has seen."""

    def __init__(self):
        self._kept = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._kept))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.tracers.get_tracer("program")

    @property
    def spans(self):
        """Every span, the first to end first."""
        return self._kept.get_finished_spans()

    @property
    def ours(self):
        """Our own spans, each held against the table."""
        mine = [span for span in self.spans if span.instrumentation_scope.name == OURS]
        for span in mine:
            check_span(span)
        return mine

    @property
    def one(self):
        """The attributes of the only span of ours."""
        (span,) = self.ours
        return dict(span.attributes)

    @property
    def metrics(self):
        """Histogram → its points."""
        data = self.reader.get_metrics_data()
        scopes = [scope for r in data.resource_metrics for scope in r.scope_metrics] if data else []
        mine = [scope for scope in scopes if scope.scope.name == OURS]
        return {metric.name: metric for scope in mine for metric in scope.metrics}

    @property
    def reader_json(self):
        """Everything that was measured, as it would be exported."""
        data = self.reader.get_metrics_data()
        return data.to_json() if data else ""

    def points(self, name):
        """Return the points of one histogram."""
        return self.metrics[name].data.data_points


@pytest.fixture
def watch(monkeypatch):
    """An SDK that is set up for the length of a test: a real one can be set once per process."""
    made = Watch()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made.tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: made.meters)
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Let retries come at once."""
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.001)


@pytest.fixture
def run():
    """Calls a door, awaited where it must be."""

    def call(door, texts, **options):
        made = door(texts, **options)
        return asyncio.run(_awaited(made)) if inspect.isawaitable(made) else made

    return call


async def _awaited(made):
    return await made
