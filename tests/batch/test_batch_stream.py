"""A batch object cut into its frame and its results, however it comes."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.batch import stream
from openrouter_embed.batch.api import read_object
from openrouter_embed.batch.stream import Splitter
from openrouter_embed.errors import InvalidResponseError

PLAIN = st.sampled_from(
    [None, True, 12, "", '"', "\\", "}", "[{", 'é"results":[', "results", "\\\\"]
)
INNER = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(PLAIN.map(str), PLAIN, max_size=2)
ANY = INNER | st.lists(INNER, max_size=2) | st.dictionaries(PLAIN.map(str), INNER, max_size=2)
ITEM = st.dictionaries(st.sampled_from(["custom_id", "response", "results", "x"]), ANY, max_size=4)


def split(text, *cuts):
    """Feed a text in pieces; return its frame and its results."""
    items = []
    splitter = Splitter(items.append)
    places = [0, *sorted(cuts), len(text)]
    for first, last in itertools.pairwise(places):
        splitter.feed(text[first:last])
    return json.loads(splitter.end()), [json.loads(item) for item in items]


@given(
    st.dictionaries(st.sampled_from(["id", "status", "error", 'a"results']), ANY, max_size=4),
    st.lists(ITEM, max_size=4),
    st.sampled_from([None, 1, 2]),
    st.lists(st.integers(0, 400), max_size=6),
    st.booleans(),
)
def test_frame_and_results_are_those_of_a_parser(frame, items, indent, cuts, first):
    whole = {"results": items, **frame} if first else {**frame, "results": items}
    text = json.dumps(whole, indent=indent, ensure_ascii=False).encode()

    told, found = split(text, *(min(cut, len(text)) for cut in cuts))

    assert found == items
    assert told == {**frame, "results": []}


def test_every_single_cut_gives_the_same():
    text = b'{"id":"b\\"[","results":[{"a":"}\\\\"},{"b":[1,{"c":"]"}]}],"error":null}'
    for cut in range(len(text) + 1):
        assert split(text, cut) == (
            {"id": 'b"[', "results": [], "error": None},
            [{"a": "}\\"}, {"b": [1, {"c": "]"}]}],
        )


def test_results_that_are_null_are_none():
    assert split(b'\n {"id": "b", "results": null} \n') == ({"id": "b", "results": None}, [])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"results":[1]}',
        b'{"results":[[{}]]}',
        b'{"results":[{}{}]}',
        b'{"results":[,{}]}',
        b'{"results":[{},]}',
        b'{"results":[{}],"results":[{}]}',
        b'{"results":[{}]',
        b'{"results":[{"a":1}',
        b'{"id":"b"} {"id":"c"}',
        b'{"id":"b"}]',
        b"}",
    ],
)
def test_what_is_no_batch_is_refused(text):
    with pytest.raises(InvalidResponseError):
        read_object(whole(text))


def whole(text):
    splitter = Splitter(lambda _: None)
    splitter.feed(text)
    return splitter.end()


def test_no_part_may_be_larger_than_it_can_be(monkeypatch):
    monkeypatch.setattr(stream, "MAX_ITEM", 100)
    monkeypatch.setattr(stream, "MAX_FRAME", 100)
    for text in (b'{"results":[{"a":"%b"}]}', b'{"a":"%b"}', b'{"results":[%b'):
        with pytest.raises(InvalidResponseError, match="too large"):
            split(text % (b" " * 200))


def test_nothing_may_follow_in_a_later_piece():
    splitter = Splitter(lambda _: None)
    splitter.feed(b'{"id":"b"}')
    splitter.feed(b" \n")
    with pytest.raises(InvalidResponseError):
        splitter.feed(b"{")


def test_where_enough_is_known_nothing_is_read_on():
    seen = []
    splitter = Splitter(seen.append, enough=lambda frame: frame == b'{"id":"b","results":[')
    splitter.feed(b'{"id":"b","results":[{"a":1},')
    assert splitter.over
    assert not seen
