"""Provider preferences: what the specification knows, nothing else, nothing as null."""

from __future__ import annotations

import pickle

import pytest

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.provider import _CHECKS, ProviderPreferences

GOOD = {
    "order": [["a", "b"], ("a",)],
    "only": [["a"]],
    "ignore": [["a"]],
    "allow_fallbacks": [True, False],
    "require_parameters": [True, False],
    "data_collection": ["allow", "deny"],
    "zdr": [True, False],
    "enforce_distillable_text": [True],
    "quantizations": [["fp8", "bf16"]],
    "sort": ["price", "throughput", "latency", {"by": "price"}, {"by": "price", "partition": "x"}],
    "max_price": [{"prompt": 1}, {"prompt": 0.5, "image": "0.01"}, {}],
    "preferred_min_throughput": [50, 0.5, {"p50": 1, "p99": 2.5}],
    "preferred_max_latency": [3, {"p90": 1}],
}
BAD = {
    "order": ["a", [], [""], [3], 3, {"a"}],
    "only": ["a", []],
    "ignore": ["a", []],
    "allow_fallbacks": [1, "yes"],
    "require_parameters": [0],
    "data_collection": ["never", True, 3],
    "zdr": ["true"],
    "enforce_distillable_text": [1],
    "quantizations": ["fp8", ["fp3"], []],
    "sort": ["cheap", 3, {"by": "cheap"}, {"of": "price"}, {}, {"by": ["price"]}],
    "max_price": [3, {"tokens": 1}, {"prompt": -1}, {"prompt": "much"}, {"prompt": None},
                  {"prompt": float("nan")}, {"prompt": float("inf")}],
    "preferred_min_throughput": [-1, "50", True, {"p42": 1}, {"p50": -1}, {"p50": "1"}],
    "preferred_max_latency": [float("nan"), {"p50": True}],
}  # fmt: skip


def pairs(table):
    return [(name, value) for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), pairs(GOOD))
def test_what_the_specification_knows_goes_out(name, value):
    sent = ProviderPreferences.of({name: value}).to_wire()
    assert set(sent) == {name}
    if isinstance(value, (list, tuple)):
        assert sent[name] == list(value)
    elif name != "max_price":
        assert sent[name] == value


@pytest.mark.parametrize(("name", "value"), pairs(BAD))
def test_what_it_does_not_know_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=rf"provider\.{name}"):
        ProviderPreferences(**{name: value})


def test_the_tables_above_know_every_field():
    fields = set(ProviderPreferences.__dataclass_fields__)
    assert set(GOOD) == set(BAD) == set(_CHECKS) == fields


def test_prices_are_decimal_strings_without_an_exponent():
    sent = ProviderPreferences(
        max_price={"prompt": 1e-7, "image": 10, "audio": "0.5", "request": 2.50}
    )
    assert sent.to_wire()["max_price"] == {
        "prompt": "0.0000001", "image": "10", "audio": "0.5", "request": "2.5",
    }  # fmt: skip


def test_nothing_is_sent_as_null():
    assert ProviderPreferences().to_wire() == {}
    inner = ProviderPreferences(
        sort={"by": "price", "partition": None}, preferred_max_latency={"p50": None, "p90": 1}
    )
    assert inner.to_wire() == {"sort": {"by": "price"}, "preferred_max_latency": {"p90": 1}}


def test_preferences_are_read_from_an_object_a_mapping_or_nothing():
    own = ProviderPreferences(zdr=True)
    assert ProviderPreferences.of(own) is own
    assert ProviderPreferences.of({"zdr": True}) == own
    assert ProviderPreferences.of(None) == ProviderPreferences()


def test_an_unknown_key_suggests_the_nearest():
    with pytest.raises(
        ConfigurationError, match=r"`allow_fallback`. Did you mean `allow_fallbacks`"
    ):
        ProviderPreferences.of({"allow_fallback": True})
    with pytest.raises(ConfigurationError, match="Unknown provider preference `3`"):
        ProviderPreferences.of({3: True})


@pytest.mark.parametrize("value", ["DeepInfra", 3, ["DeepInfra"]])
def test_anything_else_is_refused(value):
    with pytest.raises(ConfigurationError, match="mapping"):
        ProviderPreferences.of(value)


def test_preferences_survive_pickling_and_cannot_be_changed():
    own = ProviderPreferences(only=["a"], max_price={"prompt": 1})
    assert pickle.loads(pickle.dumps(own)) == own
    with pytest.raises(AttributeError):
        own.zdr = True


def test_a_name_unlike_any_other_gets_no_suggestion():
    assert unknown_name("option", "zzzz\n\x1b", ["timeout"]) == "Unknown option `zzzz`."
