"""Results judged one by one: which are believed, and whose failure the others are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from openrouter_embed.batch import api
from openrouter_embed.batch.reader import Judge, NameReader, PageReader, ResultReader, StateReader
from openrouter_embed.batch.record import Record
from openrouter_embed.core.collect import Collector
from openrouter_embed.errors import (
    BadRequestError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    ServerError,
)

NAMES = [api.key_name(bytes([at]) * 32) for at in range(4)]
UNITS = {name: at for at, name in enumerate(NAMES)}


def vector(at):
    return [float(at + 1), 0.5, -1.0]


def answer(at, **fields):
    data = [{"object": "embedding", "index": 0, "embedding": vector(at)}]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3}, **fields}


def item(at, *, body=None, status=200, name=None, **fields):
    return {
        "id": f"r{at}",
        "custom_id": name or api.custom_id(at, NAMES[at]),
        "response": {"status_code": status, "request_id": "q", "body": body or answer(at)},
        "error": None,
        **fields,
    }


def whole(*items, status="completed", **fields):
    counts = {"total": 4, "completed": 4, "failed": 0}
    return json.dumps(
        {
            "id": "batch_1",
            "status": status,
            "request_counts": counts,
            "usage": {"prompt_tokens": 12, "cost": 0.5},
            "results": list(items),
            **fields,
        }
    ).encode()


def rows_of(count=4, width=None):
    return Collector(Record(base_url="", count=count, keys=NAMES[:count]).plan(), width)


class Reading:
    """Answers read one after the other, each by a reader of its own."""

    def __init__(self, *texts, rows=None, width=None):
        self.rows = rows_of(width=width) if rows is None else rows
        self.judge = Judge(UNITS, self.rows, "the test")
        self.reader = None
        for text in texts:
            self.reader = ResultReader(self.judge, self.reader)
            assert self.reader.begin(200)
            self.reader.feed(text[:150])
            self.reader.feed(text[150:])

    def finish(self):
        state = self.reader.finish()
        self.judge.settle(state)
        return state

    @property
    def good(self):
        return self.judge.good


def read(*texts, width=None):
    reading = Reading(*texts, width=width)
    return reading.rows, reading


def test_results_in_any_order_land_on_their_rows():
    rows, reader = read(whole(*map(item, (2, 0, 3, 1))))

    state = reader.finish()

    assert (state.status, reader.good) == ("completed", [0, 1, 2, 3])
    np.testing.assert_array_equal(rows.rows.at(range(4)), [vector(at) for at in range(4)])
    assert reader.judge.usage.prompt_tokens == 12


def failure_of(*items, unit=1):
    rows, reader = read(whole(*items))
    reader.finish()
    assert unit not in reader.good
    assert not rows.has(unit)
    others = {0, 1, 2, 3} - {unit}
    assert set(reader.good) == others
    for at in others:
        np.testing.assert_array_equal(rows.rows.at([at])[0], vector(at))
    return rows.failures[unit]


OTHERS = [item(at) for at in (0, 2, 3)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "m", "type": "invalid_request_error", "param": None}, BadRequestError),
        ({"message": "m", "type": "x", "error_type": "rate_limit_exceeded"}, RateLimitError),
        ({"message": "m", "type": "provider_error"}, ServerError),
        ({"message": "m", "code": 400}, ServerError),
        ("just a word", ServerError),
        ({}, ServerError),
        ([], ServerError),
    ],
)
def test_a_result_that_is_an_error_is_that_error(error, kind):
    assert type(failure_of(*OTHERS, item(1, response=None, error=error))) is kind


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFoundError), (429, RateLimitError), (500, ServerError)]
)
def test_another_status_is_its_error_even_with_a_vector(status, kind):
    assert type(failure_of(*OTHERS, item(1, status=status))) is kind


def test_an_error_within_a_success_is_that_error():
    body = {"error": {"code": 429, "message": "slower"}}
    assert type(failure_of(*OTHERS, item(1, body=body))) is RateLimitError


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (item(1, response=None), "empty"),
        (item(1, response=3), "data"),
        (item(1, response={"body": answer(1)}), "data"),
        (item(1, body=answer(1, data=[])), "count"),
        (item(1, body=answer(1, data=answer(1)["data"] * 2)), "count"),
        (item(1, body=answer(1, data=[{"index": 1, "embedding": [1.0]}])), "index"),
        (item(1, body=answer(1, data=[{"index": 0, "embedding": [1.0, "a", 2.0]}])), "component"),
        (item(1, body=answer(1, data=[{"index": 0, "embedding": [1.0, 2.0]}])), "dimension"),
    ],
)
def test_a_vector_that_cannot_be_trusted_is_a_failure(row, reason):
    assert failure_of(*OTHERS, row).reason == reason


def test_a_missing_result_is_a_failure():
    error = failure_of(*OTHERS)
    assert error.reason == "missing"
    assert "0 results" not in error.message


@pytest.mark.parametrize("name", ["k1", "1-short", f"1-{'B' * 43}", "", "../x"])
def test_an_unknown_result_lands_on_no_row(name):
    error = failure_of(*OTHERS, item(1, name=name or "-"))
    assert error.reason == "missing"
    assert "1 results name no input" in error.message


def test_of_a_doubled_result_none_is_believed():
    other = answer(1, data=[{"index": 0, "embedding": [9.0, 9.0, 9.0]}])
    assert failure_of(*OTHERS, item(1), item(1, body=other)).reason == "doubled"


def test_a_key_that_is_said_twice_is_refused():
    text = whole(*OTHERS, item(1)).replace(b'"custom_id": "1-', b'"error": null, "custom_id": "1-')
    rows, reader = read(text)
    reader.finish()
    assert rows.failures[1].reason == "json"


def test_zeros_are_taken_and_remarked():
    zeros = answer(1, data=[{"index": 0, "embedding": [0.0, 0.0, 0.0]}])
    rows, reader = read(whole(*OTHERS, item(1, body=zeros)))
    reader.finish()
    assert rows.result(None, normalize=False).flags == {"zero": (1,)}


def test_the_width_that_was_asked_for_is_kept_to():
    rows, reader = read(whole(*map(item, range(4))), width=5)
    reader.finish()
    assert {error.reason for error in rows.failures.values()} == {"dimension"}


def test_what_a_cut_answer_brought_is_taken_back():
    good = whole(*map(item, range(4)))
    rows, reader = read(good[: len(good) // 2], good)
    reader.finish()
    assert reader.good == [0, 1, 2, 3]
    assert rows.delivered == 4


def test_a_cut_answer_is_no_answer():
    rows, reader = read(whole(*map(item, range(4)))[:-30])
    with pytest.raises(InvalidResponseError):
        reader.finish()
    reader.judge.begin()
    assert not rows.delivered


def test_a_reader_that_was_given_up_takes_in_nothing_more():
    rows, reader = read(b"")
    reader.reader.stop()
    reader.reader.feed(whole(item(0)))
    assert not rows.delivered


def test_vectors_that_are_there_already_stay():
    rows = rows_of()
    mine = np.full((1, 3), 7.0, np.float32)
    rows.recall([1], mine, "", flag="")
    reader = Reading(whole(*map(item, range(4)), item(1)), rows=rows)
    reader.finish()
    assert reader.good == [0, 2, 3]
    np.testing.assert_array_equal(rows.rows.at([1]), mine)


def test_partial_results_of_a_batch_that_ended_are_taken():
    rows, reader = read(whole(item(0), item(2), status="expired"))
    assert reader.finish().status == "expired"
    assert reader.good == [0, 2]
    assert not rows.failures


def test_a_state_is_known_before_the_results_are_read():
    reader = StateReader()
    assert not reader.feed(whole(item(0)).partition(b'"results": [')[0] + b'"results": [')
    assert reader.finish().usage == {"prompt_tokens": 12, "cost": 0.5}


def test_results_that_come_before_the_state_are_passed_over():
    text = b'{"results":[{"a":1},{"b":2}],"id":"b","status":"completed"}'
    reader = StateReader()
    assert reader.feed(text[:20])
    assert reader.feed(text[20:])
    assert reader.finish().status == "completed"


@pytest.mark.parametrize(
    "text",
    [
        b"<html>",
        b"null",
        b'{"id":"b"}',
        b'{"id":"b","status":3}',
        b'{"status":"completed","r\\u0065sults":[{"custom_id":"x"}]}',
        b'{"error":{"code":404,"message":"m"}}',
    ],
)
def test_what_is_no_batch_has_no_state(text):
    reader = StateReader()
    reader.feed(text)
    with pytest.raises(InvalidResponseError):
        reader.finish()


def test_names_are_read_where_nothing_else_tells_them():
    reader = NameReader()
    reader.feed(whole(item(2), item(0), item(1, name="foreign")))
    reader.finish()
    assert sorted(reader.names) == [(0, NAMES[0]), (2, NAMES[2])]


def page(*items, **fields):
    told = {"data": list(items), "has_more": False, "next_cursor": None, "object": "list"}
    return json.dumps({**told, **fields}).encode()


def test_a_page_is_its_results_and_where_the_next_begins():
    reader = PageReader()
    assert reader.feed(page(item(1), item(0), has_more=True, next_cursor="2"))
    items, cursor = reader.finish()
    assert [json.loads(each)["custom_id"][0] for each in items] == ["1", "0"]
    assert cursor == "2"


@pytest.mark.parametrize("fields", [{}, {"has_more": True}, {"next_cursor": "9"}])
def test_the_last_page_is_followed_by_none(fields):
    reader = PageReader()
    reader.feed(page(item(0), **fields))
    assert reader.finish()[1] is None


@pytest.mark.parametrize("text", [b"<html>", b"{}", b'{"data":3}', b'{"d\\u0061ta":[{}]}', b"]"])
def test_what_is_no_page_is_refused(text):
    reader = PageReader()
    reader.feed(text)
    with pytest.raises(InvalidResponseError):
        reader.finish()


def test_only_a_success_is_read_as_a_stream():
    assert [StateReader().begin(status) for status in (200, 402, 404, 500)] == [True] + [False] * 3
