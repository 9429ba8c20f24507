"""Whatever a caller passes is brought into wire form or refused by its index."""

from __future__ import annotations

import base64
import enum
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed import inputs as module
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.inputs import ImageInput, Item, read_inputs

URL = "https://x.example/y.png"
IMAGE = ImageInput.from_url(URL)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def content(*parts):
    return {"content": list(parts)}


def text(value):
    return {"type": "text", "text": value}


def wire(items):
    return [json.loads(item.value) if item.kind == "content" else item.value for item in items]


class Colour(str, enum.Enum):
    RED = "the colour red"


class Name(str):
    __slots__ = ()


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("given_", "texts"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        (("one",), ["one"]),
        ((word for word in ("a", "b")), ["a", "b"]),
        ({"a": 1}.keys() and ["a"], ["a"]),
        (np.array(["a", "b"]), ["a", "b"]),
        ([Name("n")], ["n"]),
        ([Colour.RED], ["the colour red"]),
        (Colour.RED, ["the colour red"]),
        ([], []),
        ("", [""]),
        (["日本", "😀"], ["日本", "😀"]),
    ],
)
def test_texts_stay_plain_strings(given_, texts):
    found = read_inputs(given_)
    assert found == texts
    assert all(type(item) is str for item in found)


@given(st.lists(st.text()))
def test_any_texts_that_can_be_encoded_are_taken(texts):
    broken = any("\ud800" <= char <= "\udfff" for text_ in texts for char in text_)
    if broken:
        with pytest.raises(ConfigurationError):
            read_inputs(texts)
    else:
        assert read_inputs(texts) == texts


# ---------------------------------------------------------------- token ids


@pytest.mark.parametrize(
    ("given_", "ids"),
    [
        ([1, 2, 3], [(1, 2, 3)]),
        ((0,), [(0,)]),
        ([[1, 2], [3]], [(1, 2), (3,)]),
        (np.array([1, 2]), [(1, 2)]),
        (np.array([[1, 2], [3, 4]]), [(1, 2), (3, 4)]),
        ([np.array([1, 2])], [(1, 2)]),
        ([np.int64(7), 8], [(7, 8)]),
        (range(3), [(0, 1, 2)]),
    ],
)
def test_token_ids_become_token_arrays(given_, ids):
    found = read_inputs(given_)
    assert [item.value for item in found] == ids
    assert {item.kind for item in found} == {"tokens"}
    assert all(type(value) is int for item in found for value in item.value)


# ---------------------------------------------------------------- images and joint inputs


def test_one_image_is_one_input():
    assert wire(read_inputs(IMAGE)) == wire(read_inputs([IMAGE])) == [content(IMAGE.to_part())]


def test_a_list_within_a_list_is_one_joint_input():
    found = read_inputs(["alone", ["with", IMAGE]])
    assert wire(found[1:]) == [content(text("with"), IMAGE.to_part())]
    assert found[0] == "alone"


def test_a_mapping_goes_out_as_it_is():
    audio = {"type": "input_audio", "input_audio": {"data": "AA=="}}
    assert wire(read_inputs(content(audio))) == [content(audio)]
    assert wire(read_inputs([content(audio), content(text("a"))])) == [
        content(audio),
        content(text("a")),
    ]


def test_equal_inputs_are_equal_so_that_they_are_sent_once():
    one, two = read_inputs([["a", IMAGE], ["a", ImageInput.from_url(URL)]])
    assert one == two
    assert hash(one) == hash(two)


# ---------------------------------------------------------------- refusals

CANARY = "CANARY text"
REFUSED = {
    "bytes": (b"text", "Cannot embed a bytes"),
    "bytearray": (bytearray(b"text"), "Cannot embed"),
    "memoryview": (memoryview(b"text"), "Cannot embed"),
    "a set": ({"a"}, "Cannot embed a set"),
    "a frozenset": (frozenset("a"), "Cannot embed"),
    "a number": (3, "Cannot embed an int"),
    "None": (None, "Cannot embed a NoneType"),
    "an array without dimension": (np.array(3), "Cannot embed"),
    "None in a list": (["a", None], "Input 1 is a NoneType (a missing value"),
    "NaN in a list": (["a", float("nan")], "Input 1 is a float (a missing value"),
    "a number among texts": ([CANARY, 3], "Input 1 is an int;"),
    "a text among tokens": ([1, CANARY], "The token array holds a str"),
    "a float": ([1.5], "holds a float"),
    "a float among tokens": ([[1, 2.5]], "Input 0 holds a float"),
    "a negative token": ([[1], [-1]], "Input 1 holds an int"),
    "a bool among tokens": ([1, True], "holds a bool"),
    "a bool": ([True], "Input 0 is a bool"),
    "bytes in a list": (["a", b"b"], "Input 1 is a bytes"),
    "an object": ([object()], "Input 0 is an object"),
    "an empty list": (["a", []], "Input 1 is an empty list"),
    "a list of strings in a list": ([[CANARY, "b"]], "flat list"),
    "an empty part": ([["", IMAGE]], "empty text"),
    "a deeper list": ([[["a"]]], "Input 0 holds a list"),
    "a number in a joint input": ([["a", 3, IMAGE]], "Input 0 holds an int"),
    "a mapping with other keys": ([{"text": CANARY}], "Input 0 is a mapping"),
    "a mapping with more keys": ([{"content": [text("a")], "x": 1}], "Input 0 is a mapping"),
    "an empty mapping": ({}, "Input 0 is a mapping"),
    "an empty content": ([content()], "Input 0 is a mapping"),
    "a content that is a string": ([{"content": CANARY}], "content part without a `type`"),
    "a part without type": ([content({"text": CANARY})], "content part without a `type`"),
    "data in a text": (["a", "data:image/png;base64,AAAA"], "Input 1 is a `data:` URL"),
    "Data in a text": ("DATA:text/plain;BASE64,x", "Input 0 is a `data:` URL"),
    "data in a part": ([["data:a/b;base64,x", IMAGE]], "Input 0 is a `data:` URL"),
    "half a surrogate pair": (["a", CANARY + "\ud83d"], "Input 1 holds half of a surrogate"),
    "data in a mapping": ([content(text("data:a/b;base64,x"))], "Input 0 is a `data:` URL"),
    "an object in a mapping": (["a", content({"type": "x", "v": object()})], "Input 1 holds"),
    "half a pair in a mapping": ([content({"type": "x", "v": "\ud800"})], "JSON cannot carry"),
    "tokens three deep": (np.array([[[1]]]), "Input 0 holds a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_embedded_is_refused_by_index_and_not_quoted(name):
    given_, said = REFUSED[name]
    with pytest.raises(ConfigurationError) as caught:
        read_inputs(given_)
    assert said in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_a_value_that_will_not_be_compared_counts_as_missing():
    class Missing:
        def __ne__(self, other):
            raise TypeError

        __hash__ = None

    with pytest.raises(ConfigurationError, match="missing value"):
        read_inputs([Missing()])


def test_a_table_is_refused_though_it_can_be_iterated():
    class Table:
        columns = loc = None

        def __iter__(self):
            return iter(["name"])

    with pytest.raises(ConfigurationError, match="Cannot embed a Table"):
        read_inputs(Table())


# ---------------------------------------------------------------- images


def test_an_image_may_be_named_by_url():
    assert IMAGE.to_part() == {"type": "image_url", "image_url": {"url": URL}}
    upper = ImageInput.from_url("HTTPS://x.example/y.png")
    assert upper.url.startswith("HTTPS")


def test_an_image_may_be_carried_in_a_url():
    data = "data:image/png;base64,AAAA"
    assert ImageInput.from_url(data).url == data


@pytest.mark.parametrize(
    "url",
    ["http://x.example/y.png", "file:///etc/passwd", "ftp://x", "/etc/passwd", "", "x.png",
     "http://169.254.169.254/latest", "data:text/plain;base64,AAAA", "data:image/png,AAAA",
     "javascript:x", "https://x.example/\ud800", None, 3, b"https://x.example"],
)  # fmt: skip
def test_an_image_url_that_could_reach_elsewhere_is_refused(url):
    with pytest.raises(ConfigurationError) as caught:
        ImageInput.from_url(url)
    assert "passwd" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff\xe0", "jpeg"), (b"GIF89a", "gif"),
     (b"RIFF\x00\x00\x00\x00WEBP", "webp"), (b"BM", "bmp")],
)  # fmt: skip
def test_the_format_is_read_off_the_bytes(head, kind):
    url = ImageInput.from_bytes(head + b"rest").url
    start = f"data:image/{kind};base64,"
    assert url.startswith(start)
    assert base64.b64decode(url.removeprefix(start)) == head + b"rest"


def test_another_format_may_be_named():
    assert ImageInput.from_bytes(b"abc", "image/avif").url == "data:image/avif;base64,YWJj"


def test_bytes_of_no_known_format_are_refused():
    with pytest.raises(ConfigurationError, match="media_type"):
        ImageInput.from_bytes(b"abc")
    with pytest.raises(ConfigurationError, match="cannot be a str"):
        ImageInput.from_bytes("abc")


def test_an_image_may_be_read_from_a_file(tmp_path):
    file = tmp_path / "image.png"
    file.write_bytes(PNG)
    assert (
        ImageInput.from_path(file)
        == ImageInput.from_path(str(file))
        == (ImageInput.from_bytes(PNG))
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cat\.png` cannot be read: No such file"):
        ImageInput.from_path(tmp_path / "cat.png")


def test_a_text_that_was_passed_for_a_path_is_not_quoted(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file") as caught:
        ImageInput.from_path("CANARY of a text. And more")
    assert "CANARY" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ImageInput.from_path(tmp_path)
    with pytest.raises(ConfigurationError, match="no valid path"):
        ImageInput.from_path("a\0b")


@pytest.mark.parametrize("wrong", ["cat.png", b"bytes", None])
def test_an_image_that_is_not_made_by_a_constructor_is_refused_with_their_names(wrong):
    with pytest.raises(ConfigurationError, match=r"ImageInput\.from_path"):
        ImageInput(wrong)


def test_an_image_may_come_from_pillow():
    pillow = pytest.importorskip("PIL.Image")
    url = ImageInput.from_pil(pillow.new("RGB", (2, 3), "red")).url
    raw = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    assert pillow.open(io.BytesIO(raw)).size == (2, 3)


def test_images_above_the_limit_are_refused_wherever_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEDIA_BYTES", 10)
    file = tmp_path / "image.png"
    file.write_bytes(PNG)
    for make in (
        lambda: ImageInput.from_bytes(PNG),
        lambda: ImageInput.from_path(file),
        lambda: ImageInput.from_url("data:image/png;base64," + "A" * 99),
    ):
        with pytest.raises(ConfigurationError, match="MiB"):
            make()


def test_neither_images_nor_items_show_what_they_hold():
    assert "x.example" not in repr(IMAGE)
    assert "CANARY" not in repr(read_inputs([content(text(CANARY))]))
    assert repr(Item("tokens", (1,))) == "Item(kind='tokens')"
