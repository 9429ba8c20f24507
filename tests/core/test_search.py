"""Vectors compared, searched and made smaller."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed import ConfigurationError, similarity
from openrouter_embed.search import nearest, quantize

ROWS = np.array([[3, 0], [0, 2], [1, 1]], dtype=np.float32)


def test_cosines_of_two_matrices():
    assert similarity(ROWS, ROWS[:2]).tolist() == [
        [1, 0],
        [0, 1],
        [pytest.approx(0.70710678), pytest.approx(0.70710678)],
    ]


@pytest.mark.parametrize(
    ("a", "b", "shape"), [(ROWS, ROWS, (3, 3)), (ROWS[0], ROWS, (3,)), (ROWS, [1.0, 2.0], (3,)),
                          (ROWS[0], ROWS[1], ())]
)  # fmt: skip
def test_a_single_vector_takes_no_dimension(a, b, shape):
    assert similarity(a, b).shape == shape


@pytest.mark.parametrize("bad", ["text", 3.0, [], [[1.0], [1.0, 2.0]], None])
def test_what_is_no_vector_is_named(bad):
    with pytest.raises(ConfigurationError, match="`a` must hold vectors"):
        similarity(bad, ROWS)


def test_vectors_of_different_widths_are_refused_with_both():
    with pytest.raises(ConfigurationError, match="2 components, `b` of 3"):
        similarity(ROWS, np.ones((1, 3)))


def test_a_search_gives_rows_and_cosines_best_first():
    assert nearest(ROWS, [2.0, 0.1], 2) == [
        (0, pytest.approx(0.99875, abs=1e-5)),
        (2, pytest.approx(0.74153, abs=1e-4)),
    ]


def test_a_row_that_failed_is_never_found():
    rows = ROWS.copy()
    rows[0] = np.nan
    assert [at for at, _ in nearest(rows, [1.0, 0.0], 9)] == [2, 1]


def test_several_queries_at_once_are_refused():
    with pytest.raises(ConfigurationError, match="one vector, not 3"):
        nearest(ROWS, ROWS, 1)


@given(st.integers(0, 999), st.integers(1, 40))
def test_int8_keeps_directions_and_binary_keeps_signs(seed, width):
    rows = np.random.default_rng(seed).standard_normal((4, width)).astype(np.float32)
    small = quantize(rows, "int8")
    assert small.dtype == np.int8
    assert np.diag(similarity(rows, small)) == pytest.approx(1, abs=1e-3)
    bits = quantize(rows, "binary")
    assert bits.shape == (4, -(-width // 8))
    assert (np.unpackbits(bits, axis=1)[:, :width].astype(bool) == (rows > 0)).all()


def test_a_row_of_zeros_is_quantized_to_zeros():
    assert quantize(np.zeros((1, 3), np.float32), "int8").tolist() == [[0, 0, 0]]


def test_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="'int8' or 'binary'"):
        quantize(ROWS, "int4")


def test_a_text_in_place_of_a_vector_is_told_to_be_embedded_first():
    with pytest.raises(ConfigurationError, match=r"by `client.embed_query\(text\)`"):
        nearest(np.eye(2, dtype=np.float32), "a text", 1)


def test_a_query_of_another_width_is_called_a_query():
    with pytest.raises(ConfigurationError, match=r"`vectors` has .* of 2 components, `query` of 3"):
        nearest(np.eye(2, dtype=np.float32), [1.0, 2.0, 3.0], 1)
