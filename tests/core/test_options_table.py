"""An option has one row; whatever else must know of it fails here when it was forgotten."""

from __future__ import annotations

import dataclasses
import pickle
import re

import pytest

from langchain_openrouter_embed import OpenRouterEmbeddings
from langchain_openrouter_embed._options import FIELD_OF, HERE_ONLY, EmbeddingsOptions
from llama_index_openrouter_embed import OpenRouterEmbedding
from llama_index_openrouter_embed._options import ALIASES, VECTOR_OPTIONS
from openrouter_embed.options.keywords import CallOptions, Options
from openrouter_embed.options.settings import Settings, from_environment, make_settings
from openrouter_embed.options.table import OPTIONS, OptionTable

KEY = "sk-or-v1-fake"
LLAMA_NAME = {option: name for name, option in ALIASES.items()}


def test_the_keywords_of_a_client_are_the_rows():
    assert set(Options.__annotations__) == set(OPTIONS) - {"model"}


def test_the_keywords_of_a_call_are_the_rows_that_say_so():
    assert set(CallOptions.__annotations__) == {n for n, row in OPTIONS.items() if row.per_call}


def test_settings_hold_the_rows_and_where_the_key_came_from():
    names = {field.name for field in dataclasses.fields(Settings)}
    assert names == {*OPTIONS, "key_origin"}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_row_has_a_sentence_on_one_line(name):
    assert re.fullmatch(r"[`A-Z].+\.", OPTIONS[name].says)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_passes_its_own_check(name):
    row = OPTIONS[name]
    if row.default is not dataclasses.MISSING and (row.default is not None or row.none_counts):
        assert row.check(name, row.default) == row.default


def test_a_settings_default_is_the_rows():
    made = make_settings({"model": "m"}, {}, key_required=False)
    for field in dataclasses.fields(OptionTable):
        if field.name != "model":
            plain = field.default is not dataclasses.MISSING
            default = field.default if plain else field.default_factory()
            assert getattr(made, field.name) == default


@pytest.mark.parametrize("name", [n for n, row in OPTIONS.items() if row.variables])
def test_a_variable_sets_its_option(name):
    for variable in OPTIONS[name].variables:
        assert from_environment({variable: "x"}) == {name: "x"}


@pytest.mark.parametrize("name", [n for n, row in OPTIONS.items() if not row.pickled])
def test_what_cannot_leave_the_process_is_in_no_pickle(name):
    made = dataclasses.replace(make_settings({"model": "m", "api_key": KEY}, {}), **{name: print})
    assert getattr(pickle.loads(pickle.dumps(made)), name) is None


@pytest.mark.parametrize("name", [n for n, row in OPTIONS.items() if not row.shown])
def test_what_may_not_be_shown_is_in_no_repr(name):
    made = make_settings({"model": "m", "api_key": KEY}, {})
    assert f"{name}=" not in repr(made)


# ---------------------------------------------------------------- the adapters


@pytest.mark.parametrize("name", OPTIONS)
def test_langchain_has_a_field_and_a_keyword_for_every_row(name):
    assert FIELD_OF.get(name, name) in OpenRouterEmbeddings.model_fields
    # The model may be passed first, so it is a parameter and no mere keyword.
    assert {name, FIELD_OF.get(name, name)} <= {"model", *EmbeddingsOptions.__annotations__}


@pytest.mark.parametrize("name", OPTIONS)
def test_langchains_fields_say_and_hide_what_the_rows_do(name):
    field = OpenRouterEmbeddings.model_fields[FIELD_OF.get(name, name)]
    row = OPTIONS[name]
    assert (field.description, field.repr) == (row.says, row.shown)
    assert bool(field.exclude) is (FIELD_OF.get(name, name) in HERE_ONLY) is (not row.pickled)


@pytest.mark.parametrize("name", [n for n, row in OPTIONS.items() if row.vectors])
def test_llama_index_serializes_every_row_that_decides_about_vectors(name):
    field = LLAMA_NAME.get(name, name)
    assert OpenRouterEmbedding.model_fields[field].description == OPTIONS[name].says
    with OpenRouterEmbedding("m", api_key=KEY) as made:
        assert field in made.to_dict()
    assert name in VECTOR_OPTIONS or name in {"provider", *ALIASES.values()}


@pytest.mark.parametrize("name", OPTIONS)
def test_llama_index_takes_every_row_by_its_name(name):
    given = {"model": "m", "api_key": KEY}
    with OpenRouterEmbedding(**given, **({} if name in given else {name: None})) as made:
        assert made.model_name == "m"
