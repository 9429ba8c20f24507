"""Run a workload: every subject interleaved, several rounds, medians and ratios.

Rules of this file:
- The server and every measurement have a process of their own; one measurement runs at a time.
- Ratios are taken within a round and their median is reported, so drift of the machine cancels.

Usage: python benchmarks/run.py WORKLOAD [ROUNDS] [ONLY…]; workloads: see `WORKLOADS`.
"""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).parent


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Attributes:
        ours: The subject the others are compared with.
        server: Width, latency, latency per text, and `gzip` if answers are zipped.
    """

    title: str
    texts: int
    server: tuple[str, ...]
    subjects: tuple[str, ...]
    rounds: int = 3
    mode: tuple[str, ...] = ()
    baselines: tuple[str, ...] = field(default=())


BULK = (
    "ours, client, numpy",
    "ours, client, lists",
    "ours, async client, numpy",
    "ours, LangChain embed_documents",
    "ours, LangChain embed_documents_array",
    "ours, LlamaIndex get_text_embedding_batch",
    "LangChain OpenAIEmbeddings, default",
    "LangChain OpenAIEmbeddings, best (256)",
    "LlamaIndex OpenAIEmbedding, default",
    "baseten, default, lists",
    "baseten, default, numpy",
)

WORKLOADS = {
    "1": Workload(
        "10,000 texts x 1536, no latency", 10_000, ("1536", "0", "0"),
        (*BULK, "LlamaIndex OpenAIEmbedding, best (512)", "openai SDK, 100 per request",
         "openrouter SDK, base64 by hand", "openrouter SDK, floats", "baseten, 128 x 8, lists",
         "baseten, 128 x 8, numpy", "requests.Session, 100 per request",
         "requests.post, one text per request", "litellm, 100 per request"),
    ),
    "2": Workload(
        "10,000 texts x 1536, 150 ms + 1 ms per text", 10_000, ("1536", "0.15", "0.001"),
        (*BULK, "LangChain OpenAIEmbeddings, gathered 128 x 80", "baseten, 100 x 100, lists",
         "baseten, 100 x 100, numpy"),
    ),
    "3": Workload(
        "1,000 single queries, no latency, p50", 1_000, ("1536", "0", "0"),
        ("ours, client, numpy", "ours, LangChain embed_documents",
         "ours, LlamaIndex get_text_embedding_batch", "LangChain OpenAIEmbeddings, default",
         "LlamaIndex OpenAIEmbedding, default", "baseten, default, numpy",
         "requests.Session, 100 per request", "openai SDK, 100 per request"),
        mode=("queries",),
    ),
    "4": Workload(
        "100,000 texts x 1024, no latency", 100_000, ("1024", "0", "0"),
        ("ours, client, numpy", "ours, async client, numpy",
         "LangChain OpenAIEmbeddings, default", "baseten, default, numpy"),
        rounds=2,
    ),
    "7": Workload(
        "10,000 texts x 1536 as floats, no latency", 10_000, ("1536", "0", "0"),
        ("ours, client, numpy, floats asked", "ours, client, lists, floats asked",
         "openrouter SDK, floats", "baseten, default, numpy", "requests.Session, 100 per request"),
    ),
    "7z": Workload(
        "10,000 texts x 1536 as floats, gzip", 10_000, ("1536", "0", "0", "gzip"),
        ("ours, client, numpy, floats asked", "openrouter SDK, floats", "baseten, default, numpy",
         "requests.Session, 100 per request"),
    ),
}  # fmt: skip


def main() -> None:
    """Measure, print, and write the figures beside this file."""
    name = sys.argv[1]
    load = WORKLOADS[name]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else load.rounds
    only = [word.lower() for word in sys.argv[3:]]
    subjects = [s for s in load.subjects if not only or any(word in s.lower() for word in only)]
    samples: dict[str, list[dict[str, float]]] = {subject: [] for subject in subjects}
    for number in range(rounds):
        for subject in subjects[number % len(subjects) :] + subjects[: number % len(subjects)]:
            samples[subject].append(measure(load, subject))
    report(name, load, samples, rounds)


def measure(load: Workload, subject: str) -> dict[str, float]:
    """Run one subject against a fresh server."""
    server = subprocess.Popen(
        [sys.executable, str(HERE / "stand_in.py"), "0", *load.server],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with server:
        try:
            port = server.stdout.readline().split()[1]
            url = f"http://127.0.0.1:{port}/api/v1"
            command = [sys.executable, str(HERE / "measure.py"), subject, str(load.texts)]
            command += [load.server[0], url, *load.mode]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            server.kill()
    if done.returncode:
        sys.exit(f"{subject} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(name: str, load: Workload, samples: dict, rounds: int) -> None:
    """Print a table and write it as JSON."""
    print(f"\n{load.title}; medians of {rounds} rounds")
    print(f"{'':<48}{'seconds':>9}{'CPU':>8}{'peak MB':>9}   times ours (numpy, lists)")
    rows = {}
    ours = [s for s in samples if s.startswith("ours")]
    for subject, runs in samples.items():
        keys = ("seconds", "cpu", "peak_mb")
        row = {key: statistics.median(run[key] for run in runs) for key in keys}
        row["ratios"] = {base: ratio(runs, samples[base]) for base in ours}
        rows[subject] = row
        shown = "  ".join(f"{ratio:6.2f}" for ratio in list(row["ratios"].values())[:2])
        small = row["seconds"] < 0.01
        seconds = f"{1e6 * row['seconds']:7.0f}us" if small else f"{row['seconds']:9.3f}"
        print(f"{subject:<48}{seconds}{row['cpu']:8.2f}{row['peak_mb']:9.0f}   {shown}", flush=True)
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / f"workload-{name}.json").write_text(
        json.dumps({"title": load.title, "rounds": rounds, "rows": rows}, indent=1) + "\n"
    )


def ratio(runs: list, base: list) -> float:
    """Return the median over rounds of how many times longer `runs` took than `base`."""
    pairs = zip(runs, base, strict=True)
    return statistics.median(run["seconds"] / other["seconds"] for run, other in pairs)


if __name__ == "__main__":
    main()
