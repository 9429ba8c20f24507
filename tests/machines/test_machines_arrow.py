"""Texts out of tables, vectors into them: what is read, what is not copied, what is null."""

from __future__ import annotations

import numpy as np
import pytest

from openrouter_embed import ConfigurationError
from openrouter_embed.ray.arrow import (
    EMPTY,
    NO_VECTORS,
    NULL,
    check_new,
    read_names,
    read_texts,
    reason_column,
    vector_column,
)

pa = pytest.importorskip("pyarrow")


def table(texts, kind=None):
    return pa.table({"text": pa.array(texts, kind or pa.string())})


def matrix(rows, width=4):
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width)


def test_null_and_empty_texts_are_not_sent_and_say_why():
    texts = read_texts(table(["a", None, "", "b"]), "text", empty_too=False)
    assert (texts.values, list(texts.at), texts.count) == (["a", "b"], [0, 3], 4)
    assert texts.missing == {1: NULL, 2: EMPTY}


def test_empty_texts_are_sent_where_they_have_vectors():
    texts = read_texts(table(["a", None, ""]), "text", empty_too=True)
    assert (texts.values, list(texts.at), texts.missing) == (["a", ""], [0, 2], {1: NULL})


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_every_kind_of_string_column_is_read(kind):
    column = pa.array(["a", "b", "a"]).cast(kind)
    texts = read_texts(pa.table({"text": column}), "text", empty_too=False)
    assert texts.values == ["a", "b", "a"]


def test_a_column_of_nulls_alone_is_read():
    texts = read_texts(table([None, None], pa.null()), "text", empty_too=False)
    assert (texts.values, texts.missing) == ([], {0: NULL, 1: NULL})


def test_a_record_batch_is_read_as_well():
    (batch,) = table(["a"]).to_batches()
    assert read_texts(batch, "text", empty_too=False).values == ["a"]


@pytest.mark.parametrize(
    ("column", "says"),
    [("words", r"no column `words`; there are: `text`, `n`\."), ("n", "`n` holds int64")],
)
def test_a_column_that_is_none_or_no_texts_is_refused_by_name(column, says):
    with pytest.raises(ConfigurationError, match=says):
        read_texts(pa.table({"text": ["a"], "n": [1]}), column, empty_too=False)


def test_a_matrix_becomes_a_column_without_a_copy():
    rows = matrix(3)
    texts = read_texts(table(["a", "b", "c"]), "text", empty_too=False)
    column = vector_column(texts, rows, [], 0)
    assert column.type == pa.list_(pa.float32(), 4)
    assert column.flatten().buffers()[1].address == rows.ctypes.data
    assert np.array_equal(column.flatten().to_numpy().reshape(3, 4), rows)


def test_rows_without_a_text_or_refused_are_null_and_the_others_keep_their_place():
    texts = read_texts(table(["a", None, "b", "c"]), "text", empty_too=False)
    sent = matrix(3)
    sent[1] = np.nan
    column = vector_column(texts, sent, [2], 0)
    assert column.to_pylist() == [[0, 1, 2, 3], None, None, [8, 9, 10, 11]]
    assert column.type == pa.list_(pa.float32(), 4)
    assert not np.isnan(column.values.to_numpy()).any()


@pytest.mark.skipif(
    int(pa.__version__.partition(".")[0]) < 26,
    reason="pyarrow before 26 reads no nulls in lists of a fixed size, whoever wrote them",
)
def test_a_column_with_nulls_survives_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = read_texts(table(["a", None]), "text", empty_too=False)
    written = pa.table({"v": vector_column(texts, matrix(1), [], 0)})
    parquet.write_table(written, tmp_path / "f.parquet")
    read = parquet.read_table(tmp_path / "f.parquet")
    assert read.schema == written.schema
    assert read.to_pylist() == [{"v": [0, 1, 2, 3]}, {"v": None}]


def test_a_batch_without_any_vector_has_the_width_that_is_known():
    texts = read_texts(table([None, ""]), "text", empty_too=False)
    column = vector_column(texts, NO_VECTORS, [], 8)
    assert (column.type, column.null_count) == (pa.list_(pa.float32(), 8), 2)
    assert vector_column(texts, NO_VECTORS, [], 0).type == pa.null()


def test_reasons_stand_where_something_is_wrong():
    assert reason_column(3, {1: "why"}).to_pylist() == [None, "why", None]
    assert reason_column(2, {}).type == pa.string()


def test_rows_are_named_by_a_column_and_by_id_where_none_is_told():
    rows = pa.table({"id": [7, 8, 9], "url": ["a", "b", "c"]})
    assert read_names(rows, None, [0, 2]) == ["7", "9"]
    assert read_names(rows, "url", [1]) == ["b"]
    assert read_names(table(["a"]), None, [0]) is None
    with pytest.raises(ConfigurationError, match="no column `key`"):
        read_names(rows, "key", [0])


def test_a_column_that_is_there_is_not_overwritten():
    with pytest.raises(ConfigurationError, match="a column `text` already"):
        check_new(table(["a"]), ["text"])
