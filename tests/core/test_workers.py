"""Threads that send: few, warm for a while, and gone with whoever needed them."""

from __future__ import annotations

import gc
import os
import queue
import subprocess
import sys
import threading
import time
import weakref

import pytest

from openrouter_embed import EmbeddingClient
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.workers import Workers

MODEL = "openai/text-embedding-3-small"


@pytest.fixture
def workers():
    made = Workers()
    yield made
    made.close()
    assert not made.threads


def test_ten_thousand_short_sends_need_few_threads(workers):
    done = queue.SimpleQueue()
    for at in range(10_000):
        workers.start(lambda at=at: done.put(at))
        done.get(timeout=10)
    assert len(workers.threads) <= 4


def test_as_many_threads_as_sends_at_once(workers):
    together = threading.Barrier(17)
    for _ in range(16):
        workers.start(lambda: together.wait(10) and None)
    together.wait(10)
    assert len(workers.threads) == 16


def test_work_that_comes_as_a_thread_goes_home_is_done(workers, monkeypatch):
    monkeypatch.setattr("openrouter_embed.workers.IDLE_SECONDS", 0.0002)
    done = queue.SimpleQueue()
    for at in range(2_000):
        workers.start(lambda at=at: done.put(at))
        assert done.get(timeout=10) == at
        if at % 4 == 0:
            time.sleep(0.0002)


def test_idle_threads_go_home(workers, monkeypatch):
    monkeypatch.setattr("openrouter_embed.workers.IDLE_SECONDS", 0.01)
    done = queue.SimpleQueue()
    workers.start(lambda: done.put(1))
    done.get(timeout=10)
    for thread in list(workers.threads):
        thread.join(5)
        assert not thread.is_alive()


def test_a_thread_that_the_system_does_not_give_leaves_nothing_to_wait_for(monkeypatch):
    made = Workers()

    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        made.start(lambda: None)
    made.close()


def test_a_call_for_which_there_is_no_thread_left_keeps_what_had_come(em, monkeypatch):
    texts = [f"text {at}" for at in range(6)]
    with EmbeddingClient(
        MODEL, api_key="k", base_url=em.base_url, max_batch_inputs=1, max_concurrency=1
    ) as client:
        client.embed(texts[:1])
        sent = []

        def start(workers, work):
            sent.append(1)
            if len(sent) > 3:
                raise RuntimeError("can't start new thread")
            free(workers, work)

        free = Workers.start
        transport = client._engine.connections.requests
        monkeypatch.setattr(transport, "start", lambda work: start(transport._workers, work))
        with pytest.raises(ConfigurationError, match="max_concurrency") as caught:
            client.embed(texts)
        assert caught.value.result.ok.sum() == 3


def test_a_client_that_is_forgotten_sends_its_threads_home(em):
    client = EmbeddingClient(MODEL, api_key="k", base_url=em.base_url)
    client.embed(["a text"])
    transport = client._engine.connections.requests
    threads, gone = list(transport._workers.threads), weakref.ref(client)
    assert threads
    del client, transport
    gc.collect()
    assert gone() is None
    for thread in threads:
        thread.join(2)
        assert not thread.is_alive()


FORKS = f"""
import os, sys, warnings
from openrouter_embed import EmbeddingClient
warnings.simplefilter("ignore")
client = EmbeddingClient({MODEL!r}, api_key="k", base_url=sys.argv[1])
client.embed(["before"])
child = os.fork()
assert client.embed(["after"]).ok.all()
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_with_warm_threads_sends_and_ends_by_itself(em):
    done = subprocess.run(
        [sys.executable, "-c", FORKS, em.base_url],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
