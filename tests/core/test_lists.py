"""Rows become lists of the same numbers, in lists that were there before."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from openrouter_embed.lists import empty_lists, write_lists


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 100])
def test_lists_hold_what_the_matrix_holds(count):
    rows = np.random.default_rng(count).standard_normal((count, 5)).astype(np.float32)
    made = empty_lists(count)
    write_lists(rows, made)
    assert made == rows.tolist()


def test_what_a_list_held_before_is_gone():
    rows = np.ones((2, 3), np.float32)
    made = [[7.0], [8.0] * 9]
    write_lists(rows, made)
    assert made == [[1.0] * 3] * 2


def test_no_list_is_anothers():
    first, second = empty_lists(2)
    write_lists(np.ones((1, 2), np.float32), [first])
    assert second == []


def test_numbers_do_not_make_the_collector_run():
    """It would go through all of them; the lists themselves were counted when they were empty."""
    rows = np.ones((2000, 4), np.float32)
    made = empty_lists(len(rows))
    runs = []
    gc.callbacks.append(lambda phase, info: runs.append(phase))
    try:
        write_lists(rows, made)
    finally:
        gc.callbacks.pop()
    assert len(runs) <= 2  # one run at most, from what came before
