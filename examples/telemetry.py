"""Spans and metrics of embedding calls, printed by OpenTelemetry's own SDK.

    pip install opentelemetry-sdk
    python examples/telemetry.py

With OPENROUTER_API_KEY set the embeddings come from OpenRouter; without it a local emulator makes
them up. In a program of yours an exporter of your backend stands in place of the console's, and
nothing else changes: clients and adapters find what was set up.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from openrouter_embed import EmbeddingClient
from openrouter_embed.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Generator

MODEL = "openai/text-embedding-3-small"
PASSAGES = ["Bread needs flour, water and time.", "A violin has four strings."]


@contextlib.contextmanager
def telemetry() -> Generator[trace.Tracer]:
    """Set up OpenTelemetry as a program does once, and write out what is left at the end."""
    spans, readings = TracerProvider(), PeriodicExportingMetricReader(ConsoleMetricExporter())
    spans.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    meters = MeterProvider([readings])
    trace.set_tracer_provider(spans)
    metrics.set_meter_provider(meters)
    try:
        yield spans.get_tracer("example")
    finally:
        spans.shutdown()
        meters.shutdown()


@contextlib.contextmanager
def open_client() -> Generator[EmbeddingClient]:
    """Open a client of the live API if there is a key, else of an emulator."""
    if os.environ.get("OPENROUTER_API_KEY"):
        with EmbeddingClient(MODEL) as client:
            yield client
        return
    with (
        Emulator() as emulator,
        EmbeddingClient(MODEL, api_key="any", base_url=emulator.base_url) as client,
    ):
        yield client


def main() -> None:
    """Embed passages and a question within a span of the program's own."""
    with telemetry() as tracer, open_client() as client, tracer.start_as_current_span("indexing"):
        client.embed_documents(PASSAGES)
        client.embed_query("How many strings has a violin?")


if __name__ == "__main__":
    main()
