"""Embeddings that speak to the emulator and are closed afterwards."""

from __future__ import annotations

import pytest

from langchain_openrouter_embed import OpenRouterEmbeddings

MINI = "sentence-transformers/all-minilm-l6-v2"  # no roles, 384 wide


@pytest.fixture
def make(emulator):
    """Embeddings against the emulator unless told otherwise; all are closed in the end."""
    made = []

    def make(**options):
        names = {"model": MINI, "api_key": "sk-test", "base_url": emulator.base_url}
        made.append(OpenRouterEmbeddings(**{**names, **options}))
        return made[-1]

    yield make
    for embeddings in made:
        embeddings.close()


@pytest.fixture
def adopt():
    """Closes, in the end, what a test has made by other means."""
    made = []

    def adopt(embeddings):
        made.append(embeddings)
        return embeddings

    yield adopt
    for embeddings in made:
        embeddings.close()
