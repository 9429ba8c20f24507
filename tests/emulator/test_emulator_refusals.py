"""Which requests are refused, with which status and words."""

import pytest
from emulator_calls import SMALL, call, post

from openrouter_embed.emulator import Emulator

QWEN = "qwen/qwen3-embedding-8b"
MINILM = "sentence-transformers/all-minilm-l6-v2"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}

# What is asked (over a valid request), the status, and a piece of the message.
REFUSALS = [
    ({"model": "no-such/model"}, 400, "Model no-such/model does not exist"),
    ({"model": "text-embedding-3-small"}, 400, "does not exist"),
    ({"model": 7}, 400, "model: Invalid input: expected string, received number"),
    ({"input": ""}, 400, ">=1 characters"),
    ({"input": ["a", ""]}, 400, "input.1: Too small"),
    ({"input": []}, 400, ">=1 items"),
    ({"input": None}, 400, "received null"),
    ({"input": 3}, 400, "received number"),
    ({"input": {"content": []}}, 400, "received object"),
    ({"input": ["a", {"content": [{"type": "text", "text": "b"}]}]}, 400, "of one kind"),
    ({"input": ["a", 1]}, 400, "of one kind"),
    ({"input": ["a", None]}, 400, "of one kind"),
    ({"input": [[]]}, 400, ">=1 items"),
    ({"input": [1.5]}, 400, "token ids"),
    ({"input": [[1, -2]]}, 400, "token ids"),
    ({"input": [True]}, 400, "token ids"),
    ({"input": [[1], "a"]}, 400, "of one kind"),
    ({"input": [{}]}, 400, "input.0.content: Invalid input: expected array"),
    ({"input": [{"content": []}]}, 400, ">=1 items"),
    ({"input": [{"content": ["a"]}]}, 400, "expected object"),
    ({"input": [{"content": [{"type": "smell"}]}]}, 400, "discriminator"),
    ({"input": [{"content": [{"type": "text"}]}]}, 400, "text: Invalid input"),
    ({"input": [{"content": [{"type": "text", "text": ""}]}]}, 400, ">=1 characters"),
    ({"input": [{"content": [{"type": "image_url", "image_url": "x"}]}]}, 400, "expected object"),
    ({"input": [{"content": [{"type": "image_url", "image_url": {}}]}]}, 400, "expected string"),
    (
        {"input": [{"content": [{"type": "image_url", "image_url": {"url": "cat.png"}}]}]},
        400,
        "Invalid image",
    ),
    (
        {"input": [{"content": [{"type": "image_url", "image_url": {"url": "data:,!"}}]}]},
        400,
        "Invalid image",
    ),
    ({"input": [{"content": [IMAGE]}]}, 404, "No endpoints found that support image input"),
    ({"encoding_format": None}, 400, "received null"),
    ({"encoding_format": "hex"}, 400, '"float"|"base64"'),
    ({"dimensions": 0}, 400, "at least 1"),
    ({"dimensions": 2.5}, 400, "at least 1"),
    ({"dimensions": True}, 400, "received boolean"),
    ({"dimensions": None}, 400, "received null"),
    ({"dimensions": 1537}, 400, "1537 is not supported"),
    ({"dimensions": 300, "model": "voyageai/voyage-4"}, 400, "300 is not supported"),
    ({"dimensions": 256, "model": MINILM}, 400, "does not support specifying dimensions"),
    ({"user": None}, 400, "received null"),
    ({"input_type": 1}, 400, "received number"),
    ({"input_type": "code", "model": "nvidia/nemotron-3-embed-1b:free"}, 400, "'code'"),
    ({"input": [1, 2], "model": QWEN}, 400, "Token array"),
    ({"provider": None}, 400, "received null"),
    ({"provider": {"onyl": ["OpenAI"]}}, 400, 'Unrecognized key: "onyl"'),
    ({"provider": {"only": "OpenAI"}}, 400, "array of strings"),
    ({"provider": {"max_price": {"promt": "1"}}}, 400, "object of prices"),
    ({"provider": {"max_price": {"prompt": "cheap"}}}, 400, "expected a price"),
    ({"provider": {"sort": 3}}, 400, "provider.sort"),
    ({"provider": {"quantizations": "fp3"}}, 400, "quantization"),
    ({"provider": {"only": ["Nebius"]}}, 404, f"No endpoints found for {SMALL}."),
    ({"provider": {"ignore": ["openai"]}}, 404, "No endpoints found"),
    ({"provider": {"order": ["Nebius"], "allow_fallbacks": False}}, 404, "No endpoints found"),
    ({"provider": {"max_price": {"prompt": "0.01"}}}, 404, "No endpoints found"),
    (
        {"provider": {"require_parameters": True}, "dimensions": 256},
        404,
        "can handle the requested parameters",
    ),
    (
        {"provider": {"data_collection": "deny"}, "model": "nvidia/nemotron-3-embed-1b:free"},
        404,
        "data policy",
    ),
]


@pytest.mark.parametrize(("fields", "status", "words"), REFUSALS, ids=lambda value: str(value)[:60])
def test_a_bad_request_is_refused_with_status_and_reason(emulator, fields, status, words):
    answer = post(emulator, **fields)

    assert (answer.status, answer.json["error"]["code"]) == (status, status)
    assert words in answer.message


@pytest.mark.parametrize("missing", ["model", "input"])
def test_a_required_field_must_be_there(emulator, missing):
    body = {"model": SMALL, "input": "text"}
    del body[missing]

    answer = post(emulator, body)

    assert answer.status == 400
    assert f"{missing}: Invalid input" in answer.message
    assert answer.message.endswith("received undefined")


@pytest.mark.parametrize("body", [b"", b"{not json", b"\xff\xfe", b"null"])
def test_a_body_that_is_not_json_is_refused(emulator, body):
    answer = post(emulator, body)

    assert answer.status == 400
    assert answer.message == "Input must have at least 1 token."


def test_a_body_that_is_not_an_object_is_refused(emulator):
    assert post(emulator, b"[1]").status == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": {"only": None, "zdr": None, "sort": {"by": "price"}}},
        {"provider": {"preferred_max_latency": {"p50": 1}, "quantizations": ["fp8"]}},
        {"provider": {"max_price": {"prompt": 1}, "order": ["Nobody"]}},
        {"user": "u", "session_id": "s", "unknown_field": 1, "input_type": "classification"},
        {"model": f"{SMALL}:nitro"},
        {"input": " "},
    ],
)
def test_an_unusual_but_valid_request_is_served(emulator, fields):
    assert post(emulator, **fields).status == 200


def test_a_request_without_a_key_is_refused_in_the_live_words(emulator):
    answer = post(emulator, key=None)

    assert answer.status == 401
    assert answer.json == {"error": {"code": 401, "message": "No cookie auth credentials found"}}


def test_a_wrong_key_is_refused_in_the_live_words():
    with Emulator(api_key="right", backend="hashed") as guarded:
        assert post(guarded, key="wrong").json["error"]["message"] == "User not found."
        assert post(guarded, key="right").status == 200


@pytest.mark.parametrize(
    ("model", "provider", "limit", "words"),
    [
        ("google/gemini-embedding-001", {}, 100, "at most 100 requests can be in one batch"),
        (QWEN, {"only": ["siliconflow"]}, 64, "maximum allowed batch size 64"),
        ("voyageai/voyage-4", {}, 1000, "The batch size limit is 1000. Your batch size is 1001."),
        (SMALL, {}, 2048, "maximum length 2048"),
    ],
)
def test_a_host_takes_so_many_inputs_and_not_one_more(emulator, model, provider, limit, words):
    fields = {"model": model, "provider": provider}
    width = {"dimensions": 256}

    assert post(emulator, input=["a"] * limit, **fields, **width).status == 200
    refused = post(emulator, input=["a"] * (limit + 1), **fields)

    assert refused.status == 400
    assert words in refused.message


def test_a_text_longer_than_the_context_is_refused_with_its_error_type(emulator):
    answer = post(emulator, model=MINILM, input=["short", "word " * 600])

    assert answer.status == 400
    assert "maximum context length is 512 tokens" in answer.message
    assert answer.json["error"]["metadata"]["error_type"] == "context_length_exceeded"


def test_a_request_over_the_hosts_token_budget_is_refused(emulator):
    answer = post(emulator, input=["word " * 8000] * 40)

    assert answer.status == 400
    assert "max 300000 tokens per request" in answer.message


def test_an_oversized_body_is_answered_413():
    with Emulator(max_body_bytes=1000, backend="hashed") as small:
        answer = post(small, input="a" * 2000)

        assert answer.status == 413
        assert answer.json["error"]["metadata"]["error_type"] == "payload_too_large"
        assert post(small).status == 200


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/embeddings"), ("GET", "/embeddings"), ("GET", "/nothing")]
)
def test_a_wrong_path_is_answered_with_the_sites_html(emulator, method, path):
    answer = call(emulator, method, path)

    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert b"Not Found | OpenRouter" in answer.raw
