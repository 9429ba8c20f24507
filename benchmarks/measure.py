"""Measure one subject once, in this process; print a line of JSON.

Usage: python benchmarks/measure.py SUBJECT TEXTS WIDTH URL [queries]
"""

from __future__ import annotations

import json
import logging
import resource
import statistics
import sys
import threading
import time
import warnings

import numpy as np
from stand_in import POOL, pool, text
from subjects import SUBJECTS

TOLERANCE = 1e-4


def main() -> None:
    """Run the subject and print seconds, CPU seconds and peak memory."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    name, count, width, url = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    subject = SUBJECTS[name]
    embed = subject.make(url)
    if "queries" in sys.argv[5:]:
        print(json.dumps(queries(embed, count)))
        return
    wanted = min(count, subject.texts or count)
    texts = [text(number) for number in range(wanted)]
    check(embed(texts[:4]), width)
    before = memory()
    watch = Peak()
    cpu, begin = time.process_time(), time.perf_counter()
    vectors = embed(texts)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = watch.stop() - before
    check(vectors, width)
    scale = count / wanted
    row = {"seconds": seconds * scale, "cpu": cpu * scale, "peak_mb": peak / 2**20, "texts": wanted}
    print(json.dumps(row))


def queries(embed, count: int) -> dict[str, float]:
    """Time single texts, one after the other; microseconds."""
    times = []
    for number in range(count + 50):
        begin = time.perf_counter()
        embed([text(number)])
        times.append(time.perf_counter() - begin)
    return {"seconds": statistics.median(times[50:]), "cpu": 0.0, "peak_mb": 0.0, "texts": count}


def check(vectors, width: int) -> None:
    """Compare what came back with what the server was made of."""
    want = pool(width)
    have = np.asarray(vectors, dtype=np.float32)
    assert have.shape[1] == width, have.shape
    rows = want[np.arange(len(have)) % POOL]
    assert np.abs(have - rows).max() < TOLERANCE, "wrong vectors"


def memory() -> int:
    """Return resident memory in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


class Peak:
    """Samples resident memory while the subject runs."""

    def __init__(self) -> None:
        self._top = memory()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self._top = max(self._top, memory())

    def stop(self) -> int:
        """Return the highest sample."""
        self._stop.set()
        self._thread.join()
        return max(self._top, memory())


if __name__ == "__main__":
    main()
