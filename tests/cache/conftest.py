"""A cache's file, and the cache in it."""

from __future__ import annotations

import pytest

from openrouter_embed import SQLiteCache


@pytest.fixture
def path(tmp_path):
    return tmp_path / "embeddings.sqlite"


@pytest.fixture
def cache(path):
    with SQLiteCache(path) as opened:
        yield opened
