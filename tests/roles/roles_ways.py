"""The ways in which users embed queries and documents: the clients and both adapters.

Rules of this file:
- A way takes options of the client and texts, and returns vectors; it leaves nothing open.
"""

from __future__ import annotations

import asyncio

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient


def client(role, texts, model, **options):
    with EmbeddingClient(model, **options) as one:
        if role == "query":
            return [one.embed_query(text) for text in texts]
        return one.embed_documents(texts)


def async_client(role, texts, model, **options):
    async def run():
        async with AsyncEmbeddingClient(model, **options) as one:
            if role == "query":
                return [await one.embed_query(text) for text in texts]
            return await one.embed_documents(texts)

    return asyncio.run(run())


def langchain(role, texts, model, **options):
    with OpenRouterEmbeddings(model=model, **options) as one:
        if role == "query":
            return [one.embed_query(text) for text in texts]
        return one.embed_documents(texts)


def async_langchain(role, texts, model, **options):
    async def run():
        one = OpenRouterEmbeddings(model=model, **options)
        try:
            if role == "query":
                return [await one.aembed_query(text) for text in texts]
            return await one.aembed_documents(texts)
        finally:
            await one.aclose()

    return asyncio.run(run())


def llama_index(role, texts, model, **options):
    one = OpenRouterEmbedding(model_name=model, **options)
    if role == "query":
        return [one.get_query_embedding(text) for text in texts]
    if len(texts) == 1:
        return [one.get_text_embedding(texts[0])]
    return one.get_text_embedding_batch(texts)


def async_llama_index(role, texts, model, **options):
    async def run():
        one = OpenRouterEmbedding(model_name=model, **options)
        if role == "query":
            return [await one.aget_query_embedding(text) for text in texts]
        if len(texts) == 1:
            return [await one.aget_text_embedding(texts[0])]
        return await one.aget_text_embedding_batch(texts)

    return asyncio.run(run())


WAYS = {
    way.__name__: way
    for way in (client, async_client, langchain, async_langchain, llama_index, async_llama_index)
}
