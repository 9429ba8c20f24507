"""Run a workload: every subject interleaved, several rounds, medians and ratios.

Rules of this file:
- The server and every measurement have a process of their own; one measurement runs at a time.
- Ratios are taken within a round and their median is reported, so drift of the machine cancels.
- What was aimed at is printed with what was reached, and so is a miss.

Usage: python benchmarks/run.py WORKLOAD [ROUNDS] [ONLY…]; `floats` is all of 7 to 7z. Those and 1
to 4s are rows of `workloads.py`; 5, 6, 8 and `telemetry` are scripts of their own, in `SCRIPTS`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys

from workloads import WORKLOADS, Aim, Workload

HERE = pathlib.Path(__file__).parent
SCRIPTS = {"5": "imports.py", "6": "llama_index_build.py", "8": "stages.py",
           "telemetry": "telemetry.py"}  # fmt: skip
GROUPS = {"floats": ("7", "7f", "7l", "7z", "7d")}
PACKAGES = (
    "openai", "langchain-core", "langchain-openai", "llama-index-core",
    "llama-index-embeddings-openai", "openrouter", "litellm", "baseten-performance-client",
    "requests", "urllib3", "aiohttp", "numpy", "msgspec", "pybase64", "pysimdjson", "isal",
)  # fmt: skip
OFFLINE = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Without it litellm asks the network for prices when it is imported."""
Samples = dict[str, list[dict[str, float]]]


def main() -> None:
    """Measure, print, and write the figures beside this file."""
    name = sys.argv[1]
    if name in SCRIPTS:
        sys.exit(subprocess.call([sys.executable, str(HERE / SCRIPTS[name]), *sys.argv[2:]]))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else None
    only = [word.lower() for word in sys.argv[3:]]
    for one in GROUPS.get(name, (name,)):
        run(one, rounds, only)


def run(name: str, rounds: int | None, only: list[str]) -> None:
    """Measure one workload."""
    load = WORKLOADS[name]
    rounds = rounds or load.rounds
    subjects = [s for s in load.subjects if not only or any(word in s.lower() for word in only)]
    if not subjects:
        return
    samples: Samples = {subject: [] for subject in subjects}
    before = machine()
    for number in range(rounds):
        at = number % len(subjects)
        for subject in subjects[at:] + subjects[:at]:
            samples[subject].append(measure(load, subject))
    rows = table(load, samples, rounds)
    found = [reached(aim, samples) for aim in load.aims if {aim.ours, *aim.rivals} <= set(samples)]
    found += [used(subject, most, rows) for subject, most in load.most_mb if subject in rows]
    print(f"load: {os.getloadavg()[0]:.1f} over the last minute")
    if not only:
        content = {"title": load.title, "rounds": rounds, "rows": rows, "aims": found, **before}
        write(f"workload-{name}", content)


def machine() -> dict[str, object]:
    """Return what else decides about absolute times."""
    return {
        "machine": {
            "processors": os.cpu_count(), "load before": os.getloadavg()[0],
            "python": sys.version.split()[0],
        },
        "versions": {name: number for name in PACKAGES if (number := version(name))},
    }  # fmt: skip


def version(name: str) -> str | None:
    """Return the version of a package, if it is installed: not every workload needs them all."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def write(name: str, content: dict) -> None:
    """Keep a result for the documentation."""
    out = HERE / "results"
    out.mkdir(exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


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
            command += [load.server[0], url, load.mode]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=OFFLINE)
        finally:
            server.kill()
    if done.returncode:
        sys.exit(f"{subject} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(load: Workload, samples: Samples, rounds: int) -> dict[str, dict[str, float]]:
    """Print and return the median of each column, and the range of the seconds."""
    print(f"\n{load.title}; medians of {rounds} rounds")
    print(f"{'':<50}{'seconds':>10}{'fastest':>10}{'slowest':>10}{'CPU':>8}{'peak MB':>9}")
    rows = {}
    for subject, runs in samples.items():
        seconds = [run["seconds"] for run in runs]
        row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rows[subject] = {**row, "fastest": min(seconds), "slowest": max(seconds)}
        columns = "".join(shown(value) for value in (row["seconds"], min(seconds), max(seconds)))
        print(f"{subject:<50}{columns}{row['cpu']:8.2f}{row['peak_mb']:9.0f}")
    return rows


def shown(seconds: float) -> str:
    """Return seconds as ten characters, small ones in microseconds."""
    return f"{1e6 * seconds:8.0f}us" if seconds < 0.02 else f"{seconds:10.3f}"


def reached(aim: Aim, samples: Samples) -> dict[str, object]:
    """Compare a ratio with what was aimed at, and print it."""
    rounds = zip(samples[aim.ours], *(samples[rival] for rival in aim.rivals), strict=True)
    value = statistics.median(
        min(rival["seconds"] for rival in rivals) / ours["seconds"] for ours, *rivals in rounds
    )
    names = " / ".join(aim.rivals)
    word = "" if value >= aim.times else ", MISSED"
    print(f"{names} took {value:.2f} times as long as {aim.ours}; aim {aim.times:g}{word}")
    return {"ours": aim.ours, "rivals": aim.rivals, "times": round(value, 3), "aim": aim.times}


def used(subject: str, most: float, rows: dict[str, dict[str, float]]) -> dict[str, object]:
    """Compare peak memory with what was aimed at, and print it."""
    peak = rows[subject]["peak_mb"]
    word = "" if peak <= most else ", MISSED"
    print(f"{subject} used {peak:.0f} MB at its peak; aim at most {most:.0f}{word}")
    return {"ours": subject, "peak_mb": round(peak, 1), "aim": round(most, 1)}


if __name__ == "__main__":
    main()
