"""Options are checked once, before anything is sent, and the key shows itself to nobody."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
import pickle
import traceback

import pytest

from openrouter_embed import Pacer
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.checks import DEFAULT_BASE_URL
from openrouter_embed.options.key import Secret, check_key, read_key
from openrouter_embed.options.keywords import Options
from openrouter_embed.options.provider import ProviderPreferences
from openrouter_embed.options.settings import Settings, from_environment, make_settings
from openrouter_embed.options.table import CALL_OPTIONS, OPTIONS

KEY = "sk-or-v1-CANARY0123456789"
MODEL = "openai/text-embedding-3-small"


def make(environ=None, /, **options):
    return make_settings({"model": MODEL, "api_key": KEY, **options}, environ or {})


class Quota:
    def acquire(self, tokens):
        """Let everything through."""

    async def aacquire(self, tokens):
        """Let everything through."""


# ---------------------------------------------------------------- every option's check


class Store:
    def get(self, keys):
        return []

    def put(self, keys, vectors, *, host="", replace=False):
        pass


GOOD = {
    "model": [" a/b ", "m"],
    "api_key": [KEY, f" {KEY}\n", lambda: KEY, Secret(KEY)],
    "base_url": ["https://x.example/v1/", "http://localhost:8080/v1", "http://[::1]:1/v1",
                 "http://127.0.0.1/v1", DEFAULT_BASE_URL],
    "dimensions": [None, 1, 4096],
    "encoding_format": ["auto", "float", "base64"],
    "query_input_type": [None, "auto", "query"],
    "document_input_type": [None, "auto", "passage"],
    "query_prefix": [None, "", "auto", "query: "],
    "document_prefix": [None, "", "auto", "passage: "],
    "query_instruction": [None, "Find it"],
    "provider": [None, {"only": ["x"]}, ProviderPreferences(zdr=True)],
    "user": [None, "u-1"],
    "app_url": [None, "https://a.example"],
    "app_title": [None, "An App", "Caf\xe9"],
    "app_categories": [None, [], ["rag", "search"]],
    "default_headers": [None, {}, {"X-Team": "a b", "X-Empty": ""}],
    "session_id": [None, "s", "x" * 256],
    "trace": [None, {}, {"trace_id": "t", "more": [1]}],
    "extra_body": [None, {}, {"later": {"a": [1]}}],
    "timeout": [0.1, 60, 1e6],
    "deadline": [None, 0.1, 3600],
    "max_retries": [0, 1, 99],
    "max_concurrency": [1, 500],
    "max_batch_inputs": [None, 1, 2048],
    "max_batch_tokens": [None, 1, 10**6],
    "limiter": [None, Quota()],
    "pacer": [None, Pacer(4)],
    "long_input": ["error", "split"],
    "empty": ["error", "zeros"],
    "normalize": [True, False, "auto"],
    "router_cache": [True, False, 1, 90.5, 86_400],
    "pin_provider": [True, False],
    "batch_root": [None, "/api/beta", "/v1"],
    "max_cost": [None, 0, 0.5, 10],
    "cache": [None, "/vectors.sqlite", pathlib.Path("/vectors.sqlite"), Store()],
    "refresh": [True, False],
    "cache_only": [True, False],
    "telemetry": [True, False],
    "proxy": [None, "http://proxy.example:3128", "https://u:p@proxy.example"],
    "ca_bundle": [None, __file__],
    "session": [None, object()],
    "on_progress": [None, print],
}  # fmt: skip

NO_HEADER = ["a\r\nb", "a\nX-Evil: 1", "a\x00b", "\u2019", "\x1b[31m", "a\x7f"]
BAD = {
    "cache": ["", 3, "/", "/no/such/folder/x", "\0", {}, dict, [], object()],
    "refresh": [None, 1, "yes"],
    "cache_only": [None, 0, "no"],
    "telemetry": [None, 1, "perhaps"],
    "model": ["", "  ", 3, b"m", "\ud800"],
    "api_key": ["", "  ", 3, b"x", "a b", "a\nb", "a\r\nX: y", "a\x00", "sk-\u2019"],
    "base_url": ["", 3, "ftp://x", "file:///etc/passwd", "x.example/v1", "https://", "https://a b/",
                 "https://u:p@x.example/v1", "https://u@x.example", "https://x.example/v1?k=v",
                 "https://x.example/v1#f", "https://x.example/v1/embeddings", "https://[::1",
                 "https://x.example:99999/v1", "https://x.example:port/", "https://\u2019.example",
                 "https://x.example/v1?", "https://x\n.example"],
    "dimensions": [0, -1, 1.5, "8", True],
    "encoding_format": ["base32", None, 3, ["float"]],
    "query_input_type": ["", 3],
    "document_input_type": [" ", []],
    "query_prefix": [3, b"q", "\ud800"],
    "document_prefix": [["p"]],
    "query_instruction": ["", 3],
    "provider": [3, "DeepInfra", {"onyl": ["x"]}, {"only": []}],
    "user": ["", 3, "\ud800"],
    "app_url": [*NO_HEADER, 3],
    "app_title": [*NO_HEADER, 3],
    "app_categories": ["rag", 3, ["a\nb"], [3], [""]],
    "default_headers": [3, ["a"], {"a": 3}, {3: "a"}, {"": "a"}, {"a b": "c"}, {"a\r\n": "c"},
                        {"a:": "c"}, {"\xe9": "c"}, {"Authorization": "Bearer x"}, {"HOST": "x"},
                        {"Cookie": "x"}, {"content-length": "3"}, {"Transfer-Encoding": "chunked"},
                        *({"X-A": value} for value in NO_HEADER)],
    "session_id": ["", 3, "x" * 257, "\ud800"],
    "trace": [3, "t", {"a": float("nan")}, {"a": {1}}],
    "extra_body": [3, ["a"], {"input": "x"}, {"model": "m"}, {"dimensions": 3}, {"a": None},
                   {"a": object()}, {"a": [float("nan")]}, {"a": "\ud800"}, {"a": {1, 2}}],
    "timeout": [0, -1, "60", None, True, float("nan"), float("inf")],
    "deadline": [0, -1, "60", True],
    "max_retries": [-1, 1.5, "5", True, None],
    "max_concurrency": [0, -1, "5", True, None],
    "max_batch_inputs": [0, "5", True],
    "max_batch_tokens": [0, "5", True],
    "limiter": [3, object()],
    "pacer": [3, object()],
    "long_input": ["cut", None],
    "empty": ["skip", None],
    "normalize": [None, 1, "yes"],
    "router_cache": [None, 0, "yes", 86_401, float("nan")],
    "pin_provider": [None, 0],
    "batch_root": ["", "/", 3, "api/beta", "https://x.example/v1", "/a/../b", "/a b", "/a?b"],
    "max_cost": [-1, "1", True, float("nan")],
    "proxy": ["socks4://x", "x:3128", "http://a b", 3, "", "http://", "http://[::1"],
    "ca_bundle": ["/no/such/file.pem", 3, "", "a\0b"],
    "on_progress": [3, "print"],
}  # fmt: skip


def pairs(table):
    return [
        pytest.param(name, value, id=f"{name}-{at}")
        for name, values in table.items()
        for at, value in enumerate(values)
    ]


@pytest.mark.parametrize(("name", "value"), pairs(GOOD))
def test_a_good_option_is_kept(name, value):
    kept = getattr(make().replace(**{name: value}), name)
    if isinstance(value, str) and name not in ("api_key", "base_url"):
        assert kept == (value if "prefix" in name else value.strip())


@pytest.mark.parametrize(("name", "value"), pairs(BAD))
def test_a_bad_option_is_refused_by_name_and_not_quoted(name, value):
    with pytest.raises(ConfigurationError) as caught:
        make().replace(**{name: value})
    said = str(caught.value)
    shown = {"api_key": "API key", "provider": "provider"}.get(name, f"`{name}")
    assert shown in said
    assert said.isprintable()
    assert "CANARY" not in said


def test_the_tables_above_know_every_option():
    fields = {field.name for field in dataclasses.fields(Settings)} - {"key_origin"}
    assert set(GOOD) == fields == set(OPTIONS)
    assert set(BAD) == fields - {"session"}
    assert fields - {"model"} == set(Options.__annotations__)


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(ConfigurationError, match=r"`max_retry`. Did you mean `max_retries`\?"):
        make(max_retry=3)


def test_without_a_model_one_is_suggested():
    with pytest.raises(ConfigurationError, match="Which model"):
        make_settings({"api_key": KEY}, {})


def test_none_means_the_default_where_it_means_nothing_else():
    made = make(timeout=None, max_retries=None, base_url=None, query_prefix=None)
    assert (made.timeout, made.base_url) == (60.0, DEFAULT_BASE_URL)
    assert made.query_prefix is None


def test_plain_http_to_another_machine_is_warned_of():
    with pytest.warns(UserWarning, match="unencrypted"):
        make(base_url="http://x.example/v1")


def test_a_refused_base_url_does_not_show_its_credentials():
    with pytest.raises(ConfigurationError) as caught:
        make(base_url="https://CANARY:pass@x.example/v1")
    assert "CANARY" not in str(caught.value)


def test_settings_are_frozen_and_replaced_by_checked_copies():
    made = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.timeout = 3
    other = made.replace(timeout=3, dimensions=8)
    assert (other.timeout, other.dimensions, made.dimensions) == (3.0, 8, None)
    with pytest.raises(ConfigurationError):
        made.replace(timeot=3)


def test_what_belongs_to_the_connections_cannot_be_changed_by_one_call():
    assert not CALL_OPTIONS & {"api_key", "base_url", "session", "proxy", "max_concurrency"}
    assert {"dimensions", "timeout", "model", "provider"} <= CALL_OPTIONS


# ---------------------------------------------------------------- environment

ENVIRON = {
    "OPENROUTER_API_KEY": KEY,
    "OPENROUTER_API_BASE": "https://env.example/v1",
    "OPENROUTER_APP_URL": "https://app.example",
    "OPENROUTER_APP_TITLE": "Env App",
}


def test_the_environment_fills_what_was_not_given():
    made = make_settings({"model": MODEL, "api_key": None}, ENVIRON)
    assert made.base_url == "https://env.example/v1"
    assert (made.app_url, made.app_title) == ("https://app.example", "Env App")
    assert made.authorization() == f"Bearer {KEY}"


def test_an_argument_wins_over_the_environment():
    made = make(ENVIRON, base_url="https://own.example/v1", app_title="Mine", api_key="own-key-1")
    assert (made.base_url, made.app_title) == ("https://own.example/v1", "Mine")
    assert made.authorization() == "Bearer own-key-1"


def test_empty_variables_count_as_unset():
    assert from_environment(dict.fromkeys(ENVIRON, "")) == {}
    with pytest.raises(ConfigurationError, match="No API key"):
        make_settings({"model": MODEL}, {"OPENROUTER_API_KEY": ""})


@pytest.mark.parametrize(
    ("word", "meant"),
    [("false", False), ("0", False), ("Off", False), (" no ", False), ("true", True), ("1", True)],
)
def test_a_word_of_the_environment_turns_telemetry_off(word, meant):
    assert make({"OPENROUTER_EMBED_OTEL": word}).telemetry is meant


def test_an_argument_turns_telemetry_on_whatever_the_environment_says():
    assert make({"OPENROUTER_EMBED_OTEL": "false"}, telemetry=True).telemetry is True


def test_a_word_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="`OPENROUTER_EMBED_OTEL` must be True or False"):
        make({"OPENROUTER_EMBED_OTEL": "maybe"})


def test_a_bad_variable_is_refused_under_its_own_name():
    with pytest.raises(ConfigurationError, match="`OPENROUTER_API_BASE` must be an http"):
        make({"OPENROUTER_API_BASE": "ftp://x"})
    with pytest.raises(ConfigurationError, match="environment variable OPENROUTER_API_KEY"):
        make_settings({"model": MODEL}, {"OPENROUTER_API_KEY": "a b"})


# ---------------------------------------------------------------- the key


def test_without_any_key_construction_fails_and_names_the_variable():
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        make_settings({"model": MODEL}, {})


def test_a_key_may_be_left_for_later():
    made = make_settings({"model": MODEL}, {}, key_required=False)
    assert made.api_key is None


def test_white_space_around_a_key_from_a_file_is_dropped():
    assert check_key(f"\n {KEY}\r\n", "here") == KEY


@pytest.mark.parametrize("value", [None, 3, b"x", "", " \n", "a b", "a\x00b", "\u2019", "a\r\nb"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(value):
    with pytest.raises(ConfigurationError) as caught:
        check_key(f"CANARY{value}" if value in ("a b", "a\x00b") else value, "here")
    assert "here" in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_key_comes_from_where_it_is_given():
    assert read_key(Secret(KEY), {}).reveal() == KEY
    assert read_key(print, {}) is print
    assert read_key(None, ENVIRON).reveal() == KEY


def test_a_callable_is_asked_for_every_request():
    keys = iter(["key-one-1", " key-two-2 "])
    made = make(api_key=lambda: next(keys))
    assert made.authorization() == "Bearer key-one-1"
    assert made.authorization() == "Bearer key-two-2"


def test_a_callable_that_fails_is_named_without_its_message():
    def broken():
        raise RuntimeError(KEY)

    with pytest.raises(ConfigurationError, match="failed with RuntimeError") as caught:
        make(api_key=broken).authorization()
    text = "".join(traceback.format_exception(caught.value))
    assert "CANARY" not in text
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_callable_that_gives_no_key_is_refused():
    with pytest.raises(ConfigurationError, match="callable"):
        make(api_key=lambda: "a b").authorization()


def test_a_key_that_was_left_for_later_is_read_from_the_process(monkeypatch):
    made = make_settings({"model": MODEL}, {}, key_required=False)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert made.authorization() == f"Bearer {KEY}"
    monkeypatch.delenv("OPENROUTER_API_KEY")
    with pytest.raises(ConfigurationError, match="No API key"):
        made.authorization()


@pytest.mark.parametrize("show", [repr, str, lambda s: repr(vars(type(s))), lambda s: f"{s}"])
def test_no_way_of_showing_settings_shows_the_key(show):
    made = make(default_headers={"X-Secret": "CANARY"}, proxy="http://u:CANARY@proxy.example")
    assert "CANARY" not in show(made)


def test_a_secret_hides_and_does_not_travel():
    secret = Secret(KEY)
    assert "CANARY" not in repr(secret) + str(secret)
    assert copy.deepcopy(secret) is secret
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_a_pickle_holds_no_key_no_callable_and_no_session():
    made = make(limiter=Quota(), session=object(), on_progress=lambda _: None, dimensions=8)
    raw = pickle.dumps(made)
    assert b"CANARY" not in raw
    twin = pickle.loads(raw)
    assert (twin.api_key, twin.limiter, twin.session, twin.on_progress) == (None,) * 4
    assert (twin.model, twin.dimensions) == (MODEL, 8)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_within_the_process_keeps_the_key(duplicate):
    assert duplicate(make()).authorization() == f"Bearer {KEY}"


# ---------------------------------------------------------------- headers


def test_headers_name_us_and_the_app():
    made = make(app_url="https://a.example", app_title="A", app_categories=["x", "y"])
    headers = made.headers()
    assert headers["HTTP-Referer"] == "https://a.example"
    assert headers["X-OpenRouter-Title"] == "A"
    assert headers["X-OpenRouter-Categories"] == "x,y"
    assert headers["User-Agent"].startswith("openrouter-embed/")
    assert "Authorization" not in headers


def test_headers_that_were_not_set_are_not_sent():
    assert set(make().headers()) == {"Accept", "Content-Type", "User-Agent"}


def test_the_user_s_own_header_wins_whatever_its_case():
    headers = make(default_headers={"user-agent": "mine", "X-A": "1"}).headers()
    assert headers["user-agent"] == "mine"
    assert "User-Agent" not in headers
    assert headers["X-A"] == "1"


# ---------------------------------------------------------------- roles

PREFIXED = "intfloat/e5-base-v2"
TYPED = "voyageai/voyage-4"
INSTRUCTED = "qwen/qwen3-embedding-8b"
WEB = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.mark.parametrize(
    ("model", "options", "asked", "wanted"),
    [
        # No role: nothing unless asked for.
        (TYPED, {}, (None, "auto"), (None, "")),
        (TYPED, {}, (None, "classification"), ("classification", "")),
        (TYPED, {}, (None, None), (None, "")),
        (PREFIXED, {"query_prefix": "own: "}, (None, "auto"), (None, "")),
        # The profile.
        (TYPED, {}, ("query", "auto"), ("query", "")),
        (TYPED, {}, ("document", "auto"), ("document", "")),
        (PREFIXED, {}, ("query", "auto"), (None, "query: ")),
        (PREFIXED, {}, ("document", "auto"), (None, "passage: ")),
        (MODEL, {}, ("query", "auto"), (None, "")),
        ("who/knows", {}, ("query", "auto"), ("search_query", "")),
        # The client's own.
        (TYPED, {"query_input_type": "own"}, ("query", "auto"), ("own", "")),
        (TYPED, {"query_input_type": "own"}, ("document", "auto"), ("document", "")),
        (TYPED, {"query_input_type": None}, ("query", "auto"), (None, "")),
        (PREFIXED, {"query_prefix": "own: "}, ("query", "auto"), (None, "own: ")),
        (PREFIXED, {"query_prefix": None}, ("query", "auto"), (None, "")),
        (PREFIXED, {"query_prefix": ""}, ("query", "auto"), (None, "")),
        (TYPED, {"query_prefix": "own: "}, ("query", "auto"), (None, "own: ")),
        (TYPED, {"query_prefix": None}, ("query", "auto"), ("query", "")),
        # One switches the other's profile off.
        (PREFIXED, {"query_input_type": "own"}, ("query", "auto"), ("own", "")),
        (PREFIXED, {"query_input_type": None}, ("query", "auto"), (None, "query: ")),
        # Both were asked for in so many words.
        (TYPED, {"query_input_type": "x", "query_prefix": "p: "}, ("query", "auto"), ("x", "p: ")),
        # The call's own.
        (TYPED, {}, ("query", "other"), ("other", "")),
        (TYPED, {"query_input_type": "own"}, ("query", "other"), ("other", "")),
        (TYPED, {}, ("query", None), (None, "")),
        (PREFIXED, {}, ("query", "other"), ("other", "")),
        (PREFIXED, {}, ("query", None), (None, "query: ")),
        # Instructions.
        (INSTRUCTED, {}, ("query", "auto"), (None, f"Instruct: {WEB}\nQuery:")),
        (INSTRUCTED, {}, ("document", "auto"), (None, "")),
        (INSTRUCTED, {"query_instruction": "Find"}, ("query", "auto"),
         (None, "Instruct: Find\nQuery:")),
    ],
)  # fmt: skip
def test_a_role_is_sent_as_a_type_or_a_prefix(model, options, asked, wanted):
    """Asked: role and input type of the call. Wanted: the type that is sent, and the prefix."""
    assert make(**{"model": model, **options}).role_text(*asked) == wanted
