"""What an import costs, and what it does not bring along."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_openrouter_embed

HEAVY = ("numpy", "requests", "aiohttp", "llama_index.core", "tqdm", "msgspec")


def run(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_public_names():
    assert langchain_openrouter_embed.__all__ == ["OpenRouterEmbeddings"]
    assert dir(langchain_openrouter_embed) == ["OpenRouterEmbeddings"]
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = langchain_openrouter_embed.Nonsense


def test_importing_the_package_loads_no_framework():
    loaded = f"[m for m in {(*HEAVY, 'langchain_core', 'pydantic')!r} if m in sys.modules]"
    assert run(f"import sys, langchain_openrouter_embed; print(*{loaded})") == []


def test_making_an_object_loads_nothing_heavy_that_langchain_did_not():
    code = f"""
import sys
from langchain_core.embeddings import Embeddings
before = set(sys.modules)
from langchain_openrouter_embed import OpenRouterEmbeddings
embeddings = OpenRouterEmbeddings(model="m", api_key="k")
embeddings.cache_namespace, repr(embeddings)
added = set(sys.modules) - before
print(*[m for m in {HEAVY!r} if m in added])
print(*[m for m in added if m.startswith(("langchain_core", "langsmith", "llama_index"))])
"""
    assert run(code) == []


def test_a_call_loads_no_callbacks_unless_somebody_listens(shared_emulator):
    code = f"""
import sys
from langchain_openrouter_embed import OpenRouterEmbeddings
options = dict(model="intfloat/e5-base-v2", api_key="k", base_url={shared_emulator.base_url!r})
with OpenRouterEmbeddings(**options) as embeddings:
    embeddings.embed_query("text")
print(*[m for m in ("langchain_core.callbacks.usage", "langsmith.client") if m in sys.modules])
"""
    assert run(code) == []
