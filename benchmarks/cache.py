"""Workload 9: what the cache costs a first run, and what it saves a second.

Rules of this file:
- Four runs, each in a process of its own: without a cache, the first with one, the second, and one
  more of the same texts in an order of its own.
- Beside them the floor: `np.load` of the same vectors, for some machines give memory slowly.
- Every vector of every run is checked.
- Memory is the process's peak beyond what it had before the call, less the result itself.

Usage: python benchmarks/cache.py [ROUNDS] [TEXTS]
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = pathlib.Path(__file__).parent
WIDTH = 1536
LATENCY = 0.15
MODELS = {
    "text-embedding-3-small": {"model": "openai/text-embedding-3-small"},
    "qwen3-embedding-8b, floats": {"model": "qwen/qwen3-embedding-8b", "dimensions": WIDTH},
}
WRITER = "writer's cpu"
RUNS = ("without", "first", "second", "shuffled", "np.load")


def main() -> None:
    """Measure, and print medians and ratios."""
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(*sys.argv[2:])))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    rows: dict[str, dict[str, float]] = {}
    for name, options in MODELS.items():
        samples: dict[str, list[dict[str, float]]] = {kind: [] for kind in RUNS}
        for _ in range(rounds):
            # One server for all: another origin would be another space of vectors.
            with tempfile.TemporaryDirectory() as folder, serving() as port:
                for kind in RUNS:
                    samples[kind].append(measure(kind, options, folder, port, count))
        for kind in RUNS:
            rows[f"{name}: {kind}"] = {
                figure: statistics.median(sample[figure] for sample in samples[kind])
                for figure in samples[kind][0]
            }
    print(f"{count:,} texts x {WIDTH}, {LATENCY * 1000:g} ms per request; {rounds} rounds")
    for name, row in rows.items():
        print(f"{name:<40}", *(f"{figure} {value:8.2f}" for figure, value in row.items()))
    for name in MODELS:
        without, first, second, shuffled, floor = (rows[f"{name}: {kind}"] for kind in RUNS)
        print(
            f"{name}: the first run takes {first['s'] / without['s']:.2f} times as long with a "
            f"cache, the second {first['s'] / second['s']:.1f} times less, in an order of its own "
            f"{shuffled['s'] / second['s']:.1f} times as long as the second; "
            f"{first[WRITER] / count * 1e6:.1f} us of CPU to write a vector, in all "
            f"{(first['cpu'] - without['cpu']) / count * 1e6:.1f} more than without a cache; "
            f"{second['cpu'] / count * 1e6:.1f} for all of the second run, "
            f"{floor['cpu'] / count * 1e6:.1f} for `np.load`"
        )


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run a server, and tell its port."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "stand_in.py"), "0", str(WIDTH), str(LATENCY), "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            yield server.stdout.readline().split()[1]
        finally:
            server.kill()


def measure(kind: str, options: dict, folder: str, port: str, count: int) -> dict[str, float]:
    """Run one kind in a process of its own."""
    command = [sys.executable, __file__, "run", kind, json.dumps(options), folder, port, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def run(kind: str, options: str, folder: str, port: str, count: str) -> dict[str, float]:
    """Measure one call in this process."""
    import numpy as np
    from stand_in import POOL, pool, text

    from openrouter_embed import EmbeddingClient

    kept = pathlib.Path(folder, "vectors.npy")
    if kind == "np.load":
        start, cpu = time.perf_counter(), time.process_time()
        np.load(kept)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        return {"s": seconds, "cpu": cpu, WRITER: 0, "MB beyond": 0}
    told = {**json.loads(options), "api_key": "k", "base_url": f"http://127.0.0.1:{port}/v1"}
    if kind != "without":
        told["cache"] = os.path.join(folder, "vectors.sqlite")  # noqa: PTH118 - a string is told
    size = int(count)
    numbers = np.arange(size)
    if kind == "shuffled":
        np.random.default_rng(0).shuffle(numbers)
    texts = [text(number) for number in numbers.tolist()]
    with EmbeddingClient(**told) as client:
        if kind in ("without", "first"):
            client.embed([text(size + 1)], role="document")  # connections and imports
        else:
            client.embed(texts[:1], role="document")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, cpu = time.perf_counter(), time.process_time()
        result = client.embed(texts, role="document")
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        writing = writer_cpu()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert np.array_equal(result.vectors, pool(WIDTH)[numbers % POOL]), "a wrong vector"
    if kind in ("second", "shuffled"):
        assert result.usage.cache_hits == size, result.usage
        np.save(kept, result.vectors)
    beyond = grown - result.vectors.nbytes / 2**20
    return {"s": seconds, "cpu": cpu, WRITER: writing, "MB beyond": beyond}


def writer_cpu() -> float:
    """Return what the thread that writes has taken so far; it stays for a moment without work."""
    for thread in threading.enumerate():
        if thread.name == "openrouter-embed-cache":
            return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    return 0.0


if __name__ == "__main__":
    main()
