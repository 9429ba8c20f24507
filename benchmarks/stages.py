"""Where the time of a vector goes: CPU by stage while 10,000 texts are embedded without latency.

Rules of this file:
- Stages are timed in the real thing, in the thread that runs them, by its own CPU clock; what
  belongs to none of them is the rest: locks, queues, threads, the garbage collector.
- A stage within another is taken off the outer one.

Usage: python benchmarks/stages.py [ROUNDS]
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict

from measure import check
from run import HERE, machine, write
from stand_in import text

import openrouter_embed.shells.requests_shell as shell
from openrouter_embed import EmbeddingClient, engine
from openrouter_embed.core import bodies, codec, collect, edges

COUNT, WIDTH = 10_000, 1536
STAGES = (
    ("plan the call, estimate tokens", engine.Engine, "job"),
    ("write request bodies", bodies.BodyMaker, "make"),
    ("send and read (sockets, HTTP)", shell.RequestsTransport, "send"),
    ("cut the vectors out", edges, "cut"),
    ("parse what is between them", codec, "_parse"),
    ("check: order and count", codec, "_order"),
    ("base64", codec, "_read_rows"),
    ("check: width", codec, "_common_width"),
    ("copy into the matrix", codec, "_fill"),
    ("check: finite", codec, "_check_finite"),
    ("collect", collect.Collector, "accept"),
    ("Python lists", collect.Collector, "_prepare"),
)
AIMED = ("check: order and count", "check: width", "check: finite")
AIM = 0.10


class Clock:
    """CPU seconds by stage; a stage within another counts for itself alone."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._here = threading.local()
        self._lock = threading.Lock()

    def wrap(self, name: str, call):
        """Return the function, timed."""

        @functools.wraps(call)
        def timed(*args, **options):
            outer = getattr(self._here, "inner", 0.0)
            self._here.inner = 0.0
            begin = time.thread_time()
            try:
                return call(*args, **options)
            finally:
                whole = time.thread_time() - begin
                with self._lock:
                    self.spent[name] += whole - self._here.inner
                self._here.inner = outer + whole

        return timed


def main() -> None:
    """Measure, print, write."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    before = machine()
    clock = Clock()
    for name, place, attribute in STAGES:
        setattr(place, attribute, clock.wrap(name, getattr(place, attribute)))
    texts = [text(number) for number in range(COUNT)]
    command = [sys.executable, str(HERE / "stand_in.py"), "0", str(WIDTH), "0", "0"]
    rows = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().split()[1]}/api/v1"
            for kind in ("numpy", "lists"):
                rows[kind] = measured(clock, url, texts, kind, rounds)
        finally:
            server.kill()
    write("workload-8", {"title": "CPU by stage", "rounds": rounds, "rows": rows} | before)


def measured(clock: Clock, url: str, texts: list[str], kind: str, rounds: int) -> dict[str, float]:
    """Return and print microseconds of CPU per vector, by stage, medians over rounds."""
    runs = [one(clock, url, texts, kind) for _ in range(rounds)]
    row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    whole = row["whole"]
    checks = sum(row[name] for name in AIMED)
    print(f"\n{kind}: microseconds of CPU per vector, medians of {rounds} rounds")
    for name, spent in row.items():
        print(f"{name:<34}{spent:8.2f}{100 * spent / whole:7.1f} %")
    word = "" if checks <= AIM * whole else ", MISSED"
    title = "order, count, width and finite"
    print(f"{title:<34}{checks:8.2f}{100 * checks / whole:7.1f} %; aim under 10 %{word}")
    return {name: round(spent, 3) for name, spent in row.items()} | {"checks": round(checks, 3)}


def one(clock: Clock, url: str, texts: list[str], kind: str) -> dict[str, float]:
    """Run once with a new client that is warm."""
    client = EmbeddingClient("openai/text-embedding-3-small", api_key="sk-bench", base_url=url)
    check(client.embed(texts[:50], role="document").vectors, WIDTH)
    clock.spent.clear()
    begin = time.process_time()
    result = client.embed(texts, role="document", lists=kind == "lists")
    vectors = result.tolist() if kind == "lists" else result.vectors
    whole = time.process_time() - begin
    spent = dict(clock.spent)
    check(vectors, WIDTH)
    client.close()
    names = [name for name, _, _ in STAGES if name in spent]
    row = {name: 1e6 * spent[name] / COUNT for name in names}
    rest = 1e6 * whole / COUNT - sum(row.values())
    return {**row, "the rest": rest, "whole": 1e6 * whole / COUNT}


if __name__ == "__main__":
    main()
