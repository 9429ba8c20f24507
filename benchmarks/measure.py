"""Measure one subject once, in this process; print a line of JSON.

Usage: python benchmarks/measure.py SUBJECT TEXTS WIDTH URL bulk|queries|stream
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
from subjects import SUBJECTS, Embed, Subject, ask_for

TOLERANCE = 1e-4
WARM_QUERIES = 50


def main() -> None:
    """Run the subject and print seconds, CPU seconds and peak memory."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    name, count, width, url, mode = sys.argv[1:6]
    subject = SUBJECTS[name]
    ask_for(int(width))
    print(json.dumps(MODES[mode](subject, subject.make(url), int(count), int(width))))


def bulk(subject: Subject, embed: Embed, count: int, width: int) -> dict[str, float]:
    """Time one call with all texts; of a slow subject fewer, and scaled."""
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
    return {
        "seconds": seconds * scale, "cpu": cpu * scale, "peak_mb": peak / 2**20, "texts": wanted
    }  # fmt: skip


def queries(subject: Subject, embed: Embed, count: int, width: int) -> dict[str, float]:
    """Time single texts, one after the other."""
    wanted = min(count, subject.texts or count)
    texts = [[text(number)] for number in range(wanted + WARM_QUERIES)]
    times, vectors, kept = [], [], range(0, len(texts), POOL // 8)
    cpu = 0.0
    for number, query in enumerate(texts):
        if number == WARM_QUERIES:
            cpu = time.process_time()
        begin = time.perf_counter()
        vector = embed(query)
        times.append(time.perf_counter() - begin)
        if number in kept:  # nobody keeps the vectors of all queries
            vectors.append(vector[0])
    cpu = time.process_time() - cpu
    for number, vector in zip(kept, vectors, strict=True):
        check([vector], width, start=number)
    return {
        "seconds": statistics.median(times[WARM_QUERIES:]), "cpu": cpu / wanted, "peak_mb": 0.0,
        "texts": wanted,
    }  # fmt: skip


def stream(_: Subject, embed: Embed, count: int, width: int) -> dict[str, float]:
    """Time a stream, and watch how far memory grows after its first parts."""
    done, watch, before = 0, None, 0
    cpu, begin = time.process_time(), time.perf_counter()
    for part in embed(text(number) for number in range(count)):
        if watch is None:
            before, watch = memory(), Peak()
        check(part.vectors, width, start=done)
        done += len(part)
    assert done == count, done
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    peak = watch.stop() - before
    return {"seconds": seconds, "cpu": cpu, "peak_mb": peak / 2**20, "texts": count}


def check(vectors, width: int, start: int = 0) -> None:
    """Compare what came back with what the server was made of."""
    want = pool(width)
    have = np.asarray(vectors, dtype=np.float32)
    assert have.shape[1] == width, have.shape
    rows = want[np.arange(start, start + len(have)) % POOL]
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


MODES = {"bulk": bulk, "queries": queries, "stream": stream}

if __name__ == "__main__":
    main()
