"""Long runs that are killed: running them again buys only the rest, in either framework."""

from __future__ import annotations

import collections
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from openrouter_embed import EmbeddingClient, SQLiteCache
from openrouter_embed.emulator import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(590)]

MODEL = "openai/text-embedding-3-small"
WIDTH = 64
COUNT = 20_000
KILLS = 10
BATCH = 100

HEAD = """
import sys
from openrouter_embed import EmbeddingClient
url, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
options = dict(api_key="k", base_url=url, dimensions=64, max_concurrency=8, cache=path)
texts = [f"text number {at}" for at in range(count)]
"""
CLIENT = """
with EmbeddingClient("openai/text-embedding-3-small", max_batch_inputs=100, **options) as client:
    print("ready", flush=True)
    client.embed(texts, role="document")
"""
LANGCHAIN = """
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_openrouter_embed import OpenRouterEmbeddings
embeddings = OpenRouterEmbeddings(
    model="openai/text-embedding-3-small", max_batch_inputs=100, **options
)
documents = [Document(text, id=str(at)) for at, text in enumerate(texts)]
print("ready", flush=True)
for start in range(0, count, 5000):  # as many as Chroma takes at a time
    Chroma.from_documents(documents[start : start + 5000], embeddings)
"""
LLAMA_INDEX = """
from llama_index.core import Document, VectorStoreIndex
from llama_index_openrouter_embed import OpenRouterEmbedding
embedding = OpenRouterEmbedding(
    "openai/text-embedding-3-small", embed_batch_size=100, **options
)
documents = [Document(text=text) for text in texts]
print("ready", flush=True)
VectorStoreIndex.from_documents(documents, embed_model=embedding)
"""


class Counting:
    """A fault that never comes: counts how often each text was bought."""

    def __init__(self):
        self.bought = collections.Counter()
        self.total = 0

    def __call__(self, number, body):
        self.bought.update(body["input"])
        self.total += len(body["input"])


def run(code, url, path, kill_when=None):
    """Run a job, and kill it at a moment; return whether it ended by itself."""
    command = [sys.executable, "-c", HEAD + code, url, str(path), str(COUNT)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        while kill_when is not None and process.poll() is None and not kill_when():
            time.sleep(0.005)
        if kill_when is not None:
            process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    if kill_when is None:
        assert process.returncode == 0, errors
    return process.returncode == 0


@pytest.mark.parametrize(
    "code", [CLIENT, LANGCHAIN, LLAMA_INDEX], ids=["client", "chroma", "llama-index"]
)
def test_a_job_killed_at_ten_random_moments_buys_only_what_had_not_arrived(tmp_path, code):
    if code is LANGCHAIN:
        pytest.importorskip("langchain_chroma")
    path = tmp_path / "embeddings.sqlite"
    rng = random.Random(code)
    counting = Counting()
    with Emulator(backend="hashed", faults=counting, latency=0.3) as em:
        kills = 0
        for _ in range(KILLS):
            target = counting.total + rng.randint(1, 2 * COUNT // KILLS)
            later = time.monotonic() + 60
            kills += not run(
                code,
                em.base_url,
                path,
                lambda: counting.total >= target or time.monotonic() > later,  # noqa: B023 - now
            )
            with SQLiteCache(path) as cache:
                there = cache.stats().vectors
            # Eight requests in flight, and as many that had arrived and were not yet written.
            assert counting.total - there <= (kills + 1) * 16 * BATCH
        run(code, em.base_url, path)
        finished = dict(counting.bought)
        with EmbeddingClient(
            MODEL, api_key="k", base_url=em.base_url, dimensions=WIDTH, cache=path
        ) as client:
            texts = [f"text number {at}" for at in range(COUNT)]
            cached = client.embed(texts, role="document", cache_only=True)
            right = client.embed(texts[::40], role="document", refresh=True)
        assert np.array_equal(cached.vectors[::40], right.vectors)
        assert set(texts) == set(finished)
        most = max(finished.values())
        assert most <= 1 + kills
        extra = sum(finished.values()) - COUNT
        print(  # noqa: T201 - a figure for whoever runs it with -s
            f"{kills} kills; bought {extra} of {COUNT} again; none more than {most} times"
        )
        assert extra <= kills * 16 * BATCH
        counting.bought.clear()
        run(code, em.base_url, path)
        assert not counting.bought


def test_an_index_built_in_langchain_costs_llama_index_nothing(tmp_path):
    from llama_index.core import Document, VectorStoreIndex

    from langchain_openrouter_embed import OpenRouterEmbeddings
    from llama_index_openrouter_embed import OpenRouterEmbedding

    path = tmp_path / "embeddings.sqlite"
    texts = [f"text number {at}" for at in range(500)]
    with Emulator(backend="hashed") as em:
        told = {"api_key": "k", "base_url": em.base_url, "cache": path}
        model = "google/gemini-embedding-2"
        with OpenRouterEmbeddings(model=model, **told) as embeddings:
            embeddings.embed_documents(texts)
        em.reset()
        with OpenRouterEmbedding(model, **told) as embedding:
            VectorStoreIndex.from_documents(
                [Document(text=text) for text in texts], embed_model=embedding
            )
            assert em.stats.requests == 0
            embedding.get_query_embedding(texts[0])
            assert em.stats.requests == 1
        assert embedding.usage.cache_hits == 500
