"""Cutting vectors out of an answer gives what parsing all of it gives, whatever it holds."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from core_libraries import float_library  # noqa: F401 - every test runs by each library
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core import codec, edges
from openrouter_embed.errors import InvalidResponseError

WIDTH = 3
KEY = b'"embedding":'


def packed(number):
    return base64.b64encode(struct.pack("<3f", number, 0.5, -1.0)).decode()


def plain(number):
    return [float(number), 0.5, -1.0]


def outcome(raw, count):
    made = np.full((count, WIDTH), np.nan, np.float32)
    try:
        codec.decode(raw, count, WIDTH, lambda _: made)
    except InvalidResponseError as error:
        return error.reason, str(error)
    return made.tolist()


def outcome_of_whole(raw, count):
    """Decode as if nothing could be gained by cutting, with the same view on repeated keys."""
    cut = edges.cut
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges, "cut", lambda *given: cut(*given) and edges.Cut(b"", (), ()))
        return outcome(raw, count)


def test_an_ordinary_answer_is_cut_at_its_vectors():
    raw = b'{"data":[{"embedding":"AAAA","index":0},{"embedding": [1,2],"index":1}]}'
    found = edges.cut(raw, 2)
    assert found.between == b'{"data":[{"embedding":"","index":0},{"embedding": [],"index":1}]}'
    assert list(found.openings) == [edges.QUOTE, edges.BRACKET]
    assert [bytes(content) for content in found.contents] == [b"AAAA", b"[1,2]"]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"data":[{"index":0}]}',
        b'{"data":[{"embedding":7,"index":0}]}',
        b'{"data":[{"embedding":"AAAA',
        b'{"data":[{"embedding":',
        b'{"data":[{"embedding": ',
        b'{"data":[{"embedding":"AAAA","note":{"embedding":"BBBB"}}]}',
        b'{"data":[{"embedding" :"AAAA","note":{"embedding":"BBBB"}}]}',
        b'{"data":[{"embedding":"AAAA","embedding" :"BBBB"}]}',
        b'{"data":[{"\\u0065mbedding":"AAAA","note":{"embedding":"BBBB"}}]}',
        b'{"data":[{"embedding":"AAAA"}],"data":[]}',
        b'{"data":[{"embedding":"AAAA","index":0,"index":1}]}',
    ],
)
def test_an_unusual_layout_is_left_to_the_parser(raw):
    assert edges.cut(raw, 1) is None


def test_an_ordinary_answer_is_never_parsed_whole(monkeypatch):
    """Vectors make up nearly all of it."""
    parsed, parse = [], codec._decode_answer
    monkeypatch.setattr(codec, "_decode_answer", lambda text: parsed.append(text) or parse(text))
    data = [{"object": "embedding", "embedding": packed(at), "index": at} for at in range(3)]
    assert outcome(json.dumps({"data": data}).encode(), 3) == [plain(at) for at in range(3)]
    (text,) = parsed
    assert b'"embedding": ""' in text


ITEMS = st.lists(
    st.tuples(
        st.sampled_from([packed, plain]),
        st.sampled_from([(",", ":"), (", ", ": "), (",\n  ", " :\n")]),
        st.dictionaries(
            st.sampled_from(["object", "note", 'x"embedding', "index\\"]),
            st.sampled_from(["embedding", '"embedding":"AAAA"', [0.5], {"embedding": "AAAA"}, "é"]),
            max_size=2,
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=4,
)
SNIPPETS = st.sampled_from(
    [
        b"", b'"', b"\\", b"[", b"]",
        b"{", b"}", b",", b":", b" ", b"\n", b"=", b"A", b"-",
        b"1e999",
        b"NaN", b"0", b"\x80", b"\\u0065", b"\\/", KEY, b'"embedding" :', b'"embedding":"AAAA",',
        b'"data":[', b'"index":1,', b'"embedding":[],', b'"embedding":7,',
    ]
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), SNIPPETS), min_size=0, max_size=3)


def written(items, ascii_only):
    texts = []
    for at, (write, separators, extra, first) in enumerate(items):
        fields = {"embedding": write(at), "index": at}
        order = {**fields, **extra} if first else {**extra, **fields}
        texts.append(json.dumps(order, separators=separators, ensure_ascii=ascii_only))
    return ('{"data":[' + ",".join(texts) + '],"model":"m"}').encode()


@settings(max_examples=examples(600))
@given(items=ITEMS, changes=CHANGES, ascii_only=st.booleans())
def test_whatever_an_answer_holds_cutting_it_changes_nothing(items, changes, ascii_only):
    raw = written(items, ascii_only)
    for where, length, snippet in changes:
        at = int(where * len(raw))
        raw = raw[:at] + snippet + raw[at + length :]
    assert outcome(raw, len(items)) == outcome_of_whole(raw, len(items))
