"""Vectors compared, searched and made smaller, for prototypes of a few lines.

Rules of this file:
- Exact cosines of whole matrices: right for thousands of rows, and no substitute for an index.
- A row that failed is NaN and is never found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


def similarity(a: Any, b: Any) -> NDArray[np.float32]:
    """Return the cosines of vectors: float32 `(n, m)`; a single vector takes no dimension.

    Args:
        a: A result, a matrix `(n, d)`, a list of vectors, or one vector.
        b: The same, of the same width.

    Raises:
        ConfigurationError: These are no vectors, or of different widths.
    """
    return _cosines(("a", a), ("b", b))


def _cosines(one: tuple[str, Any], other: tuple[str, Any]) -> NDArray[np.float32]:
    """Return the cosines of two things, each under the name that the caller knows."""
    left: Any = _rows(*one)
    right: Any = _rows(*other)
    if left.shape[-1] != right.shape[-1]:
        raise ConfigurationError(
            f"`{one[0]}` has vectors of {left.shape[-1]} components, `{other[0]}` of "
            f"{right.shape[-1]}: only vectors of one model and width can be compared."
        )
    turned: Any = _unit(right)
    cosines: NDArray[np.float32] = _unit(left) @ turned.T
    return cosines


def _rows(name: str, value: Any) -> Vectors:
    """Return vectors as float32, one or many."""
    found: Any = getattr(value, "vectors", value)
    try:
        rows = np.asarray(found, dtype=np.float32)
    except (TypeError, ValueError):
        rows = np.zeros(0, dtype=np.float32)
    if rows.ndim not in (1, 2) or rows.shape[-1] == 0:
        texts = " Embed a text first, for example by `client.embed_query(text)`."
        raise ConfigurationError(
            f"`{name}` must hold vectors: a result, a matrix, a list of vectors or one vector."
            f"{texts if isinstance(value, str) else ''}"
        )
    return rows


def _unit(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.divide(rows, np.where(lengths == 0, 1, lengths), dtype=np.float32)


def nearest(vectors: Vectors, query: Any, k: int) -> list[tuple[int, float]]:
    """Return the rows most similar to a query, best first, each with its cosine.

    Args:
        vectors: What is searched, `(n, d)`.
        query: One vector, or a result of one input.
        k: How many rows; fewer where there are not so many.

    Raises:
        ConfigurationError: The query is not one vector of this width, or `k` is no count.
    """
    if type(k) is not int or k < 1:
        raise ConfigurationError("`k` must be a whole number of at least 1.")
    asked: Any = _rows("query", query)
    if asked.ndim == 2 and len(asked) != 1:
        raise ConfigurationError(
            f"`query` must be one vector, not {len(asked)}: embed the query with "
            '`client.embed(text, role="query")`.'
        )
    cosines = _cosines(("vectors", vectors), ("query", asked.reshape(-1)))
    cosines = np.where(np.isnan(cosines), -np.inf, cosines)
    best = np.argsort(-cosines, kind="stable")[:k]
    return [(int(at), float(cosines[at])) for at in best if np.isfinite(cosines[at])]


def quantize(vectors: Vectors, kind: Literal["int8", "binary"]) -> NDArray[Any]:
    """Return vectors in a quarter or a thirty-second of their bytes.

    Args:
        vectors: float32 `(n, d)`.
        kind: `int8` gives int8 `(n, d)`, each row stretched to -127…127, which keeps its direction;
            `binary` gives the signs, packed to uint8 `(n, ceil(d / 8))`.

    Raises:
        ConfigurationError: The kind is another.
    """
    if kind == "int8":
        peak = np.abs(vectors).max(axis=1, keepdims=True, initial=0.0)
        return np.rint(vectors * (127 / np.where(peak == 0, 1, peak))).astype(np.int8)
    if kind == "binary":
        return np.packbits(vectors > 0, axis=1)
    raise ConfigurationError("`kind` must be 'int8' or 'binary'.")
