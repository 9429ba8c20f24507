"""The matrix of a call's vectors: made once, filled in pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.core.rows import Rows, as_run, mark, rows_of, zeros


def matrix(*numbers, width=2):
    return np.array([[number] * width for number in numbers], np.float32)


@given(st.lists(st.integers(0, 50), max_size=8))
def test_a_run_is_the_same_numbers(units):
    assert list(as_run(units)) == units


@pytest.mark.parametrize("units", [[3], [3, 4, 5], range(3, 6)])
def test_what_follows_one_another_is_a_range(units):
    assert as_run(units) == range(3, 3 + len(units))
    assert isinstance(as_run(units), range)


@pytest.mark.parametrize("units", [[], [3, 5, 4, 6], [4, 3], [1, 1], [1, 3]])
def test_what_does_not_is_none(units):
    assert as_run(units) is units


def test_the_first_width_decides_what_has_room():
    rows = Rows(3)
    assert rows.make_room(2)
    assert not rows.make_room(4)
    rows.place([2, 0], matrix(2, 0))
    rows.place(range(1, 2), matrix(1))
    assert rows.at(range(3)).tolist() == matrix(0, 1, 2).tolist()


def test_another_width_begins_anew_and_no_width_has_no_rows():
    rows = Rows(2)
    assert rows.at([0, 1]).shape == (0, 0)
    rows.make_room(2)
    assert rows.of_width(5).shape == (2, 5)
    rows.drop()
    assert rows.at(range(2)).shape == (0, 0)


def test_rows_that_were_left_do_not_change_any_more():
    rows = Rows(2)
    rows.of_width(2)[:] = 1
    seen = rows.at(range(2))
    rows.leave()
    rows.place(range(2), matrix(7, 7))
    assert seen.tolist() == matrix(1, 1).tolist()
    assert rows.at(range(2)).tolist() == matrix(7, 7).tolist()


@pytest.mark.parametrize("units", [range(1, 3), [1, 2], [2, 0], []])
def test_rows_and_flags_of_a_run_and_of_a_list_are_the_same(units):
    flags = bytearray(4)
    mark(flags, units)
    assert [at for at, flag in enumerate(flags) if flag] == sorted(units)
    assert rows_of(matrix(0, 1, 2, 3), units).tolist() == [[unit] * 2 for unit in units]


def test_only_rows_that_are_zeros_to_the_end_are_zeros():
    rows = np.zeros((4, 20), np.float32)
    rows[1, 19] = rows[2, 0] = 1e-45
    assert zeros(rows) == {0, 3}
    assert zeros(rows[:0]) == set()
