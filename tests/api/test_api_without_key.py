"""A client made without a key looks for it when it sends, and the catalogue needs none."""

from __future__ import annotations

import pickle

import pytest

from openrouter_embed import AsyncEmbeddingClient, ConfigurationError, EmbeddingClient

MODEL = "openai/text-embedding-3-small"
KINDS = (EmbeddingClient, AsyncEmbeddingClient)


@pytest.fixture
def keyless(face, emulate):
    em = emulate(api_key="late-key")
    client = face(face.kind.without_key(MODEL, base_url=em.base_url))
    yield client, em
    client.close()


def test_the_first_request_finds_the_key_in_the_environment(keyless, monkeypatch):
    client, _ = keyless
    monkeypatch.setenv("OPENROUTER_API_KEY", "late-key")
    assert len(client.embed(["a"])) == 1


def test_a_request_without_a_key_is_refused_before_it_is_sent(keyless):
    client, em = keyless
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        client.embed(["a"])
    assert em.stats.requests == 0


def test_the_catalogue_and_estimates_need_no_key(face, em):
    client = face(face.kind.without_key(MODEL, base_url=em.base_url))
    assert any(model.id == MODEL for model in client.models())
    assert client.estimate(["a"]).tokens >= 1
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_it_takes_every_option_but_a_key(kind):
    assert kind.without_key(MODEL, dimensions=7, api_key=None).settings.dimensions == 7
    with pytest.raises(ConfigurationError, match="takes no `api_key`"):
        kind.without_key(MODEL, api_key="sk-or-v1-fake")


@pytest.mark.parametrize("kind", KINDS)
def test_other_options_are_checked_at_once(kind):
    with pytest.raises(ConfigurationError, match="`timeout`"):
        kind.without_key(MODEL, timeout=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_the_environment_is_not_kept(kind, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-fake")
    client = kind.without_key(MODEL)
    assert client.settings.api_key is None
    assert isinstance(pickle.loads(pickle.dumps(client)), kind)
