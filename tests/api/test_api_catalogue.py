"""Before anything is paid: models, estimates and the key."""

from __future__ import annotations

import inspect
import json
import textwrap

import pytest
from api_faces import E5, GEMINI, SMALL

from openrouter_embed import AuthenticationError, ConfigurationError, ImageInput
from openrouter_embed.catalogue import KeyInfo, ModelInfo, read_key_info, read_models
from openrouter_embed.options.models import KNOWN_MODELS


def docstrings():
    """A few hundred real English texts that every machine has."""
    found = {}
    for module in (textwrap, inspect, json, pytest):
        for value in vars(module).values():
            text = inspect.getdoc(value) if callable(value) else None
            if text and len(text) > 40:
                found[text] = None
    return list(found)


def test_the_catalogue_lists_every_model_with_price_length_and_modalities(make):
    models = {model.id: model for model in make().models()}
    assert set(models) == set(KNOWN_MODELS)
    gemini = models[GEMINI]
    assert gemini.price == pytest.approx(0.2e-6)
    assert gemini.image_price == pytest.approx(0.45e-6)
    assert gemini.context_length == 8192
    assert gemini.modalities == ("text", "image", "file", "audio", "video")
    assert gemini.name == "Google: Gemini Embedding 2"
    assert gemini.profile.query_input_type == "search_query"


def test_fields_that_are_missing_or_absurd_are_none_and_not_guessed():
    rows = [
        {"id": "a/b", "pricing": {"prompt": "free"}, "context_length": "long"},
        {"id": "c/d", "pricing": None, "architecture": []},
        {"id": "e/f", "pricing": {"prompt": "NaN", "image": True}},
        {"name": "without an id"},
        "no object",
    ]
    expected = [ModelInfo(id="a/b"), ModelInfo(id="c/d"), ModelInfo(id="e/f")]
    assert read_models({"data": rows}) == expected
    assert read_models({"data": None}) == []
    assert read_key_info({"data": {"usage": "x", "is_free_tier": "no"}}) == KeyInfo()


def test_an_estimate_costs_nothing_and_is_near_what_is_billed(make, em):
    texts = docstrings()
    assert len(texts) > 50
    client = make()
    estimate = client.estimate(texts)
    assert em.stats.requests == 0
    client.embed(texts)
    assert estimate.inputs == len(texts) == em.stats.inputs
    assert estimate.tokens == pytest.approx(em.stats.tokens, rel=0.15)
    assert estimate.cost == pytest.approx(em.stats.cost, rel=0.15)


def test_an_estimate_counts_duplicates_once_and_prefixes_each_time(make):
    client = make(E5)
    bare, roled = (client.estimate(["a", "b", "a"], role=role) for role in (None, "query"))
    assert bare.inputs == roled.inputs == 2
    assert roled.tokens > bare.tokens


def test_an_estimate_counts_token_ids_and_images(make):
    client = make(GEMINI)
    image = ImageInput.from_url("https://example.org/a.png")
    assert client.estimate([[1, 2, 3]]).tokens == 3
    assert 200 < client.estimate([image]).tokens < 400
    assert client.estimate([]) == client.estimate(iter(()))
    assert client.estimate([]).tokens == 0


def test_an_estimate_of_an_unlisted_model_has_no_cost(make):
    assert make("some/new-model").estimate(["a"]).cost is None


def test_an_estimate_of_a_free_model_costs_nothing(make):
    assert make("nvidia/nemotron-3-embed-1b:free").estimate(["a"]).cost == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"inputs": [""]}, "empty"), ({"inputs": ["a"], "role": "x"}, "`role`")],
)
def test_an_estimate_refuses_what_a_call_would_refuse(make, options, message):
    with pytest.raises(ConfigurationError, match=message):
        make().estimate(**options)


def test_check_tells_what_is_left_on_the_key(make, em):
    client = make()
    client.embed(["a text that costs something"])
    info = client.check()
    assert info.usage == em.stats.cost
    assert info.limit is None
    assert info.is_free_tier is False
    assert info.label.startswith("sk-or-v1-")


def test_check_refuses_a_wrong_key_without_showing_it(emulate, face):
    em = emulate(api_key="right")
    client = face.make(api_key="sk-or-v1-wrongwrong", base_url=em.base_url)
    with pytest.raises(AuthenticationError, match="401") as caught:
        client.check()
    client.close()
    assert "wrongwrong" not in repr(vars(caught.value)) + str(caught.value)


def test_the_catalogue_needs_no_valid_key(emulate, face):
    em = emulate(api_key="right")
    client = face.make(api_key="wrong", base_url=em.base_url)
    assert any(model.id == SMALL for model in client.models())
    client.close()
