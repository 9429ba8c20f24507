"""How long a program waits for an import, the start of the interpreter itself taken off.

Rules of this file:
- Every import has a fresh process; subjects take turns, after a round that only warms the disk's
  cache.
- It also tells which heavy libraries an import has loaded.

Usage: python benchmarks/imports.py [ROUNDS]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from run import OFFLINE, machine, write

NOTHING = "pass"
OURS = "import openrouter_embed"
REQUESTS = "import requests"
LANGCHAIN = "from langchain_openrouter_embed import OpenRouterEmbeddings"
LANGCHAIN_OPENAI = "from langchain_openai import OpenAIEmbeddings"
BASE = "from langchain_core.embeddings import Embeddings"
STATEMENTS = (
    NOTHING,
    OURS,
    "from openrouter_embed import EmbeddingClient",
    REQUESTS,
    BASE,
    LANGCHAIN,
    LANGCHAIN_OPENAI,
    "from llama_index.core.base.embeddings.base import BaseEmbedding",
    "from llama_index_openrouter_embed import OpenRouterEmbedding",
    "from llama_index.embeddings.openai import OpenAIEmbedding",
    "import openai",
    "import litellm",
)
HEAVY = ("numpy", "requests", "aiohttp")
AIMS = ((OURS, REQUESTS, 1.0), (LANGCHAIN, LANGCHAIN_OPENAI, 3.0))


def main() -> None:
    """Measure, print, write."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    before = machine()
    for statement in STATEMENTS:
        seconds(statement)
    samples: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(rounds):
        for statement, times in samples.items():
            times.append(seconds(statement))
    rows = {}
    print(f"medians of {rounds} rounds, milliseconds, {1e3 * own(samples):.0f} of Python taken off")
    for statement, times in samples.items():
        spent = 1e3 * (statistics.median(times) - own(samples))
        rows[statement] = {"milliseconds": round(spent, 1), "loads": loads(statement)}
        print(f"{statement:<66}{spent:8.0f}  {' '.join(rows[statement]['loads'])}")
    ours, base = set(rows[LANGCHAIN]["loads"]), set(rows[BASE]["loads"])
    print(f"The LangChain adapter adds to what LangChain loads itself: {sorted(ours - base)}")
    aims = [reached(rows, *aim) for aim in AIMS]
    write("workload-5", {"title": "imports", "rounds": rounds, "rows": rows, "aims": aims} | before)


def own(samples: dict[str, list[float]]) -> float:
    """Return the seconds of a process that imports nothing."""
    return statistics.median(samples[NOTHING])


def seconds(statement: str) -> float:
    """Time one fresh process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env=OFFLINE)
    return time.perf_counter() - begin


def loads(statement: str) -> list[str]:
    """Return the heavy libraries that an import loads."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, env=OFFLINE
    )
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    return [name for name in HEAVY if name in modules]


def reached(rows: dict, ours: str, rival: str, wanted: float) -> dict[str, object]:
    """Compare a ratio with what was aimed at, and print it."""
    value = rows[rival]["milliseconds"] / rows[ours]["milliseconds"]
    word = "" if value >= wanted else ", MISSED"
    print(f"`{rival}` took {value:.2f} times as long as `{ours}`; aim {wanted:g}{word}")
    return {"ours": ours, "rivals": [rival], "times": round(value, 2), "aim": wanted}


if __name__ == "__main__":
    main()
