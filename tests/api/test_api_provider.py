"""Provider preferences: every field goes out as specified, or is refused by name."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
from api_faces import SMALL

from openrouter_embed import ConfigurationError, NotFoundError, ProviderPreferences
from openrouter_embed.options.provider import _warn_of

QWEN = "qwen/qwen3-embedding-8b"

GOOD = {
    "order": (["Nebius", "DeepInfra"], ["Nebius", "DeepInfra"]),
    "only": (("DeepInfra",), ["DeepInfra"]),
    "ignore": (["SiliconFlow"], ["SiliconFlow"]),
    "allow_fallbacks": (False, False),
    "require_parameters": (True, True),
    "data_collection": ("deny", "deny"),
    "zdr": (True, True),
    "enforce_distillable_text": (True, True),
    "quantizations": (["fp8", "bf16"], ["fp8", "bf16"]),
    "sort": ("throughput", "throughput"),
    "max_price": ({"prompt": 0.05, "request": 0}, {"prompt": "0.05", "request": "0"}),
    "preferred_min_throughput": (50, 50),
    "preferred_max_latency": ({"p90": 2.5}, {"p90": 2.5}),
    "options": ({"nebius": {"tier": "flex"}}, {"nebius": {"tier": "flex"}}),
}

OTHER_FORMS = [
    ("sort", {"by": "price", "partition": None}, {"by": "price"}),
    ("sort", {"by": "price", "partition": "model"}, {"by": "price", "partition": "model"}),
    ("max_price", {"prompt": "0.02"}, {"prompt": "0.02"}),
    ("max_price", {"request": 1e-7}, {"request": "0.0000001"}),
    ("max_price", {"image": 100}, {"image": "100"}),
    ("max_price", {"audio": "1e-7"}, {"audio": "0.0000001"}),
    ("preferred_min_throughput", {"p50": 10, "p99": None}, {"p50": 10}),
    ("preferred_max_latency", 0.5, 0.5),
    ("data_collection", "allow", "allow"),
    ("quantizations", ["mxfp4", "nvfp4", "mxfp8"], ["mxfp4", "nvfp4", "mxfp8"]),
    ("sort", "exacto", "exacto"),
]


def test_the_table_above_has_every_field_there_is():
    assert list(GOOD) == [field.name for field in dataclasses.fields(ProviderPreferences)]


@pytest.mark.parametrize(
    ("field", "value", "wire"), [(name, *pair) for name, pair in GOOD.items()] + OTHER_FORMS
)
def test_every_field_goes_out_from_an_object_and_from_a_plain_mapping(make, em, field, value, wire):
    client = make(QWEN)
    for given in (ProviderPreferences(**{field: value}), {field: value}):
        em.reset()
        # Embedding hosts declare no parameters, so none can satisfy this one wish.
        refused = field == "require_parameters"
        with pytest.raises(NotFoundError) if refused else nullcontext():
            client.embed(["a"], provider=given)
        assert em.requests[0].body["provider"] == {field: wire}


def test_every_field_together_goes_out_in_one_order(make, em):
    given = {name: pair[0] for name, pair in GOOD.items() if name != "require_parameters"}
    make(QWEN, provider=dict(reversed(given.items()))).embed(["a"])
    sent = em.requests[0].body["provider"]
    assert sent == {name: GOOD[name][1] for name in given}
    assert list(sent) == list(given)


WRONG = [
    ("order", "Nebius"),
    ("order", []),
    ("only", [5]),
    ("ignore", [""]),
    ("allow_fallbacks", "no"),
    ("require_parameters", 1),
    ("data_collection", "never"),
    ("zdr", "yes"),
    ("enforce_distillable_text", 0),
    ("quantizations", [5]),
    ("quantizations", "fp8"),
    ("sort", 5),
    ("sort", {"by": "price", "then": "latency"}),
    ("sort", {"partition": "model"}),
    ("max_price", 5),
    ("max_price", {"tokens": 1}),
    ("max_price", {"prompt": -1}),
    ("max_price", {"prompt": "cheap"}),
    ("max_price", {"prompt": True}),
    ("max_price", {"prompt": float("nan")}),
    ("max_price", {"prompt": None}),
    ("preferred_min_throughput", "fast"),
    ("preferred_min_throughput", {"p42": 1}),
    ("preferred_max_latency", -1),
    ("preferred_max_latency", {"p50": "1"}),
    ("preferred_max_latency", float("inf")),
    ("options", {"nebius": 5}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_value_is_refused_with_the_name_of_its_field(make, em, field, value):
    with pytest.raises(ConfigurationError, match=rf"`provider\.{field}"):
        ProviderPreferences(**{field: value})
    with pytest.raises(ConfigurationError, match=rf"`provider\.{field}"):
        make().embed(["a"], provider={field: value})
    assert em.stats.requests == 0


def test_every_field_has_a_value_that_is_refused():
    assert {name for name, _ in WRONG} == set(GOOD)


def test_an_unknown_value_of_an_open_enumeration_goes_out_with_one_warning(make, em):
    _warn_of.cache_clear()
    client = make()
    with pytest.warns(UserWarning, match=r"'fp9'.*nearest that is known is 'fp8'"):
        client.embed(["a"], provider={"quantizations": ["fp9"]})
    client.embed(["b"], provider={"quantizations": ["fp9"]})  # a second warning would raise
    assert em.requests[0].body["provider"] == {"quantizations": ["fp9"]}


def test_preferences_in_extra_body_are_told_where_they_belong(make, em):
    with pytest.raises(ConfigurationError, match=r"'provider'.*pass `provider=…`"):
        make(extra_body={"provider": {"zdr": True}})
    assert em.stats.requests == 0


def test_an_unknown_field_suggests_the_nearest(make):
    with pytest.raises(ConfigurationError, match=r"`alow_fallbacks`.*`allow_fallbacks`"):
        make(provider={"alow_fallbacks": False})


def test_fields_that_are_none_stay_at_home(make, em):
    make(SMALL, provider={"only": ["OpenAI"], "zdr": None, "sort": None}).embed(["a"])
    assert em.requests[0].body["provider"] == {"only": ["OpenAI"]}


@pytest.mark.parametrize("nothing", [None, {}, ProviderPreferences(), {"zdr": None}])
def test_no_preferences_send_no_provider(make, em, nothing):
    make(provider=nothing).embed(["a"])
    assert "provider" not in em.requests[0].body


def test_the_preferences_choose_the_host(make):
    client = make(QWEN)
    hosts = [
        client.embed(["a"], provider={"only": [name]}).providers
        for name in ("DeepInfra", "SiliconFlow")
    ]
    assert hosts == [("DeepInfra",), ("SiliconFlow",)]


def test_preferences_that_no_host_satisfies_are_explained(make):
    with pytest.raises(NotFoundError, match="The model exists: check the `provider` preferences"):
        make(provider={"only": ["NoSuchHost"]}).embed(["a"])


def test_later_changes_of_a_mapping_do_not_reach_the_client(make, em):
    hosts = ["OpenAI"]
    wishes = {"only": hosts}
    client = make(provider=wishes)
    hosts.append("Azure")
    wishes["zdr"] = True
    client.embed(["a"])
    assert em.requests[0].body["provider"] == {"only": ["OpenAI"]}
