"""Who decides: the call before the client, the client before the model's profile."""

from __future__ import annotations

import json

import pytest
from roles_ways import WAYS

from openrouter_embed import (
    BadRequestError,
    ConfigurationError,
    EmbeddingClient,
    ImageInput,
    ModelProfile,
    find_profile,
    register_profile,
    unregister_profile,
)
from openrouter_embed.emulator import Emulator

VOYAGE = "voyageai/voyage-4"
E5 = "intfloat/e5-base-v2"
VOYAGE_IMAGES = "voyageai/voyage-multimodal-3.5"
QWEN = "qwen/qwen3-embedding-8b"
SMALL = "openai/text-embedding-3-small"

# Model, client's options, call's options: what goes out.
QUERIES = [
    (VOYAGE, {}, {}, ("query", "")),
    (VOYAGE, {}, {"input_type": None}, (None, "")),
    (VOYAGE, {}, {"input_type": "clustering"}, ("clustering", "")),
    (VOYAGE, {"query_input_type": "search_query"}, {}, ("search_query", "")),
    (VOYAGE, {"query_input_type": "search_query"}, {"input_type": "x"}, ("x", "")),
    (VOYAGE, {"query_input_type": "search_query"}, {"input_type": None}, (None, "")),
    (VOYAGE, {"query_input_type": None}, {}, (None, "")),
    (VOYAGE, {"document_input_type": None}, {}, ("query", "")),
    (VOYAGE, {"query_prefix": "Q: "}, {}, (None, "Q: ")),
    (VOYAGE, {"query_prefix": None}, {}, ("query", "")),
    (VOYAGE, {"query_prefix": ""}, {}, ("query", "")),
    (VOYAGE, {}, {"query_prefix": "Q: "}, (None, "Q: ")),
    (VOYAGE, {"query_prefix": "Q: ", "query_input_type": "both"}, {}, ("both", "Q: ")),
    (E5, {}, {}, (None, "query: ")),
    (E5, {}, {"input_type": None}, (None, "query: ")),
    (E5, {}, {"input_type": "search_query"}, ("search_query", "")),
    (E5, {"query_input_type": "search_query"}, {}, ("search_query", "")),
    (E5, {"query_input_type": None}, {}, (None, "query: ")),
    (E5, {"query_prefix": None}, {}, (None, "")),
    (E5, {"query_prefix": ""}, {}, (None, "")),
    (E5, {"query_prefix": "Q: "}, {}, (None, "Q: ")),
    (E5, {"query_prefix": "Q: "}, {"query_prefix": "R: "}, (None, "R: ")),
    (SMALL, {}, {}, (None, "")),
    (SMALL, {"query_input_type": "x"}, {}, ("x", "")),
    (SMALL, {}, {"model": VOYAGE}, ("query", "")),
]


@pytest.mark.parametrize(("model", "given", "called", "expected"), QUERIES)
def test_the_call_wins_over_the_client_and_the_client_over_the_profile(
    wire, model, given, called, expected
):
    with EmbeddingClient(model, api_key="k", base_url=wire.base_url, **given) as client:
        client.embed(["text"], role="query", **called)
    (request,) = wire.requests
    sent = request.body.get("input_type"), request.body["input"][0].removesuffix("text")
    assert sent == expected


@pytest.mark.parametrize("model", [VOYAGE, E5, QWEN, "somebody/something-new"])
def test_without_a_role_nothing_is_sent_and_nothing_prefixed(wire, model):
    options = {"query_prefix": "Q: ", "query_input_type": "x"}
    with EmbeddingClient(model, api_key="k", base_url=wire.base_url, **options) as client:
        client.embed(["text"])
    (request,) = wire.requests
    assert request.body["input"] == ["text"]
    assert "input_type" not in request.body


@pytest.mark.parametrize("way", WAYS)
def test_roles_can_be_set_in_every_way_of_asking(wire, way):
    options = {
        "api_key": "k",
        "base_url": wire.base_url,
        "query_input_type": None,
        "document_prefix": "D: ",
    }
    WAYS[way]("query", ["text"], VOYAGE, **options)
    WAYS[way]("document", ["text"], VOYAGE, **options)
    query, document = (request.body for request in wire.requests)
    assert (query["input"], document["input"]) == (["text"], ["D: text"])
    assert "input_type" not in query
    assert "input_type" not in document


# ------------------------------------------------------------------ instructions


@pytest.mark.parametrize("way", WAYS)
def test_an_instruction_of_ones_own_stands_in_the_query_alone(wire, way):
    options = {"api_key": "k", "base_url": wire.base_url, "query_instruction": "Find the culprit"}
    WAYS[way]("query", ["who?"], QWEN, **options)
    WAYS[way]("document", ["who?"], QWEN, **options)
    query, document = (request.body["input"] for request in wire.requests)
    assert query == ["Instruct: Find the culprit\nQuery:who?"]
    assert document == ["who?"]


def test_a_prefix_of_ones_own_may_hold_the_instruction(wire):
    options = {"query_prefix": "[{instruction}] ", "query_instruction": "a {b}"}
    with EmbeddingClient(E5, api_key="k", base_url=wire.base_url, **options) as client:
        client.embed(["{instruction}"], role="query")
    assert wire.requests[0].body["input"] == ["[a {b}] {instruction}"]


def test_a_prefix_stands_before_the_first_text_of_a_joint_input(wire):
    image = ImageInput.from_url("https://example.org/a.png")
    with EmbeddingClient(
        VOYAGE_IMAGES, query_prefix="query: ", api_key="k", base_url=wire.base_url
    ) as client:
        client.embed([[image, "a cat", "a dog"], image], role="query")
    joint, alone = wire.requests[0].body["input"]
    assert [part.get("text") for part in joint["content"]] == [None, "query: a cat", "a dog"]
    assert [part["type"] for part in alone["content"]] == ["image_url"]


# ------------------------------------------------------------------ profiles of one's own

MINE = ModelProfile(
    pattern="acme/*",
    query_prefix="Q: ",
    document_prefix="D: ",
    max_batch_inputs=2,
    base64=True,
    source="a test",
    confidence="assumed",
)


@pytest.fixture
def registered():
    register_profile(MINE)
    yield
    unregister_profile(MINE)


@pytest.mark.parametrize("way", WAYS)
def test_a_registered_profile_is_used(wire, registered, way):
    options = {"api_key": "k", "base_url": wire.base_url}
    WAYS[way]("query", ["a"], "acme/embed", **options)
    WAYS[way]("document", ["a", "b", "c", "d"], "acme/embed", **options)
    query, *documents = (request.body for request in wire.requests)
    assert query["input"] == ["Q: a"]
    assert query["encoding_format"] == "base64"
    assert sorted(text for one in documents for text in one["input"]) == [
        f"D: {letter}" for letter in "abcd"
    ]
    assert len(documents) == 2


def test_the_profile_registered_last_is_looked_at_first(registered):
    newer = ModelProfile(
        pattern="acme/new", query_input_type="q", source="a test", confidence="assumed"
    )
    register_profile(newer)
    try:
        assert find_profile("acme/new") is newer
        assert find_profile("acme/old") is MINE
    finally:
        unregister_profile(newer)
    assert find_profile("acme/new") is MINE


def test_an_unregistered_profile_is_gone_and_taking_it_back_twice_is_harmless(registered):
    unregister_profile(MINE)
    unregister_profile(MINE)
    assert find_profile("acme/embed").pattern == "*"


def test_a_registered_profile_may_replace_one_of_the_table(wire):
    own = ModelProfile(pattern=VOYAGE, source="a test", confidence="assumed")
    register_profile(own)
    try:
        with EmbeddingClient(VOYAGE, api_key="k", base_url=wire.base_url) as client:
            client.embed(["a"], role="query")
    finally:
        unregister_profile(own)
    assert "input_type" not in wire.requests[0].body


def test_a_profile_may_not_set_a_role_twice():
    with pytest.raises(ConfigurationError, match=r"by `input_type` and by prefix"):
        ModelProfile(
            pattern="x",
            query_input_type="query",
            document_prefix="D: ",
            source="a test",
            confidence="assumed",
        )


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_of_the_input_type_says_how_to_send_none(way):
    def refuse(_, body):
        if "input_type" not in body:
            return None
        message = f"Unsupported value for 'input_type': {body['input_type']}"
        return 400, {}, json.dumps({"error": {"code": 400, "message": message}}).encode()

    with Emulator(backend="hashed", faults=refuse) as em:
        options = {"api_key": "k", "base_url": em.base_url}
        with pytest.raises(BadRequestError) as caught:
            WAYS[way]("query", ["a"], VOYAGE, **options)
        message = str(caught.value)
        assert "query_input_type=None, document_input_type=None" in message
        assert em.stats.requests == 1
        # The advice works.
        off = {"query_input_type": None, "document_input_type": None}
        assert len(WAYS[way]("query", ["a"], VOYAGE, **options, **off)) == 1


def test_a_word_that_a_strict_host_does_not_know_is_answered_with_advice(em):
    with (
        EmbeddingClient(
            "nvidia/nemotron-3-embed-1b:free", api_key="k", base_url=em.base_url
        ) as client,
        pytest.raises(BadRequestError, match="`input_type=None` for one call"),
    ):
        client.embed(["a"], input_type="classification")
