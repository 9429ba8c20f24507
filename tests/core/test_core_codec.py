"""Answers are believed in full or refused as `InvalidResponseError`; nothing else leaves."""

from __future__ import annotations

import base64
import json
import math
import random
import struct

import numpy as np
import pytest
from core_libraries import float_library  # noqa: F401 - every test runs by each library
from hypothesis import example, given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core import codec
from openrouter_embed.errors import InvalidResponseError

VECTORS = [[0.5, -1.25, 3.0], [4.0, 0.0, 0.125], [7.5, 8.0, -9.0]]


def b64(numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def body(vectors=VECTORS, **changes):
    data = [{"object": "embedding", "index": at, "embedding": v} for at, v in enumerate(vectors)]
    answer = {"object": "list", "data": data, "model": "up", "usage": {"prompt_tokens": 3}}
    return json.dumps({**answer, **changes}).encode()


def decode(raw, count=3, width=None):
    made = []

    def allocate(columns):
        made.append(np.full((count, columns), np.nan, np.float32))
        return made[-1]

    accepted = codec.decode(raw, count, width, allocate)
    assert len(made) == 1
    return accepted, made[0]


def rows(raw, count=3, width=None):
    return decode(raw, count, width)[1].tolist()


def refusal(raw, count=3, width=None):
    with pytest.raises(InvalidResponseError) as caught:
        decode(raw, count, width)
    return caught.value


def item(embedding, index=0):
    return f'{{"index": {index}, "embedding": {embedding}}}'


def items(*texts):
    return ('{"data": [' + ", ".join(texts) + "]}").encode()


# ---------------------------------------------------------------- what is believed


@pytest.mark.parametrize(("size", "believable"), [(8, {3}), (8, set()), (4, {2})])
def test_base64_of_a_width_that_nobody_knows_is_not_believed(size, believable):
    """Numbers of another format are finite all the same."""
    text = base64.b64encode(b"\x3f" * size).decode()
    body = json.dumps({"data": [{"index": 0, "embedding": text}]}).encode()
    with pytest.raises(InvalidResponseError, match=f"{size} bytes") as caught:
        codec.decode(body, 1, None, lambda width: np.empty((1, width), np.float32), believable)
    assert caught.value.reason == "unbelieved"


@pytest.mark.parametrize("believable", [None, {2}, {1, 2}])
def test_base64_of_a_known_width_is(believable):
    text = base64.b64encode(b"\x3f" * 8).decode()
    body = json.dumps({"data": [{"index": 0, "embedding": text}]}).encode()
    allocate = lambda width: np.empty((1, width), np.float32)  # noqa: E731 - what `decode` asks for
    assert codec.decode(body, 1, None, allocate, believable).width == 2


def test_base64_beside_floats_of_its_width_is_believed():
    text = base64.b64encode(b"\x3f" * 8).decode()
    data = [{"index": 0, "embedding": text}, {"index": 1, "embedding": [1.0, 2.0]}]
    body = json.dumps({"data": data}).encode()
    allocate = lambda width: np.empty((2, width), np.float32)  # noqa: E731 - what `decode` asks for
    assert codec.decode(body, 2, None, allocate, set()).width == 2


def test_floats_arrive_as_sent():
    assert rows(body()) == VECTORS


def test_base64_and_floats_give_the_same_matrix():
    assert rows(body([b64(v) for v in VECTORS])) == rows(body())


def test_formats_may_be_mixed_in_one_answer():
    assert rows(body([VECTORS[0], b64(VECTORS[1]), VECTORS[2]])) == VECTORS


def test_base64_is_little_endian_whatever_the_machine():
    assert codec._FLOAT32_LE.str == "<f4"
    assert rows(body(["AACAPwAAAEA="]), count=1) == [[1.0, 2.0]]


def test_escaped_base64_is_the_same_base64():
    escaped = json.dumps(b64(VECTORS[0])).replace("A", "\\u0041")
    assert rows(items(item(escaped)), count=1) == [VECTORS[0]]


def test_a_shuffled_answer_comes_back_in_input_order():
    data = [{"index": at, "embedding": VECTORS[at]} for at in (2, 0, 1)]
    assert rows(body(data=data)) == VECTORS


def test_whole_numbers_become_floats():
    assert rows(items(item("[1, -2, 0]")), count=1) == [[1.0, -2.0, 0.0]]


def test_without_any_index_the_order_is_trusted_and_flagged():
    accepted, matrix = decode(body(data=[{"embedding": v} for v in VECTORS]))
    assert accepted.unindexed
    assert matrix.tolist() == VECTORS


def test_zero_vectors_are_returned_and_flagged_by_input():
    data = [{"index": 1, "embedding": [0.0, 0.0]}, {"index": 0, "embedding": [0.0, 1.0]}]
    accepted, matrix = decode(body(data=data), count=2)
    assert accepted.zeros == (1,)
    assert matrix.tolist() == [[0.0, 1.0], [0.0, 0.0]]


def test_tiny_vectors_whose_square_vanishes_are_not_called_zero():
    assert decode(items(item("[1e-30, 0.0]")), count=1)[0].zeros == ()


def test_large_vectors_whose_square_overflows_are_finite():
    assert rows(items(item("[3e38, 1.0]")), count=1)[0][0] == pytest.approx(3e38)


def test_what_comes_with_the_vectors_is_read():
    accepted, _ = decode(body(provider="Host", id="gen-1"))
    assert (accepted.model, accepted.provider, accepted.request_id) == ("up", "Host", "gen-1")
    assert accepted.usage == {"prompt_tokens": 3}
    assert (accepted.width, accepted.zeros, accepted.unindexed) == (3, (), False)


@pytest.mark.parametrize("wrap", [b"\xef\xbb\xbf%s", b" \n\t%s\r\n", b"\xef\xbb\xbf\n %s\n"])
def test_byte_order_marks_and_keep_alive_white_space_are_dropped(wrap):
    assert rows(wrap % body()) == VECTORS


@pytest.mark.parametrize("usage", ["null", '"much"', "-1", "[]", "1e999", "9" * 5000])
def test_an_unusable_usage_does_not_spoil_the_vectors(usage):
    raw = items(item("[1.0]"))[:-1] + b', "usage": ' + usage.encode() + b"}"
    assert decode(raw, count=1)[0].usage is None


@pytest.mark.parametrize("value", [b"3", b"null", b'["x"]', b"1e999", b'{"a": 1}'])
def test_a_model_that_is_no_string_counts_as_unnamed(value):
    raw = items(item("[1.0]"))[:-1] + b', "model": ' + value + b"}"
    assert decode(raw, count=1)[0].model == ""


def test_foreign_names_are_made_printable():
    accepted, _ = decode(body(model="a\x1b[31m\n" + "b" * 999))
    assert accepted.model.isprintable()
    assert len(accepted.model) == 200


# ---------------------------------------------------------------- what is refused, by its reason

NAN_VECTOR = b64([1.0, math.nan])


def deep(levels):
    """Return nested lists; how many of them a parser bears depends on the Python."""
    return "[" * levels + "]" * levels


REFUSED = {
    "truncated": (body()[:-20], "json"),
    "trailing junk": (body() + b"x", "json"),
    "two documents": (body() + body(), "json"),
    "empty": (b"", "empty"),
    "white space": (b" \n ", "empty"),
    "markup": (b"<html>log in</html>", "content"),
    "not utf-8": (b'{"data": "\xff\xfe"}', "json"),
    "utf-16": (body().decode().encode("utf-16-le"), "json"),
    "a list": (b"[]", "data"),
    "a string": (b'"data"', "data"),
    "data missing": (b"{}", "data"),
    "data null": (body(data=None), "data"),
    "data an object": (body(data={"0": VECTORS[0]}), "data"),
    "data empty": (body(data=[]), "count"),
    "an item without embedding": (body(data=[{"index": 0}]), "data"),
    "an item that is null": (body(data=[None]), "data"),
    "fewer": (body(VECTORS[:2]), "count"),
    "more": (body([*VECTORS, VECTORS[0]]), "count"),
    "empty vector": (body([[], [], []]), "dimension"),
    "empty base64": (body(["", "", ""]), "dimension"),
    "unequal": (body([[1.0], [1.0, 2.0], [1.0]]), "dimension"),
    "unequal formats": (body([[1.0], b64([1.0, 2.0]), [1.0]]), "dimension"),
    "NaN": (body().replace(b"0.5", b"NaN"), "not_finite"),
    "Infinity": (body().replace(b"0.5", b"Infinity"), "not_finite"),
    "-inf": (body().replace(b"0.5", b"-inf"), "not_finite"),
    "overflow of a double": (body().replace(b"0.5", b"1e999"), "not_finite"),
    "overflow of a float32": (body().replace(b"0.5", b"1e39"), "not_finite"),
    "NaN in base64": (body([NAN_VECTOR] * 3), "not_finite"),
    "infinity in base64": (body([b64([math.inf])] * 3), "not_finite"),
    "null vector": (body([None, None, None]), "component"),
    "number for a vector": (body([1, 2, 3]), "component"),
    "object for a vector": (body([{"0": 1.0}] * 3), "component"),
    "true for a vector": (body([True] * 3), "component"),
    "string component": (body([["1.0"]] * 3), "component"),
    "boolean component": (body([[True]] * 3), "component"),
    "null component": (body([[None]] * 3), "component"),
    "nested components": (body([[[1.0]]] * 3), "component"),
    "base64 alphabet": (body(["AAC!PwAAAEA="] * 3), "base64"),
    "base64 url-safe": (body(["__9_fw=="] * 3), "base64"),
    "base64 padding": (body(["AACAPwAAAEA"] * 3), "base64"),
    "base64 not floats": (body([base64.b64encode(b"12345").decode()] * 3), "base64"),
    "base64 after padding": (body(["AACAPw==AACAPw=="] * 3), "base64"),
    "base64 with a line end": (body(["AACA\nPw=="] * 3), "base64"),
    "base64 with an emoji": (body(["AACAPw😀="] * 3), "base64"),
    "base64 with a bad escape": (items(item('"AAC\\u00zz"')), "json"),
    "deep nesting": (b'{"data": ' + b"[" * 100_000, "data"),
    "deep component": (items(*[item(deep(100_000), at) for at in range(3)]), "json"),
    "deep elsewhere": (body()[:-1] + f', "x": {deep(100_000)}}}'.encode(), "json"),
    "an endless integer": (items(*[item("[" + "9" * 5000 + "]", at) for at in range(3)]), "*"),
    "data twice": (body()[:-1] + b', "data": []}', "count"),
    "data twice, alike": (body()[:-1] + b", " + body()[1:], "json"),
    "index twice": (body().replace(b'"index": 0', b'"index": 1, "index": 0'), "json"),
    "embedding twice": (
        body().replace(b'"embedding": [0.5', b'"embedding": [1.0], "embedding": [0.5'),
        "json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_cannot_be_trusted_is_refused_by_its_reason(name):
    raw, reason = REFUSED[name]
    error = refusal(raw, count=1 if name == "base64 with a bad escape" else 3)
    if reason == "*":
        assert error.reason in ("json", "component", "not_finite")
    else:
        assert error.reason == reason


@pytest.mark.parametrize("levels", [10, 900, 1000, 5000, 9999, 20_000])
def test_a_deep_field_that_nobody_reads_is_skipped_or_refused(levels):
    raw = body()[:-1] + f', "x": {deep(levels)}}}'.encode()
    try:
        outcome = rows(raw)
    except InvalidResponseError as error:
        outcome = error.reason
    assert outcome in ([VECTORS] if levels == 10 else [VECTORS, "json"])


@pytest.mark.parametrize(
    "index", ["0", "-1", "3", "4000000000", "99999999999999999999", "1.0", '"1"', "true", "null"]
)
def test_a_wrong_index_is_refused(index):
    raw = items(item("[1.0]"), item("[2.0]", index), item("[3.0]", 2))
    assert refusal(raw).reason == "index"


def test_an_index_missing_from_some_items_is_refused():
    raw = items(item("[1.0]"), '{"embedding": [2.0]}', item("[3.0]", 2))
    error = refusal(raw)
    assert (error.reason, error.index) == ("index", 1)


@pytest.mark.parametrize("vector", [VECTORS[0], b64(VECTORS[0])])
def test_a_width_other_than_the_one_asked_for_is_refused(vector):
    assert refusal(body([vector]), count=1, width=4).reason == "dimension"


def test_keys_that_only_look_repeated_are_accepted():
    extra = {"index": 0, "embedding": VECTORS[0], "note": {"index": 1, "embedding": []}}
    assert rows(body(data=[extra]), count=1) == [VECTORS[0]]


def test_compact_and_spaced_keys_are_both_read():
    spaced = body().replace(b'"embedding": ', b'"embedding" :  ')
    compact = body().replace(b'"embedding": ', b'"embedding":')
    assert rows(spaced) == rows(compact) == VECTORS


def test_many_vectors_out_of_order_land_where_they_belong():
    data = [{"index": at, "embedding": b64([float(at), 1.0])} for at in reversed(range(50))]
    assert rows(body(data=data), count=50) == [[float(at), 1.0] for at in range(50)]


def test_many_vectors_in_order_land_where_they_belong():
    data = [{"index": at, "embedding": b64([float(at), 1.0])} for at in range(50)]
    assert rows(body(data=data), count=50) == [[float(at), 1.0] for at in range(50)]


def test_compact_answers_with_repeated_keys_are_refused_too():
    compact = json.dumps(json.loads(body()), separators=(",", ":")).encode()
    assert rows(compact) == VECTORS
    twice = compact.replace(b'"embedding":[0.5', b'"embedding":[1.0],"embedding":[0.5')
    assert refusal(twice).reason == "json"


@pytest.mark.parametrize("space", [b"", b" ", b"\n  "])
@pytest.mark.parametrize("write", [list, b64], ids=["floats", "base64"])
def test_an_ordinary_answer_is_parsed_once(monkeypatch, write, space):
    """A second parse, for keys that stand twice, would take as long as all the rest."""
    monkeypatch.setattr(codec, "_walk_unique", None)
    raw = json.dumps(json.loads(body([write(v) for v in VECTORS])), separators=(",", ":")).encode()
    assert rows(raw.replace(b'"embedding":', b'"embedding":' + space)) == VECTORS


def test_a_second_vector_for_an_item_is_refused_though_it_is_the_same():
    compact = json.dumps(json.loads(body()), separators=(",", ":")).encode()
    again = b'"embedding":[0.5,-1.25,3.0]'
    assert refusal(compact.replace(again, again + b"," + again)).reason == "json"


def test_a_key_written_with_escapes_is_still_found_twice():
    raw = b'{"data": [], "d\\u0061ta": [{"index": 0, "embedding": [1.0]}]}'
    with pytest.raises(InvalidResponseError):
        decode(raw, count=1)


@pytest.mark.parametrize("name", REFUSED)
def test_no_refusal_quotes_the_answer(name):
    raw, _ = REFUSED[name]
    canary = raw.replace(b"up", b"CANARY").replace(b"log in", b"CANARY")
    assert "CANARY" not in str(refusal(canary))


# ---------------------------------------------------------------- whatever comes

KEYS = st.sampled_from(["data", "index", "embedding", "usage", "model", "x"])


def nested(inner):
    return st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(LEAVES, nested, max_leaves=12)
COMPONENTS = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRICES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(COMPONENTS, min_size=width, max_size=width), min_size=1, max_size=5
    )
)


TOKENS = [
    b'"', b"[", b"]", b"{", b"}", b",", b":", b"null", b"NaN", b"1e999", b"-", b"\\",
    b'"index": 0', b'"data": []', b"\xff", b"\x00", b" ",
]  # fmt: skip


@st.composite
def mutated(draw):
    """A valid answer with pieces cut out, doubled, swapped or overwritten."""
    matrix = draw(MATRICES)
    as_text = draw(st.booleans())
    raw = bytearray(body([b64(v) for v in matrix] if as_text else matrix))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        new = draw(st.sampled_from(TOKENS) | st.binary(max_size=3) | st.just(bytes(raw[start:end])))
        raw[start:end] = new
    return bytes(raw), len(matrix)


REASONS = {
    "content", "json", "data", "count", "index", "dimension", "not_finite", "base64", "component",
    "empty",
}  # fmt: skip


def check_anything(raw, count):
    """Either every promise holds or the answer is refused."""
    try:
        accepted, matrix = decode(raw, count)
    except InvalidResponseError as caught:
        error = caught
    else:
        assert matrix.shape == (count, accepted.width)
        assert accepted.width > 0
        assert np.isfinite(matrix).all()
        assert all(not matrix[at].any() for at in accepted.zeros)
        return
    assert error.reason in REASONS
    assert len(str(error)) <= 300


@given(st.binary(max_size=200))
@example(b'{"data":[{"embedding":"","index":0}]}')
def test_any_bytes_are_a_valid_result_or_refused(raw):
    check_anything(raw, 1)


@given(mutated())
@settings(max_examples=examples(400))
def test_mutated_answers_are_a_valid_result_or_refused(case):
    check_anything(*case)


@given(JSON, st.integers(1, 3))
@settings(max_examples=examples(300))
def test_any_json_is_a_valid_result_or_refused(tree, count):
    check_anything(json.dumps(tree).encode("utf-8", "surrogatepass"), count)


@given(MATRICES, st.randoms(use_true_random=False), st.data())
@settings(max_examples=examples(300))
def test_valid_answers_are_restored_exactly(matrix, chance, data):
    order = list(range(len(matrix)))
    chance.shuffle(order)
    rows_ = [
        {"embedding": b64(matrix[at]) if data.draw(st.booleans()) else matrix[at], "index": at}
        for at in order
    ]
    _, found = decode(json.dumps({"data": rows_}).encode(), len(matrix))
    assert found.tobytes() == np.array(matrix, np.float32).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_ten_thousand_answers_are_valid_or_refused(seed):
    """Plain chance is a hundred times faster than hypothesis, and needs no shrinking to be read."""
    chance = random.Random(seed)
    for _ in range(10_000):
        width, count = chance.randint(1, 4), chance.randint(1, 5)
        matrix = [[chance.uniform(-9, 9) for _ in range(width)] for _ in range(count)]
        raw = bytearray(body([b64(v) if chance.random() < 0.5 else v for v in matrix]))
        for _ in range(chance.randint(0, 4)):
            start = chance.randrange(len(raw) + 1)
            old = raw[start : start + chance.randint(0, 12)]
            new = chance.choice([*TOKENS, bytes(old), bytes(old) * 2, chance.randbytes(3), b""])
            raw[start : start + len(old)] = new
        check_anything(bytes(raw), count)


# ---------------------------------------------------------------- requests


@given(st.dictionaries(st.text(max_size=5), st.lists(st.integers(-9, 9)) | st.text(max_size=9)))
def test_equal_requests_are_equal_bytes_and_good_json(tree):
    raw = codec.encode(tree)
    assert raw == codec.encode(dict(tree))
    assert json.loads(raw) == tree


def test_keys_keep_the_order_given():
    assert codec.encode({"model": "m", "input": ["é"], "a": 1}) == (
        '{"model":"m","input":["é"],"a":1}'.encode()
    )
