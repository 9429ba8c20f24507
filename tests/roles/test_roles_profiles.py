"""What the profiles say of widths, lengths, limits and media agrees with what the models answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from openrouter_embed import EmbeddingClient
from openrouter_embed.options.models import KNOWN_MODELS, PROFILES, find_profile

GEMINI_1 = "google/gemini-embedding-001"
PPLX = "perplexity/pplx-embed-v1-0.6b"
DOT = "sentence-transformers/multi-qa-mpnet-base-dot-v1"


@pytest.fixture(scope="module")
def client(shared_emulator):
    with EmbeddingClient("*", api_key="k", base_url=shared_emulator.base_url) as one:
        yield one


@pytest.fixture(scope="module")
def listed(client):
    return {model.id: model for model in client.models()}


def lengths(result):
    return np.linalg.norm(result.vectors.astype(np.float64), axis=1)


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_width_and_length_are_what_the_model_answers(client, em, model):
    profile = find_profile(model)
    result = client.embed(["some text"], model=model, role="document")
    assert result.vectors.shape[1] == profile.dimensions
    if profile.normalized is not None:
        assert profile.normalized == (abs(lengths(result)[0] - 1) < 1e-3)
    # Whatever format the profile asks for, it works at the first attempt.
    assert em.stats.requests == 1


def asked(model):
    """The least, some middle and the greatest width that a model's profile allows."""
    allowed = find_profile(model).allowed_dimensions or ()
    widths = sorted(allowed)
    return {widths[at * (len(widths) - 1) // 2] for at in range(3)} if widths else set()


@pytest.mark.parametrize(
    ("model", "width"), [(model, width) for model in KNOWN_MODELS for width in sorted(asked(model))]
)
def test_every_width_that_a_profile_allows_is_answered(client, model, width):
    assert client.embed(["some text"], model=model, dimensions=width).vectors.shape == (1, width)


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_media_and_context_agree_with_the_catalogue(listed, model):
    profile = find_profile(model)
    assert profile.modalities == set(listed[model].modalities)
    assert profile.max_input_tokens <= listed[model].context_length


@pytest.mark.parametrize("model", KNOWN_MODELS)
def test_a_request_packed_to_the_profiles_limits_is_accepted(client, em, model):
    profile = find_profile(model)
    count = min(profile.max_batch_inputs, 300) + 1
    result = client.embed([f"text {at}" for at in range(count)], model=model, on_error="raise")
    assert len(result) == count
    # None was refused: every request was answered with vectors.
    assert em.stats.inputs == count
    assert sum(len(request.body["input"]) for request in em.requests) == count


@pytest.mark.parametrize(
    ("model", "dimensions"), [(PPLX, None), (GEMINI_1, 256), (DOT, None), ("baai/bge-m3", None)]
)
def test_normalize_scales_every_row_to_unit_length(client, model, dimensions):
    result = client.embed(["a", "b"], model=model, dimensions=dimensions, normalize=True)
    assert np.allclose(lengths(result), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "dimensions", "low", "high"),
    [(PPLX, None, 8.2, 8.5), (GEMINI_1, 256, 0, 0.9), (DOT, None, 5.9, 6.0)],
)
def test_by_default_vectors_stay_as_the_model_gave_them(client, model, dimensions, low, high):
    plain = client.embed(["a", "b"], model=model, dimensions=dimensions)
    scaled = client.embed(["a", "b"], model=model, dimensions=dimensions, normalize=True)
    assert ((low < lengths(plain)) & (lengths(plain) < high)).all()
    assert np.allclose(plain.vectors / lengths(plain)[:, None], scaled.vectors, atol=1e-6)


def test_normalize_leaves_zeros_and_failures_alone(client):
    result = client.embed(["", "a"], model=PPLX, normalize=True, empty="zeros")
    assert lengths(result).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("row", PROFILES, ids=lambda row: row.pattern)
def test_every_row_says_where_it_was_learned(row):
    assert len(row.source) > 10
    assert row.pattern == row.pattern.lower()
    assert row.max_batch_inputs >= 1


def test_a_profile_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROFILES[0].dimensions = 5
