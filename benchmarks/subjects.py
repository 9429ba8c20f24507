"""Who is measured: one table, a row per client and setting.

Rules of this file:
- A subject takes texts and returns vectors, in order; it is imported and warmed up before the clock
  runs, and runs in a process of its own.
- Rivals run with the settings their users have by default, and with the best we found for them.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MODEL = "openai/text-embedding-3-small"
FLOAT_MODEL = "vendor/any-model"
"""A model that is asked for floats, and 64 to a request to begin with, as most are."""
ACCELERATORS = ("simdjson", "isal")
KEY = "sk-bench"
Embed = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Subject:
    """One client with its settings.

    Attributes:
        make: Takes the server's base URL, returns the function to measure.
        texts: Texts to measure with, where the whole workload would take too long; the time is
            then scaled and the row says so.
    """

    make: Callable[[str], Embed]
    texts: int | None = None


OWN_WIDTH = 1536
"""Of `MODEL`: base64 of another width that nobody asked for is not believed by ours."""
asked: dict[str, int] = {}
"""What ours asks for besides."""


def ask_for(width: int) -> None:
    """Have ours ask for the width that the server serves, as its users do."""
    if width != OWN_WIDTH:
        asked["dimensions"] = width


def _client(url: str, model: str = MODEL) -> Any:
    from openrouter_embed import EmbeddingClient

    return EmbeddingClient(model, api_key=KEY, base_url=url, **asked)


def _require_extra() -> None:
    """A figure for the extra must not be one without it."""
    for name in ACCELERATORS:
        importlib.import_module(name)


def _hide_extra() -> None:
    """Measure what those get who did not install the extra `fast`."""
    for name in ACCELERATORS:
        sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail


def _ours(method: str, model: str = MODEL, *, extra: bool = True) -> Callable[[str], Embed]:
    def make(url: str) -> Embed:
        _require_extra() if extra else _hide_extra()
        client = _client(url, model)
        if method == "numpy":
            return lambda texts: client.embed(texts, role="document").vectors
        if method == "async":
            twin = client.as_async()
            return lambda texts: asyncio.run(twin.embed(texts, role="document")).vectors
        return client.embed_documents

    return make


def _ours_query(url: str) -> Embed:
    client = _client(url)
    return lambda texts: client.embed(texts[0], role="query").vectors


def _ours_stream(url: str) -> Embed:
    return lambda texts: _client(url).stream(texts, role="document")


def _one(make: Callable[[str], Any], method: str) -> Callable[[str], Embed]:
    """Measure a framework's own method for a single query."""

    def single(url: str) -> Embed:
        query = getattr(make(url), method)
        return lambda texts: [query(texts[0])]

    return single


def _ours_langchain(method: str, model: str = MODEL) -> Callable[[str], Embed]:
    return lambda url: getattr(_langchain_ours(url, model), method)


def _langchain_ours(url: str, model: str = MODEL) -> Any:
    from langchain_openrouter_embed import OpenRouterEmbeddings

    return OpenRouterEmbeddings(model=model, api_key=KEY, base_url=url)


def _ours_llama_index(url: str, model: str = MODEL) -> Any:
    from llama_index_openrouter_embed import OpenRouterEmbedding

    return OpenRouterEmbedding(model_name=model, api_key=KEY, api_base=url)


def _langchain_model(url: str, **options: Any) -> Any:
    from langchain_openai import OpenAIEmbeddings

    # Its check of lengths would need a tokenizer from the network, and cost it time.
    return OpenAIEmbeddings(
        model=MODEL, api_key=KEY, base_url=url, check_embedding_ctx_length=False, **options
    )


def _langchain_openai(chunk: int | None) -> Callable[[str], Embed]:
    sizes = {} if chunk is None else {"chunk_size": chunk}
    return lambda url: _langchain_model(url, **sizes).embed_documents


def _langchain_openai_gathered(chunk: int, at_once: int) -> Callable[[str], Embed]:
    def make(url: str) -> Embed:
        async def run(texts: Sequence[str]) -> list[list[float]]:
            model = _langchain_model(url, chunk_size=chunk)
            gate = asyncio.Semaphore(at_once)

            async def part(batch: Sequence[str]) -> list[list[float]]:
                async with gate:
                    return await model.aembed_documents(list(batch))

            starts = range(0, len(texts), chunk)
            parts = await asyncio.gather(*(part(texts[at : at + chunk]) for at in starts))
            return [row for rows in parts for row in rows]

        return lambda texts: asyncio.run(run(texts))

    return make


def _llama_index_model(url: str, **options: Any) -> Any:
    from llama_index.embeddings.openai import OpenAIEmbedding

    return OpenAIEmbedding(
        model_name=MODEL, model="text-embedding-3-small", api_key=KEY, api_base=url, **options
    )


def _llama_index_openai(batch: int | None) -> Callable[[str], Embed]:
    sizes = {} if batch is None else {"embed_batch_size": batch}
    return lambda url: _llama_index_model(url, **sizes).get_text_embedding_batch


def _openai_sdk(batch: int) -> Callable[[str], Embed]:
    def make(url: str) -> Embed:
        import openai

        client = openai.OpenAI(api_key=KEY, base_url=url)

        def embed(texts: Sequence[str]) -> list[list[float]]:
            rows: list[list[float]] = []
            for at in range(0, len(texts), batch):
                answer = client.embeddings.create(model=MODEL, input=list(texts[at : at + batch]))
                rows += [item.embedding for item in answer.data]
            return rows

        return embed

    return make


def _openrouter_sdk(encoding: str, batch: int) -> Callable[[str], Embed]:
    def make(url: str) -> Embed:
        import numpy as np
        from openrouter import OpenRouter

        client = OpenRouter(api_key=KEY, server_url=url)

        def embed(texts: Sequence[str]) -> list[Any]:
            rows: list[Any] = []
            for at in range(0, len(texts), batch):
                answer = client.embeddings.generate(
                    input=list(texts[at : at + batch]), model=MODEL, encoding_format=encoding
                )
                for item in answer.data:
                    row = item.embedding
                    if isinstance(row, str):
                        row = np.frombuffer(base64.b64decode(row), "<f4").tolist()
                    rows.append(row)
            return rows

        return embed

    return make


def _baseten(
    kind: str, batch: int | None = None, at_once: int | None = None
) -> Callable[[str], Embed]:
    def make(url: str) -> Embed:
        from baseten_performance_client import PerformanceClient, RequestProcessingPreference

        client = PerformanceClient(base_url=url, api_key=KEY)
        options: dict[str, Any] = {}
        if batch is not None:
            options["preference"] = RequestProcessingPreference(
                batch_size=batch, max_concurrent_requests=at_once
            )

        def embed(texts: Sequence[str]) -> Any:
            answer = client.embed(list(texts), MODEL, **options)
            return answer.numpy() if kind == "numpy" else [item.embedding for item in answer.data]

        return embed

    return make


def _requests_session(url: str) -> Embed:
    import requests

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {KEY}"

    def embed(texts: Sequence[str]) -> list[list[float]]:
        rows: list[list[float]] = []
        for at in range(0, len(texts), 100):
            body = {"input": list(texts[at : at + 100]), "model": MODEL}
            answer = session.post(url + "/embeddings", json=body).json()
            rows += [item["embedding"] for item in answer["data"]]
        return rows

    return embed


def _requests_page(url: str) -> Embed:
    import requests

    def embed(texts: Sequence[str]) -> list[list[float]]:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        rows: list[list[float]] = []
        for text in texts:
            body = {"input": text, "model": MODEL}
            answer = requests.post(url + "/embeddings", json=body, headers=headers)
            rows.append(answer.json()["data"][0]["embedding"])
        return rows

    return embed


def _litellm(url: str) -> Embed:
    import litellm

    def embed(texts: Sequence[str]) -> list[list[float]]:
        rows: list[list[float]] = []
        for at in range(0, len(texts), 100):
            answer = litellm.embedding(
                model="openai/text-embedding-3-small", input=list(texts[at : at + 100]),
                api_key=KEY, api_base=url, encoding_format="float",
            )  # fmt: skip
            rows += [item["embedding"] for item in answer.data]
        return rows

    return embed


SUBJECTS: dict[str, Subject] = {
    "ours, client, numpy": Subject(_ours("numpy")),
    "ours, client, lists": Subject(_ours("lists")),
    "ours, async client, numpy": Subject(_ours("async")),
    "ours, floats, client, numpy": Subject(_ours("numpy", FLOAT_MODEL)),
    "ours, floats, client, numpy, no extra": Subject(_ours("numpy", FLOAT_MODEL, extra=False)),
    "ours, floats, client, lists": Subject(_ours("lists", FLOAT_MODEL)),
    "ours, floats, client, lists, no extra": Subject(_ours("lists", FLOAT_MODEL, extra=False)),
    "ours, floats, async client, numpy": Subject(_ours("async", FLOAT_MODEL)),
    "ours, floats, async client, numpy, no extra": Subject(
        _ours("async", FLOAT_MODEL, extra=False)
    ),
    "ours, floats, LangChain embed_documents": Subject(
        _ours_langchain("embed_documents", FLOAT_MODEL)
    ),
    "ours, floats, LlamaIndex get_text_embedding_batch": Subject(
        lambda url: _ours_llama_index(url, FLOAT_MODEL).get_text_embedding_batch
    ),
    "ours, LangChain embed_documents": Subject(_ours_langchain("embed_documents")),
    "ours, LangChain embed_documents_array": Subject(_ours_langchain("embed_documents_array")),
    "ours, LlamaIndex get_text_embedding_batch": Subject(
        lambda url: _ours_llama_index(url).get_text_embedding_batch
    ),
    "ours, client, one query": Subject(_ours_query),
    "ours, LangChain embed_query": Subject(_one(_langchain_ours, "embed_query")),
    "ours, LlamaIndex get_query_embedding": Subject(_one(_ours_llama_index, "get_query_embedding")),
    "ours, client, stream": Subject(_ours_stream),
    "LangChain OpenAIEmbeddings, embed_query": Subject(_one(_langchain_model, "embed_query")),
    "LlamaIndex OpenAIEmbedding, get_query_embedding": Subject(
        _one(_llama_index_model, "get_query_embedding")
    ),
    "LangChain OpenAIEmbeddings, default": Subject(_langchain_openai(None)),
    "LangChain OpenAIEmbeddings, best (256)": Subject(_langchain_openai(256)),
    "LangChain OpenAIEmbeddings, gathered 128 x 80": Subject(_langchain_openai_gathered(128, 80)),
    "LlamaIndex OpenAIEmbedding, default": Subject(_llama_index_openai(None)),
    "LlamaIndex OpenAIEmbedding, best (512)": Subject(_llama_index_openai(512)),
    "openai SDK, 100 per request": Subject(_openai_sdk(100)),
    "openrouter SDK, base64 by hand": Subject(_openrouter_sdk("base64", 128)),
    "openrouter SDK, floats": Subject(_openrouter_sdk("float", 128)),
    "baseten, default, lists": Subject(_baseten("lists")),
    "baseten, default, numpy": Subject(_baseten("numpy")),
    "baseten, 128 x 8, lists": Subject(_baseten("lists", 128, 8)),
    "baseten, 128 x 8, numpy": Subject(_baseten("numpy", 128, 8)),
    "baseten, 100 x 100, lists": Subject(_baseten("lists", 100, 100)),
    "baseten, 100 x 100, numpy": Subject(_baseten("numpy", 100, 100)),
    "requests.Session, 100 per request": Subject(_requests_session),
    "requests.post, one text per request": Subject(_requests_page, texts=300),
    "litellm, 100 per request": Subject(_litellm, texts=300),
}
