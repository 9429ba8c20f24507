"""Names of vector spaces and keys: equal exactly where the vectors are interchangeable."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from openrouter_embed.core.bodies import BodyMaker
from openrouter_embed.core.plan import make_plan
from openrouter_embed.inputs import ImageInput, read_inputs
from openrouter_embed.options.settings import make_settings
from openrouter_embed.options.space import Keys, space_name
from openrouter_embed.options.table import OPTIONS as OPTIONS_BY_NAME

SMALL = "openai/text-embedding-3-small"
QWEN = "qwen/qwen3-embedding-8b"
VOYAGE = "voyageai/voyage-4"


def settings(**options):
    return make_settings({"model": SMALL, "api_key": "sk-or-v1-fake", **options}, {})


def keys_of(inputs, role="document", input_type="auto", **options):
    told = settings(**options)
    bodies = BodyMaker(told, role, input_type)
    plan = make_plan(read_inputs(inputs), bodies.prefix, zeros_for_empty=True)
    sent, _ = told.role_text(role, input_type)
    return Keys(told, sent).of(plan.units)


def key_of(text, **options):
    (key,) = keys_of([text], **options)
    return key


def wire(text, role, input_type, **options):
    """Return what goes out, without what says nothing about vectors, in one order."""
    told = settings(**options)
    bodies = BodyMaker(told, role, input_type)
    plan = make_plan(read_inputs([text]), bodies.prefix, zeros_for_empty=True)
    body = json.loads(bodies.make(plan.units, "float"))
    for name in ("user", "encoding_format"):
        body.pop(name, None)
    routing = {
        name: sorted(value) if name in ("only", "ignore", "quantizations") else value
        for name, value in body.pop("provider", {}).items()
        if (name, value) not in [("allow_fallbacks", True), ("zdr", False)]
        and (name, value) != ("data_collection", "allow")
    }
    return told.base_url, json.dumps({**body, "provider": routing}, sort_keys=True)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from([SMALL, QWEN, VOYAGE, "intfloat/e5-base-v2", f"{QWEN}:free"]),
        "dimensions": st.sampled_from([None, 256, 1536]),
        "encoding_format": st.sampled_from(["auto", "float", "base64"]),
        "query_input_type": st.sampled_from(["auto", None, "search_query"]),
        "document_input_type": st.sampled_from(["auto", None, "passage"]),
        "query_prefix": st.sampled_from(["auto", None, "", "query: "]),
        "document_prefix": st.sampled_from(["auto", None, "passage: "]),
        "query_instruction": st.sampled_from([None, "Find it."]),
        "provider": st.sampled_from(
            [
                None,
                {"only": ["a", "b"]},
                {"only": ["b", "a"]},
                {"order": ["a", "b"]},
                {"order": ["b", "a"]},
                {"zdr": False},
                {"zdr": True},
                {"allow_fallbacks": True, "data_collection": "allow"},
                {"max_price": {"prompt": 1}},
            ]
        ),
        "user": st.sampled_from([None, "somebody"]),
        "extra_body": st.sampled_from([None, {}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2}]),
        "timeout": st.sampled_from([1.0, 60.0]),
        "max_retries": st.sampled_from([0, 8]),
        "max_concurrency": st.sampled_from([1, 64]),
        "max_batch_inputs": st.sampled_from([None, 3]),
        "long_input": st.sampled_from(["error", "split"]),
        "empty": st.sampled_from(["error", "zeros"]),
        "normalize": st.booleans(),
        "pin_provider": st.booleans(),
        "app_title": st.sampled_from([None, "A program"]),
        "default_headers": st.sampled_from([None, {"X-Mine": "1"}]),
    },
)
SLOWLY = tried(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CALLS = st.tuples(
    OPTIONS,
    st.sampled_from([None, "query", "document"]),
    st.sampled_from(["auto", None, "classification"]),
    st.sampled_from(["a text", "another", "query: a text"]),
)


@SLOWLY
@given(CALLS, CALLS)
def test_two_calls_share_a_key_exactly_when_their_requests_would_be_the_same(one, other):
    keys, wires = set(), set()
    for options, role, input_type, text in (one, other):
        (key,) = keys_of([text], role, input_type, **options)
        keys.add(key)
        wires.add(wire(text, role, input_type, **options))
    assert len(keys) == len(wires)


@SLOWLY
@given(OPTIONS, st.sampled_from([None, "query", "document"]), st.data())
def test_one_option_changed_changes_the_key_exactly_if_it_changes_the_request(options, role, data):
    """The same as above, near the border: two calls drawn apart seldom agree in anything."""
    changed = {**options, **data.draw(OPTIONS.map(lambda table: dict(list(table.items())[:1])))}
    same = wire("a text", role, "auto", **options) == wire("a text", role, "auto", **changed)
    first, second = (keys_of(["a text"], role, **each) for each in (options, changed))
    assert (first == second) is same


URLS = [
    ("https://openrouter.ai/api/v1", "https://openrouter.ai:443/api/v1", True),
    ("https://openrouter.ai/api/v1", "https://OPENROUTER.ai/api/v1/", True),
    ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v2", False),
    ("https://gateway.example/one/v1", "https://gateway.example/two/v1", False),
    ("https://gateway.example/v1", "https://gateway.example:8443/v1", False),
]


@pytest.mark.parametrize(("one", "other", "same"), URLS)
def test_the_origin_enters_as_it_is_reached(one, other, same):
    keys = {key_of("a text", base_url=url) for url in (one, other)}
    assert (len(keys) == 1) is same
    names = {space_name(settings(base_url=url), "document") for url in (one, other)}
    assert (len(names) == 1) is same


def test_the_api_key_does_not_enter():
    one, other = settings(api_key="sk-or-v1-fake-one"), settings(api_key="sk-or-v1-fake-two")
    assert Keys(one, None).of(["a"]) == Keys(other, None).of(["a"])
    assert space_name(one, "query") == space_name(other, "query")


def test_a_key_is_32_bytes():
    assert len(key_of("a text")) == 32


def test_roles_that_go_out_alike_share_a_key_and_others_do_not():
    assert key_of("a", role="query") == key_of("a", role="document")
    assert key_of("a", role="query", model=VOYAGE) != key_of("a", role="document", model=VOYAGE)
    assert key_of("a", role="query", model=QWEN) != key_of("a", role="document", model=QWEN)


def test_a_prefix_and_the_text_with_the_prefix_in_it_are_the_same_request():
    prefixed = key_of("a", document_prefix="passage: ")
    assert prefixed == key_of("passage: a", role=None)


def test_a_text_and_token_ids_and_content_that_look_alike_have_keys_of_their_own():
    found = [
        *keys_of(["[1, 2]"]),
        *keys_of([[1, 2]]),
        *keys_of([{"content": [{"type": "text", "text": "[1, 2]"}]}]),
    ]
    assert len(set(found)) == 3


def test_a_text_that_was_averaged_has_a_key_of_its_own():
    told = settings()
    assert Keys(told, None).of(["a"]) != Keys(told, None).of(["a"], "split")


PIXEL = ImageInput.from_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 20)


REMOTE = ImageInput.from_url("https://example.com/a.png")


def test_an_image_is_known_by_its_content():
    (bare,), (alone,), (joint,) = keys_of([PIXEL]), keys_of([[PIXEL]]), keys_of([["text", PIXEL]])
    assert bare == alone != joint
    assert len(bare) == 32


@pytest.mark.parametrize("item", [REMOTE, ["a text", REMOTE]], ids=["alone", "with a text"])
def test_what_stands_behind_a_url_may_change_and_has_no_key(item):
    assert keys_of([item]) == [None]


def test_a_url_within_a_text_is_a_text():
    (key,) = keys_of([["see https://example.com", PIXEL]])
    assert key is not None


# ---------------------------------------------------------------------- names of spaces


def test_a_name_is_letters_digits_dots_dashes_and_underscores():
    name = space_name(settings(model="nvidia/nemotron-3-embed-1b:free"), "document")
    assert re.fullmatch(r"nvidia_nemotron-3-embed-1b_free-[0-9a-f]{32}", name)


SAME = [
    ({}, {"user": "somebody", "timeout": 3.0, "encoding_format": "float"}),
    ({}, {"provider": {"zdr": False}}),
    ({"provider": {"only": ["a", "b"]}}, {"provider": {"only": ["b", "a"]}}),
    ({}, {"pin_provider": True, "empty": "zeros", "max_batch_inputs": 3}),
]
DIFFERENT = [
    ({}, {"dimensions": 256}),
    ({}, {"model": QWEN}),
    ({}, {"document_prefix": "passage: "}),
    ({}, {"document_input_type": "passage"}),
    ({}, {"normalize": True}),
    ({}, {"long_input": "split"}),
    ({}, {"extra_body": {"a": 1}}),
    ({}, {"provider": {"zdr": True}}),
    ({"provider": {"order": ["a", "b"]}}, {"provider": {"order": ["b", "a"]}}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spaces_whose_vectors_are_interchangeable_have_one_name(one, other):
    assert space_name(settings(**one), "document") == space_name(settings(**other), "document")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_spaces_whose_vectors_differ_have_names_of_their_own(one, other):
    assert space_name(settings(**one), "document") != space_name(settings(**other), "document")


def test_roles_have_one_name_where_they_go_out_alike():
    assert space_name(settings(), "query") == space_name(settings(), "document")
    voyage = settings(model=VOYAGE)
    assert space_name(voyage, "query") != space_name(voyage, "document")
    assert space_name(voyage, None) != space_name(voyage, "document")


def test_every_option_that_changes_vectors_enters_or_is_done_after_reading():
    enter = {
        "dimensions", "query_input_type", "document_input_type", "query_prefix",
        "document_prefix", "query_instruction", "provider", "extra_body",
    }  # fmt: skip
    done_here = {"normalize", "long_input"}
    say_who_serves_or_what_is_not_sent = {"pin_provider", "empty"}
    marked = {name for name, row in OPTIONS_BY_NAME.items() if row.vectors}
    assert marked == enter | done_here | say_who_serves_or_what_is_not_sent
