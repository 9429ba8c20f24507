"""Long texts are cut without loss, and their parts become one vector."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.core import long


@given(st.text("ab \n.,!。", max_size=200) | st.text(max_size=80), st.integers(1, 12))
def test_the_parts_put_together_are_the_text(text, parts):
    pieces = long.split_text(text, parts)
    assert "".join(pieces) == text
    assert 1 <= len(pieces) <= parts
    if len(pieces) > 1:
        assert all(piece.strip() for piece in pieces)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two three.\n\nfour five six", ["one two three.\n\n", "four five six"]),
        ("first part here. second part it", ["first part here. ", "second part it"]),
        ("aaaaaaa bbbbbbbb", ["aaaaaaa ", "bbbbbbbb"]),
        ("aaaaaaaabbbbbbbb", ["aaaaaaaa", "bbbbbbbb"]),
        ("一二三四五六。七八九十一二", ["一二三四五六。", "七八九十一二"]),
    ],
)
def test_a_cut_falls_on_the_most_natural_boundary_near_the_middle(text, pieces):
    assert long.split_text(text, 2) == pieces


@pytest.mark.parametrize("text", ["", "a", " "])
def test_what_cannot_be_cut_stays_whole(text):
    assert long.split_text(text, 5) == [text]


@pytest.mark.parametrize(
    ("tokens", "limit", "parts"),
    [(100, None, 2), (100, 512, 2), (512, 512, 2), (1000, 512, 3), (5120, 512, 11)],
)
def test_a_text_goes_into_parts_that_should_fit(tokens, limit, parts):
    assert long.count_parts(tokens, limit) == parts


def test_parts_are_averaged_by_their_length_and_scaled_to_one():
    parts = long.Parts()
    assert parts.owner(7) == 7
    assert list(parts.divide(0, 5, [3, 1])) == [5, 6]
    assert (parts.owner(5), parts.owner(6)) == (0, 0)
    assert parts.add(5, np.array([1.0, 0.0], np.float32)) == (0, None)
    owner, vector = parts.add(6, np.array([0.0, 1.0], np.float32))
    assert owner == 0
    assert vector.tolist() == pytest.approx([3 / 10**0.5, 1 / 10**0.5])


def test_a_part_may_be_divided_again():
    parts = long.Parts()
    parts.divide(0, 5, [2, 2])
    parts.divide(6, 7, [1, 1])
    assert parts.owner(8) == 0
    one = np.array([1.0], np.float32)
    assert parts.add(5, one) == (0, None)
    assert parts.add(7, one) == (0, None)
    assert parts.add(8, one)[1].tolist() == [1.0]


def test_parts_that_cancel_out_give_zeros_not_nan():
    parts = long.Parts()
    parts.divide(0, 1, [1, 1])
    parts.add(1, np.array([1.0], np.float32))
    assert parts.add(2, np.array([-1.0], np.float32))[1].tolist() == [0.0]
