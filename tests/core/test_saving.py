"""A result in a file of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from openrouter_embed import (
    APIError,
    BadRequestError,
    ConfigurationError,
    EmbeddingError,
    EmbeddingResult,
    TransportError,
    Usage,
)


@pytest.fixture
def result():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows[2] = np.nan
    return EmbeddingResult(
        vectors=rows,
        failures={2: BadRequestError("It is too long.", status=400, code="too_long")},
        usage=Usage(prompt_tokens=7, total_tokens=7, cost=0.25, requests=2, inputs=3, cache_hits=1),
        model="some/model",
        space="some_model-0123",
        providers=("DeepInfra", "Nebius"),
        request_ids=("gen-1",),
        flags={"zero": (0, 3)},
        start=4096,
    )


def test_what_was_saved_is_loaded(result, tmp_path):
    path = tmp_path / "result.npz"
    result.save(path)
    loaded = EmbeddingResult.load(path)
    assert loaded.vectors.dtype == np.float32
    assert np.array_equal(loaded.vectors, result.vectors, equal_nan=True)
    for name in ("usage", "model", "space", "providers", "request_ids", "flags", "start"):
        assert getattr(loaded, name) == getattr(result, name), name


def test_failures_keep_their_kind_and_what_they_say(result, tmp_path):
    path = tmp_path / "result.npz"
    result.save(path)
    error = EmbeddingResult.load(path).failures[2]
    assert type(error) is BadRequestError
    assert (str(error), error.status, error.code) == (str(result.failures[2]), 400, "too_long")
    with pytest.raises(BadRequestError):
        EmbeddingResult.load(path).tolist()


@pytest.mark.parametrize(
    "error",
    [TransportError("No.", kind="dns"), EmbeddingError("No."), APIError("No.", status=499)],
    ids=lambda error: type(error).__name__,
)
def test_every_kind_of_error_comes_back(result, tmp_path, error):
    kept = EmbeddingResult(vectors=result.vectors, failures={2: error})
    kept.save(tmp_path / "x")
    loaded = EmbeddingResult.load(tmp_path / "x").failures[2]
    assert (type(loaded), str(loaded), loaded.attempts) == (type(error), str(error), 0)


def test_an_empty_result_can_be_saved(tmp_path):
    EmbeddingResult(vectors=np.zeros((0, 0), np.float32)).save(tmp_path / "x.npz")
    assert len(EmbeddingResult.load(tmp_path / "x.npz")) == 0


def test_the_file_has_the_name_that_was_given_and_nothing_lies_beside_it(result, tmp_path):
    result.save(str(tmp_path / "vectors"))
    result.save(tmp_path / "vectors")
    assert [entry.name for entry in tmp_path.iterdir()] == ["vectors"]


def test_numpy_alone_can_read_it(result, tmp_path):
    result.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert file["vectors"].shape == (4, 3)
        assert json.loads(str(file["about"]))["model"] == "some/model"


def test_a_file_that_cannot_be_written_leaves_the_one_before(result, tmp_path, monkeypatch):
    path = tmp_path / "x.npz"
    result.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        result.save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npz"]


def write_text(path):
    path.write_text("Dear diary")


def write_foreign(path):
    np.savez(path, other=np.zeros(3))


def write_pickles(path):
    np.savez(path, vectors=np.array([{}], dtype=object), about=np.array("{}"))


@pytest.mark.parametrize("write", [write_text, write_foreign, write_pickles])
def test_a_file_that_is_no_result_is_refused(tmp_path, write):
    path = tmp_path / "x.npz"
    write(path)
    with pytest.raises(ConfigurationError, match="no result"):
        EmbeddingResult.load(path)


def test_a_later_versions_file_is_refused(tmp_path):
    about = np.array(json.dumps({"format": 99}))
    np.savez(tmp_path / "x.npz", vectors=np.zeros((1, 2), np.float32), about=about)
    with pytest.raises(ConfigurationError, match="later version"):
        EmbeddingResult.load(tmp_path / "x.npz")


def test_a_file_that_is_not_there_is_said_as_python_says_it(tmp_path):
    with pytest.raises(FileNotFoundError):
        EmbeddingResult.load(tmp_path / "none.npz")


def test_a_folder_that_is_not_there_is_named_itself(result, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent'$"):
        result.save(tmp_path / "absent" / "x.npz")
