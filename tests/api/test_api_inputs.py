"""Every form an input may take, on the wire and back in its place."""

from __future__ import annotations

import enum
import io
from collections import deque

import numpy as np
import pytest
from api_faces import E5, GEMINI, SMALL, VOYAGE_IMAGES
from PIL import Image

from openrouter_embed import ConfigurationError, ImageInput
from openrouter_embed.core.tokens import estimate_tokens

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
CAT, DOG = (ImageInput.from_url(f"https://example.org/{name}.png") for name in ("cat", "dog"))


def sent(em):
    """The inputs of every request, in the order of their arrival."""
    return [request.body["input"] for request in em.requests]


class Colour(str, enum.Enum):
    RED = "the colour red"


def generate(*values):
    yield from values


TEXTS = {
    "a string": ("one", ["one"]),
    "a list": (["one", "two"], ["one", "two"]),
    "a tuple": (("one", "two"), ["one", "two"]),
    "a generator": (generate("one", "two"), ["one", "two"]),
    "a deque": (deque(["one", "two"]), ["one", "two"]),
    "dictionary values": ({1: "one"}.values(), ["one"]),
    "a numpy string": (np.str_("one"), ["one"]),
    "an array of strings": (np.array(["one", "two"]), ["one", "two"]),
    "numpy strings": ([np.str_("one"), "two"], ["one", "two"]),
    "a member of an enumeration": (Colour.RED, ["the colour red"]),
    "members of an enumeration": ([Colour.RED], ["the colour red"]),
    "text of any script": (["naïve 日本語 🙂\u0000"], ["naïve 日本語 🙂\u0000"]),
}


@pytest.mark.parametrize("form", TEXTS)
def test_texts_go_out_as_a_list_of_plain_strings(make, em, form):
    given, expected = TEXTS[form]
    if form == "a generator":  # the parameter is shared by both clients, and can be read once
        given = generate("one", "two")
    assert len(make().embed(given)) == len(expected)
    assert sent(em) == [expected]


TOKENS = {
    "ids": ([1, 2, 3], [[1, 2, 3]], 1),
    "a list of lists": ([[1, 2], [3]], [[1, 2], [3]], 2),
    "tuples": ([(1, 2), (3,)], [[1, 2], [3]], 2),
    "an array": (np.array([1, 2], np.int32), [[1, 2]], 1),
    "a matrix": (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], 2),
    "arrays": ([np.array([1, 2]), [3]], [[1, 2], [3]], 2),
}


@pytest.mark.parametrize("form", TOKENS)
def test_token_ids_go_out_as_whole_numbers(make, em, form):
    given, expected, rows = TOKENS[form]
    assert len(make().embed(given)) == rows
    assert sent(em) == [expected]


def image_sources(folder):
    file = folder / "picture.png"
    file.write_bytes(PNG)
    buffer = io.BytesIO()
    picture = Image.new("RGB", (2, 2))
    picture.save(buffer, format="PNG")
    return {
        "an https URL": (CAT, "https://example.org/cat.png"),
        "a file": (ImageInput.from_path(file), "data:image/png;base64,iVBORw0KGgoAAAAAAAAAAA=="),
        "bytes": (ImageInput.from_bytes(PNG), "data:image/png;base64,iVBORw0KGgoAAAAAAAAAAA=="),
        "a data URL": (ImageInput.from_url("data:image/gif;base64,R0lG"),
                       "data:image/gif;base64,R0lG"),
        "a Pillow image": (ImageInput.from_pil(picture),
                           ImageInput.from_bytes(buffer.getvalue()).url),
    }  # fmt: skip


@pytest.mark.parametrize(
    "form", ["an https URL", "a file", "bytes", "a data URL", "a Pillow image"]
)
def test_an_image_goes_out_as_one_content_part(make, em, tmp_path, form):
    image, url = image_sources(tmp_path)[form]
    assert make(GEMINI).embed(image).vectors.shape == (1, 3072)
    assert sent(em) == [[{"content": [{"type": "image_url", "image_url": {"url": url}}]}]]


@pytest.mark.parametrize("model", [GEMINI, VOYAGE_IMAGES])
def test_a_text_and_an_image_in_an_inner_list_become_one_joint_vector(make, em, model):
    result = make(model).embed([["a cat", CAT]])
    assert len(result) == 1
    (((content,),),) = ([list(one.values()) for one in request] for request in sent(em))
    assert content == [
        {"type": "text", "text": "a cat"},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}},
    ]


@pytest.mark.parametrize("kind", ["input_audio", "input_video", "input_file"])
def test_other_media_go_out_as_the_content_they_were_given_as(make, em, kind):
    item = {"content": [{"type": kind, kind: {"data": "AAAA", "format": "x"}}]}
    assert len(make(GEMINI).embed([item])) == 1
    assert len(make(GEMINI).embed(item)) == 1
    assert sent(em) == [[item], [item]]


def test_texts_and_images_go_in_separate_requests_and_come_back_in_order(make, em):
    """The API takes lists of one kind alone; the caller's list may be mixed."""
    client = make(GEMINI, dimensions=128)
    mixed = ["a", CAT, "b", ["a", CAT], DOG]
    rows = client.embed(mixed).vectors
    kinds = ["+".join(sorted({type(one).__name__ for one in request})) for request in sent(em)]
    assert sorted(kinds) == ["dict", "str"]
    for at, item in enumerate(mixed):
        alone = client.embed([item]).vectors[0]
        assert np.allclose(rows[at], alone, atol=1e-6), at


def test_texts_and_token_ids_may_be_mixed(make, em):
    rows = make().embed(["a", [1, 2], "b"]).vectors
    assert sorted(map(str, sent(em))) == ["['a', 'b']", "[[1, 2]]"]
    assert np.allclose(rows[1], make().embed([1, 2]).vectors[0])


def test_no_inputs_give_an_empty_result_without_a_request(make, em):
    result = make().embed([])
    assert result.vectors.shape == (0, 0)
    assert result.tolist() == []
    assert result.usage.cost == 0.0
    assert em.stats.requests == 0
    assert make().embed_documents([]) == []


def test_equal_inputs_are_sent_once_and_answered_each(make, em):
    result = make(GEMINI).embed(["a", CAT, "a", CAT, "b", "a"])
    assert sum(map(len, sent(em))) == 3
    assert np.array_equal(result.vectors[0], result.vectors[5])
    assert np.array_equal(result.vectors[1], result.vectors[3])
    assert not np.array_equal(result.vectors[0], result.vectors[4])
    assert result.usage.inputs == 3


def test_rows_stand_where_their_inputs_stood(make):
    client = make(dimensions=64)
    words = [f"word number {at}" for at in range(100)]
    rows = client.embed(words, max_batch_inputs=7).vectors
    for at in (0, 6, 7, 50, 99):
        assert np.allclose(rows[at], client.embed(words[at]).vectors[0], atol=1e-6), at


def test_empty_inputs_are_refused_by_index_before_any_request(make, em):
    with pytest.raises(ConfigurationError, match=r"2 of 3 inputs are empty \(index 0, 2\)"):
        make().embed(["", "a", ""])
    assert em.stats.requests == 0


def test_many_empty_inputs_are_not_all_listed(make):
    with pytest.raises(ConfigurationError, match=r"9 of 9 .*\(index 0, 1, 2, 3, 4, …\)"):
        make().embed([""] * 9)


def test_empty_inputs_become_zeros_where_that_was_asked_for(make, em):
    result = make(empty="zeros", dimensions=8).embed(["", "a", "", "a"])
    assert result.vectors.any(axis=1).tolist() == [False, True, False, True]
    assert result.ok.all()
    assert sent(em) == [["a"]]


def test_nothing_but_empty_inputs_takes_no_request(make, em):
    assert make(empty="zeros", dimensions=8).embed(["", ""]).tolist() == [[0.0] * 8] * 2
    assert make(empty="zeros").embed([""]).vectors.shape == (1, 1536)
    assert em.stats.requests == 0


class Undecided:
    """Like pandas' NA: no comparison with it is true or false."""

    def __ne__(self, other):
        return self

    __hash__ = None

    def __bool__(self):
        raise TypeError


class Table:
    columns = loc = ()

    def __iter__(self):
        return iter(["the name of a column"])


WRONG = {
    "bytes": (b"text", "Cannot embed a bytes"),
    "a set, which has no order": ({"a"}, "Cannot embed a set"),
    "nothing": (None, "Cannot embed a NoneType"),
    "a number": (5, "Cannot embed an int"),
    "an array of no dimension": (np.array("x"), "Cannot embed a ndarray"),
    "a table": (Table(), "Cannot embed a Table"),
    "None among texts": (["a", None], r"Input 1 is a NoneType \(a missing value"),
    "NaN among texts": (["a", float("nan")], r"Input 1 is a float \(a missing value"),
    "NA among texts": (["a", Undecided()], r"Input 1 is an Undecided \(a missing value"),
    "a number among texts": (["a", 5], "Input 1 is an int"),
    "bytes among texts": (["a", b"b"], "Input 1 is a bytes"),
    "a boolean": ([True], "Input 0 is a bool"),
    "a fraction among token ids": ([1, 2.5], "holds a float that is no token id"),
    "a boolean among token ids": ([[1, True]], "Input 0 holds a bool that is no token id"),
    "a negative token id": ([[1], [-1]], "Input 1 holds an int that is no token id"),
    "a text among token ids": ([1, "a"], "holds a str that is no token id"),
    "an empty inner list": (["a", []], "Input 1 is an empty list"),
    "an inner list of texts": ([["a", "b"]], "Input 0 is a list of strings"),
    "a stranger in a joint input": ([["a", None, CAT]], "Input 0 holds a NoneType"),
    "an empty text in a joint input": ([["", CAT]], "Input 0 holds an empty text"),
    "a mapping": ({"text": "a"}, r"Input 0 is a mapping: .*`d\['text'\]`"),
    "a content part without a type": ([{"content": [{"text": "a"}]}], "without a `type`"),
    "an empty content": (["a", {"content": []}], "Input 1 is a mapping"),
    "half of a surrogate pair": (["a", "\ud83d"], "Input 1 holds half of a surrogate pair"),
    "an image as text": (["data:image/png;base64,AAAA"], r"Input 0 is a `data:` URL.*at great"),
    "an image as text, alone": ("DATA:image/png;base64,AAAA", "ImageInput.from_url"),
    "an image as text in a joint input": (
        [["data:image/png;base64,AAAA", CAT]], "Input 0 is a `data:`"),
}  # fmt: skip


@pytest.mark.parametrize("form", WRONG)
def test_what_cannot_be_embedded_is_named_before_any_request(make, em, form):
    given, message = WRONG[form]
    with pytest.raises(ConfigurationError, match=message) as caught:
        make().embed(given)
    assert em.stats.requests == 0
    assert "AAAA" not in str(caught.value)


IMAGES = {
    "plain http": (lambda: ImageInput.from_url("http://example.org/a.png"), "https://"),
    "a path as a URL": (lambda: ImageInput.from_url("a.png"), "ImageInput.from_path"),
    "a data URL of text": (lambda: ImageInput.from_url("data:text/plain,hi"), "no base64 image"),
    "a file that is not there": (lambda: ImageInput.from_path("/no/such.png"), "cannot be read"),
    "bytes of nothing known": (lambda: ImageInput.from_bytes(b"hello"), "media_type="),
    "too many bytes": (lambda: ImageInput.from_bytes(PNG + bytes(21 * 2**20)), "at most 20"),
    "a data URL that is too long": (
        lambda: ImageInput.from_url("data:image/png;base64," + "A" * (28 * 2**20)),
        "at most 20",
    ),
}


@pytest.mark.parametrize("form", IMAGES)
def test_a_wrong_image_is_refused_where_it_is_named(form):
    make_image, message = IMAGES[form]
    with pytest.raises(ConfigurationError, match=message):
        make_image()


def test_a_prefix_cannot_stand_before_token_ids(make, em):
    with pytest.raises(ConfigurationError, match="cannot be put before token ids"):
        make(E5).embed([[1, 2]], role="query")
    assert em.stats.requests == 0


def test_requests_hold_no_more_inputs_than_were_allowed(make, em):
    make(max_batch_inputs=10).embed([f"text {at}" for at in range(95)])
    assert sorted(map(len, sent(em)), reverse=True) == [10] * 9 + [5]


def test_requests_are_filled_up_to_the_tokens_that_were_allowed(make, em):
    texts = [f"{at} " + "word " * 100 for at in range(20)]
    make(max_batch_tokens=600).embed(texts)
    each = estimate_tokens(texts[10])
    fitting = 600 // each
    assert fitting > 1
    assert max(map(len, sent(em))) == fitting
    assert len(sent(em)) == -(-20 // fitting)


def test_a_text_above_the_token_limit_of_a_request_goes_alone(make, em):
    make(max_batch_tokens=10).embed(["word " * 100, "a", "b"])
    assert sorted(map(len, sent(em))) == [1, 2]


def test_requests_hold_no_more_than_eight_mebibytes(make, em):
    images = [ImageInput.from_bytes(PNG + bytes([at]) * 3 * 2**20) for at in range(4)]  # 4 MiB each
    assert len(make(GEMINI, dimensions=128).embed(images)) == 4
    assert sorted(map(len, sent(em))) == [1, 1, 1, 1]


def test_two_hundred_texts_travel_in_several_requests_at_once(face, emulate):
    em = emulate(latency=0.2)
    client = face.make(api_key="k", base_url=em.base_url)
    assert len(client.embed([f"text {at}" for at in range(200)])) == 200
    client.close()
    assert em.stats.requests > 1
    assert em.stats.peak_in_flight > 1


def test_the_limits_of_the_models_own_host_are_kept(make, em):
    """Gemini takes a hundred inputs a request: 250 pass without one refusal."""
    assert len(make(GEMINI, dimensions=128).embed([f"text {at}" for at in range(250)])) == 250
    assert max(map(len, sent(em))) <= 100
    assert em.stats.inputs == 250


def test_embed_documents_and_embed_query_give_python_lists(make, em):
    client = make(SMALL, dimensions=4)
    (row,) = client.embed_documents(["a"])
    assert row == client.embed_query("a")
    assert all(type(number) is float for number in row)
