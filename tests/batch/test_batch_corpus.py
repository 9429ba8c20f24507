"""Batches at the size that they are for: processes that end, long answers, whole indexes."""

from __future__ import annotations

import http.server
import json
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from batch_programs import SMALL, corpus

from openrouter_embed import EmbeddingClient
from openrouter_embed.batch import api
from openrouter_embed.batch.record import Batch, Record

COUNT, WIDTH = 50_000, 64
PROGRAMS = pathlib.Path(__file__).with_name("batch_programs.py")


def start(*arguments):
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(PROGRAMS), *map(str, arguments)], stdin=pipe, stdout=pipe, text=True
    )


def run(*arguments):
    program = start(*arguments)
    out, _ = program.communicate(timeout=240)
    assert program.returncode == 0
    return json.loads(out)


def hand_in_and_be_killed(emulator, count, job, dimensions):
    program = start("hand_in", emulator.base_url, count, job, dimensions)
    assert json.loads(program.stdout.readline())["pid"] == program.pid
    program.send_signal(signal.SIGKILL)
    program.communicate()
    assert program.returncode == -signal.SIGKILL


@pytest.fixture
def client_of():
    made = []

    def make(emulator, **options):
        options = {"api_key": "k", "base_url": emulator.base_url, **options}
        made.append(EmbeddingClient(SMALL, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def check_all(emulator, client_of, result, count, dimensions):
    live = client_of(emulator, dimensions=dimensions).embed(corpus(count), role="document")
    np.testing.assert_allclose(result.vectors, live.vectors, atol=1e-6)
    assert result.usage.total_tokens == live.usage.total_tokens
    assert result.usage.cost == pytest.approx(live.usage.cost / 2)


@pytest.mark.slow
def test_a_process_that_was_killed_left_all_that_is_needed(emulate, client_of, tmp_path):
    emulator, job = emulate(), tmp_path / "job.json"
    hand_in_and_be_killed(emulator, 40, job, 8)
    result = client_of(emulator).batch(job).wait().result()
    check_all(emulator, client_of, result, 40, 8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_50_000_texts_overnight_and_an_index_in_each_framework(emulate, client_of, tmp_path):
    emulator, job, cache = emulate(), tmp_path / "job.json", tmp_path / "vectors.sqlite"
    hand_in_and_be_killed(emulator, COUNT, job, WIDTH)

    handed_in = client_of(emulator, cache=cache).batch(job).wait(poll=0.1)
    result = handed_in.result()

    assert len(handed_in.ids) == 13
    check_all(emulator, client_of, result, COUNT, WIDTH)
    emulator.reset()
    options = {"api_key": "k", "cache": cache, "dimensions": WIDTH}
    assert build_langchain(corpus(COUNT), base_url=emulator.base_url, **options) == COUNT
    assert build_llama_index(corpus(COUNT), api_base=emulator.base_url, **options) == COUNT
    assert emulator.stats.requests == 0


def build_langchain(texts, **options):
    from langchain_core.vectorstores import InMemoryVectorStore

    from langchain_openrouter_embed import OpenRouterEmbeddings

    with OpenRouterEmbeddings(model=SMALL, **options) as embeddings:
        return len(InMemoryVectorStore.from_texts(texts, embeddings).store)


def build_llama_index(texts, **options):
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode

    from llama_index_openrouter_embed import OpenRouterEmbedding

    model = OpenRouterEmbedding(model_name=SMALL, **options)
    index = VectorStoreIndex([TextNode(text=text) for text in texts], embed_model=model)
    return len(index.index_struct.nodes_dict)


# ------------------------------------------------------------------ long answers

ROWS = 2000


def item_of(key, vector):
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    body = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3}}
    return {
        "id": "r",
        "custom_id": api.custom_id(0, key),
        "response": {"status_code": 200, "request_id": "q", "body": body},
        "error": None,
    }


class LongAnswer(http.server.BaseHTTPRequestHandler):
    """Serves one completed batch of 2,000 vectors of 1,536 numbers with some twenty digits."""

    keys = ()
    vector = ()
    size = 0

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        counts = {"total": ROWS, "completed": ROWS, "failed": 0}
        state = {"id": "b", "status": "completed", "request_counts": counts, "usage": {"cost": 1}}
        self.wfile.write(json.dumps(state)[:-1].encode() + b',"results":[')
        for at, key in enumerate(self.keys):
            text = json.dumps(item_of(key, self.vector)).encode()
            LongAnswer.size += len(text)
            try:
                self.wfile.write((b"," if at else b"") + text)
            except OSError:  # whoever only wanted the state has hung up
                return
        self.wfile.write(b"]}")

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def long_answer():
    LongAnswer.keys = [api.key_name(at.to_bytes(32, "big")) for at in range(ROWS)]
    LongAnswer.vector = np.random.default_rng(0).standard_normal(1536).tolist()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), LongAnswer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api/v1"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["sync", "async"])
def test_66_megabytes_of_results_grow_a_process_by_less_than_150(long_answer, tmp_path, shell):
    job = tmp_path / "job.json"
    batch = Batch("b", range(ROWS))
    record = Record(base_url=long_answer, count=ROWS, keys=LongAnswer.keys, batches=[batch])
    job.write_text(json.dumps(record.to_dict()))

    told = run("measure", long_answer, job, shell)

    assert LongAnswer.size > 60_000_000
    assert told["rows"] == ROWS
    assert told["grown"] < 150
