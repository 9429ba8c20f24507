"""What a call pays for being watched: without OpenTelemetry, with its API alone, with its SDK.

Rules of this file:
- Every way has a process of its own, for what is loaded cannot be unloaded; rounds are interleaved.
- CPU of the calling thread is counted, so that a busy machine matters less; what the SDK's own
  thread does to send spans away is not.
- The call is the cheapest there is: one text, found in the cache. Any request takes longer, so its
  share is smaller.

Usage: python benchmarks/telemetry.py [ROUNDS]
"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from openrouter_embed import EmbeddingClient
from openrouter_embed.emulator import Emulator
from openrouter_embed.telemetry import observe

MODEL = "openai/text-embedding-3-small"
CALLS, LOOKS = 300, 5_000
AIM = 10.0
"""Microseconds that the API alone may cost."""


def nothing() -> None:
    """Load nothing of OpenTelemetry."""


def api() -> None:
    """Load the API, as many a library does, and set up no SDK."""
    import opentelemetry.metrics
    import opentelemetry.trace  # noqa: F401 - loading it is the point


def sdk(*, dropped: bool = False) -> None:
    """Set up the SDK with what programs run in production: spans and metrics in batches."""
    from opentelemetry import metrics, trace
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

    provider = TracerProvider(sampler=ALWAYS_OFF if dropped else ALWAYS_ON)
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))


WAYS = {
    "telemetry=False": (sdk, False),
    "nothing loaded": (nothing, True),
    "API alone": (api, True),
    "SDK, span dropped": (lambda: sdk(dropped=True), True),
    "SDK": (sdk, True),
}


def once(way: str, path: str) -> dict[str, float]:
    """Return microseconds of looking alone, and of a call from the cache."""
    set_up, telemetry = WAYS[way]
    set_up()
    with (
        Emulator(backend="hashed") as server,
        EmbeddingClient(
            MODEL, api_key="k", base_url=server.base_url, cache=path, telemetry=telemetry
        ) as client,
    ):
        expected = client.embed(["a text"]).vectors
        call = timed(lambda: client.embed(["a text"]), CALLS)
        assert np.array_equal(client.embed(["a text"]).vectors, expected)
        assert server.stats.requests <= 1
        settings = client.settings

        def looking() -> None:
            with observe(settings):
                pass

        look = timed(looking, LOOKS)
    return {"look": look, "call": call}


def timed(do, times: int) -> float:
    """Return the best of five means, in microseconds of the calling thread's CPU."""
    means = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(max(1, times // 5)):
            do()
        means.append((time.thread_time() - begun) / max(1, times // 5))
    return min(means) * 1e6


def main() -> None:
    """Measure every way in turn, print medians, and shares within a process."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for way in WAYS:
                path = str(pathlib.Path(folder) / f"{number}-{len(found[way])}-{way[:3]}.sqlite")
                command = [sys.executable, __file__, "--once", way, path]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append(json.loads(done.stdout))
    print("| | µs for being watched | of a call that is found in the cache |")
    print("|---|---|---|")
    for way, samples in found.items():
        look = statistics.median(sample["look"] for sample in samples)
        share = statistics.median(sample["look"] / sample["call"] for sample in samples)
        print(f"| {way} | {look:.2f} | {share:.1%} |")
    alone = statistics.median(sample["look"] for sample in found["API alone"])
    print(f"API alone: {alone:.1f} µs, aimed at less than {AIM:.0f}: {alone < AIM}")


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(once(*sys.argv[2:])))
    else:
        main()
