"""How many calls of our own one small request takes: a house with few doors."""

from __future__ import annotations

import collections
import pathlib
import sys
import threading

import pytest

import openrouter_embed
from openrouter_embed import EmbeddingClient
from openrouter_embed.emulator import Emulator

ROOT = str(pathlib.Path(openrouter_embed.__file__).parent)
MOST = 204
"""Calls that `embed_documents(["a text"])` may take, its worker thread's included: some 200."""


@pytest.fixture
def walk():
    """Count the calls of our functions by file, in every thread, while `on` is true."""
    counted, state = collections.Counter(), {"on": False}

    def profile(frame, event, _):
        code = frame.f_code
        ours = code.co_filename.startswith(ROOT) and "emulator" not in code.co_filename
        # Comprehensions are functions of their own on some versions of Python.
        if event == "call" and state["on"] and ours and not code.co_name.startswith("<"):
            counted[code.co_filename.removeprefix(ROOT), code.co_name] += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    yield counted, state
    sys.setprofile(None)
    threading.setprofile(None)


def test_one_small_call_walks_through_few_rooms(walk):
    counted, state = walk
    with (
        Emulator(backend="hashed") as server,
        EmbeddingClient(
            "openai/text-embedding-3-small", api_key="k", base_url=server.base_url
        ) as client,
    ):
        for state["on"] in (False, True):
            client.embed_documents(["a text"])
        state["on"] = False
    rooms = [f"{times} {file} {name}" for (file, name), times in sorted(counted.items())]
    assert 0 < sum(counted.values()) <= MOST, "\n".join(rooms)
