"""Sharing a limit: a pacer for several clients, and what a limiter may be told."""

from __future__ import annotations

import copy
import os
import pickle

import pytest

from openrouter_embed import AsyncEmbeddingClient, ConfigurationError, EmbeddingClient, Pacer
from openrouter_embed.emulator import Emulator

MODEL = "openai/text-embedding-3-small"


@pytest.fixture
def server():
    with Emulator(backend="hashed") as emulator:
        yield emulator


def options(server, **more):
    return {"api_key": "sk-or-v1-fake", "base_url": server.base_url, **more}


async def test_clients_that_are_handed_one_pacer_share_what_is_in_flight(server):
    pacer = Pacer(max_concurrency=3)
    with EmbeddingClient(MODEL, **options(server, pacer=pacer)) as one:
        async with AsyncEmbeddingClient(MODEL, **options(server, pacer=pacer)) as two:
            assert one._engine.pacer is two._engine.pacer is pacer
            one.embed_query("a text")
            await two.embed_query("a text")
    assert pacer.in_flight == 0
    assert pacer.limit.highest == 3


def test_a_copy_is_the_same_pacer_and_a_pickle_a_fresh_one():
    pacer = Pacer(5)
    assert copy.deepcopy(pacer) is copy.copy(pacer) is pacer
    assert pickle.loads(pickle.dumps(pacer)).max_concurrency == 5


@pytest.mark.parametrize("value", [64, "fast", object()])
def test_what_is_no_pacer_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"openrouter_embed\.Pacer"):
        EmbeddingClient(MODEL, api_key="sk-or-v1-fake", pacer=value)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "8"])
def test_a_pacer_takes_a_positive_whole_number(value):
    with pytest.raises(ConfigurationError):
        Pacer(value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_begins_with_nothing_in_flight():
    pacer = Pacer(5)
    pacer.enter(0.0, lambda: None)
    read, write = os.pipe()
    if not os.fork():
        os.write(write, b"%d" % pacer.in_flight)
        os._exit(0)
    os.wait()
    assert os.read(read, 8) == b"0"
    assert pacer.in_flight == 1


class Telling:
    """A limiter that wants to know."""

    def __init__(self):
        self.log = []

    def acquire(self, tokens):
        self.log.append("acquire")

    async def aacquire(self, tokens):
        self.log.append("acquire")

    def release(self, signal):
        self.log.append(signal)

    def refused(self, retry_after):
        self.log.append(retry_after)


def slow_down(number, _):
    return (429, {"Retry-After": "0.5"}, b"{}") if number == 1 else None


TOLD = ["acquire", "throttled", 0.5, "acquire", "fine"]


def test_a_limiter_is_told_of_ends_and_refusals():
    limiter = Telling()
    with Emulator(backend="hashed", faults=slow_down) as server:
        client = EmbeddingClient(MODEL, **options(server, limiter=limiter))
        client.embed_query("a text")
        client.close()
    assert limiter.log == TOLD


async def test_a_limiter_is_told_by_the_asynchronous_client_too():
    limiter = Telling()
    with Emulator(backend="hashed", faults=slow_down) as server:
        async with AsyncEmbeddingClient(MODEL, **options(server, limiter=limiter)) as client:
            await client.embed_query("a text")
    assert limiter.log == TOLD


def test_a_limiter_that_fails_to_listen_costs_no_vector(server):
    limiter = Telling()
    limiter.release = lambda _: 1 / 0
    client = EmbeddingClient(MODEL, **options(server, limiter=limiter))
    with pytest.warns(UserWarning, match="`release` raised ZeroDivisionError"):
        assert client.embed_query("a text")
    client.close()
