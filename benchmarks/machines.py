"""On Ray: how fast, at what cost, what a killed worker costs, and how full a limit is.

Rules of this file:
- The server runs in a process of its own, and counts what it sold; every vector is checked.
- Server, workers and Ray share the machine: with few cores they slow each other.
- An actor's CPU per text is taken while all work: from the first fifth of the texts to the last.

Usage: python benchmarks/machines.py [bare | speed | kill | limit] [TEXTS]
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from stand_in import POOL, pool, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

    from openrouter_embed.ray import Bill

HERE = pathlib.Path(__file__).parent
MODEL = "openai/text-embedding-3-small"
FILES = 16
ADMITTED = 64
CPUS = 4
STORE = 2**30


def main() -> None:
    """Run what was asked for, or all of it."""
    asked = [word for word in sys.argv[1:] if not word.isdigit()] or list(PARTS)
    count = next((int(word) for word in sys.argv[1:] if word.isdigit()), 0)
    os.environ["OPENROUTER_API_KEY"] = "sk-or-v1-fake"
    import ray

    ray.init(
        num_cpus=CPUS,
        object_store_memory=STORE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    print(f"ray {ray.__version__}, {psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in asked:
        PARTS[name](count)
    ray.shutdown()


def bare(count: int) -> None:
    """Embed in this process, without Ray: a stream, whose results are dropped."""
    from openrouter_embed import EmbeddingClient

    size, width = count or 100_000, 1536
    with serving(width, "0.15", "0.001") as server:
        client = EmbeddingClient(MODEL, base_url=server.url, dimensions=width)
        cpu = time.process_time()
        for result in client.stream(map(text, range(size)), role="document"):
            rows = np.arange(result.start, result.start + len(result)) % POOL
            assert np.array_equal(result.vectors, pool(width)[rows]), "a wrong vector"
        cpu = time.process_time() - cpu
        client.close()
        counts = server.counts()
    print(
        f"bare: {size:,} texts x {width} by one client's `stream`: "
        f"{counts['texts'] / counts['span']:,.0f} texts/s, {cpu / size * 1e6:.1f} us of CPU per "
        "text, checking included"
    )


def speed(count: int) -> None:
    """Embed from Parquet to Parquet with one actor and with two."""
    for actors, size in ((1, count or 100_000), (2, count or 200_000)):
        measure(actors, size)


def measure(actors: int, size: int) -> None:
    """Embed from Parquet to Parquet, and print the figures."""
    from openrouter_embed.ray import Bill

    width = 1536
    with tempfile.TemporaryDirectory() as folder, serving(width, "0.15", "0.001") as server:
        bill = Bill()
        with Watch(server) as watch:
            seconds = embed(folder, server, size, bill, dimensions=width, actors=actors)
        counts = server.counts()
        check(folder, size, width)
        told = bill.usage()
    cpu, memory, private = watch.figures(size)
    print(
        f"speed: {actors} actors, {size:,} texts x {width}, 150 ms per request and 1 ms per text: "
        f"{seconds:.1f} s in all; {counts['texts'] / counts['span']:,.0f} texts/s at the server; "
        f"{cpu * 1e6:.1f} us of actor CPU per text; {memory:.0f} MB per actor at its peak "
        f"({private:.0f} without shared memory); sold {counts['texts']:,} texts; bill "
        f"{told.total_tokens // 50:,} texts, {told.requests:,} requests, server "
        f"{counts['requests'] - counts['asked']:,}"
    )
    assert counts["texts"] == size
    assert told.total_tokens == 50 * size


def kill(count: int) -> None:
    """Kill an actor in the middle, with a cache; then run it all again."""
    from openrouter_embed.ray import Bill

    size, width = count or 200_000, 256
    with tempfile.TemporaryDirectory() as folder, serving(width, "0.15", "0.001") as server:
        cache = os.path.join(folder, "vectors.sqlite")  # noqa: PTH118 - a string is told
        with Watch(server) as watch:
            threading.Thread(target=watch.kill_one, args=(size // 3,), daemon=True).start()
            seconds = embed(folder, server, size, Bill(), dimensions=width, cache=cache)
        sold = server.counts()["texts"]
        check(folder, size, width)
        again = embed(folder, server, size, Bill(), dimensions=width, cache=cache, out="again")
        check(folder, size, width, out="again")
        print(
            f"kill: one of two actors killed after {watch.killed_at:,} of {size:,} texts, with a "
            f"cache, when {watch.open_then} requests were in flight: {sold - size:,} texts bought "
            f"twice in {seconds:.1f} s; run again, "
            f"{server.counts()['texts'] - sold:,} bought in {again:.1f} s"
        )


def limit(count: int) -> None:
    """Fill a limit of 64 requests with 2, 4 and 8 actors."""
    from openrouter_embed.ray import Bill

    width = 256
    for actors in (2, 4, 8):
        size = count or 4 * 4096 * actors  # so that each has batches to the end
        words = (f"admit={ADMITTED}",)
        with (
            tempfile.TemporaryDirectory() as folder,
            serving(width, "0.5", "0", *words) as server,
        ):
            options = {"dimensions": width, "max_batch_inputs": 16}
            with server.sampled() as samples:
                embed(folder, server, size, Bill(), actors=actors, in_flight=ADMITTED, **options)
            middle = [s for s in samples if size / 4 <= s["texts"] <= 3 * size / 4]
            first, last = middle[0], middle[-1]
            used = (last["busy"] - first["busy"]) / (last["now"] - first["now"]) / ADMITTED
            counts = server.counts()
            print(
                f"limit: {actors} actors, {ADMITTED} admitted, 500 ms, 16 texts per request: "
                f"{used:.1%} used in the middle of the run, {counts['refused']:.0f} refused of "
                f"{counts['requests'] - counts['asked']:.0f}"
            )


PARTS = {"bare": bare, "speed": speed, "kill": kill, "limit": limit}


def embed(
    folder: str, server: Server, size: int, bill: Bill, *, out: str = "out", **options: object
) -> float:
    """Embed from Parquet to Parquet, and return the seconds it took."""
    import ray

    from openrouter_embed.ray import embed_column

    source = pathlib.Path(folder) / "in"
    if not source.exists():
        source.mkdir()
        for number in range(FILES):
            ids = np.arange(number * size // FILES, (number + 1) * size // FILES)
            table = pa.table({"id": ids, "text": [text(at) for at in ids]})
            pq.write_table(table, source / f"{number:02}.parquet")
    begin = time.perf_counter()
    ds = ray.data.read_parquet(str(source))
    ds = embed_column(ds, MODEL, bill=bill, base_url=server.url, **options)
    ds.write_parquet(str(pathlib.Path(folder) / out))
    return time.perf_counter() - begin


def check(folder: str, size: int, width: int, *, out: str = "out") -> None:
    """Check every vector that was written."""
    seen = np.zeros(size, np.int64)
    for path in (pathlib.Path(folder) / out).glob("*.parquet"):
        table = pq.read_table(path, columns=["id", "embedding", "embedding_error"])
        ids = table["id"].to_numpy()
        rows = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        assert np.array_equal(rows, pool(width)[ids % POOL]), "a wrong vector"
        assert table["embedding_error"].null_count == len(table)
        np.add.at(seen, ids, 1)
    assert (seen == 1).all(), "a row is missing, or there twice"


class Server:
    """The server as the benchmark sees it."""

    def __init__(self, port: str) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._asked = 0

    def counts(self) -> dict[str, float]:
        """Return its counts; `asked` is how many of its requests were these."""
        self._asked += 1
        with urllib.request.urlopen(f"{self.url}/counts") as answer:
            return {**json.load(answer), "asked": self._asked}

    @contextlib.contextmanager
    def sampled(self) -> Iterator[list[dict[str, float]]]:
        """Read its counts now and then."""
        samples: list[dict[str, float]] = []
        done = threading.Event()

        def read() -> None:
            while not done.wait(0.2):
                samples.append(self.counts())

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield samples
        finally:
            done.set()
            thread.join()


@contextlib.contextmanager
def serving(width: int, *words: str) -> Iterator[Server]:
    """Run a server."""
    command = [sys.executable, str(HERE / "stand_in.py"), "0", str(width), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            server = Server(process.stdout.readline().split()[1])
            yield server
        finally:
            process.kill()


class Watch:
    """Looks at the actors every now and then: their CPU and memory, from the first text sold."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> Self:
        self._seen: list[tuple[float, float]] = []
        """Texts sold so far, CPU seconds that all actors have used."""
        self._most = [0, 0]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        self.killed_at = self.open_then = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._server.counts()["texts"] and not self._done.wait(0.1):
            pass
        while not self._done.wait(0.5):
            cpu = 0.0
            for process in self.actors():
                with contextlib.suppress(psutil.Error):
                    times, memory = process.cpu_times(), process.memory_info()
                    cpu += times.user + times.system
                    sizes = (memory.rss, memory.rss - memory.shared)
                    self._most = [max(pair) for pair in zip(self._most, sizes, strict=True)]
            self._seen.append((self._server.counts()["texts"], cpu))

    def actors(self) -> list[psutil.Process]:
        """Return the processes that embed."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "Embedder" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def figures(self, size: int) -> tuple[float, float, float]:
        """Return CPU seconds per text, and MB of the largest actor, all and private."""
        middle = [row for row in self._seen if size / 5 <= row[0] <= 4 * size / 5]
        texts, cpu = (last - first for first, last in zip(middle[0], middle[-1], strict=True))
        return cpu / texts, self._most[0] / 1e6, self._most[1] / 1e6

    def kill_one(self, after: int) -> None:
        """Kill an actor once so many texts were sold."""
        victim = None
        while (counts := self._server.counts())["texts"] < after:
            victim = victim or next(iter(self.actors()), None)  # looking for it takes time
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
        self.killed_at, self.open_then = int(counts["texts"]), int(counts["in_flight"])


if __name__ == "__main__":
    main()
