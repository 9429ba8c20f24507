"""How long LlamaIndex takes to build an index of 500 nodes where a request takes 100 ms.

Rules of this file:
- Every build runs in a process of its own, imported and warmed up before the clock runs, against
  `stand_in.py` in another one.
- Subjects take turns, and ratios are taken within a round: drift of the machine cancels.
- What was built is checked: every node has the vector that the server made for it.

Usage: python benchmarks/llama_index_build.py [ROUNDS]; needs `llama-index-embeddings-openai-like`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np
from stand_in import POOL, pool, text

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "llama-index-build.json"
NODES, WIDTH, LATENCY = 500, 1536, 0.1
MODEL, KEY = "openai/text-embedding-3-small", "sk-bench"
OURS = "ours, from_documents"
OURS_ASYNC = "ours, from_documents(use_async=True)"
RIVAL = "OpenAILikeEmbedding, from_documents"
RIVAL_ASYNC = "OpenAILikeEmbedding, from_documents(use_async=True)"
TARGETS = ((OURS, OURS_ASYNC, "at most", 1.5), (RIVAL, OURS, "at least", 7.0))
PACKAGES = ("llama-index-core", "llama-index-embeddings-openai-like", "openai", "aiohttp")


def ours(url: str):
    """Return our model with its defaults."""
    from llama_index_openrouter_embed import OpenRouterEmbedding

    return OpenRouterEmbedding(MODEL, api_key=KEY, api_base=url)


def openai_like(url: str):
    """Return LlamaIndex's model for compatible servers with its defaults."""
    from llama_index.embeddings.openai_like import OpenAILikeEmbedding

    return OpenAILikeEmbedding(model_name=MODEL, api_key=KEY, api_base=url)


SUBJECTS = {
    OURS: (ours, False),
    OURS_ASYNC: (ours, True),
    RIVAL: (openai_like, False),
    RIVAL_ASYNC: (openai_like, True),
}


def main() -> None:
    """Measure every subject in turn, print and write the figures."""
    if sys.argv[1:2] == ["--build"]:
        print(json.dumps(build(sys.argv[2], sys.argv[3])))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    names = list(SUBJECTS)
    load = os.getloadavg()[0]
    samples = {name: [] for name in names}
    for number in range(rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            samples[name].append(measure(name))
    report(samples, load)


def build(name: str, url: str) -> dict[str, float]:
    """Build one index against the clock."""
    from llama_index.core import Document, VectorStoreIndex

    make, use_async = SUBJECTS[name]
    model = make(url)
    warm = [Document(text=text(number)) for number in range(2)]
    VectorStoreIndex.from_documents(warm, embed_model=model, use_async=use_async)
    documents = [Document(text=text(number), id_=str(number)) for number in range(NODES)]
    begin = time.perf_counter()
    index = VectorStoreIndex.from_documents(documents, embed_model=model, use_async=use_async)
    seconds = time.perf_counter() - begin
    check(index)
    return {"seconds": seconds}


def check(index) -> None:
    """Compare every node's vector with what the server was made of."""
    want = pool(WIDTH)
    vectors = index.vector_store.data.embedding_dict
    nodes = index.docstore.docs.values()
    assert len(vectors) == NODES, len(vectors)
    for node in nodes:
        row = want[int(node.ref_doc_id) % POOL]
        assert np.abs(np.asarray(vectors[node.node_id]) - row).max() < 1e-6, "wrong vector"


def measure(name: str) -> dict[str, float]:
    """Run one subject against a fresh server."""
    command = [sys.executable, str(HERE / "stand_in.py"), "0", str(WIDTH), str(LATENCY), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().split()[1]}/api/v1"
            command = [sys.executable, __file__, "--build", name, url]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        finally:
            server.kill()
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def report(samples: dict[str, list[dict[str, float]]], load: float) -> None:
    """Print a table and write it as JSON."""
    rounds = len(samples[OURS])
    title = f"{NODES} nodes, {WIDTH} wide, {1000 * LATENCY:.0f} ms per request"
    print(f"{title}; medians of {rounds} rounds\n{'':<54}{'seconds':>8}   times ours")
    rows = {}
    for name, runs in samples.items():
        seconds = [run["seconds"] for run in runs]
        rows[name] = {
            "seconds": round(statistics.median(seconds), 4),
            "fastest": round(min(seconds), 4),
            "slowest": round(max(seconds), 4),
            "times ours": round(ratio(runs, samples[OURS]), 2),
        }
        print(f"{name:<54}{rows[name]['seconds']:8.3f}{rows[name]['times ours']:13.2f}")
    targets = [row_of_target(samples, *target) for target in TARGETS]
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    machine = {"processors": os.cpu_count(), "load before": load, "python": sys.version.split()[0]}
    content = {
        "title": title, "rounds": rounds, "rows": rows, "targets": targets,
        "versions": versions, "machine": machine,
    }  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


def row_of_target(samples: dict, one: str, other: str, bound: str, limit: float) -> dict:
    """Compare a ratio with what was aimed at, and print it."""
    value = ratio(samples[one], samples[other])
    met = value <= limit if bound == "at most" else value >= limit
    print(f"{one} / {other}: {value:.2f}, {bound} {limit} wanted{'' if met else ': MISSED'}")
    return {"ratio": f"{one} / {other}", "value": round(value, 2), bound: limit, "met": met}


def ratio(runs: list, base: list) -> float:
    """Return the median over rounds of how many times longer `runs` took than `base`."""
    pairs = zip(runs, base, strict=True)
    return statistics.median(run["seconds"] / other["seconds"] for run, other in pairs)


if __name__ == "__main__":
    main()
