"""Roles are worth something: the right ones find more, and nobody has to ask for them."""

from __future__ import annotations

import importlib.util
import pathlib

import numpy as np
import pytest
from roles_ways import WAYS

from openrouter_embed import EmbeddingClient

# The emulator's own labelled corpus: each question's answer is the passage of the same rank.
_FILE = pathlib.Path(__file__).parents[1] / "emulator" / "emulator_corpus.py"
_SPEC = importlib.util.spec_from_file_location("emulator_corpus", _FILE)
corpus = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(corpus)

SENSITIVE = [
    "voyageai/voyage-4",
    "google/gemini-embedding-001",
    "google/gemini-embedding-2",
    "nvidia/nemotron-3-embed-1b:free",
    "intfloat/e5-base-v2",
    "liquid/lfm-2.5-embedding-350m:free",
]
QUERIES_ONLY = ["qwen/qwen3-embedding-4b", "baai/bge-base-en-v1.5"]
MARGIN = 0.05


def score(questions, passages):
    """Mean reciprocal rank of each question's own passage, by cosine."""
    left, right = (np.asarray(rows) for rows in (questions, passages))
    left, right = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (left, right))
    likeness = left @ right.T
    own = np.diag(likeness)[:, None]
    return float((1 / (likeness >= own).sum(axis=1)).mean())


@pytest.fixture(scope="module")
def scores(shared_emulator):
    """For a model: the score with the right roles, with none, and with roles swapped."""
    known = {}

    def measure(model):
        if model in known:
            return known[model]
        options = {"api_key": "k", "base_url": shared_emulator.base_url}
        with EmbeddingClient(model, **options) as client:
            questions, passages = (
                {
                    role: client.embed(texts, role=role).vectors
                    for role in ("query", "document", None)
                }
                for texts in (corpus.QUESTIONS, corpus.PASSAGES)
            )
        pairs = (("query", "document"), (None, None), ("document", "query"))
        known[model] = [score(questions[one], passages[other]) for one, other in pairs]
        return known[model]

    return measure


@pytest.mark.parametrize("model", SENSITIVE)
def test_right_roles_find_more_than_swapped_ones(scores, model):
    right, _, swapped = scores(model)
    assert right >= swapped + MARGIN


@pytest.mark.parametrize("model", SENSITIVE + QUERIES_ONLY)
def test_right_roles_find_more_than_none(scores, model):
    right, none, _ = scores(model)
    assert right > none


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["voyageai/voyage-4", "intfloat/e5-base-v2", *QUERIES_ONLY[:1]])
def test_every_way_of_asking_finds_as_much_as_the_right_roles(em, scores, model, way):
    options = {"api_key": "k", "base_url": em.base_url}
    questions = WAYS[way]("query", corpus.QUESTIONS, model, **options)
    passages = WAYS[way]("document", corpus.PASSAGES, model, **options)
    right, none, swapped = scores(model)
    assert score(questions, passages) == pytest.approx(right, abs=1e-3)
    assert right > max(none, swapped)
