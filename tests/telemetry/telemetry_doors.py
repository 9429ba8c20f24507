"""The three doors, synchronous and not: each embeds texts as documents, with the options given."""

from __future__ import annotations

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

MODEL = "openai/text-embedding-3-small"
KEY = "sk-or-v1-fake"


def client(texts, **options):
    with EmbeddingClient(MODEL, api_key=KEY, **options) as made:
        return made.embed_documents(texts)


def langchain(texts, **options):
    with OpenRouterEmbeddings(model=MODEL, api_key=KEY, **options) as made:
        return made.embed_documents(texts)


def llama_index(texts, **options):
    with OpenRouterEmbedding(model_name=MODEL, api_key=KEY, **options) as made:
        return made.get_text_embedding_batch(texts)


async def aclient(texts, **options):
    async with AsyncEmbeddingClient(MODEL, api_key=KEY, **options) as made:
        return await made.embed_documents(texts)


async def alangchain(texts, **options):
    async with OpenRouterEmbeddings(model=MODEL, api_key=KEY, **options) as made:
        return await made.aembed_documents(texts)


async def allama_index(texts, **options):
    made = OpenRouterEmbedding(model_name=MODEL, api_key=KEY, **options)
    try:
        return await made.aget_text_embedding_batch(texts)
    finally:
        await made.aclose()


SYNC = {"client": client, "langchain": langchain, "llama_index": llama_index}
ASYNC = {"client": aclient, "langchain": alangchain, "llama_index": allama_index}
DOORS = {**SYNC, **{f"{name} async": door for name, door in ASYNC.items()}}
