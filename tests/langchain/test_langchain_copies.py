"""Copies within the process keep the key; pickles and dumps leave it, and what cannot travel."""

from __future__ import annotations

import copy
import json
import pickle
import warnings

import pytest
import requests
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_openrouter_embed import OpenRouterEmbeddings
from openrouter_embed import ConfigurationError, SQLiteCache

KEY = "sk-or-canary-7f3a"

FULL = {
    "dimensions": 128,
    "encoding_format": "float",
    "query_input_type": None,
    "document_prefix": "doc: ",
    "provider": {"only": ["OpenAI"], "max_price": {"prompt": 0.5}, "sort": {"by": "price"}},
    "user": "someone",
    "app_url": "https://app.example",
    "app_title": "App",
    "app_categories": ("a", "b"),
    "default_headers": {"X-Team": "search"},
    "model_kwargs": {"newer": {"lc": 1}},
    "timeout": 12.5,
    "deadline": 100,
    "max_retries": 0,
    "max_concurrency": 3,
    "chunk_size": 9,
    "max_batch_tokens": 4000,
    "empty": "zeros",
    "normalize": True,
    "show_progress_bar": False,
}

COPIES = {
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "model_copy": lambda e: e.model_copy(),
    "model_copy deep": lambda e: e.model_copy(deep=True),
    "model_copy update": lambda e: e.model_copy(update={"timeout": 9.0}),
}


def reload(text, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # LangChain calls its `loads` a beta
        return loads(
            text,
            allowed_objects=[OpenRouterEmbeddings],
            valid_namespaces=["langchain_openrouter_embed"],
            **options,
        )


RESTORED = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "dumps": lambda e: reload(dumps(e)),
    "pickle twice": lambda e: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(e)))),
    "dumps of pickle": lambda e: reload(dumps(pickle.loads(pickle.dumps(e)))),
    "deepcopy of pickle": lambda e: copy.deepcopy(pickle.loads(pickle.dumps(e))),
    "update of dumps": lambda e: reload(dumps(e)).model_copy(update={"max_retries": 0}),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_keeps_the_key_and_has_a_client_of_its_own(how, make, adopt):
    embeddings = make(api_key=KEY)
    twin = adopt(COPIES[how](embeddings))
    embeddings.close()
    assert len(twin.embed_query("text")) == 384
    assert twin.openrouter_api_key.get_secret_value() == KEY
    assert twin.usage.requests == 1
    assert embeddings.usage.requests == 0


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_shares_what_cannot_be_copied(how, make, adopt):
    here = {
        "rate_limiter": InMemoryRateLimiter(requests_per_second=1000),
        "session": requests.Session(),
        "on_progress": lambda _: None,
    }
    with here["session"]:
        twin = adopt(COPIES[how](make(**here)))
        assert {name: getattr(twin, name) for name in here} == here


def test_model_copy_checks_and_applies_its_update(make, adopt, emulator):
    embeddings = make(model="openai/text-embedding-3-small")
    assert len(adopt(embeddings.model_copy(update={"dimensions": 8})).embed_query("t")) == 8
    with pytest.raises(ConfigurationError, match="Did you mean `dimensions`"):
        embeddings.model_copy(update={"dimension": 8})
    with pytest.raises(ConfigurationError, match="dimensions"):
        embeddings.model_copy(update={"dimensions": -8})


def test_a_deep_copy_shares_no_mutable_value(make, adopt):
    embeddings = make(model_kwargs={"newer": {"a": 1}})
    twin = adopt(embeddings.model_copy(deep=True))
    twin.model_kwargs["newer"]["a"] = 2
    assert embeddings.model_kwargs == {"newer": {"a": 1}}


@pytest.mark.parametrize("how", RESTORED)
def test_a_restored_object_asks_for_its_key_at_its_first_request(
    how, make, adopt, monkeypatch, emulator
):
    restored = adopt(RESTORED[how](make(api_key=KEY)))
    assert restored.openrouter_api_key is None
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        restored.embed_query("text")
    assert emulator.stats.requests == 0
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-found")
    assert len(restored.embed_query("text")) == 384


async def test_a_restored_object_asks_for_its_key_in_async_calls_too(make, adopt, monkeypatch):
    restored = adopt(pickle.loads(pickle.dumps(make())))
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        await restored.aembed_query("text")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-found")
    assert len(await restored.aembed_query("text")) == 384


@pytest.mark.parametrize("how", ["pickle", "dumps"])
def test_a_round_trip_keeps_every_option_but_the_local_ones(how, make, adopt):
    here = {
        "rate_limiter": InMemoryRateLimiter(requests_per_second=1000),
        "on_progress": lambda _: None,
    }
    embeddings = make(**FULL, **here)
    restored = adopt(RESTORED[how](embeddings))
    assert restored.model_dump() == embeddings.model_dump()
    assert restored.cache_namespace == embeddings.cache_namespace
    assert [getattr(restored, name) for name in here] == [None, None]


@pytest.mark.parametrize("how", RESTORED)
@pytest.mark.parametrize("kind", [str, SQLiteCache])
def test_a_restored_object_uses_the_same_cache(how, kind, make, adopt, tmp_path):
    """A dump names the file; limits of an `SQLiteCache` are the original's."""
    path = str(tmp_path / "embeddings.sqlite")
    restored = adopt(RESTORED[how](make(cache=kind(path))))
    assert getattr(restored.cache, "path", restored.cache) == path


def test_a_dump_goes_where_the_original_went(make, adopt, monkeypatch, emulator):
    """Neither the reader's base URL nor its attribution replaces what was dumped."""
    text = dumps(make(app_title="App"))
    monkeypatch.setenv("OPENROUTER_API_BASE", "https://elsewhere.example/v1")
    monkeypatch.setenv("OPENROUTER_APP_TITLE", "Other")
    restored = adopt(reload(text))
    assert restored.openrouter_api_base == emulator.base_url
    assert restored.app_title == "App"


@pytest.mark.parametrize("key", [KEY, lambda: KEY])
def test_a_dump_refers_to_the_key(key, make, adopt):
    text = dumps(make(api_key=key))
    assert KEY not in text
    reference = json.loads(text)["kwargs"]["openrouter_api_key"]
    assert reference == {"lc": 1, "type": "secret", "id": ["OPENROUTER_API_KEY"]}
    restored = adopt(reload(text, secrets_map={"OPENROUTER_API_KEY": KEY}))
    assert restored.openrouter_api_key.get_secret_value() == KEY
    assert len(restored.embed_query("text")) == 384


def test_dumpd_and_load_do_the_same(make, adopt):
    embeddings = make(**FULL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        restored = load(
            dumpd(embeddings),
            allowed_objects=[OpenRouterEmbeddings],
            valid_namespaces=["langchain_openrouter_embed"],
        )
    assert adopt(restored).model_dump() == embeddings.model_dump()


def test_a_pickle_holds_no_callable_and_no_session(make, adopt):
    session = requests.Session()
    session.headers["X-Canary"] = "session-canary"
    data = pickle.dumps(make(api_key=lambda: KEY, session=session, on_progress=lambda _: None))
    session.close()
    assert b"session-canary" not in data
    assert b"lambda" not in data
    assert len(data) < 4000
    assert adopt(pickle.loads(data)).session is None


def test_a_restored_object_cannot_silently_lose_a_limiter(make):
    restored = pickle.loads(pickle.dumps(make()))
    limiter = InMemoryRateLimiter(requests_per_second=1000)
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        restored.model_copy(update={"rate_limiter": limiter})
    given = restored.model_copy(update={"rate_limiter": limiter, "api_key": KEY})
    assert given.rate_limiter is limiter
