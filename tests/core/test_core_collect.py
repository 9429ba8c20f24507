"""Rows land where they belong, and nothing of a refused answer is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from openrouter_embed.core.collect import Collector
from openrouter_embed.core.plan import make_plan
from openrouter_embed.errors import InvalidResponseError, ServerError
from openrouter_embed.inputs import Item

ERROR = ServerError("down", status=503)


def collector(items, width=None, fallback=None):
    return Collector(make_plan(items, "", zeros_for_empty=True), width, fallback)


def body(*vectors, indexed=True, **more):
    rows = [{"embedding": v, **({"index": at} if indexed else {})} for at, v in enumerate(vectors)]
    return json.dumps({"data": rows, **more}).encode()


def test_rows_come_back_in_input_order_whatever_the_order_of_answers():
    rows = collector(["a", "b", "c", "a", ""])
    rows.accept(range(2, 3), body([3.0, 0.0]))
    rows.accept(range(2), body([1.0, 0.0], [2.0, 0.0]))
    result = rows.result(None, normalize=False)
    assert result.vectors[:, 0].tolist() == [1.0, 2.0, 3.0, 1.0, 0.0]
    assert result.ok.all()


def test_units_that_are_no_slice_land_one_by_one():
    rows = collector(["a", Item("tokens", (1,)), "b"])
    rows.accept([0, 2], body([1.0], [3.0]))
    rows.accept([1], body([2.0]))
    assert rows.result(None, normalize=False).vectors.tolist() == [[1.0], [2.0], [3.0]]


def test_nothing_of_a_refused_answer_is_kept():
    rows = collector(["a", "b"])
    with pytest.raises(InvalidResponseError):
        rows.accept(range(2), body([1.0, 2.0], [3.0, 1e39]))
    assert (rows.width, rows.delivered, rows.settled) == (None, 0, 0)
    rows.accept(range(2), body([1.0], [2.0]))  # another width: the first answer never was
    assert rows.result(None, normalize=False).vectors.tolist() == [[1.0], [2.0]]


def test_a_refused_answer_in_between_leaves_no_trace_in_its_rows():
    rows = collector(["a", "b"])
    rows.accept(range(1), body([1.0]))
    with pytest.raises(InvalidResponseError):
        rows.accept(range(1, 2), body([1e39]))
    result = rows.result(ERROR, normalize=False)
    assert np.isnan(result.vectors[1]).all()
    assert list(result.failures) == [1]


def test_a_width_that_differs_between_answers_is_refused():
    rows = collector(["a", "b"])
    rows.accept(range(1), body([1.0]))
    with pytest.raises(InvalidResponseError, match="2 components instead of 1"):
        rows.accept(range(1, 2), body([1.0, 2.0]))


def test_the_width_that_was_asked_for_is_demanded_of_the_first_answer():
    with pytest.raises(InvalidResponseError, match="1 components instead of 2"):
        collector(["a"], 2).accept(range(1), body([1.0]))


def test_failures_are_listed_by_position_and_their_rows_are_nan():
    rows = collector(["a", "b", "a"])
    rows.accept(range(1, 2), body([1.0]))
    rows.fail([0], ERROR)
    result = rows.result(None, normalize=False)
    assert list(result.failures.items()) == [(0, ERROR), (2, ERROR)]
    assert np.isnan(result.vectors[[0, 2]]).all()
    assert rows.settled == 2


def test_what_is_missing_at_the_end_is_listed_with_a_copy_that_holds_no_result():
    rows = collector(["a", "b"])
    rows.fail([0], ERROR)
    other = ServerError("late", status=500, result=object())
    result = rows.result(other, normalize=False)
    assert result.failures[0] is ERROR
    assert (result.failures[1].message, result.failures[1].result) == ("late", None)


@pytest.mark.parametrize(
    ("width", "fallback", "columns"), [(None, None, 0), (None, 3, 3), (2, 3, 2)]
)
def test_without_any_answer_the_width_is_the_one_expected(width, fallback, columns):
    rows = collector(["a", ""], width, fallback)
    result = rows.result(ERROR, normalize=False)
    assert result.vectors.shape == (2, columns)
    assert not result.vectors[1].any()


def test_no_inputs_give_an_empty_matrix():
    assert collector([], 8).result(None, normalize=False).vectors.shape == (0, 0)


def test_only_empty_inputs_give_zeros_of_the_known_width():
    result = collector(["", ""], None, 4).result(None, normalize=False)
    assert result.vectors.tolist() == [[0.0] * 4] * 2


def test_normalising_spares_zeros_and_missing_rows():
    rows = collector(["a", "b", "c"])
    rows.accept(range(2), body([3.0, 4.0], [0.0, 0.0]))
    vectors = rows.result(ERROR, normalize=True).vectors
    assert vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert vectors[1].tolist() == [0.0, 0.0]
    assert np.isnan(vectors[2]).all()


def test_flags_are_listed_by_position():
    rows = collector(["a", "b", "a"])
    rows.accept(range(2), body([0.0], [1.0], indexed=False))
    flags = rows.result(None, normalize=False).flags
    assert flags == {"zero": (0, 2), "unindexed": (0, 1, 2)}


def test_one_vector_without_an_index_needs_no_remark():
    rows = collector(["a"])
    rows.accept(range(1), body([1.0], indexed=False))
    assert rows.result(None, normalize=False).flags == {}


def test_what_came_with_the_answers_is_gathered():
    rows = collector(["a", "b", "c"])
    rows.accept(range(1), body([1.0], model="first", provider="P", id="1"))
    rows.accept(range(1, 2), body([1.0], model="second", provider="Q", id="2"))
    rows.accept(range(2, 3), body([1.0], provider="P"))
    result = rows.result(None, normalize=False)
    assert (result.upstream_model, result.providers, result.request_ids) == (
        "first",
        ("P", "Q"),
        ("1", "2"),
    )
    assert rows.host == "P"


@pytest.mark.parametrize(
    ("usage", "prompt", "total", "cost"),
    [
        ({"prompt_tokens": 3, "total_tokens": 4, "cost": 0.5}, 3, 4, 0.5),
        ({"prompt_tokens": 3}, 3, 3, None),
        ({"prompt_tokens": -3, "total_tokens": "4", "cost": True}, 0, 0, None),
        ({"cost": 0}, 0, 0, 0),
        (None, 0, 0, None),
    ],
)
def test_usage_counts_what_is_sensible(usage, prompt, total, cost):
    found = collector(["a", "b"]).accept(range(2), body([1.0], [1.0], usage=usage))
    assert (found.prompt_tokens, found.total_tokens, found.cost) == (prompt, total, cost)
    assert (found.inputs, found.requests) == (2, 1)


def test_infinite_costs_are_not_believed():
    raw = body([1.0])[:-1] + b', "usage": {"cost": 1e308, "prompt_tokens": 1e400}}'
    assert collector(["a"]).accept(range(1), raw).prompt_tokens == 0


# ---------------------------------------------------------------- inputs sent in parts


def test_an_input_sent_in_parts_counts_once_all_parts_are_there():
    rows = collector(["a", "long text"])
    parts = rows.divide(1, ["long ", "text"], "")
    assert rows.plan.units[2:] == ["long ", "text"]
    assert rows.accept([0, parts[0]], body([1.0, 0.0], [1.0, 0.0])).inputs == 1
    assert rows.accept([parts[1]], body([0.0, 1.0])).inputs == 1
    result = rows.result(None, normalize=False)
    assert result.vectors[1].tolist() == pytest.approx([5 / 41**0.5, 4 / 41**0.5])
    assert result.flags == {"split": (1,)}
    assert rows.settled == 2


def test_a_part_that_fails_fails_its_input_once():
    rows = collector(["long text"])
    one, other = rows.divide(0, ["long ", "text"], "q: ")
    assert rows.plan.units[1] == "q: long "
    rows.accept([one], body([1.0]))
    rows.fail([other], ERROR)
    rows.accept([other], body([1.0]))  # too late
    result = rows.result(None, normalize=False)
    assert list(result.failures) == [0]
    assert np.isnan(result.vectors[0]).all()


def test_zero_parts_are_not_flagged_as_zero_inputs():
    rows = collector(["long text"])
    parts = rows.divide(0, ["long ", "text"], "")
    rows.accept(list(parts), body([0.0], [1.0]))
    assert rows.result(None, normalize=False).flags == {"split": (0,)}
