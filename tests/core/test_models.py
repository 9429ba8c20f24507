"""One table of models: the right row, in order, and never a role twice."""

from __future__ import annotations

import dataclasses

import pytest

from openrouter_embed.catalogue import KeyInfo, ModelInfo, read_key_info, read_models
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options import models as module
from openrouter_embed.options.models import (
    KNOWN_MODELS,
    PROFILES,
    ModelProfile,
    find_profile,
    register_profile,
    unregister_profile,
)


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ("openai/text-embedding-3-small", "*text-embedding-3-small"),
        ("OpenAI/Text-Embedding-3-Small", "*text-embedding-3-small"),
        ("text-embedding-3-small", "*text-embedding-3-small"),
        ("openai/text-embedding-3-small:nitro", "*text-embedding-3-small"),
        ("nvidia/llama-nemotron-embed-vl-1b-v2:free", "nvidia/*-vl-*"),
        ("qwen/qwen3-embedding-9000b", "qwen/*embedding*"),
        ("who/knows", "*"),
        ("", "*"),
    ],
)
def test_a_model_finds_its_row_whatever_case_or_variant(model, pattern):
    assert find_profile(model).pattern == pattern


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.pattern)
def test_a_row_is_sound_and_says_where_it_comes_from(profile):
    assert profile.source
    assert profile.confidence in ("recorded", "documented", "reported", "assumed")
    assert profile.max_batch_inputs > 0 < profile.max_batch_tokens
    assert profile.pattern == profile.pattern.lower()
    assert "text" in profile.modalities
    if profile.dimensions and profile.allowed_dimensions:
        assert profile.dimensions in profile.allowed_dimensions
    if "{instruction}" in profile.query_prefix:
        assert profile.query_instruction


def test_no_row_hides_behind_an_earlier_one():
    for at, profile in enumerate(PROFILES):
        model = profile.pattern.replace("*", "")
        assert find_profile(model) in PROFILES[: at + 1]
        name = profile.pattern.replace("*", "x")
        assert find_profile(name) is profile


def test_every_listed_model_is_known_but_for_its_row_of_defaults():
    assert all(find_profile(model).pattern != "*" for model in KNOWN_MODELS)


def test_a_row_that_sets_a_role_twice_cannot_be_made():
    with pytest.raises(ConfigurationError, match="twice"):
        ModelProfile(pattern="x", query_input_type="q", document_prefix="d: ", source="",
                     confidence="assumed")  # fmt: skip


def test_roles_are_read_by_name():
    profile = find_profile("voyageai/voyage-4")
    assert (profile.input_type("query"), profile.input_type("document")) == ("query", "document")
    profile = find_profile("intfloat/e5-base-v2")
    assert (profile.prefix("query"), profile.prefix("document")) == ("query: ", "passage: ")


@pytest.fixture
def own():
    profile = ModelProfile(pattern="own/*", dimensions=3, source="me", confidence="assumed")
    yield profile
    module._registered.clear()


def test_a_registered_row_wins_and_the_last_one_first(own):
    register_profile(own)
    assert find_profile("own/model") is own
    newer = dataclasses.replace(own, dimensions=4)
    register_profile(newer)
    assert find_profile("own/model") is newer
    unregister_profile(newer)
    assert find_profile("own/model") is own
    unregister_profile(newer)
    unregister_profile(own)
    assert find_profile("own/model").pattern == "*"


# ---------------------------------------------------------------- the catalogue

ROW = {
    "id": "a/b", "name": "B", "context_length": 512, "description": "It embeds.",
    "pricing": {"prompt": "0.00000002", "image": "0.001"},
    "architecture": {"input_modalities": ["text", "image"]},
}  # fmt: skip


def test_a_model_is_read_whole():
    (model,) = read_models({"data": [ROW]})
    assert model == ModelInfo(
        id="a/b", name="B", context_length=512, price=2e-8, image_price=0.001,
        modalities=("text", "image"), description="It embeds.",
    )  # fmt: skip
    assert model.profile.pattern == "*"


@pytest.mark.parametrize("data", [None, {}, "x", [None, 3, {}, {"id": 3}, {"name": "n"}]])
def test_what_is_no_model_is_left_out(data):
    assert read_models({"data": data}) == []


@pytest.mark.parametrize("value", [None, "much", -1, "nan", "inf", True, [], {}])
def test_a_price_without_sense_is_unknown(value):
    (model,) = read_models({"data": [{"id": "x", "pricing": {"prompt": value}}]})
    assert model.price is None


def test_fields_of_another_type_are_unknown():
    odd = {"id": "x", "name": 3, "context_length": "8k", "pricing": [], "architecture": 7}
    assert read_models({"data": [odd]}) == [ModelInfo(id="x")]


def test_a_key_is_read_whole_or_as_far_as_it_makes_sense():
    data = {
        "label": "sk-…1",
        "usage": 1.5,
        "limit": 10,
        "limit_remaining": 8.5,
        "is_free_tier": False,
    }
    assert read_key_info({"data": data}) == KeyInfo(
        label="sk-…1", usage=1.5, limit=10, limit_remaining=8.5, is_free_tier=False
    )
    assert read_key_info({"data": {"label": 3, "is_free_tier": "no"}}) == KeyInfo()
    assert read_key_info({}) == KeyInfo()
