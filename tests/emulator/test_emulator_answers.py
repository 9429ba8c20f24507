"""What a successful answer looks like."""

import re

import numpy as np
import pytest
from emulator_calls import SMALL, call, post

from openrouter_embed.emulator import Emulator
from openrouter_embed.emulator.catalogue import MODELS

TEXT_MODELS = sorted(MODELS)


def test_the_answer_has_the_live_keys_in_the_live_order(emulator):
    answer = post(emulator, input=["one", "two"])

    assert answer.status == 200
    body = answer.json
    assert list(body) == ["object", "data", "model", "usage", "provider", "id"]
    assert [list(item) for item in body["data"]] == [["object", "embedding", "index"]] * 2
    assert [item["index"] for item in body["data"]] == [0, 1]
    assert (body["model"], body["provider"]) == ("text-embedding-3-small", "OpenAI")
    assert re.fullmatch(r"gen-emb-\d{10}-[A-Za-z0-9]{20}", body["id"])


def test_the_usage_tells_tokens_and_cost(emulator):
    usage = post(emulator, input="seven words make about seven tokens here").json["usage"]

    assert list(usage) == ["prompt_tokens", "total_tokens", "cost", "is_byok", "cost_details"]
    assert usage["prompt_tokens"] == usage["total_tokens"] == 7
    assert usage["cost"] == usage["cost_details"]["upstream_inference_cost"] == 1.4e-07


def test_the_answer_begins_with_keepalive_white_space_and_is_chunked(emulator):
    answer = post(emulator)

    assert answer.raw.startswith(b"\n         \n{")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.headers["content-type"] == "application/json"


def test_the_white_space_can_be_switched_off():
    with Emulator(keepalive=False, backend="hashed") as quiet:
        assert post(quiet).raw.startswith(b'{"object"')


def test_the_server_header_says_that_it_is_an_emulator(emulator):
    assert "emulator" in post(emulator).headers["server"]


@pytest.mark.parametrize("model", TEXT_MODELS)
def test_every_model_answers_at_its_own_width(emulator, model):
    row = MODELS[model]

    answer = post(emulator, model=model, input=["a text"])

    assert [len(vector) for vector in answer.vectors] == [row.width]
    assert answer.json["model"] == row.upstream
    assert not row.upstream.endswith(":free")


def test_there_are_thirty_three_models():
    assert len(MODELS) == 33


def test_base64_carries_exactly_the_numbers_of_the_float_form(emulator):
    import base64

    floats = post(emulator, input=["one", "two"]).vectors
    encoded = post(emulator, input=["one", "two"], encoding_format="base64").vectors

    decoded = [np.frombuffer(base64.b64decode(text), "<f4") for text in encoded]
    np.testing.assert_array_equal(np.asarray(floats, np.float32), np.stack(decoded))


def test_a_host_without_base64_answers_floats(emulator):
    vectors = post(emulator, model="baai/bge-m3", encoding_format="base64").vectors

    assert isinstance(vectors[0], list)


@pytest.mark.parametrize(
    "model", ["google/gemini-embedding-001", "nvidia/nemotron-3-embed-1b:free"]
)
def test_a_host_that_fails_on_base64_says_so_inside_http_200(emulator, model):
    answer = post(emulator, model=model, encoding_format="base64")

    assert answer.status == 200
    assert answer.json == {"error": {"message": "No successful provider responses.", "code": 404}}


def test_token_arrays_are_one_input_or_many(emulator):
    one = post(emulator, input=[1, 2, 3])
    many = post(emulator, input=[[1, 2, 3], [4]])

    assert len(one.vectors) == 1
    assert len(many.vectors) == 2
    assert one.json["usage"]["prompt_tokens"] == 3
    assert many.json["usage"]["prompt_tokens"] == 4


def test_text_and_image_make_one_joint_vector(emulator):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": "a cat"}
    inputs = [{"content": [text, image]}, {"content": [text]}, {"content": [image]}]

    answer = post(emulator, model="google/gemini-embedding-2", input=inputs)

    joint, only_text, only_image = np.asarray(answer.vectors)
    assert 0.2 < joint @ only_text < 0.95
    assert 0.2 < joint @ only_image < 0.95
    details = answer.json["usage"]["prompt_tokens_details"]
    assert details == {"text_tokens": 4, "image_tokens": 516}


def test_the_first_allowed_host_is_reported_and_charged(emulator):
    qwen = "qwen/qwen3-embedding-8b"
    default = post(emulator, model=qwen).json
    chosen = post(emulator, model=qwen, provider={"only": ["siliconflow/fp8"]}).json
    ordered = post(emulator, model=qwen, provider={"order": ["Nobody", "DeepInfra"]}).json
    cheapest = post(emulator, model=qwen, provider={"ignore": ["nebius"], "sort": "price"}).json

    assert default["provider"] == "Nebius"
    assert chosen["provider"] == "SiliconFlow"
    assert chosen["usage"]["cost"] == pytest.approx(4 * default["usage"]["cost"])
    assert ordered["provider"] == cheapest["provider"] == "DeepInfra"


def test_the_embedding_listing_holds_every_model_and_hides_widths(emulator):
    answer = call(emulator, "GET", "/embeddings/models", key=None)

    models = answer.json["data"]
    assert {model["id"] for model in models} == set(MODELS)
    small = next(model for model in models if model["id"] == SMALL)
    assert small["pricing"]["prompt"] == "0.00000002"
    assert small["architecture"]["output_modalities"] == ["embeddings"]
    assert small["per_request_limits"] is None
    assert not {"dimensions", "width"} & set(small)


def test_the_listing_pages(emulator):
    first = call(emulator, "GET", "/embeddings/models?limit=20").json
    second = call(emulator, "GET", "/embeddings/models?limit=20&offset=20").json

    assert first["total_count"] == 33
    assert first["links"]["next"] == "/api/v1/embeddings/models?offset=20&limit=20"
    assert (len(first["data"]), len(second["data"])) == (20, 13)
    assert second["links"]["next"] is None


@pytest.mark.parametrize(
    ("query", "embedding", "chat"),
    [("", False, True), ("?output_modalities=embeddings", True, False),
     ("?output_modalities=all", True, True)],
)  # fmt: skip
def test_the_general_listing_filters_by_output(emulator, query, embedding, chat):
    answer = call(emulator, "GET", f"/models{query}", key="wrong")

    outputs = [model["architecture"]["output_modalities"] for model in answer.json["data"]]
    assert (["embeddings"] in outputs) is embedding
    assert (["text"] in outputs) is chat


def test_the_key_endpoint_tells_what_was_spent():
    with Emulator(api_key="right", backend="hashed") as guarded:
        cost = post(guarded, key="right").json["usage"]["cost"]
        data = call(guarded, "GET", "/key", key="right").json["data"]

        assert data["usage"] == cost
        assert {"label", "limit", "limit_remaining", "is_free_tier"} <= set(data)
        assert call(guarded, "GET", "/key", key=None).status == 401
        assert call(guarded, "GET", "/key", key="wrong").message == "User not found."


def test_fixed_time_and_ids_make_answers_repeatable():
    def record():
        with Emulator(fixed_time=1_787_150_070, fixed_ids=True, backend="hashed") as fixed:
            answers = [post(fixed), post(fixed)]
            return [(answer.headers, answer.raw) for answer in answers]

    first = record()

    assert first == record()
    assert first[0][0]["date"] == "Wed, 19 Aug 2026 14:34:30 GMT"
    assert b"gen-emb-1787150070-00000000000000000002" in first[1][1]
