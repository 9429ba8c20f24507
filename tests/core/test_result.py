"""Results: numpy first, lists on demand, and no row that failed passes for a vector."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from openrouter_embed.errors import ServerError
from openrouter_embed.result import EmbeddingResult, Progress, Usage

ERROR = ServerError("down", status=503)
OTHER = ServerError("late", status=504)


def result(**changes):
    vectors = np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]], np.float32)
    return EmbeddingResult(**{"vectors": vectors, "failures": {1: ERROR}, **changes})


def whole():
    return EmbeddingResult(vectors=np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))


def test_a_result_reads_like_a_list_of_lists():
    assert whole().tolist() == list(whole()) == [[1.0, 2.0], [3.0, 4.0]]
    assert (len(whole()), whole()[0], whole()[-1]) == (2, [1.0, 2.0], [3.0, 4.0])
    assert type(whole()[0][0]) is float


@pytest.mark.parametrize("index", [2, -3, 99])
def test_a_row_that_is_not_there_is_an_index_error(index):
    with pytest.raises(IndexError):
        whole()[index]


@pytest.mark.parametrize("index", [1, -2])
def test_reading_a_failed_row_raises_its_error(index):
    with pytest.raises(ServerError) as caught:
        result()[index]
    assert (type(caught.value), str(caught.value)) == (ServerError, "down")
    assert caught.value is not ERROR  # raising would hang frames on the one that is listed
    assert result()[0] == [1.0, 2.0]


def test_reading_all_rows_raises_the_first_failure():
    both = result(failures={2: OTHER, 1: ERROR})
    with pytest.raises(ServerError, match="down"):
        both.tolist()
    with pytest.raises(ServerError, match="down"):
        list(both)


def test_the_mask_tells_which_rows_are_vectors():
    assert result().ok.tolist() == [True, False, True]
    assert whole().ok.all()


def test_no_inputs_have_no_rows():
    empty = EmbeddingResult(vectors=np.zeros((0, 0), np.float32))
    assert (len(empty), empty.tolist(), list(empty), empty.ok.shape) == (0, [], [], (0,))


def test_a_result_shows_its_shape_and_not_its_vectors():
    shown = repr(result(model="m", request_ids=("id-1",)))
    assert shown.startswith("EmbeddingResult(3 x 2, failures=1, model='m', usage=Usage(")
    assert "array" not in shown


def test_a_result_survives_pickling():
    twin = pickle.loads(pickle.dumps(result(flags={"zero": (0,)}, start=7)))
    assert twin.vectors.tobytes() == result().vectors.tobytes()
    assert (twin.flags, twin.start, str(twin.failures[1])) == ({"zero": (0,)}, 7, "down")


def test_lists_made_on_the_way_are_handed_out_once_and_then_made_anew():
    ready = [[1.0, 2.0], [3.0, 4.0]]
    own = EmbeddingResult(vectors=whole().vectors, prepared=ready)
    assert own.tolist() is ready
    again = own.tolist()
    assert again == ready
    assert again is not ready


def test_usages_add_up():
    one = Usage(prompt_tokens=1, total_tokens=2, cost=0.5, requests=3, inputs=4, cache_hits=5)
    assert one + one == Usage(
        prompt_tokens=2, total_tokens=4, cost=1.0, requests=6, inputs=8, cache_hits=10
    )


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [(None, None, None), (None, 0.5, 0.5), (0.5, None, 0.5), (0.0, None, None), (1.0, 0.5, 1.5)],
)
def test_a_cost_is_the_sum_of_what_was_reported(one, other, total):
    assert (Usage(cost=one) + Usage(cost=other)).cost == total


def test_nothing_was_bought_for_nothing():
    assert Usage().cost == 0.0
    assert f"{Usage().cost:.4f}" == "0.0000"
    assert (Usage() + Usage(requests=1, inputs=1, cost=None)).cost is None


def test_usages_can_be_summed():
    assert sum([Usage(cost=0.5, inputs=1), Usage(cost=0.25, inputs=2)]) == Usage(
        cost=0.75, inputs=3
    )
    assert sum([], start=Usage()) == Usage()


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (
            Usage(total_tokens=17345, cost=0.0003, requests=74),
            "17,345 tokens, $0.0003, 74 requests",
        ),
        (Usage(), "0 tokens, $0.0000, 0 requests"),
        (Usage(total_tokens=1, cost=2e-8, requests=1), "1 token, $0.000000020, 1 request"),
        (Usage(total_tokens=9, cost=None, requests=2), "9 tokens, cost unknown, 2 requests"),
        (
            Usage(total_tokens=9, cost=1.5, requests=2, inputs=1000, cache_hits=990),
            "9 tokens, $1.5000, 2 requests, 990 of 1,000 inputs from the cache",
        ),
    ],
)
def test_a_usage_reads_like_a_sentence(usage, said):
    assert str(usage) == said


def test_progress_is_plain_data():
    assert Progress(done=1, total=None, usage=Usage()).done == 1


def test_a_slice_of_a_result_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"`\.vectors\[0:1\]`"):
        result()[0:1]
