"""What people pass out of habit: columns, tables, sets, texts that begin with "data:", half emoji.

Each is taken or refused alike by `embed`, `stream` and `estimate` of both clients; the adapters'
tests hold the same table to their own methods.
"""

from __future__ import annotations

import pathlib

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from api_faces import GEMINI
from PIL import Image

from openrouter_embed import ConfigurationError

TEXTS = ["one", "two"]


def rows_of_a_stream(client, inputs):
    return sum(len(result) for result in client.stream(inputs))


DOORS = {
    "embed": lambda client, inputs: len(client.embed(inputs)),
    "estimate": lambda client, inputs: client.estimate(inputs).inputs,
    "stream": rows_of_a_stream,
}


@pytest.fixture(params=DOORS)
def door(request):
    return DOORS[request.param]


def sent(em):
    return [text for request in em.requests for text in request.body["input"]]


COLUMNS = {
    "a column of pandas": pd.DataFrame({"text": TEXTS})["text"],
    "an index of pandas": pd.Index(TEXTS),
    "a column of strings of pandas": pd.Series(TEXTS, dtype="string"),
    "a column of categories of pandas": pd.Series(TEXTS, dtype="category"),
    "a column of polars": pl.DataFrame({"text": TEXTS})["text"],
    "a column of pyarrow": pa.table({"text": TEXTS})["text"],
    "an array of pyarrow": pa.array(TEXTS),
    "scalars of pyarrow": list(pa.array(TEXTS)),
    "an array of numpy": np.array(TEXTS),
    "an array of objects of numpy": np.array(TEXTS, dtype=object),
    "the values of a dict": dict(enumerate(TEXTS)).values(),
    "the keys of a dict": dict.fromkeys(TEXTS).keys(),
}


@pytest.mark.parametrize("form", COLUMNS)
def test_people_pass_a_column(make, em, door, form):
    assert door(make(), COLUMNS[form]) == 2
    assert sent(em) in ([], TEXTS)


async def ticking():
    yield "one"


async def promised():
    return TEXTS


def unawaited():
    coroutine = promised()
    coroutine.close()
    return coroutine


TABLES = {
    "a table of pandas": (lambda: pd.DataFrame({"text": TEXTS}), r'`df\["text"\]\.tolist\(\)`'),
    "one column of pandas as a table": (
        lambda: pd.DataFrame({"text": TEXTS})[["text"]], r'`df\["text"\]\.tolist\(\)`'),
    "a table of polars": (lambda: pl.DataFrame({"text": TEXTS}), r'`df\["text"\]\.to_list\(\)`'),
    "a lazy table of polars": (lambda: pl.LazyFrame({"text": TEXTS}), r"`df\.collect\(\)"),
    "a table of pyarrow": (lambda: pa.table({"text": TEXTS}), r'`table\["text"\]\.to_pylist\(\)`'),
    "a set": (lambda: set(TEXTS), r"no order; pass a list, such as `sorted\(texts\)`"),
    "a frozenset": (lambda: frozenset(TEXTS), "no order"),
    "a dict": (lambda: {1: "one"}, r"`list\(d\.values\(\)\)`"),
    "None": (lambda: None, r"NoneType \(a missing value"),
    "a number": (lambda: 5, "an int"),
    "an array without a dimension": (lambda: np.array("x"), r"`\[array\.item\(\)\]`"),
    "a matrix of texts": (lambda: np.array([TEXTS]), r"`array\.ravel\(\)\.tolist\(\)`"),
    "a coroutine": (unawaited, "awaited first"),
    "bytes": (lambda: b"one", "a bytes"),
    "a function": (lambda: len, "a builtin_function_or_method"),
    "a type": (lambda: list, "a type"),
}  # fmt: skip


@pytest.mark.parametrize("form", TABLES)
def test_people_pass_what_is_no_list_of_texts_and_read_what_to_write(make, em, door, form):
    given, message = TABLES[form]
    with pytest.raises(ConfigurationError, match=message):
        door(make(), given())
    assert em.stats.requests == 0


@pytest.mark.parametrize("name", ["embed", "estimate"])
def test_people_pass_an_async_generator_where_a_list_belongs(make, em, name):
    with pytest.raises(ConfigurationError, match=r"`\[text async for text in texts\]`"):
        DOORS[name](make(), ticking())
    assert em.stats.requests == 0


def test_people_pass_an_async_generator_to_a_stream(make, em, face):
    """The asynchronous client takes it; the synchronous one says what to do."""
    if "Async" in face.__name__:
        assert rows_of_a_stream(make(), ticking()) == 1
        return
    with pytest.raises(ConfigurationError, match=r"`\[text async for text in texts\]`"):
        make().stream(ticking())


def test_people_stream_one_array_of_token_ids(make, em):
    with pytest.raises(ConfigurationError, match=r"Input 0 is an int: .* token ids as lists"):
        rows_of_a_stream(make(), [1, 2, 3])
    assert rows_of_a_stream(make(), [[1, 2], [3]]) == 2


WORDY = (
    "Data: 15 marzo 2024\nOggetto: verbale",
    "data:\n  key: value",
    'data: {"choices": []}',
    "data: [DONE]",
    "DATA:x",
    "data:image/png is how such a URL begins",
    "data:text/plain,hello",
)


@pytest.mark.parametrize("text", WORDY)
def test_people_embed_texts_that_begin_with_data(make, em, door, text):
    assert door(make(), [text]) == 1
    assert sent(em) in ([], [text])


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,AAAA", "Data:application/pdf;name=a.pdf;base64,AAAA"]
)
def test_people_embed_a_file_as_text_by_mistake(make, em, door, url):
    with pytest.raises(ConfigurationError, match="Input 0 is a `data:` URL") as caught:
        door(make(), [url])
    assert "AAAA" not in str(caught.value)
    assert em.stats.requests == 0


def test_people_embed_a_surrogate_pair_from_a_pdf(make, em, door):
    assert door(make(), ["smile \ud83d\ude00!", "one"]) == 2
    assert sent(em) in ([], ["smile 😀!", "one"])


def test_people_embed_half_of_a_surrogate_pair_and_the_advice_works(make, em, door):
    broken = "pair \ud83d\ude00, half \ud83d"
    with pytest.raises(ConfigurationError, match="Input 1 holds half of a surrogate") as caught:
        door(make(), ["one", broken])
    advice = str(caught.value).split("`")[1]
    mended = eval(advice, {"text": broken})
    assert mended == "pair 😀, half �"
    assert door(make(), ["one", mended]) == 2


def test_a_pair_in_a_joint_input_is_mended_too(make, em):
    make(GEMINI).embed([{"content": [{"type": "text", "text": "\ud83d\ude00"}]}])
    assert em.requests[0].body["input"][0]["content"][0]["text"] == "😀"


# ---------------------------------------------------------------- one bad input among many

BAD = {
    "an empty text": ("", "Input 1 is empty"),
    "a missing text": (None, "Input 1 is a NoneType"),
    "NaN": (float("nan"), r"Input 1 is a float \(a missing"),
    "half of a pair": ("\ud83d", "Input 1 holds half of a surrogate pair"),
    "a data URL": ("data:image/png;base64,AAAA", "Input 1 is a `data:` URL"),
    "a number": (5, "Input 1 is an int"),
    "an empty list": ([], "Input 1 is an empty list"),
    "a record": ({"text": "a"}, "Input 1 is a mapping"),
    "a file that is not there": (pathlib.Path("no.png"), "Input 1: The image file `no.png` cannot"),
}


@pytest.mark.parametrize("form", BAD)
def test_people_have_one_bad_text_among_many(make, em, form):
    """With `on_error="return"` it is a listed failure, and the others are delivered."""
    bad, message = BAD[form]
    result = make(dimensions=8).embed(["one", bad, "two", bad], on_error="return")
    assert sent(em) == ["one", "two"]
    assert result.ok.tolist() == [True, False, True, False]
    assert sorted(result.failures) == [1, 3]
    assert np.isnan(result.vectors[1]).all()
    with pytest.raises(ConfigurationError, match=message):
        result[1]
    assert np.allclose(result.vectors[2], make(dimensions=8).embed("two").vectors[0], atol=1e-6)


@pytest.mark.parametrize("form", BAD)
def test_by_default_one_bad_text_keeps_all_from_being_sent(make, em, form):
    with pytest.raises(ConfigurationError):
        make().embed(["one", BAD[form][0], "two"])
    assert em.stats.requests == 0


def test_a_stream_lists_bad_texts_too(make, em):
    (result,) = make().stream(["one", None, "two"], on_error="return")
    assert sorted(result.failures) == [1]


def test_bad_texts_alone_cost_no_request(make, em):
    result = make().embed([None, ""], on_error="return")
    assert sorted(result.failures) == [0, 1]
    assert len(result) == 2
    assert em.stats.requests == 0


def test_an_empty_text_gets_zeros_beside_a_missing_one_that_fails(make, em):
    result = make(empty="zeros", dimensions=4).embed(["", None, "one"], on_error="return")
    assert result.vectors[0].tolist() == [0.0] * 4
    assert sorted(result.failures) == [1]


def test_listed_inputs_keep_no_frame_that_holds_a_text(make):
    result = make().embed(["one", "half \ud83d"], on_error="return")
    assert result.failures[1].__traceback__ is None
    assert result.failures[1].__context__ is None


def test_lists_are_not_prepared_with_a_row_that_failed(make):
    result = make(dimensions=4).embed(["one", None], on_error="return", lists=True)
    assert result.prepared is None


# ---------------------------------------------------------------- images as people hold them


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "picture.png"
    Image.new("RGB", (2, 2), "red").save(file)
    return file


@pytest.mark.parametrize("held", ["a path", "an open image", "an image in memory", "in CMYK"])
def test_people_embed_an_image_as_they_hold_it(make, em, picture, held):
    image = {
        "a path": lambda: picture,
        "an open image": lambda: Image.open(picture),
        "an image in memory": lambda: Image.new("RGBA", (2, 2)),
        "in CMYK": lambda: Image.new("CMYK", (2, 2)),
    }[held]()
    client = make(GEMINI, dimensions=128)
    assert len(client.embed(image)) == 1
    assert len(client.embed([image, "a text", ["a caption", image]])) == 3
    assert client.estimate([image]).inputs == 1
    contents = [one for one in sent(em) if isinstance(one, dict)]
    assert len(contents) == 3
    assert all("data:image/png;base64," in str(one) for one in contents)


def test_people_pass_the_path_of_a_text(make, em, tmp_path):
    file = tmp_path / "note.txt"
    file.write_text("a note")
    with pytest.raises(ConfigurationError, match=r"Input 1: .*`path\.read_text\(\)`"):
        make(GEMINI).embed(["one", file])
    assert em.stats.requests == 0


def test_a_progress_bar_counts_whatever_was_passed(make, em):
    with pytest.raises(ConfigurationError, match="Cannot embed a ndarray"):
        make().embed(np.array("x"), progress=True)


# ---------------------------------------------------------------- the model's name


@pytest.mark.parametrize(
    "misspelt",
    ["openai/text-embeding-3-small", "text-embedding-3-small", "OpenAI/text-embedding-3-small"],
)
def test_people_misspell_the_model_in_an_estimate(make, em, misspelt):
    message = "no model .* Did you mean .*`openai/text-embedding-3-small`"
    with pytest.raises(ConfigurationError, match=message):
        make(misspelt).estimate(["one"])
    assert em.stats.requests == 0


def test_people_misspell_the_model_of_a_client_with_a_spending_limit(make, em):
    with pytest.raises(ConfigurationError, match="Did you mean `openai/text-embedding-3-small`"):
        make("openai/text-embeding-3-small", max_cost=1).embed(["one"])
    assert em.stats.requests == 0


def test_a_variant_of_a_model_is_no_misspelling(make):
    assert make("openai/text-embedding-3-small:nitro").estimate(["one"]).cost is None


# ---------------------------------------------------------------- options of a client


@pytest.mark.parametrize("option", ["timeout", "model", "dimensions"])
def test_people_assign_an_option_of_a_client(make, option):
    with pytest.raises(ConfigurationError, match=f"`{option}` is fixed .* `client.settings`"):
        setattr(make().client, option, 3)


@pytest.mark.parametrize("queries", [TEXTS, tuple(TEXTS), np.array(TEXTS), pd.Series(TEXTS)])
def test_people_pass_several_queries_where_one_belongs(make, em, queries):
    with pytest.raises(ConfigurationError, match=r"use `embed\(texts, role='query'\)`"):
        make().embed_query(queries)
    assert em.stats.requests == 0
