"""Embedding objects that are closed when the test ends."""

from __future__ import annotations

import pytest
from llama_doubles import KEY, SMALL

from llama_index_openrouter_embed import OpenRouterEmbedding


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
