"""Bills, lengths and media through LlamaIndex, on both of its sides."""

from __future__ import annotations

import numpy as np
import pytest
from llama_doubles import SMALL
from llama_index.core.storage.kvstore import SimpleKVStore

from openrouter_embed import (
    AudioInput,
    BudgetExceededError,
    ConfigurationError,
    FileInput,
    NotNormalizedWarning,
    VideoInput,
)

PPLX = "perplexity/pplx-embed-v1-0.6b"
GEMINI = "google/gemini-embedding-2"
MEDIA = [
    AudioInput.from_bytes(b"RIFF\x24\0\0\0WAVEfmt "),
    VideoInput.from_bytes(b"\0\0\0\x20ftypisom\0\0\2\0"),
    FileInput.from_bytes(b"%PDF-1.7\n%"),
]


async def test_media_are_taken_where_images_are(make, emulator):
    embedding = make(GEMINI)
    rows = embedding.get_image_embedding_batch(MEDIA)
    assert [len(row) for row in rows] == [3072] * 3
    assert await embedding.aget_image_embedding_batch(MEDIA) == rows
    sent = [item["content"] for item in emulator.requests[0].body["input"]]
    assert sent == [[medium.to_part()] for medium in MEDIA]
    alone = embedding.get_image_embedding(MEDIA[0], role="document")
    assert alone == pytest.approx(rows[0], abs=1e-6)


async def test_media_are_parts_of_joint_inputs(make, emulator):
    embedding = make(GEMINI)
    row = embedding.get_multimodal_embedding(["a text", MEDIA[0]])
    assert await embedding.aget_multimodal_embedding(["a text", MEDIA[0]]) == row
    parts = emulator.requests[0].body["input"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "input_audio"]


def test_a_medium_is_cached_by_its_content_and_never_by_its_address(make, emulator):
    embedding = make(GEMINI, embeddings_cache=SimpleKVStore())
    url = AudioInput.from_url("https://example.org/a.mp3")
    for _ in range(2):
        embedding.get_image_embedding_batch([MEDIA[0], url])
    assert [len(request.body["input"]) for request in emulator.requests] == [2, 1]


def test_a_model_that_takes_no_such_medium_is_not_asked(make, emulator):
    with pytest.raises(ConfigurationError, match="holds audio"):
        make().get_image_embedding(MEDIA[0])
    assert emulator.stats.requests == 0


async def test_vectors_without_unit_length_are_told_of_once(make):
    embedding = make(PPLX)
    with pytest.warns(NotNormalizedWarning, match=r"`perplexity/.*normalize='auto'"):
        embedding.get_text_embedding("a")
    embedding.get_query_embedding("a second warning would raise")
    await embedding.aget_text_embedding_batch(["b", "c"])
    other = make(PPLX)
    with pytest.warns(NotNormalizedWarning):
        await other.aget_query_embedding("each object tells for itself")


async def test_with_auto_they_have_unit_length_and_nothing_is_to_be_told(make):
    embedding = make(PPLX, normalize="auto")
    rows = [embedding.get_text_embedding("a"), await embedding.aget_query_embedding("b")]
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert embedding.to_dict()["normalize"] == "auto"


async def test_session_trace_and_router_cache_go_out(make, emulator):
    embedding = make(session_id="s", trace={"trace_id": "t"}, router_cache=60)
    embedding.get_text_embedding("a")
    await embedding.aget_text_embedding("a")
    first, second = emulator.requests
    assert first.body == second.body
    assert (first.body["session_id"], first.body["trace"]) == ("s", {"trace_id": "t"})
    assert first.headers["x-openrouter-cache-ttl"] == "60"
    assert embedding.usage.router_cache_hits == 1


async def test_what_hosts_bill_counts_towards_the_limit(make, emulate):
    em = emulate(byok=True)
    embedding = make(SMALL, server=em, max_cost=140 * 0.02e-6)
    embedding.get_text_embedding("word " * 40)
    with pytest.raises(BudgetExceededError):
        await embedding.aget_text_embedding("words " * 40)
    assert embedding.usage.byok_cost == pytest.approx(em.stats.cost)
