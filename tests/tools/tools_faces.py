"""Everything that makes a call, synchronous or not: the two clients and both adapters.

Rules of this file:
- A face embeds one query and returns its vector; where the tool is told of loops, it says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = "openai/text-embedding-3-small"
URL = "https://openrouter.ai/api/v1/embeddings"
KEY = "sk-or-v1-fake"
VECTOR = [0.5, 1.0]
ANSWER = {"object": "list", "data": [{"index": 0, "embedding": VECTOR}], "model": "m"}


def client(text: str, **options: Any) -> list[float]:
    with EmbeddingClient(MODEL, **options) as made:
        return made.embed_query(text)


def langchain(text: str, **options: Any) -> list[float]:
    with OpenRouterEmbeddings(model=MODEL, **options) as made:
        return made.embed_query(text)


def llama_index(text: str, **options: Any) -> list[float]:
    with OpenRouterEmbedding(model_name=MODEL, **options) as made:
        return made.get_query_embedding(text)


async def _client(text: str, options: Any) -> list[float]:
    async with AsyncEmbeddingClient(MODEL, **options) as made:
        return await made.embed_query(text)


async def _langchain(text: str, options: Any) -> list[float]:
    made = OpenRouterEmbeddings(model=MODEL, **options)
    try:
        return await made.aembed_query(text)
    finally:
        await made.aclose()


async def _llama_index(text: str, options: Any) -> list[float]:
    made = OpenRouterEmbedding(model_name=MODEL, **options)
    try:
        return await made.aget_query_embedding(text)
    finally:
        await made.aclose()


def _run(embed: Callable[[str, Any], Any]) -> Callable[..., list[float]]:
    return lambda text, **options: asyncio.run(embed(text, options))


SYNC: dict[str, Callable[..., list[float]]] = {
    "client": client,
    "langchain": langchain,
    "llama_index": llama_index,
}
ASYNC: dict[str, Callable[..., list[float]]] = {
    "async client": _run(_client),
    "langchain async": _run(_langchain),
    "llama_index async": _run(_llama_index),
}
ALL = {**SYNC, **ASYNC}
