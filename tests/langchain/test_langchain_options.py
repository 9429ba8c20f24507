"""Names, aliases, environment and what happens to a wrong option."""

from __future__ import annotations

import pytest
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from pydantic import SecretStr

from langchain_openrouter_embed import OpenRouterEmbeddings
from langchain_openrouter_embed._options import FIELD_OF, EmbeddingsOptions, EmbedOptions
from openrouter_embed import CallOptions, ConfigurationError, Options, ProviderPreferences

ALIASES = [
    ("openrouter_api_key", "api_key", "sk-other"),
    ("openrouter_api_base", "base_url", "https://gateway.example/v1"),
    ("openrouter_provider", "provider", {"zdr": True}),
    ("request_timeout", "timeout", 7.5),
    ("model_kwargs", "extra_body", {"newer": "x"}),
    ("chunk_size", "max_batch_inputs", 3),
]


def shown(embeddings, field):
    value = getattr(embeddings, field)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize(("field", "alias", "value"), ALIASES)
def test_a_field_can_be_set_by_its_name_and_by_its_alias(field, alias, value):
    for name in (field, alias):
        options = {"model": "m", "api_key": "sk-test"}
        if field == "openrouter_api_key":
            del options["api_key"]
        assert shown(OpenRouterEmbeddings(**options, **{name: value}), field) == value


@pytest.mark.parametrize(("field", "alias", "value"), ALIASES)
def test_one_option_under_two_names_is_refused(field, alias, value):
    with pytest.raises(ConfigurationError, match=f"`{alias}` and `{field}` are one option"):
        OpenRouterEmbeddings(model="m", **{field: value, alias: value})


def test_every_option_of_the_client_is_a_field():
    fields = set(OpenRouterEmbeddings.model_fields)
    assert {FIELD_OF.get(name, name) for name in Options.__annotations__} <= fields


def test_type_checkers_know_every_name():
    names = {"model", *EmbeddingsOptions.__annotations__}
    assert names == set(OpenRouterEmbeddings.model_fields) | set(FIELD_OF)
    assert set(CallOptions.__annotations__) < set(EmbedOptions.__annotations__)


def test_defaults_are_those_of_the_client():
    embeddings = OpenRouterEmbeddings(model="m", api_key="sk-test")
    unset = {name: field.default for name, field in OpenRouterEmbeddings.model_fields.items()}
    own = {"model", "openrouter_api_key", "openrouter_api_base"}
    assert {n: v for n, v in unset.items() if n not in own} == {
        n: getattr(embeddings, n) for n in unset if n not in own
    }


def test_none_is_unset_but_for_roles():
    embeddings = OpenRouterEmbeddings(
        model="m", api_key="k", timeout=None, max_retries=None, app_url=None, query_prefix=None
    )
    assert embeddings.request_timeout == 60.0
    assert embeddings.query_prefix is None


def test_a_missing_value_among_texts_is_called_one():
    embeddings = OpenRouterEmbeddings(model="m", api_key="k")
    with pytest.raises(ConfigurationError, match=r"Text 1 is a float \(a missing value in a table"):
        embeddings.embed_documents(["a", float("nan")])


def test_an_argument_that_is_not_needed_here_is_refused_as_such():
    with pytest.raises(ConfigurationError, match=r"`check_embedding_ctx_length`\. Leave it out"):
        OpenRouterEmbeddings(model="m", check_embedding_ctx_length=False)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("dimension", "dimensions"),
        ("openrouter_key", "openrouter_api_key"),
        ("apikey", "api_key"),
        ("api_base", "base_url"),
        ("batch_size", "max_batch_inputs"),
        ("num_workers", "max_concurrency"),
        ("show_progress", "show_progress_bar"),
        ("output_dimensionality", "dimensions"),
    ],
)
def test_an_unknown_argument_suggests_what_it_is_called_here_or_the_nearest(name, meant):
    with pytest.raises(ConfigurationError, match=f"`{name}`. Did you mean `{meant}`"):
        OpenRouterEmbeddings(model="m", **{name: 3})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("dimensions", 0),
        ("dimensions", "3"),
        ("request_timeout", "soon"),
        ("max_retries", -1),
        ("max_retries", True),
        ("openrouter_provider", {"nonsense": 1}),
        ("openrouter_provider", "OpenAI"),
        ("encoding_format", "int8"),
        ("app_categories", "one"),
        ("default_headers", {"Authorization": "Bearer sk"}),
        ("model_kwargs", {"input": "x"}),
        ("show_progress_bar", "yes"),
        ("rate_limiter", object()),
        ("limiter", object()),
        ("chunk_size", 0),
        ("on_progress", 3),
        ("model", ""),
        ("model", None),
    ],
)
def test_a_wrong_value_is_a_configuration_error(option, value):
    with pytest.raises(ConfigurationError):
        OpenRouterEmbeddings(**{"model": "m", "api_key": "sk-test", option: value})


def test_a_missing_model_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="Which model"):
        OpenRouterEmbeddings(api_key="sk-test")


@pytest.mark.parametrize("options", [{}, {"api_key": None}, {"openrouter_api_key": None}])
def test_without_any_key_construction_fails_and_names_the_variable(options):
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        OpenRouterEmbeddings(model="m", **options)


@pytest.mark.parametrize("key", ["", "two words", SecretStr(""), 7])
def test_a_key_that_cannot_be_sent_is_refused_at_once(key):
    with pytest.raises(ConfigurationError, match="API key"):
        OpenRouterEmbeddings(model="m", api_key=key)


def test_empty_variables_count_as_unset(monkeypatch):
    for name in ("API_BASE", "APP_URL", "APP_TITLE", "API_KEY"):
        monkeypatch.setenv(f"OPENROUTER_{name}", "")
    embeddings = OpenRouterEmbeddings(model="m", api_key="sk-test")
    assert embeddings.openrouter_api_base == "https://openrouter.ai/api/v1"
    assert (embeddings.app_url, embeddings.app_title) == (None, None)
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        OpenRouterEmbeddings(model="m")


def test_a_wrong_key_in_the_environment_is_blamed_on_the_environment(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "two words")
    with pytest.raises(ConfigurationError, match="environment variable OPENROUTER_API_KEY"):
        OpenRouterEmbeddings(model="m")


def test_the_key_of_the_environment_is_that_of_the_moment_of_construction(
    adopt, make, emulator, monkeypatch
):
    """As with LangChain's other classes: tenants built one after another keep their own keys."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-first")
    embeddings = make(api_key=None)
    monkeypatch.delenv("OPENROUTER_API_KEY")
    assert len(embeddings.embed_query("text")) == 384


def test_a_callable_key_is_asked_for_requests(make):
    asked = []

    def key():
        asked.append(1)
        return "sk-fresh"

    embeddings = make(api_key=key)
    assert not asked
    embeddings.embed_query("text")
    assert asked


def test_provider_preferences_are_accepted_as_an_object():
    preferences = ProviderPreferences(only=["OpenAI"], allow_fallbacks=False)
    embeddings = OpenRouterEmbeddings(model="m", api_key="k", provider=preferences)
    assert embeddings.openrouter_provider == {"only": ["OpenAI"], "allow_fallbacks": False}


def test_attribution_is_not_langchains_unless_asked(make, emulator):
    make().embed_query("text")
    make(app_url="https://app.example", app_title="App", app_categories=["a", "b"]).embed_query("t")
    plain, named = (request.headers for request in emulator.requests)
    assert "http-referer" not in plain
    assert "x-openrouter-title" not in plain
    assert named["http-referer"] == "https://app.example"
    assert named["x-openrouter-title"] == "App"
    assert named["x-openrouter-categories"] == "a,b"


def test_options_reach_the_wire(make, emulator):
    make(
        dimensions=None,
        model_kwargs={"newer": {"a": 1}},
        provider={"allow_fallbacks": True},
        user="someone",
        default_headers={"X-Team": "search"},
    ).embed_documents(["text"])
    (request,) = emulator.requests
    assert request.body["newer"] == {"a": 1}
    assert request.body["provider"] == {"allow_fallbacks": True}
    assert request.body["user"] == "someone"
    assert request.headers["x-team"] == "search"


def test_chunk_size_bounds_a_request(make, emulator):
    make(chunk_size=3).embed_documents([f"text {n}" for n in range(7)])
    assert sorted(len(request.body["input"]) for request in emulator.requests) == [1, 3, 3]


class Counter(BaseRateLimiter):
    def __init__(self, granted=True):
        self.calls = []
        self.granted = granted

    def acquire(self, *, blocking=True):
        self.calls.append(("sync", blocking))
        return self.granted

    async def aacquire(self, *, blocking=True):
        self.calls.append(("async", blocking))
        return self.granted


async def test_a_rate_limiter_is_asked_once_per_request(make, emulator):
    limiter = Counter()
    embeddings = make(rate_limiter=limiter, chunk_size=2)
    embeddings.embed_documents(["a", "b", "c", "d", "e"])
    assert limiter.calls == [("sync", True)] * emulator.stats.requests == [("sync", True)] * 3
    await embeddings.aembed_documents(["f", "g", "h"])
    assert limiter.calls[3:] == [("async", True)] * 2


async def test_nothing_is_sent_when_a_rate_limiter_gives_up(make, emulator):
    embeddings = make(rate_limiter=Counter(granted=False))
    with pytest.raises(Exception, match="TimeoutError"):
        embeddings.embed_query("text")
    with pytest.raises(Exception, match="TimeoutError"):
        await embeddings.aembed_query("text")
    assert emulator.stats.requests == 0


def test_langchains_own_rate_limiter_works(make):
    limiter = InMemoryRateLimiter(
        requests_per_second=1000, check_every_n_seconds=0.001, max_bucket_size=10
    )
    assert len(make(rate_limiter=limiter, chunk_size=1).embed_documents(["a", "b"])) == 2


def test_rate_limiter_and_limiter_exclude_each_other():
    class Tokens:
        def acquire(self, tokens): ...
        async def aacquire(self, tokens): ...

    with pytest.raises(ConfigurationError, match="not both"):
        OpenRouterEmbeddings(model="m", api_key="k", rate_limiter=Counter(), limiter=Tokens())


@pytest.mark.parametrize("field", ["openrouter_api_key", "dimensions", "model"])
def test_a_field_cannot_be_changed_behind_the_clients_back(field):
    embeddings = OpenRouterEmbeddings(model="m", api_key="sk-canary")
    with pytest.raises(ConfigurationError, match=f"`{field}`.*model_copy"):
        setattr(embeddings, field, "sk-other")


def test_a_subclass_may_have_fields_of_its_own():
    class Ours(OpenRouterEmbeddings):
        tenant: int = 0

    assert Ours(model="m", api_key="k", tenant=7).tenant == 7
    with pytest.raises(ConfigurationError, match="tenant"):
        Ours(model="m", api_key="k", tenant="sk-canary")
