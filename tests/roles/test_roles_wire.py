"""What every model gets for a query and for a document, on the wire, by every way of asking.

The table below was written from the models' documentation, by hand: it is not read from `PROFILES`,
which it checks.
"""

from __future__ import annotations

import pytest
from roles_ways import WAYS

from openrouter_embed.options.models import KNOWN_MODELS, PROFILES, find_profile

NOTHING = (None, "")
PLAIN = (NOTHING, NOTHING)
E5 = ((None, "query: "), (None, "passage: "))
LFM = ((None, "query: "), (None, "document: "))
BGE = ((None, "Represent this sentence for searching relevant passages: "), NOTHING)
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
QWEN = ((None, f"Instruct: {WEB_SEARCH}\nQuery:"), NOTHING)
VOYAGE = (("query", ""), ("document", ""))
NVIDIA = (("query", ""), ("passage", ""))
SEARCH = (("search_query", ""), ("search_document", ""))

KNOWN = {
    "baai/bge-base-en-v1.5": BGE,
    "baai/bge-large-en-v1.5": BGE,
    "baai/bge-m3": PLAIN,
    "google/gemini-embedding-001": SEARCH,
    "google/gemini-embedding-2": SEARCH,
    "google/gemini-embedding-2-preview": SEARCH,
    "intfloat/e5-base-v2": E5,
    "intfloat/e5-large-v2": E5,
    "intfloat/multilingual-e5-large": E5,
    "liquid/lfm-2.5-embedding-350m:free": LFM,
    "mistralai/codestral-embed-2505": PLAIN,
    "mistralai/mistral-embed-2312": PLAIN,
    "nvidia/llama-nemotron-embed-vl-1b-v2:free": NVIDIA,
    "nvidia/nemotron-3-embed-1b:free": NVIDIA,
    "openai/text-embedding-3-large": PLAIN,
    "openai/text-embedding-3-small": PLAIN,
    "openai/text-embedding-ada-002": PLAIN,
    "perplexity/pplx-embed-v1-0.6b": PLAIN,
    "perplexity/pplx-embed-v1-4b": PLAIN,
    "qwen/qwen3-embedding-4b": QWEN,
    "qwen/qwen3-embedding-8b": QWEN,
    "sentence-transformers/all-minilm-l12-v2": PLAIN,
    "sentence-transformers/all-minilm-l6-v2": PLAIN,
    "sentence-transformers/all-mpnet-base-v2": PLAIN,
    "sentence-transformers/multi-qa-mpnet-base-dot-v1": PLAIN,
    "sentence-transformers/paraphrase-minilm-l6-v2": PLAIN,
    "thenlper/gte-base": PLAIN,
    "thenlper/gte-large": PLAIN,
    "voyageai/voyage-4": VOYAGE,
    "voyageai/voyage-4-large": VOYAGE,
    "voyageai/voyage-4-lite": VOYAGE,
    "voyageai/voyage-code-4": VOYAGE,
    "voyageai/voyage-multimodal-3.5": VOYAGE,
}
OTHERS = {  # variants, and families' members that are not listed today
    "text-embedding-3-small": PLAIN,
    "Voyageai/Voyage-4": VOYAGE,
    "voyageai/voyage-4:nitro": VOYAGE,
    "voyageai/voyage-5": VOYAGE,
    "nvidia/nv-embed-v3": NVIDIA,
    "intfloat/e5-mistral-7b": E5,
    "qwen/qwen3-embedding-0.6b": QWEN,
    "mistralai/new-embed": PLAIN,
    "liquid/lfm-3-embedding": LFM,
    "cohere/embed-v4": SEARCH,
    "somebody/something-new": SEARCH,
}
EXPECTED = {**KNOWN, **OTHERS}


def test_the_table_has_every_known_model_and_reaches_every_row_of_the_profiles():
    assert set(KNOWN) == set(KNOWN_MODELS)
    assert {find_profile(model).pattern for model in EXPECTED} == {row.pattern for row in PROFILES}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", EXPECTED)
def test_queries_and_documents_get_exactly_what_the_model_wants(wire, model, way):
    """The whole body is compared, so that nothing else can slip in."""
    options = {"api_key": "k", "base_url": wire.base_url, "encoding_format": "float"}
    for role, (input_type, prefix) in zip(("query", "document"), EXPECTED[model], strict=True):
        wire.reset()
        assert len(WAYS[way](role, ["some text"], model, **options)) == 1
        (request,) = wire.requests
        expected = {"model": model, "input": [f"{prefix}some text"], "encoding_format": "float"}
        if input_type:
            expected["input_type"] = input_type
        assert request.body == expected
        assert list(request.body) == list(expected)


@pytest.mark.parametrize("way", WAYS)
def test_every_text_of_a_batch_gets_its_documents_prefix(wire, way):
    texts = [f"text {at}" for at in range(5)]
    options = {"api_key": "k", "base_url": wire.base_url}
    WAYS[way]("document", texts, "intfloat/e5-base-v2", **options)
    (request,) = wire.requests
    assert request.body["input"] == [f"passage: {text}" for text in texts]


def test_no_known_model_falls_to_the_row_for_strangers():
    assert not [model for model in KNOWN_MODELS if find_profile(model) is PROFILES[-1]]
    assert find_profile("somebody/something-new") is PROFILES[-1]
