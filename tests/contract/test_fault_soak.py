"""A soak: many calls with mixed faults, and nothing grows and no vector is wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import threading

import psutil
import pytest

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient, EmbeddingError
from openrouter_embed.emulator import Emulator

pytestmark = pytest.mark.slow

CALLS = 10_000
MODEL = "nobody/knows-this-model"


def vector(text):
    """The one right vector of a text, which the server makes and the test checks."""
    number = int(text.split()[1])
    return [float(number), float(number % 7), 1.0]


def make_faults():
    chance = random.Random(5)

    def faults(_, body):
        texts = body["input"]
        rows = [{"embedding": vector(text), "index": at} for at, text in enumerate(texts)]
        dice = chance.random()
        if dice < 0.05:
            return 503, {}, b"busy"
        if dice < 0.052:  # few: a client that is refused though it is alone goes more slowly
            return 429, {}, b'{"error":{"code":429,"message":"slow down"}}'
        if dice < 0.072:
            return 0, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
        if dice < 0.092:
            return 200, {}, b'{"error":{"code":502,"message":"upstream"}}'
        if dice < 0.112:
            rows = rows[:-1]
        chance.shuffle(rows)
        return 200, {}, json.dumps({"data": rows}).encode()

    return faults


def inputs(number):
    return [f"text {number + at}" for at in range(1 + number % 3)]


class Watch:
    """Memory, threads and open files, before and after."""

    def __init__(self):
        self.process = psutil.Process()
        gc.collect()
        self.before = self.now()

    def now(self):
        return (
            self.process.memory_info().rss / 2**20,
            threading.active_count(),
            self.process.num_fds(),
        )

    def check(self):
        gc.collect()
        memory, threads, files = (a - b for a, b in zip(self.now(), self.before, strict=True))
        assert memory < 40, f"{memory:.0f} MB more"
        assert threads <= 2
        assert files <= 8


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    with Emulator(backend="hashed", faults=make_faults(), log_size=1) as emulator:
        yield {"api_key": "k", "base_url": emulator.base_url, "max_concurrency": 4}


@pytest.mark.timeout(400)
def test_ten_thousand_synchronous_calls(server):
    right = failed = 0
    with EmbeddingClient(MODEL, **server) as client:
        for number in range(CALLS):
            if number == 500:
                watch = Watch()
            texts = inputs(number)
            try:
                rows = client.embed_documents(texts)
            except EmbeddingError:
                failed += 1
                continue
            assert rows == [vector(text) for text in texts]
            right += 1
        watch.check()
    assert right > 0.9 * CALLS
    assert failed > 0


@pytest.mark.timeout(400)
def test_ten_thousand_asynchronous_calls(server):
    counts = {"right": 0, "failed": 0}

    async def some(client, numbers):
        for number in numbers:
            texts = inputs(number)
            try:
                rows = await client.embed_documents(texts)
            except EmbeddingError:
                counts["failed"] += 1
                continue
            assert rows == [vector(text) for text in texts]
            counts["right"] += 1

    async def go():
        async with AsyncEmbeddingClient(MODEL, **server) as client:
            await some(client, range(500))
            watch = Watch()
            parts = [range(500 + lane, CALLS, 4) for lane in range(4)]
            await asyncio.gather(*(some(client, part) for part in parts))
            watch.check()

    asyncio.run(go())
    assert counts["right"] > 0.9 * CALLS
    assert counts["failed"] > 0
