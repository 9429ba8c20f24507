"""What the constructor takes and refuses, and which attributes may change afterwards."""

from __future__ import annotations

import inspect
import pickle

import pytest
from llama_doubles import KEY, SMALL, CountingLimiter
from llama_index.core.callbacks import CallbackManager
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import ValidationError

from llama_index_openrouter_embed import OpenRouterEmbedding
from llama_index_openrouter_embed._options import ALIASES, FRAMEWORK, VECTOR_OPTIONS
from openrouter_embed import ConfigurationError, Options, ProviderPreferences
from openrouter_embed.emulator import Emulator

OPERATIONAL = {
    "api_key", "encoding_format", "user", "app_url", "app_title", "app_categories",
    "default_headers", "timeout", "deadline", "max_retries", "max_concurrency",
    "max_batch_inputs", "max_batch_tokens", "limiter", "pacer",
    "max_cost", "batch_root", "cache", "refresh", "cache_only",
    "proxy", "ca_bundle",
    "session", "on_progress", "session_id", "trace", "router_cache", "telemetry",
}  # fmt: skip
"""Options of the client that neither change vectors nor decide where texts may go."""


def test_every_option_of_the_client_is_taken_and_was_thought_about():
    """A new option of the client must be sorted: does it change vectors, or where texts go?"""
    sorted_ones = OPERATIONAL | set(VECTOR_OPTIONS) | {"provider", *ALIASES.values()} - {"model"}
    assert set(Options.__annotations__) == sorted_ones


@pytest.mark.parametrize(
    ("llama_name", "client_name", "value"),
    [
        ("model_name", "model", SMALL),
        ("api_base", "base_url", "http://127.0.0.1:9/v1"),
        ("additional_kwargs", "extra_body", {"a": 1}),
    ],
)
def test_both_names_of_an_option_mean_the_same(llama_name, client_name, value):
    defaults = {} if client_name == "model" else {"model": SMALL}
    one = OpenRouterEmbedding(api_key=KEY, **defaults, **{llama_name: value})
    other = OpenRouterEmbedding(api_key=KEY, **defaults, **{client_name: value})
    assert one.to_dict() == other.to_dict()
    assert getattr(one, llama_name) == value
    both = OpenRouterEmbedding(api_key=KEY, **defaults, **{llama_name: value, client_name: value})
    assert both.to_dict() == one.to_dict()


def test_two_values_for_one_option_are_refused():
    with pytest.raises(ConfigurationError, match="`base_url` and `api_base` are the same option"):
        OpenRouterEmbedding(SMALL, api_key=KEY, api_base="https://a.io", base_url="https://b.io")


def test_a_missing_value_among_texts_is_called_one():
    embedding = OpenRouterEmbedding(SMALL, api_key=KEY)
    with pytest.raises(ConfigurationError, match=r"Text 1 is a float \(a missing value in a table"):
        embedding.get_text_embedding_batch(["a", float("nan")])


def test_type_checkers_see_the_constructor_and_not_one_made_of_pydantics_fields():
    assert "__init__" in vars(OpenRouterEmbedding)
    taken = inspect.signature(OpenRouterEmbedding.__init__).parameters
    assert [*taken][:3] == ["self", "model_name", "model"]


def test_without_a_model_one_is_suggested_under_llama_indexs_name():
    with pytest.raises(ConfigurationError, match="model_name='openai/text-embedding-3-small'"):
        OpenRouterEmbedding(api_key=KEY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dimension": 3}, "Did you mean `dimensions`"),
        ({"embed_batchsize": 3}, "Did you mean `embed_batch_size`"),
        ({"api_bas": "x"}, "Did you mean `api_base`"),
        ({"reuse_client": True}, "Unknown argument `reuse_client`. Leave it out"),
        ({"endpoint": "https://a.io"}, "Did you mean `base_url`"),
        ({"show_progress": True}, "show_progress=True"),
        ({"embed_batch_size": 0}, "from 1 to 2048"),
        ({"embed_batch_size": 4096}, "from 1 to 2048"),
        ({"embed_batch_size": True}, "from 1 to 2048"),
        ({"num_workers": 0}, "at least 1"),
        ({"num_workers": "2"}, "at least 1"),
        ({"dimensions": "many"}, "`dimensions`"),
        ({"provider": {"zrd": True}}, "`zdr`"),
        ({"api_base": "ftp://x"}, "`api_base`"),
        ({"max_concurrency": "x", "num_workers": 2}, "`max_concurrency`"),
    ],
)
def test_a_wrong_option_is_a_configuration_error_without_the_key(wrong, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        OpenRouterEmbedding(SMALL, api_key=KEY, **wrong)
    assert not isinstance(caught.value, ValidationError)
    assert KEY not in repr(vars(caught.value)) + str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_validating_a_mapping_does_not_wrap_the_key_into_pydantics_error(make):
    data = {"model_name": SMALL, "api_key": KEY}
    assert OpenRouterEmbedding.model_validate(data).model_name == SMALL
    embedding = make()
    assert OpenRouterEmbedding.model_validate(embedding) is embedding
    with pytest.raises(ConfigurationError, match="Did you mean") as caught:
        OpenRouterEmbedding.model_validate({**data, "dimension": 3})
    assert not isinstance(caught.value, ValidationError)


def test_none_means_the_default():
    names = [*FRAMEWORK, "dimensions", "provider", "timeout", "api_base", "additional_kwargs"]
    plain = OpenRouterEmbedding(SMALL, api_key=KEY)
    unset = OpenRouterEmbedding(SMALL, api_key=KEY, **dict.fromkeys(names))
    assert unset.to_dict() == plain.to_dict()
    assert unset.embed_batch_size == plain.embed_batch_size > 10
    assert isinstance(unset.callback_manager, CallbackManager)


def test_environment_gives_key_and_origin(monkeypatch):
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        OpenRouterEmbedding(SMALL)
    with Emulator(backend="hashed") as server:
        monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
        monkeypatch.setenv("OPENROUTER_API_BASE", server.base_url)
        with OpenRouterEmbedding(SMALL) as embedding:
            assert embedding.api_base == server.base_url
            assert len(embedding.get_query_embedding("x")) == 1536


def test_a_key_may_come_from_a_callable(make, emulator):
    asked = []

    def key():
        asked.append(1)
        return KEY

    make(api_key=key).get_text_embedding("x")
    assert asked


def test_additional_kwargs_headers_and_preferences_reach_the_wire(make, emulator):
    make(
        additional_kwargs={"truncate": "END"},
        default_headers={"X-Team": "search"},
        provider=ProviderPreferences(only=["OpenAI"], zdr=True),
        user="someone",
    ).get_text_embedding("x")
    request = emulator.requests[0]
    assert request.body["truncate"] == "END"
    assert request.body["provider"] == {"only": ["OpenAI"], "zdr": True}
    assert request.body["user"] == "someone"
    assert request.headers["x-team"] == "search"


def test_what_may_change_changes_and_is_checked(make):
    embedding = make()
    store, limiter, manager = SimpleKVStore(), CountingLimiter(), CallbackManager([])
    embedding.embed_batch_size = 7
    embedding.embeddings_cache = store
    embedding.rate_limiter = limiter
    embedding.callback_manager = manager
    assert embedding.to_payload()["embed_batch_size"] == 7
    assert embedding.embeddings_cache is store
    assert embedding.callback_manager is manager
    with pytest.raises(ConfigurationError, match="from 1 to 2048"):
        embedding.embed_batch_size = 0


@pytest.mark.parametrize(
    "name", ["dimensions", "model_name", "api_base", "num_workers", "provider"]
)
def test_what_is_built_into_the_client_does_not_change_silently(make, name):
    embedding = make()
    before = embedding.to_dict()
    with pytest.raises(ConfigurationError, match=f"`{name}` is fixed"):
        setattr(embedding, name, 3)
    assert embedding.to_dict() == before


def test_a_subclass_may_add_fields_and_keeps_them(make, emulator):
    embedding = Tagged(SMALL, api_key=KEY, api_base=emulator.base_url, tag="mine")
    assert embedding.tag == "mine"
    assert embedding.model_copy(update={"dimensions": 8}).tag == "mine"
    assert pickle.loads(pickle.dumps(embedding)).tag == "mine"
    embedding.tag = "yours"
    assert Tagged.from_dict(embedding.to_dict()).tag == "yours"


class Tagged(OpenRouterEmbedding):
    tag: str = "none"
