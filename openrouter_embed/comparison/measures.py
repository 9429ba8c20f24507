"""How well vectors find what they should: nDCG, recall, MRR, and whether a difference is noise.

Rules of this file:
- Pure functions of matrices. Relevance is binary, similarity is the exact cosine.
- A tie counts against: of two documents that score alike the irrelevant one comes first, so that a
  model which cannot tell documents apart gets no credit for their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
    Figures = NDArray[np.float64]

_np: Final[Any] = np
"""numpy where its types leave checkers in the dark."""
DIGITS: Final = 6
"""Digits of a cosine that count: float32 has no more."""
AT_ONCE: Final = 256
"""Queries ranked at a time, so that a large corpus needs little memory."""
RESAMPLES: Final = 2000
"""Bootstrap samples: the ends of a 95 % interval are then stable to its first two digits."""
DRAWN: Final = 1_000_000
"""Numbers drawn at a time: 8 MB."""
LEVEL: Final = 95.0
"""Per cent of the resamples that an interval holds."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What every query scored, float64 `(queries,)` each.

    Attributes:
        ndcg: Normalised discounted cumulative gain of the first k.
        recall_1: Share of a query's relevant documents that came first.
        recall: Share of them among the first k.
        mrr: One over the rank of the first relevant one, 0 beyond k.
    """

    ndcg: Figures
    recall_1: Figures
    recall: Figures
    mrr: Figures


def unit_rows(vectors: Vectors) -> Vectors:
    """Return rows of length one; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(lengths == 0, 1, lengths), dtype=np.float32)


def rank(
    queries: Vectors,
    documents: Vectors,
    k: int,
    relevant: Sequence[Collection[int]] | None = None,
) -> NDArray[np.int64]:
    """Return the indexes of each query's first k documents, best first: int64 `(q, k)`."""
    k = min(k, len(documents))
    asked: Any = unit_rows(queries)
    known: Any = unit_rows(documents)
    found = np.empty((len(asked), k), dtype=np.int64)
    for start in range(0, len(asked), AT_ONCE):
        cosines: Any = asked[start : start + AT_ONCE] @ known.T
        part: Figures = _np.round(cosines.astype(np.float64), DIGITS)
        if relevant is not None:
            _tie_against(part, relevant[start : start + AT_ONCE])
        found[start : start + len(part)] = _best(part, k)
    return found


def _tie_against(scores: Figures, relevant: Sequence[Collection[int]]) -> None:
    """Put relevant documents behind those that score alike, and before all that score less."""
    for row, wanted in zip(scores, relevant, strict=True):
        row[list(wanted)] -= 0.5 * 10.0**-DIGITS


def _best(scores: Any, k: int) -> NDArray[np.int64]:
    if k < scores.shape[1]:
        nearest = _np.argpartition(-scores, k - 1, axis=1)[:, :k]
    else:
        nearest = _np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    near = np.take_along_axis(scores, nearest, axis=1)
    order = np.lexsort((nearest, -near), axis=1)
    best: NDArray[np.int64] = np.take_along_axis(nearest, order, axis=1)
    return best


def score(found: NDArray[np.int64], relevant: Sequence[Collection[int]], k: int) -> Scores:
    """Return what rankings are worth.

    Args:
        found: Document indexes, best first, `(q, k)`.
        relevant: The documents that each query should find, at least one each.
        k: How many of the first are looked at.
    """
    hits = _np.array(
        [np.isin(row, list(wanted)) for row, wanted in zip(found, relevant, strict=True)]
    ).reshape(len(found), -1)
    total = np.array([len(set(wanted)) for wanted in relevant], dtype=np.float64)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(total, k).astype(int)]
    ranks = _np.arange(1, hits.shape[1] + 1)
    return Scores(
        ndcg=(hits * discounts[: hits.shape[1]]).sum(axis=1) / ideal,
        recall_1=hits[:, 0] / total,
        recall=hits.sum(axis=1) / total,
        mrr=(hits / ranks).max(axis=1),
    )


def resample(values: Figures, seed: int = 0) -> Figures:
    """Return means of bootstrap samples: float64 `(RESAMPLES,)`.

    The same seed draws the same queries, so that two models' means are paired.
    """
    chance = np.random.default_rng(seed)
    at_once = max(1, DRAWN // len(values))
    parts = [
        values[chance.integers(0, len(values), (min(at_once, RESAMPLES - start), len(values)))]
        for start in range(0, RESAMPLES, at_once)
    ]
    means: Figures = np.concatenate([part.mean(axis=1) for part in parts])
    return means


def interval(means: Figures) -> tuple[float, float]:
    """Return the middle `LEVEL` per cent of resampled means."""
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def agreement(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the mean share of documents that two rankings have in common, from 0 to 1."""
    shared: list[int] = [len(set(a) & set(b)) for a, b in zip(one, other, strict=True)]
    return sum(shared) / max(1, one.size)
