"""Quality figures equal those of a second implementation, and chance is called chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.comparison import measures


def made(seed, queries=40, documents=120, width=16):
    chance = np.random.default_rng(seed)
    asked = chance.standard_normal((queries, width)).astype(np.float32)
    known = chance.standard_normal((documents, width)).astype(np.float32)
    relevant = [
        set(map(int, chance.choice(documents, chance.integers(1, 6), replace=False)))
        for _ in range(queries)
    ]
    return asked, known, relevant


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 5, 10])
def test_figures_equal_those_of_trec_eval_to_six_digits(seed, k):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    asked, known, relevant = made(seed)
    cosines = measures.unit_rows(asked) @ measures.unit_rows(known).T
    wanted = {f"q{q}": {f"d{d}": 1 for d in found} for q, found in enumerate(relevant)}
    run = {
        f"q{q}": {f"d{d}": float(row[d]) for d in np.argsort(-row)[:k]}
        for q, row in enumerate(cosines)
    }
    names = {"ndcg_cut": f"ndcg_cut_{k}", "recall_1": "recall_1", "recall": f"recall_{k}",
             "mrr": "recip_rank"}  # fmt: skip
    asked_for = {f"ndcg_cut.{k}", f"recall.1,{k}", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator(wanted, asked_for).evaluate(run)
    ours = measures.score(measures.rank(asked, known, k, relevant), relevant, k)
    for name, values in zip(
        names.values(), (ours.ndcg, ours.recall_1, ours.recall, ours.mrr), strict=True
    ):
        other = [theirs[f"q{q}"][name] for q in range(len(asked))]
        assert values == pytest.approx(other, abs=1e-6), name


def test_a_figure_by_hand():
    """Relevant at ranks 2 and 4 of 3 relevant ones, k = 4."""
    found = np.array([[9, 1, 8, 2]])
    scores = measures.score(found, [{1, 2, 3}], 4)
    gain = 1 / np.log2(3) + 1 / np.log2(5)
    assert scores.ndcg[0] == pytest.approx(gain / (1 + 1 / np.log2(3) + 1 / np.log2(4)))
    assert (scores.recall_1[0], scores.recall[0], scores.mrr[0]) == (0, pytest.approx(2 / 3), 0.5)


def test_a_tie_counts_against_the_model():
    """A model that gives every text the same vector finds nothing but by luck: it gets none."""
    same = np.ones((50, 4), dtype=np.float32)
    found = measures.rank(same[:5], same, 10, [{0}] * 5)
    assert measures.score(found, [{0}] * 5, 10).ndcg.tolist() == [0.0] * 5


def test_a_tie_does_not_push_a_document_behind_worse_ones():
    documents = np.array([[1, 0], [1, 0], [0.5, 1]], dtype=np.float32)
    found = measures.rank(documents[:1], documents, 3, [{0}])
    assert found.tolist() == [[1, 0, 2]]


@settings(max_examples=examples(50), deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 150))
def test_ranking_is_by_cosine_whatever_the_lengths_and_k(seed, k):
    asked, known, _ = made(seed, queries=5, documents=60)
    lengths = np.random.default_rng(seed).uniform(0.1, 9, (60, 1)).astype(np.float32)
    found = measures.rank(asked, known * lengths, k)
    cosines = measures.unit_rows(asked) @ measures.unit_rows(known).T
    values = np.take_along_axis(cosines, found, axis=1)
    assert found.shape == (5, min(k, 60))
    assert (np.diff(values, axis=1) <= 2e-6).all()
    assert values[:, -1] == pytest.approx(
        np.sort(cosines, axis=1)[:, ::-1][:, found.shape[1] - 1], abs=2e-6
    )


def test_an_interval_holds_the_mean_of_noise_and_narrows_with_queries():
    chance = np.random.default_rng(1)
    few, many = chance.normal(0.5, 0.2, 20), chance.normal(0.5, 0.2, 2000)
    low, high = measures.interval(measures.resample(many))
    assert low < 0.5 < high
    wide = np.subtract(*measures.interval(measures.resample(few))[::-1])
    assert wide > 5 * (high - low)


def test_two_runs_give_the_same_interval():
    values = np.random.default_rng(2).random(40)
    assert (measures.resample(values) == measures.resample(values)).all()


def test_rankings_that_share_half_agree_by_half():
    assert measures.agreement(np.array([[1, 2, 3, 4]]), np.array([[4, 3, 8, 9]])) == 0.5
