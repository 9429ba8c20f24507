"""Inputs become requests within the limits, each distinct one exactly once."""

from __future__ import annotations

import json

import pytest
from core_world import SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core.backlog import SMALLEST_SPREAD, Packer
from openrouter_embed.core.bill import FLAT, Counting, Prices
from openrouter_embed.core.bodies import BodyMaker
from openrouter_embed.core.limits import Limits, make_limits
from openrouter_embed.core.plan import Estimates, make_plan
from openrouter_embed.core.tokens import estimate_tokens
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.inputs import ImageInput, Item, read_inputs
from openrouter_embed.options.models import PROFILES
from openrouter_embed.options.settings import make_settings

IMAGE = ImageInput.from_url("https://x.example/y.png")


def plan_of(inputs, prefix="", *, zeros=True):
    return make_plan(read_inputs(inputs), prefix, zeros_for_empty=zeros)


def take_all(packer, spread=1):
    batches = []
    while packer.remaining:
        batches.append(list(packer.take(spread)))
    return batches


# ---------------------------------------------------------------- positions


def test_distinct_inputs_are_their_own_units():
    plan = plan_of(["a", "b"])
    assert (plan.count, plan.units, plan.rows, plan.empty) == (2, ["a", "b"], None, ())
    assert plan.positions() == [[0], [1]]


def test_a_repeated_input_is_one_unit_with_several_positions():
    plan = plan_of(["b", "a", "b", "b"])
    assert plan.units == ["b", "a"]
    assert plan.positions() == [[0, 2, 3], [1]]


def test_empty_inputs_are_set_aside_when_zeros_are_wanted():
    plan = plan_of(["", "a", ""])
    assert (plan.units, plan.rows, plan.empty) == (["a"], [-1, 0, -1], (0, 2))
    assert plan.positions() == [[1]]


def test_empty_inputs_are_refused_otherwise_by_their_index():
    with pytest.raises(ConfigurationError, match=r"6 of 7 inputs .*index 0, 1, 2, 3, 4, …"):
        plan_of([""] * 6 + ["a"], zeros=False)
    with pytest.raises(ConfigurationError, match=r"1 of 2 inputs .*index 1\)"):
        make_plan(["a", Item("tokens", ())], "", zeros_for_empty=False)


def test_no_inputs_make_no_units():
    plan = plan_of([])
    assert (plan.count, plan.units) == (0, [])
    assert Packer(plan, Limits(5, 5)).remaining == 0


@given(st.lists(st.sampled_from(["", "a", "b", "c", "dd"]), max_size=30))
def test_every_position_is_covered_once(texts):
    plan = plan_of(texts)
    covered = [at for positions in plan.positions() for at in positions] + list(plan.empty)
    assert sorted(covered) == list(range(len(texts)))
    for unit, positions in zip(plan.units, plan.positions(), strict=True):
        assert {texts[at] for at in positions} == {unit}


# ---------------------------------------------------------------- prefixes and tokens


def test_a_prefix_goes_before_texts_and_counts_as_tokens():
    plan = plan_of(["a", "b", "a"], "query: ")
    assert plan.units == ["query: a", "query: b"]
    assert [plan.tokens[unit] for unit in (0, 1)] == [estimate_tokens("query: a")] * 2


def test_a_prefix_goes_before_the_first_text_of_a_joint_input():
    (unit,) = plan_of([[IMAGE, "a", "b"]], "q: ").units
    parts = json.loads(unit.value)["content"]
    assert [part.get("text") for part in parts] == [None, "q: a", "b"]


def test_a_joint_input_without_text_takes_no_prefix():
    (unit,) = plan_of([IMAGE], "q: ").units
    assert json.loads(unit.value) == {"content": [IMAGE.to_part()]}


def test_a_prefix_before_token_ids_is_refused():
    with pytest.raises(ConfigurationError, match="token ids"):
        plan_of([[1, 2]], "q: ")


def tokens_of(unit, counting):
    return Estimates([unit], counting)[0]


def test_tokens_are_estimated_by_kind():
    counting = Counting(2, {"image": 258})
    assert tokens_of("hello there", counting) == estimate_tokens("hello there") + 2
    assert tokens_of(Item("tokens", (1, 2, 3)), counting) == 5
    (joint, alone) = read_inputs([["hello", IMAGE, IMAGE], IMAGE])
    assert tokens_of(joint, counting) == estimate_tokens("hello") + 2 + 2 * 258
    assert tokens_of(alone, counting) == 258
    assert tokens_of(alone, Counting()) == FLAT


def test_tokens_of_parts_that_come_later_are_estimated_too():
    plan = plan_of(["a text"])
    plan.units.append("a part")
    assert plan.tokens[1] == estimate_tokens("a part")


def counted(*inputs, special=0):
    counting = Counting(special, {"image": 258})
    return make_plan(read_inputs(inputs), "", zeros_for_empty=False, counting=counting)


def test_media_are_priced_by_their_kind_and_texts_by_theirs():
    plan = counted(["hello", IMAGE], "hello", special=2)
    text = estimate_tokens("hello") + 2
    assert plan.cost([0], Prices(2.0, {"image": 10.0})) == 2.0 * text + 258 * 10.0
    assert plan.cost([0, 1], Prices(2.0)) == 2.0 * (2 * text + 258)


def test_media_without_a_rule_are_named_unless_they_are_free():
    plan = counted(IMAGE, {"content": [{"type": "input_video", "input_video": {"data": "AAAA"}}]})
    assert plan.without_rule(Prices(1.0)) == ["video"]
    assert plan.without_rule(Prices(0.0)) == []
    assert plan.without_rule(Prices(1.0, {"video": 0.0})) == []
    assert plan.without_rule(Prices(0.0, {"video": 1.0})) == ["video"]


# ---------------------------------------------------------------- packing

UNITS = st.lists(
    st.text("abé", min_size=1, max_size=30)
    | st.lists(st.integers(0, 9), min_size=1, max_size=20).map(
        lambda ids: Item("tokens", tuple(ids))
    )
    | st.text("xyz", min_size=1, max_size=9).map(
        lambda text: read_inputs([[text, IMAGE]])[0]
    ),
    unique=True,
    max_size=60,
)  # fmt: skip


@given(UNITS, st.integers(1, 20), st.integers(1, 60), st.integers(1, 400), st.integers(0, 9))
@settings(max_examples=examples(300))
def test_every_unit_goes_out_once_in_requests_of_one_kind_within_the_limits(
    units, inputs, tokens, size, spread
):
    plan = make_plan(units, "", zeros_for_empty=False)
    batches = take_all(Packer(plan, Limits(inputs, tokens, size)), spread)
    assert sorted(at for batch in batches for at in batch) == list(range(len(plan.units)))
    for batch in batches:
        members = [plan.units[at] for at in batch]
        assert len({"text" if isinstance(unit, str) else unit.kind for unit in members}) == 1
        assert 1 <= len(batch) <= inputs
        if len(batch) > 1:
            assert sum(plan.tokens[at] for at in batch) <= tokens
            assert sum(wire_size(unit) for unit in members) <= size


def wire_size(unit):
    return len(unit.encode()) if isinstance(unit, str) else len(str(unit.value))


def test_texts_are_taken_as_slices_in_order():
    packer = Packer(plan_of([f"t{at}" for at in range(10)]), Limits(4, 10**6))
    assert take_all(packer) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_inputs_are_spread_over_the_requests_that_are_wanted():
    packer = Packer(plan_of([f"t{at}" for at in range(160)]), Limits(100, 10**6))
    assert list(map(len, take_all(packer, 4))) == [40] * 4


def test_a_large_call_to_an_unknown_server_begins_with_small_requests():
    packer = Packer(plan_of([f"t{at}" for at in range(1000)]), Limits(2000, 10**6))
    assert len(packer.take(8, probe=True)) == 16
    assert len(packer.take(8)) == 125


def test_a_small_call_to_an_unknown_server_goes_out_in_full():
    packer = Packer(plan_of([f"t{at}" for at in range(200)]), Limits(2000, 10**6))
    assert len(packer.take(8, probe=True)) == 25


def test_requests_are_not_made_tiny_for_the_sake_of_spreading():
    packer = Packer(plan_of([f"t{at}" for at in range(40)]), Limits(100, 10**6))
    assert len(packer.take(1000)) == SMALLEST_SPREAD


def test_one_unit_above_every_limit_still_goes_alone():
    packer = Packer(plan_of(["x" * 1000, "y", "z"]), Limits(10, 5, 10))
    assert take_all(packer) == [[0], [1, 2]]


def test_limits_may_shrink_on_the_way():
    packer = Packer(plan_of([f"t{at}" for at in range(6)]), Limits(4, 10**6))
    assert len(packer.take(1)) == 4
    packer.limits = Limits(1, 10**6)
    assert take_all(packer) == [[4], [5]]


@pytest.mark.parametrize(
    ("options", "inputs", "tokens"),
    [
        ({}, 992, 250_000),
        ({"dimensions": 8}, 2048, 250_000),
        ({"max_batch_inputs": 7, "max_batch_tokens": 9}, 7, 9),
        ({"model": "who/knows"}, 64, 100_000),
        ({"dimensions": 10_000_000}, 1, 250_000),
    ],
)
def test_limits_are_the_user_s_else_the_profile_s_and_answers_stay_moderate(
    options, inputs, tokens
):
    limits = make_limits(SETTINGS.replace(**options))
    assert (limits.inputs, limits.tokens) == (inputs, tokens)


# ---------------------------------------------------------------- bodies


def body(options=None, role=None, input_type="auto", units=("a",), **kwargs):
    maker = BodyMaker(SETTINGS.replace(**(options or {})), role, input_type)
    return maker.make(list(units), "float", **kwargs)


def test_a_plain_body_holds_only_what_is_needed():
    assert body() == (
        b'{"model":"openai/text-embedding-3-small","input":["a"],"encoding_format":"float"}'
    )


def test_every_option_goes_out_under_its_own_name():
    options = {
        "dimensions": 8, "user": "u", "provider": {"only": ["x"]}, "extra_body": {"later": [1]},
        "query_input_type": "kind",
    }  # fmt: skip
    sent = json.loads(body(options, "query"))
    assert sent == {
        "model": SETTINGS.model, "input": ["a"], "encoding_format": "float", "dimensions": 8,
        "user": "u", "provider": {"only": ["x"]}, "input_type": "kind", "later": [1],
    }  # fmt: skip


def test_all_kinds_of_units_are_written_as_the_api_wants_them():
    assert json.loads(body(units=[Item("tokens", (1, 2))]))["input"] == [[1, 2]]
    (joint,) = read_inputs([["é", IMAGE]])
    wire = [{"type": "text", "text": "é"}, IMAGE.to_part()]
    assert json.loads(body(units=[joint]))["input"] == [{"content": wire}]


def test_one_host_alone_may_be_named():
    sent = json.loads(body({"provider": {"zdr": True, "only": ["a", "b"]}}, host="b"))
    assert sent["provider"] == {"zdr": True, "only": ["b"], "allow_fallbacks": False}
    assert json.loads(body(host="b"))["provider"] == {"only": ["b"], "allow_fallbacks": False}


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "dimensions": st.integers(1, 99),
        "user": st.sampled_from(["u", None]),
        "provider": st.sampled_from([None, {"zdr": True}, {"order": ["x"], "sort": "price"}]),
        "query_input_type": st.sampled_from(["auto", None, "own"]),
        "query_prefix": st.sampled_from(["auto", None, "", "own: "]),
        "extra_body": st.sampled_from([{}, {"a": 1, "b": {"c": []}}]),
    },
)


@given(OPTIONS, st.sampled_from(["query", "document", None]), st.sampled_from(["auto", None, "x"]))
def test_equal_requests_are_equal_bytes_and_hold_no_null(options, role, input_type):
    one = body(options, role, input_type, ["a", "b"])
    assert one == body(dict(reversed(options.items())), role, input_type, ["a", "b"])
    assert "null" not in one.decode()


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.pattern)
def test_no_profile_sends_a_role_twice(profile, role):
    model = profile.pattern.replace("*", "x")
    own = make_settings({"model": model, "api_key": "sk-or-v1-fake"}, {})
    maker = BodyMaker(own, role, "auto")
    sent = json.loads(maker.make(["a"], "float"))
    assert not ("input_type" in sent and maker.prefix)
