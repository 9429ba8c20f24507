"""Figures that people act on are those of the service: the bill, the models, the newest fields."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from api_faces import E5, GEMINI, SMALL, VOYAGE_IMAGES

from openrouter_embed import (
    APIError,
    AudioInput,
    BudgetExceededError,
    ConfigurationError,
    FileInput,
    ImageInput,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    VideoInput,
)
from openrouter_embed.options.models import KNOWN_MODELS

BGE = "baai/bge-base-en-v1.5"
NVIDIA = "nvidia/llama-nemotron-embed-vl-1b-v2:free"
PNG = ImageInput.from_bytes(b"\x89PNG\r\n\x1a\n1234")
WAV = AudioInput.from_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
MP4 = VideoInput.from_bytes(b"\0\0\0\x20ftypisom\0\0\2\0")
PDF = FileInput.from_bytes(b"%PDF-1.7\n%")


# ---------------------------------------------------------------- special tokens and max_cost


@pytest.mark.parametrize(
    ("model", "special"),
    [(BGE, 2), ("mistralai/mistral-embed-2312", 2), ("qwen/qwen3-embedding-8b", 1),
     ("google/gemini-embedding-001", 1), (NVIDIA, 3), (SMALL, 0), (GEMINI, 0)],
)  # fmt: skip
def test_special_tokens_are_estimated_as_they_are_billed(make, em, model, special):
    client = make(model)
    estimate = client.estimate(["Hello world"])
    client.embed(["Hello world"])
    assert em.stats.tokens == 2 + special
    assert estimate.tokens == 3 + special  # two words, rounded up
    assert estimate.cost == pytest.approx(em.stats.cost * estimate.tokens / em.stats.tokens)


def test_the_first_request_cannot_pass_the_limit(make, em):
    """Two words cost bge-base four tokens, 2e-8 USD."""
    with pytest.raises(BudgetExceededError, match=r"may cost up to \$6\.25e-08"):
        make(BGE, max_cost=1.6e-8).embed(["Hello world"])
    assert em.stats.requests == 0
    make(BGE, max_cost=6.5e-8).embed(["Hello world"])
    assert em.stats.cost == pytest.approx(2e-8)


def test_what_hosts_bill_to_a_key_of_ones_own_counts_and_is_told(emulate, face):
    em = emulate(byok=True)
    text = "word " * 40
    client = face.make(SMALL, api_key="k", base_url=em.base_url, max_cost=140 * 0.02e-6)
    client.embed([f"{text} 1"])
    usage = client.usage
    assert usage.cost == 0
    assert usage.byok_cost == pytest.approx(em.stats.cost)
    assert usage.billed == usage.byok_cost
    with pytest.raises(BudgetExceededError):
        client.embed([f"{text} 2"])
    client.close()
    assert em.stats.requests == 1


# ---------------------------------------------------------------- media


def test_an_image_is_estimated_and_billed_at_its_own_price(make, em):
    client = make(GEMINI)
    estimate = client.estimate([PNG])
    assert estimate.tokens == 258
    assert estimate.cost == pytest.approx(258 * 0.45e-6)
    client.embed([PNG, ["a cat", PNG]])
    assert client.usage.cost == pytest.approx(2 * 258 * 0.45e-6 + 2 * 0.2e-6)


def test_a_limit_knows_the_price_of_images(make, em):
    with pytest.raises(BudgetExceededError):
        make(GEMINI, max_cost=2 * 258 * 0.45e-6).embed([PNG])
    assert em.stats.requests == 0
    assert len(make(GEMINI, max_cost=3 * 258 * 0.45e-6).embed([PNG])) == 1


@pytest.mark.parametrize(
    ("model", "medium", "kind"),
    [(GEMINI, WAV, "audio"), (GEMINI, MP4, "video"), (GEMINI, PDF, "file"),
     (VOYAGE_IMAGES, PNG, "image")],
)  # fmt: skip
def test_where_no_rule_is_known_a_limit_refuses_and_an_estimate_has_no_cost(
    make, em, model, medium, kind
):
    with pytest.raises(ConfigurationError, match=rf"`max_cost`.*what {kind} will cost"):
        make(model, max_cost=1).embed(["a", medium])
    assert make(model).estimate(["a", medium]).cost is None
    assert em.stats.requests == 0
    assert len(make(model, max_cost=1).embed(["a"])) == 1


def test_free_media_need_no_rule_and_no_budget(make, em):
    assert len(make(NVIDIA, max_cost=0).embed([PNG])) == 1
    assert em.stats.tokens == 266


@pytest.mark.parametrize("medium", [WAV, MP4, PDF])
def test_media_go_out_alone_and_joint_with_text(make, em, medium):
    result = make(GEMINI).embed([medium, ["a text", medium]])
    assert result.vectors.shape == (2, 3072)
    alone, joint = em.requests[0].body["input"]
    assert alone["content"] == [medium.to_part()]
    assert [part["type"] for part in joint["content"]] == ["text", f"input_{medium.kind}"]
    payload = alone["content"][0][f"input_{medium.kind}"]
    assert set(payload) == {"data", "format"}


@pytest.mark.parametrize(
    ("model", "medium", "kind"),
    [
        (SMALL, PNG, "image"),
        (E5, WAV, "audio"),
        (VOYAGE_IMAGES, PDF, "file"),
        (NVIDIA, MP4, "video"),
    ],
)
def test_a_model_that_takes_no_such_medium_is_not_asked(make, em, model, medium, kind):
    client = make(model)
    for call in (client.embed, client.estimate):
        with pytest.raises(ConfigurationError, match=rf"Input 1 holds {kind}, and `{model}` takes"):
            call(["a", ["b", medium]])
    assert em.stats.requests == 0


def test_a_model_that_is_not_known_is_asked(emulate, face):
    client = face.make("some/new-model", api_key="k", base_url=emulate(faults=one_vector).base_url)
    assert len(client.embed([WAV])) == 1
    client.close()


def one_vector(_, body):
    data = [{"embedding": [1.0, 0.0], "index": at} for at in range(len(body["input"]))]
    return 200, {}, json.dumps({"data": data, "model": "m"}).encode()


# ---------------------------------------------------------------- OpenRouter's response cache


def test_an_answer_from_the_router_s_cache_is_counted_and_billed_nothing(make, em):
    client = make(router_cache=True)
    texts = ["one of a kind, asked for twice"]
    first, second = client.embed(texts).usage, client.embed(texts).usage
    assert (first.router_cache_hits, second.router_cache_hits) == (0, 1)
    assert (second.total_tokens, second.cost) == (0, 0)
    assert first.cost > 0
    assert client.usage.router_cache_hits == 1
    assert em.stats.cost == pytest.approx(first.cost)


@pytest.mark.parametrize(("wish", "seconds"), [(True, None), (600, "600"), (90.0, "90")])
def test_the_router_s_cache_is_asked_for_by_the_client_or_one_call(make, em, wish, seconds):
    make(router_cache=wish).embed(["a"])
    make().embed(["a"], router_cache=wish)
    make().embed(["a"])
    *asked, not_asked = (request.headers for request in em.requests)
    for headers in asked:
        assert headers["x-openrouter-cache"] == "true"
        assert headers.get("x-openrouter-cache-ttl") == seconds
    assert "x-openrouter-cache" not in not_asked


@pytest.mark.parametrize("wish", ["yes", 0, 86_401, -1, None, float("nan")])
def test_other_wishes_of_the_router_s_cache_are_refused(make, wish):
    with pytest.raises(ConfigurationError, match="`router_cache` must be True, False or 1 to"):
        make().embed(["a"], router_cache=wish)


def test_two_wishes_of_the_router_s_cache_are_one_too_many(make):
    headers = {"x-openrouter-cache-ttl": "5"}
    with pytest.raises(ConfigurationError, match="`router_cache` and `default_headers`"):
        make(router_cache=True, default_headers=headers).embed(["a"])


# ---------------------------------------------------------------- session and trace


def test_session_and_trace_go_out_for_the_client_or_one_call(make, em, monkeypatch):
    make(session_id="s1", trace={"trace_id": "t"}).embed(["a"])
    make().embed(["a"], session_id="s2", trace={"span": {"x": 1}})
    monkeypatch.setenv("OPENROUTER_SESSION_ID", "of the environment")
    make().embed(["a"])
    told = [(r.body.get("session_id"), r.body.get("trace")) for r in em.requests]
    assert told == [
        ("s1", {"trace_id": "t"}),
        ("s2", {"span": {"x": 1}}),
        ("of the environment", None),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session_id": "x" * 257}, "256 characters"),
        ({"session_id": 3}, "`session_id`"),
        ({"trace": "t"}, "`trace` takes a mapping"),
        ({"trace": {"x": float("nan")}}, "`trace` holds something that JSON cannot carry"),
    ],
)
def test_a_session_or_trace_that_cannot_go_out_is_refused(make, em, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make().embed(["a"], **options)
    assert em.stats.requests == 0


# ---------------------------------------------------------------- the catalogue and the key


def test_every_page_of_the_catalogue_is_read(emulate, face):
    client = face.make(SMALL, api_key="k", base_url=emulate(page_size=10).base_url)
    assert sorted(model.id for model in client.models()) == sorted(KNOWN_MODELS)
    assert client.estimate(["a"]).cost > 0
    client.close()


def test_the_context_that_a_host_serves_is_what_counts(make):
    qwen = next(m for m in make().models() if m.id == "qwen/qwen3-embedding-8b")
    assert qwen.context_length == qwen.profile.max_input_tokens == 32_000


LISTED = (
    {
        "id": "~qwen/qwen3-embedding-latest",
        "alias_target": {"slug": "qwen/qwen3-embedding-4b"},
        "pricing": {"prompt": "0.00000002"},
        "context_length": -1,
        "top_provider": {"context_length": None},
    },
    {
        "id": "openai/text-embedding-3-small:batch",
        "pricing": {"prompt": "0.00000001"},
        "context_length": 8192,
        "architecture": {"input_modalities": ["text"]},
    },
)


def test_aliases_and_batch_variants_are_read(emulate, face):
    client = face.make(SMALL, api_key="k", base_url=emulate(more_models=LISTED).base_url)
    models = {model.id: model for model in client.models()}
    client.close()
    alias = models["~qwen/qwen3-embedding-latest"]
    assert alias.alias_target == "qwen/qwen3-embedding-4b"
    assert alias.profile.dimensions == 2560
    assert alias.context_length is None
    batch, plain = models[f"{SMALL}:batch"], models[SMALL]
    assert (batch.batch, plain.batch) == (True, False)
    assert batch.price == plain.price / 2
    assert batch.profile is plain.profile


def test_check_tells_the_smallest_of_what_limits_a_key(emulate, face):
    fields = {
        "limit": 100,
        "limit_remaining": 98.5,
        "effective_budget": 0,
        "free_model_daily_requests": {"limit": 50, "used": 12, "remaining": 38},
    }
    client = face.make(SMALL, api_key="k", base_url=emulate(key_fields=fields).base_url)
    info = client.check()
    client.close()
    assert (info.limit_remaining, info.effective_budget, info.remaining) == (98.5, 0, 0)
    assert info.free_requests_remaining == 38


def test_a_key_without_limits_has_no_end(make):
    info = make().check()
    assert (info.remaining, info.free_requests_remaining) == (None, None)


# ---------------------------------------------------------------- what the router says of a model


def unavailable(status, **told):
    error = {"code": status, "message": "Not now.", "metadata": {"x": 1}, "availability": told}
    return status, {}, json.dumps({"error": error}).encode()


def caught_from(emulate, face, reply, times=99, **options):
    """Return the error of one call, and how many requests it took."""
    em = emulate(faults=lambda number, _: reply if number <= times else None)
    client = face.make(SMALL, api_key="k", base_url=em.base_url, **options)
    try:
        client.embed(["a"])
    except APIError as error:
        return error, em.stats.requests
    finally:
        client.close()
    return None, em.stats.requests


def test_what_the_router_says_of_a_model_is_kept_and_its_advice_told(emulate, face):
    told = {
        "code": "free_variant_ended",
        "retryable": False,
        "fallback_models": ["openai/text-embedding-3-large", "no\nid", 3],
    }
    error, sent = caught_from(emulate, face, unavailable(404, **told))
    assert (type(error), sent) == (NotFoundError, 1)
    assert error.availability == told
    assert error.detail == {"x": 1}
    assert "leave `:free` out" in str(error)
    assert "`openai/text-embedding-3-large`" in str(error)
    assert "no\nid" not in str(error)


def test_a_404_that_is_worth_it_is_tried_again(emulate, face):
    reply = unavailable(404, code="temporarily_unavailable", retryable=True, retry_after=0)
    assert caught_from(emulate, face, reply, times=1) == (None, 2)


def test_a_429_that_is_not_worth_it_is_final(emulate, face):
    reply = unavailable(429, code="capacity_exhausted", retryable=False)
    error, sent = caught_from(emulate, face, reply)
    assert (type(error), sent) == (RateLimitError, 1)
    assert "Every host is full." in str(error)


def test_refusals_of_a_route_say_so_where_the_service_does(emulate, face):
    em = emulate(availability=True)
    client = face.make(SMALL, api_key="k", base_url=em.base_url)
    with pytest.raises(NotFoundError, match="`provider` preferences keep every host out") as caught:
        client.embed(["a"], provider={"only": ["NoSuchHost"]})
    assert caught.value.availability["code"] == "constraint_filtered"
    client.close()


@pytest.mark.parametrize(
    ("status", "error", "sent"),
    [(403, PermissionDeniedError, 1), (499, ServerError, 2), (504, ServerError, 2)],
)
def test_statuses_of_the_newest_api_have_their_rows(emulate, face, status, error, sent):
    body = json.dumps({"error": {"code": status, "message": "Sorry."}}).encode()
    found = caught_from(emulate, face, (status, {}, body), max_retries=1)
    assert (type(found[0]), found[1]) == (error, sent)


# ---------------------------------------------------------------- base64 that cannot be believed


def in_base64(width, other=8):
    """A server whose base64 holds numbers of one byte, and whose floats are right."""

    def serve(_, body):
        encoded = body["encoding_format"] == "base64"
        vector = base64.b64encode(b"\x3f" * width).decode() if encoded else [0.25] * other
        data = [{"embedding": vector, "index": at} for at in range(len(body["input"]))]
        return 200, {}, json.dumps({"data": data, "model": "m"}).encode()

    return serve


@pytest.mark.parametrize(
    "options",
    [{}, {"encoding_format": "base64"}, {"dimensions": 8}, {"dimensions": 8, "model": "some/new"}],
)
def test_base64_of_a_width_that_nobody_knows_is_asked_again_in_floats(emulate, face, options):
    em = emulate(faults=in_base64(8))
    options = {"model": SMALL, "encoding_format": "base64", **options}
    client = face.make(api_key="k", base_url=em.base_url, **options)
    for _ in range(2):
        assert client.embed(["a", "b"]).vectors.tolist() == [[0.25] * 8] * 2
    client.close()
    asked = [request.body["encoding_format"] for request in em.requests]
    assert asked == ["base64", "float", "float"]


def test_base64_is_not_believed_by_default_either(emulate, face):
    em = emulate(faults=in_base64(1536, 1536))  # as many bytes as the model has numbers
    client = face.make(SMALL, api_key="k", base_url=em.base_url)
    assert client.embed(["a"]).vectors.tolist() == [[0.25] * 1536]
    client.close()
    assert [r.body["encoding_format"] for r in em.requests] == ["base64", "float"]


def test_base64_of_the_width_of_floats_seen_before_is_believed(emulate, face):
    em = emulate(faults=in_base64(32))  # eight numbers of four bytes
    client = face.make("some/new-model", api_key="k", base_url=em.base_url)
    client.embed(["a"], encoding_format="float")
    row = client.embed(["a"], encoding_format="base64").vectors[0]
    assert np.all(row == np.frombuffer(b"\x3f" * 4, "<f4"))
    client.close()
    assert em.stats.requests == 2


# ---------------------------------------------------------------- vectors of unit length

PPLX = "perplexity/pplx-embed-v1-0.6b"
CODESTRAL = "mistralai/codestral-embed-2505"


@pytest.mark.parametrize("model", [PPLX, CODESTRAL])
def test_auto_scales_what_is_not_of_unit_length(make, model):
    client = make(model)
    plain = client.embed(["a", "b"])
    scaled = client.embed(["a", "b"], normalize="auto")
    assert (plain.unit_length, scaled.unit_length) == (False, True)
    assert np.allclose(np.linalg.norm(scaled.vectors, axis=1), 1, atol=1e-6)


def test_auto_leaves_alone_what_is_of_unit_length(make):
    client = make(SMALL, dimensions=8)
    plain, auto = client.embed(["a", "b"]), client.embed(["a", "b"], normalize="auto")
    assert np.array_equal(plain.vectors, auto.vectors)
    assert plain.unit_length is True


def test_of_a_model_that_is_not_known_the_first_answer_tells(emulate, face):
    def serve(number, body):
        data = [{"embedding": [3.0 / number, 4.0 / number], "index": 0}]
        return 200, {}, json.dumps({"data": data, "model": "m"}).encode()

    base_url = emulate(faults=serve).base_url
    client = face.make("some/new-model", api_key="k", base_url=base_url, normalize="auto")
    for _ in range(6):
        assert client.embed(["a"]).vectors.tolist() == [pytest.approx([0.6, 0.8])]
    client.close()


def test_by_default_the_api_s_own_vector_comes_back(make):
    assert make(PPLX).embed(["a"]).unit_length is False


@pytest.mark.parametrize("wish", ["always", 1, None])
def test_other_wishes_of_lengths_are_refused(make, wish):
    with pytest.raises(ConfigurationError, match="`normalize` must be True, False or 'auto'"):
        make().embed(["a"], normalize=wish)
