"""An emulator per test module and embedding objects that are closed when the test ends."""

from __future__ import annotations

import pytest
from llama_doubles import KEY, SMALL

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed.emulator import Emulator


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def _running():
    with Emulator(backend="hashed") as running:
        yield running


@pytest.fixture
def emulator(_running):
    """An emulator without latency, its counters at zero."""
    _running.reset()
    return _running


@pytest.fixture
def make(emulator):
    """Makes objects that talk to the emulator: few dimensions, no waiting between retries."""
    made = []

    def build(model_name=SMALL, *, server=None, **options):
        defaults = {"api_key": KEY, "api_base": (server or emulator).base_url, "max_retries": 0}
        if model_name == SMALL:
            defaults["dimensions"] = 64
        embedding = OpenRouterEmbedding(model_name, **{**defaults, **options})
        made.append(embedding)
        return embedding

    yield build
    for embedding in made:
        embedding.close()
