"""What people write for options out of habit, at each of the four doors."""

from __future__ import annotations

import asyncio
import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from langchain_core.stores import InMemoryByteStore
from llama_index.core.ingestion import IngestionCache
from llama_index.core.storage.kvstore import SimpleKVStore

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import (
    AsyncEmbeddingClient,
    AuthenticationError,
    ConfigurationError,
    EmbeddingClient,
)
from openrouter_embed.emulator import Emulator

SMALL = "openai/text-embedding-3-small"
DOORS = {
    "client": EmbeddingClient,
    "async client": AsyncEmbeddingClient,
    "LangChain": OpenRouterEmbeddings,
    "LlamaIndex": OpenRouterEmbedding,
}
BODY = {
    "client": "extra_body",
    "async client": "extra_body",
    "LangChain": "model_kwargs",
    "LlamaIndex": "additional_kwargs",
}


@pytest.fixture(scope="module")
def emulator():
    with Emulator(backend="hashed", api_key="right") as running:
        yield running


@pytest.fixture(params=DOORS)
def name(request):
    return request.param


@pytest.fixture
def door(name):
    """Make an object of one kind; positionally, which works for all of them."""

    def make(**options):
        return DOORS[name](SMALL, **{"api_key": "k", **options})

    return make


def settings(made):
    """What the client behind any door was told."""
    inner = getattr(made, "_client", None) or getattr(made, "_backend", None) or made
    return inner.settings


def ask(made):
    """Send one text through any door; return its vector's width."""
    if isinstance(made, OpenRouterEmbedding):
        vector = made.get_text_embedding("a")
    elif isinstance(made, AsyncEmbeddingClient):
        vector = asyncio.run(_ask(made))
    else:
        vector = made.embed_query("a")
    getattr(made, "close", lambda: None)()
    return len(vector)


async def _ask(client):
    async with client:
        return await client.embed_query("a")


# ---------------------------------------------------------------- what is put into the body

MISPLACED = {
    "a nest with a preference": (
        {"extra_body": {"provider": {"data_collection": "deny"}}},
        "goes into `{body}` itself ('provider': it is an option of its own, pass `provider=…`)",
    ),
    "a nest with another field": (
        {"extra_body": {"truncate": "END"}}, "what is in it goes into `{body}` itself."),
    "a preference": ({"zdr": True}, "pass `provider={{'zdr': …}}`"),
    "headers": ({"extra_headers": {"X-A": "b"}}, "headers go into `default_headers`"),
    "seconds": ({"timeout": 5}, "holds 'timeout': it is an option of its own"),
    "the key": ({"api_key": "sk-or-v1-fake"}, "holds 'api_key': it is an option of its own"),
    "the key as a header": ({"Authorization": "Bearer sk-or-v1-fake"}, "the key goes into"),
    "the provider": ({"provider": {"zdr": True}}, "it is an option of its own, pass `provider=…`"),
    "an input type": ({"input_type": "query"}, "pass `input_type=` to the call"),
    "retries": ({"max_retries": 3}, "holds 'max_retries': it is an option of its own"),
}  # fmt: skip


@pytest.mark.parametrize("form", MISPLACED)
@pytest.mark.parametrize("spelling", ["the door's own", "the client's"])
def test_people_put_into_the_body_what_belongs_elsewhere(name, door, form, spelling):
    """The message says where it belongs, by the name that was written; it never shows a value."""
    body = BODY[name] if spelling == "the door's own" else "extra_body"
    content, message = MISPLACED[form]
    with pytest.raises(ConfigurationError) as caught:
        door(**{body: content})
    assert message.format(body=body) in str(caught.value)
    assert str(caught.value).startswith(f"`{body}` holds ")
    assert "fake" not in str(caught.value)


def test_people_put_a_preference_into_the_body_of_one_call(emulator):
    client = EmbeddingClient(SMALL, api_key="right", base_url=emulator.base_url)
    with pytest.raises(ConfigurationError, match="provider preference"):
        client.embed("a", extra_body={"zdr": True})
    with pytest.raises(ConfigurationError, match="`extra_body` holds 'extra_headers'"):
        client.stream(["a"], extra_body={"extra_headers": {}})
    embeddings = OpenRouterEmbeddings(SMALL, api_key="right", base_url=emulator.base_url)
    with pytest.raises(ConfigurationError, match="`model_kwargs` holds 'zdr'"):
        embeddings.embed_query("a", model_kwargs={"zdr": True})
    assert emulator.stats.requests == 0


# ---------------------------------------------------------------- numbers of other libraries

NUMBERS = {
    "dimensions": [np.int64(256), np.int8(100), Decimal(256)],
    "timeout": [np.float32(2.5), Decimal("2.5"), Fraction(5, 2), np.array(2.5)],
    "deadline": [np.float64(30.0), Decimal(30)],
    "max_retries": [np.int32(3), np.uint8(0)],
    "max_cost": [Decimal("0.5"), np.float16(0.5)],
    "normalize": [np.bool_(True), np.array(False)],
    "max_concurrency": [np.int64(8)],
    "max_batch_inputs": [np.int64(8)],
}


@pytest.mark.parametrize(
    ("option", "value"), [(o, value) for o, values in NUMBERS.items() for value in values]
)
def test_people_pass_numbers_of_numpy_and_decimal(door, option, value):
    kept = getattr(settings(door(**{option: value})), option)
    assert kept == value
    assert type(kept) in (int, float, bool)


def test_people_pass_numbers_of_numpy_where_llama_index_asks_for_one():
    embedding = OpenRouterEmbedding(
        SMALL, api_key="k", embed_batch_size=np.int64(10), num_workers=np.int64(4)
    )
    assert (embedding.embed_batch_size, embedding.num_workers) == (10, 4)
    assert type(embedding.embed_batch_size) is int


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dimensions", np.float64(256.0)),
        ("dimensions", np.bool_(True)),
        ("dimensions", Decimal("2.5")),
        ("timeout", np.float64("nan")),
        ("timeout", Decimal("NaN")),
        ("timeout", Decimal("sNaN")),
        ("timeout", Decimal("Infinity")),
        ("timeout", np.array([1.0])),
        ("normalize", np.int64(1)),
    ],
)
def test_what_is_no_such_number_is_refused_all_the_same(door, option, value):
    with pytest.raises(ConfigurationError, match=f"`{option}` must be"):
        door(**{option: value})


def test_people_pass_numbers_of_numpy_in_preferences_and_bodies(door):
    made = settings(
        door(
            provider={"zdr": np.bool_(True), "preferred_min_throughput": np.float32(5)},
            extra_body={"top_k": np.int64(3), "nested": {"list": [np.float64(0.5)]}},
        )
    )
    assert made.provider.zdr is True
    assert made.provider.preferred_min_throughput == 5.0
    assert made.extra_body == {"top_k": 3, "nested": {"list": [0.5]}}


# ---------------------------------------------------------------- names

BROUGHT = {
    "site_url": "app_url",
    "http_referer": "app_url",
    "site_name": "app_title",
    "x_title": "app_title",
    "max_workers": "max_concurrency",
    "verify": "ca_bundle",
    "truncate": "long_input",
    "truncation": "long_input",
    "output_dimension": "dimensions",
    "truncate_dim": "dimensions",
    "normalize_embeddings": "normalize",
    "http_client": "session",
    "proxies": "proxy",
    "extra_headers": "default_headers",
    "max_tries": "max_retries",
    "total_timeout": "deadline",
    "baseURL": "base_url",
    "apiKey": "api_key",
    "openai_api_key": "api_key",
    "budget": "max_cost",
    "query_instruction_for_retrieval": "query_instruction",
    "dimension": "dimensions",
    "encode_kwargs": "normalize",
    "max_length": "long_input",
}


@pytest.mark.parametrize("brought", BROUGHT)
def test_people_bring_the_names_of_other_libraries(door, brought):
    with pytest.raises(ConfigurationError) as caught:
        door(**{brought: 1})
    assert str(caught.value).endswith(f"`{brought}`. Did you mean `{BROUGHT[brought]}`?")


TOLD = {
    "requests_per_minute": "paced by what the server bears",
    "zdr": "pass `provider={'zdr': …}`",
    "task": "Roles follow the method",
    "role": "Roles follow the method",
    "mode": "Roles follow the method",
    "tiktoken_enabled": "Leave it out",
    "models": "One client has one model",
}


@pytest.mark.parametrize("brought", TOLD)
def test_people_bring_names_that_have_no_counterpart(door, brought):
    with pytest.raises(ConfigurationError) as caught:
        door(**{brought: 1})
    assert TOLD[brought] in str(caught.value)


def test_llama_index_has_no_role_in_a_call_to_send_people_to():
    with pytest.raises(ConfigurationError, match="set `query_input_type` and"):
        OpenRouterEmbedding(SMALL, api_key="k", input_type="clustering")


def test_people_pass_their_key_in_the_model_s_place_and_it_is_not_shown(name):
    for key in ("sk-or-v1-fake", "Bearer sk-or-v1-fake"):
        with pytest.raises(ConfigurationError, match="pass a model's id") as caught:
            DOORS[name](key, api_key="k")
        assert "fake" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "said"),
    [("Bearer sk-or-v1-fake", "`Bearer`, which is added here"), ("", "Pass a key, or pass none")],
)
def test_people_pass_more_than_the_key_or_nothing(door, key, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        door(api_key=key)
    assert "fake" not in str(caught.value)


def test_people_pass_a_framework_s_store_for_a_cache(door):
    for store in (SimpleKVStore(), IngestionCache(), InMemoryByteStore()):
        with pytest.raises(ConfigurationError, match=r"LangChain's .* LlamaIndex's into"):
            door(cache=store)


def test_people_pass_a_host_s_name_for_preferences(door):
    with pytest.raises(ConfigurationError, match=r"such as `\{'only': \['openai'\]\}`"):
        door(provider="openai")


def test_people_ask_llama_index_for_a_bar_where_the_call_has_one():
    with pytest.raises(ConfigurationError, match=r"get_text_embedding_batch\(…, show_progress="):
        OpenRouterEmbedding(SMALL, api_key="k", show_progress_bar=True)


WORDS = [
    ("LangChain", {"chunk_size": 0}, "`chunk_size` must be"),
    ("LangChain", {"max_batch_inputs": 0}, "`max_batch_inputs` must be"),
    ("LangChain", {"model_kwargs": 3}, "`model_kwargs` takes a mapping"),
    ("LangChain", {"request_timeout": 0}, "`request_timeout` must be"),
    ("LangChain", {"timeout": 0}, "`timeout` must be"),
    ("LangChain", {"openrouter_api_base": "x"}, "`openrouter_api_base` must be"),
    ("LangChain", {"base_url": "x"}, "`base_url` must be"),
    ("LangChain", {"openrouter_provider": {"zdr": 1}}, "`openrouter_provider.zdr` is"),
    ("LangChain", {"show_progress_bar": 3}, "`show_progress_bar` must be"),
    ("LangChain", {"openrouter_api_key": " ", "api_key": ...}, "`openrouter_api_key` argument is"),
    ("LlamaIndex", {"api_base": "x"}, "`api_base` must be"),
    ("LlamaIndex", {"base_url": "x"}, "`base_url` must be"),
    ("LlamaIndex", {"additional_kwargs": 3}, "`additional_kwargs` takes a mapping"),
    ("LlamaIndex", {"embed_batch_size": 0}, "`embed_batch_size` must be"),
    ("LlamaIndex", {"max_batch_inputs": 0}, "`max_batch_inputs` must be"),
    ("LlamaIndex", {"num_workers": 0}, "`num_workers` must be"),
    ("client", {"base_url": "x"}, "`base_url` must be"),
    ("client", {"max_batch_inputs": 0}, "`max_batch_inputs` must be"),
]


@pytest.mark.parametrize(("kind", "options", "message"), WORDS)
def test_a_message_names_the_option_as_it_was_written(kind, options, message):
    given = {n: v for n, v in {"api_key": "k", **options}.items() if v is not ...}
    with pytest.raises(ConfigurationError) as caught:
        DOORS[kind](SMALL, **given)
    assert message in str(caught.value)


def test_a_message_of_one_call_names_the_option_as_langchain_does(emulator):
    with OpenRouterEmbeddings(SMALL, api_key="right", base_url=emulator.base_url) as embeddings:
        for options, message in (
            ({"chunk_size": 0}, "`chunk_size` must be"),
            ({"request_timeout": 0}, "`request_timeout` must be"),
            ({"timeout": 0}, "`timeout` must be"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                embeddings.embed_documents(["a"], **options)


# ---------------------------------------------------------------- where to send, and the key


def test_people_pass_the_model_first(door):
    assert settings(door()).model == SMALL


def test_people_set_openrouter_base_url(monkeypatch, door, emulator):
    monkeypatch.setenv("OPENROUTER_BASE_URL", emulator.base_url)
    made = door(api_key="right", dimensions=8)
    assert settings(made).base_url == emulator.base_url
    assert ask(made) == 8


def test_people_set_both_variables_of_the_base_url(monkeypatch, door):
    monkeypatch.setenv("OPENROUTER_BASE_URL", "http://localhost:2/v1")
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://localhost:1/v1")
    assert settings(door()).base_url == "http://localhost:1/v1"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_people_have_a_key_in_quotes_from_an_env_file(monkeypatch, door, quote):
    monkeypatch.setenv("OPENROUTER_API_KEY", f"{quote}sk-or-v1-fake{quote}")
    with pytest.raises(ConfigurationError, match="API_KEY stands in quotation") as caught:
        door(api_key=None)
    assert "fake" not in str(caught.value)


def test_people_have_no_key_yet(door):
    with pytest.raises(ConfigurationError) as caught:
        door(api_key=None)
    assert "https://openrouter.ai/settings/keys" in str(caught.value)
    assert "`openrouter-embed serve`" in str(caught.value)


@pytest.mark.parametrize("copied", ["as made", "copied", "changed"])
def test_people_have_a_wrong_key_in_the_environment(monkeypatch, name, door, emulator, copied):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-fake")
    made = door(api_key=None, base_url=emulator.base_url)
    if copied != "as made":
        made = copy.copy(made)
    if copied == "changed" and hasattr(made, "model_copy"):
        made = made.model_copy(update={"timeout": 9.0})
    with pytest.raises(AuthenticationError) as caught:
        ask(made)
    told = "The key was refused. It came from the environment variable OPENROUTER_API_KEY:"
    assert str(caught.value).startswith(told)


def test_people_have_a_wrong_key_in_an_argument(door, emulator):
    with pytest.raises(AuthenticationError) as caught:
        ask(door(api_key="sk-or-v1-fake", base_url=emulator.base_url))
    assert "It came from the `api_key` argument:" in str(caught.value)


def test_people_send_an_object_to_a_worker_that_has_no_key(door, emulator):
    made = pickle.loads(pickle.dumps(door(base_url=emulator.base_url)))
    with pytest.raises(ConfigurationError) as caught:
        ask(made)
    assert "this object was restored" in str(caught.value)
    assert "In the process that uses it set the environment variable" in str(caught.value)


# ---------------------------------------------------------------- options of an object

ADAPTERS = ["LangChain", "LlamaIndex"]


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("option", ["timeout", "base_url", "extra_body", "max_retries", "provider"])
def test_people_read_an_option(kind, option):
    made = DOORS[kind](SMALL, api_key="k", timeout=7.0, max_retries=3)
    expected = {"timeout": 7.0, "max_retries": 3}.get(option)
    assert getattr(made, option) == expected if expected else hasattr(made, option)


@pytest.mark.parametrize("option", ["timeout", "max_retries", "api_key", "model"])
def test_people_assign_an_option(door, option):
    made = door()
    with pytest.raises(ConfigurationError, match=f"`{option}` (is fixed|cannot be changed)"):
        setattr(made, option, 5)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_people_assign_a_name_that_is_none(kind):
    made = DOORS[kind](SMALL, api_key="k")
    with pytest.raises(ConfigurationError, match="Did you mean `dimensions`"):
        made.dimension = 3
    with pytest.raises(AttributeError):
        _ = made.dimension


@pytest.mark.parametrize("kind", ADAPTERS)
def test_reading_the_key_shows_nothing(kind):
    made = DOORS[kind](SMALL, api_key="sk-or-v1-fake")
    assert "fake" not in repr(made.api_key)
