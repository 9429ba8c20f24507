"""freezegun: calls work while the clocks stand still, and a deadline is one of real time."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from importlib.util import module_from_spec

import freezegun
import pytest
from tools_faces import ALL, KEY, MODEL

from openrouter_embed import (
    AsyncEmbeddingClient,
    DeadlineExceededError,
    EmbeddingClient,
    RateLimitError,
    clock,
)
from openrouter_embed.emulator import Emulator

REAL = module_from_spec(time.__spec__)
time.__spec__.loader.exec_module(REAL)

frozen = pytest.mark.parametrize("tick", [False, True], ids=["standing", "ticking"])
every = pytest.mark.parametrize("embed", ALL.values(), ids=ALL.keys())
clients = pytest.mark.parametrize(
    "embed",
    [
        pytest.param(embed, id=name, marks=() if "client" in name else pytest.mark.slow)
        for name, embed in ALL.items()
    ],
)
"""The two that wait; adapters wait through them."""


@pytest.fixture
def silent():
    """The URL of a server that takes requests and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


@frozen
@every
def test_a_call_works_while_the_clocks_are_frozen(embed, tick, openrouter_emulator):
    with freezegun.freeze_time("2024-05-17 12:00", tick=tick):
        assert len(embed("a question", deadline=5)) == 1536
    assert openrouter_emulator.stats.requests == 1


@frozen
@every
def test_a_deadline_holds_while_the_clocks_are_frozen(embed, tick, silent):
    began = REAL.monotonic()
    ends = pytest.raises(DeadlineExceededError)
    with freezegun.freeze_time("2024-05-17 12:00", tick=tick), ends:
        embed("a question", api_key=KEY, base_url=silent, deadline=0.1)
    assert 0.08 < REAL.monotonic() - began < 3


@pytest.mark.parametrize("face", ["sync", "async"])
def test_clocks_that_freeze_during_a_clients_life_change_nothing(face, openrouter_emulator):
    def embed(text):
        if face == "sync":
            return client.embed_query(text)
        return runner.run_until_complete(client.embed_query(text))

    runner = asyncio.new_event_loop()
    client = EmbeddingClient(MODEL) if face == "sync" else AsyncEmbeddingClient(MODEL)
    embed("before")
    with freezegun.freeze_time("2024-05-17 12:00"):
        embed("while")
    embed("after")
    if face == "async":
        runner.run_until_complete(client.aclose())
    else:
        client.close()
    runner.close()
    assert openrouter_emulator.stats.requests == 3


@clients
def test_a_retry_is_waited_for_in_real_time(embed):
    with Emulator(faults=lambda *_: (429, {"Retry-After": "0.1"}, b"{}")) as emulator:
        began = REAL.monotonic()
        with freezegun.freeze_time("2024-05-17 12:00"), pytest.raises(RateLimitError):
            embed("a question", api_key=KEY, base_url=emulator.base_url, max_retries=1)
        assert 0.1 <= REAL.monotonic() - began < 3
        assert emulator.stats.requests == 2


def test_the_emulators_latency_is_real():
    with Emulator(latency=0.2) as emulator:
        began = REAL.monotonic()
        with freezegun.freeze_time("2024-05-17 12:00"):
            ALL["client"]("a question", api_key=KEY, base_url=emulator.base_url, deadline=5)
        assert 0.2 <= REAL.monotonic() - began < 3


def test_our_clocks_run_on_while_those_of_the_program_are_frozen():
    with freezegun.freeze_time("2024-05-17 12:00"):
        assert abs(clock.monotonic() - REAL.monotonic()) < 1
        assert abs(clock.wall() - REAL.time()) < 1
        assert time.monotonic() == time.monotonic()


FIRST = """
import sys, freezegun
with freezegun.freeze_time("2024-05-17 12:00"):
    from openrouter_embed import DeadlineExceededError, EmbeddingClient
    client = EmbeddingClient("acme/embed", api_key="k", base_url=sys.argv[1], deadline=0.3)
    try:
        client.embed(["a text"])
    except DeadlineExceededError:
        print("ended")
"""


def test_they_are_real_even_if_the_package_is_first_imported_while_frozen(silent):
    done = subprocess.run(
        [sys.executable, "-c", FIRST, silent],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("ended\n", "")
