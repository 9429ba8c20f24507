"""Bills, lengths and media through LangChain, on both of its sides."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_openrouter_embed import OpenRouterEmbeddings
from openrouter_embed import (
    AudioInput,
    BudgetExceededError,
    ConfigurationError,
    FileInput,
    NotNormalizedWarning,
    VideoInput,
)
from openrouter_embed.emulator import Emulator

PPLX = "perplexity/pplx-embed-v1-0.6b"
GEMINI = "google/gemini-embedding-2"
MEDIA = [
    AudioInput.from_bytes(b"RIFF\x24\0\0\0WAVEfmt "),
    VideoInput.from_bytes(b"\0\0\0\x20ftypisom\0\0\2\0"),
    FileInput.from_bytes(b"%PDF-1.7\n%"),
]
TEXTS = ["The cat sleeps.", "A dog barks at night.", "Bread needs flour and water."]


async def test_media_are_taken_where_images_are(make, emulator):
    embeddings = make(model=GEMINI)
    rows = embeddings.embed_image(MEDIA)
    assert [len(row) for row in rows] == [3072] * 3
    assert await embeddings.aembed_image(MEDIA) == rows
    sent = [item["content"] for item in emulator.requests[0].body["input"]]
    assert sent == [[medium.to_part()] for medium in MEDIA]


async def test_a_model_that_takes_no_such_medium_is_not_asked(make, emulator):
    embeddings = make()
    with pytest.raises(ConfigurationError, match="holds audio"):
        embeddings.embed_image(MEDIA)
    with pytest.raises(ConfigurationError, match="holds audio"):
        await embeddings.aembed_image(MEDIA)
    assert emulator.stats.requests == 0


async def test_vectors_without_unit_length_are_told_of_once(make):
    embeddings = make(model=PPLX)
    with pytest.warns(NotNormalizedWarning, match=r"`perplexity/.*normalize='auto'"):
        embeddings.embed_documents(TEXTS)
    embeddings.embed_query("a second warning would raise")
    await embeddings.aembed_documents(TEXTS)
    other = make(model=PPLX)
    with pytest.warns(NotNormalizedWarning):
        await other.aembed_query("each object tells for itself")


async def test_with_auto_they_have_unit_length_and_nothing_is_to_be_told(make):
    embeddings = make(model=PPLX, normalize="auto")
    rows = [*embeddings.embed_documents(TEXTS), await embeddings.aembed_query("flour")]
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


class Euclidean(InMemoryVectorStore):
    """A store that scores by distance, as many do: right only for vectors of unit length."""

    def _select_relevance_score_fn(self):
        return self._euclidean_relevance_score_fn

    def similarity_search_with_score(self, query, k=4, **_):
        asked = np.array(self.embedding.embed_query(query))
        found = [
            (document, float(np.linalg.norm(asked - np.array(self.store[document.id]["vector"]))))
            for document, _ in super().similarity_search_with_score(query, k)
        ]
        return sorted(found, key=lambda pair: pair[1])


def found(store):
    arguments = {"k": 2, "score_threshold": 0.3}
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs=arguments
    )
    return [document.page_content for document in retriever.invoke("flour and water for bread")]


def test_a_score_threshold_finds_something_with_auto_and_nothing_without(make):
    plain, auto = make(model=PPLX), make(model=PPLX, normalize="auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found(Euclidean.from_texts(TEXTS, plain)) == []
    assert TEXTS[2] in found(Euclidean.from_texts(TEXTS, auto))


async def test_session_trace_and_router_cache_go_out(make, emulator):
    embeddings = make(session_id="s", trace={"trace_id": "t"}, router_cache=60)
    embeddings.embed_query("a")
    await embeddings.aembed_query("a")
    first, second = emulator.requests
    assert first.body == second.body
    assert (first.body["session_id"], first.body["trace"]) == ("s", {"trace_id": "t"})
    assert first.headers["x-openrouter-cache-ttl"] == "60"
    assert embeddings.usage.router_cache_hits == 1
    embeddings.embed_query("a", session_id="of one call", router_cache=False)
    assert emulator.requests[2].body["session_id"] == "of one call"
    assert "x-openrouter-cache" not in emulator.requests[2].headers


async def test_what_hosts_bill_counts_towards_the_limit():
    with Emulator(backend="hashed", byok=True) as em:
        options = {"api_key": "k", "base_url": em.base_url, "max_cost": 140 * 0.02e-6}
        with OpenRouterEmbeddings(model="openai/text-embedding-3-small", **options) as embeddings:
            embeddings.embed_query("word " * 40)
            with pytest.raises(BudgetExceededError):
                await embeddings.aembed_query("words " * 40)
            assert embeddings.usage.byok_cost == pytest.approx(em.stats.cost)
