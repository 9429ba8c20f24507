"""What people see: a few lines, rounded money, no walls of numbers, no texts and no keys."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from IPython.lib.pretty import pretty

from openrouter_embed import (
    BadRequestError,
    EmbeddingClient,
    EmbeddingResult,
    Estimate,
    KeyInfo,
    Usage,
)
from openrouter_embed.emulator import Emulator

USAGE = Usage(total_tokens=17_345, cost=0.00034000000000000035, requests=74, inputs=2_000)


@pytest.fixture
def result():
    def refusal():
        return BadRequestError("The text is too long.", status=400)

    vectors = np.full((9, 1536), 0.125, np.float32)
    vectors[[1, 5, 7]] = np.nan
    return EmbeddingResult(
        vectors=vectors,
        failures={at: refusal() for at in (1, 5, 7)},
        usage=USAGE,
        model="qwen/qwen3-embedding-8b",
        upstream_model="Qwen/Qwen3-Embedding-8B",
        providers=("Nebius", "DeepInfra"),
        flags={"zero": (2,)},
    )


def test_a_result_reads_like_a_summary(result):
    assert str(result).splitlines() == [
        "vectors    9 rows of 1,536 components",
        "model      qwen/qwen3-embedding-8b (there called Qwen/Qwen3-Embedding-8B)",
        "hosts      Nebius, DeepInfra",
        "usage      17,345 tokens, $0.0003, 74 requests",
        "flag zero  1 input (index 2)",
        "failed     3 inputs (index 1, 5, 7): BadRequestError: The text is too long.",
    ]


def test_a_vector_shows_its_beginning_and_is_a_list_of_floats(result):
    vector = result[0]
    assert repr(vector) == "[0.1250, 0.1250, 0.1250, …] (1,536 numbers)"
    assert vector == [0.125] * 1536
    assert isinstance(vector, list)
    assert json.loads(json.dumps(vector)) == vector
    assert type(pickle.loads(pickle.dumps(vector))) is list


@pytest.mark.parametrize(
    "thing",
    [
        USAGE,
        Estimate(tokens=3_000_000, cost=0.06, inputs=1000),
        KeyInfo(label="sk-or-v1-1…abc", usage=1.5, limit=10.0, limit_remaining=8.5),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_a_notebook_gets_a_small_table(thing):
    html = thing._repr_html_()
    assert html.startswith("<table>")
    assert html.count("<tr>") < 10
    assert "<script" not in html


def test_ipython_in_a_terminal_shows_what_print_shows(result):
    with Emulator(backend="hashed") as server:
        models = EmbeddingClient.without_key("*", base_url=server.base_url).models()
    for thing in (USAGE, result, models, Estimate(tokens=3, cost=0.06, inputs=1)):
        assert pretty(thing) == str(thing)


def test_a_notebook_escapes_what_a_server_said(result):
    result.failures[1].message = "<b>"
    result.failures[1].args = ("<b>",)
    html = result._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_an_estimate_and_a_key_read_like_sentences():
    assert str(Estimate(tokens=1200, cost=0.000024, inputs=40)) == (
        "40 inputs, 1,200 tokens, about $0.000024"
    )
    assert str(Estimate(tokens=1200, cost=None, inputs=40)).endswith("1,200 tokens, ?")
    key = KeyInfo(label="sk-or…abc", usage=1.5, limit=10.0, limit_remaining=8.5)
    assert "left   $8.50" in str(key)


def test_models_are_a_list_that_shows_itself_as_a_table():
    with Emulator(backend="hashed") as server:
        models = EmbeddingClient.without_key("*", base_url=server.base_url).models()
    assert isinstance(models, list)
    assert len(str(models).splitlines()) == len(models) + 2
    assert max(map(len, str(models).splitlines())) <= 80
    assert models._repr_html_().count("<tr>") == len(models) + 1


def test_a_result_names_the_id_that_was_asked_for_and_what_the_host_calls_it():
    with (
        Emulator(backend="hashed") as server,
        EmbeddingClient(
            "qwen/qwen3-embedding-8b", api_key="emulated", base_url=server.base_url
        ) as client,
    ):
        result = client.embed(["otters swim", "bees fly", "an otter"], role="document")
        assert result.model == "qwen/qwen3-embedding-8b"
        assert result.upstream_model == "Qwen/Qwen3-Embedding-8B"
        assert [at for at, _ in result.search(client.embed("an otter", role="document"), 1)] == [2]
    assert result.quantize("int8").shape == result.vectors.shape


def test_quantizing_a_result_with_failures_raises_what_befell_it(result):
    with pytest.raises(BadRequestError, match="too long"):
        result.quantize("binary")
