"""Figures that people act on are those of the service: the bill, the models, the newest fields."""

from __future__ import annotations

import json

import pytest
from api_faces import E5, GEMINI, SMALL, VOYAGE_IMAGES

from openrouter_embed import (
    AudioInput,
    BudgetExceededError,
    ConfigurationError,
    FileInput,
    ImageInput,
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
