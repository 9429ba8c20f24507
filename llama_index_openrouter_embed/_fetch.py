"""One call to the client, by way of the cache where there is one.

Rules of this file:
- Every input gets its vector, in order, all of one width, or there is an error.
- An error's `.result` counts inputs as the caller did, and what it holds is in the cache by then.
- Sync and async differ in the awaits alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from openrouter_embed import EmbeddingError, InvalidResponseError
from openrouter_embed.adapting import restate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from llama_index_openrouter_embed._cache import Item, StoredVectors, Vector
    from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient, EmbeddingResult

    Watched = Callable[[EmbeddingResult], EmbeddingResult]


def fetch(
    client: EmbeddingClient,
    items: Sequence[Item],
    stored: StoredVectors | None,
    watched: Watched,
    **call: Any,
) -> list[Vector]:
    """Return one vector for each input; no two of them are the same list.

    Raises:
        EmbeddingError: The call failed; `.result` holds what had arrived.
    """
    if stored is None:
        return watched(client.embed(items, lists=True, **call)).tolist()
    found = stored.read(items)
    missing = _missing(items, found)
    fresh: dict[Item, Vector] = {}
    if missing:
        try:
            fresh = _table(missing, watched(client.embed(missing, lists=True, **call)))
        except EmbeddingError as error:
            stored.write(_arrived(missing, error.result))
            _renumber(error, items, missing, found)
            raise
        stored.write(fresh)
    return _in_order(items, found, fresh)


async def afetch(
    client: AsyncEmbeddingClient,
    items: Sequence[Item],
    stored: StoredVectors | None,
    watched: Watched,
    **call: Any,
) -> list[Vector]:
    """Do what `fetch` does, awaited.

    Raises:
        EmbeddingError: The call failed; `.result` holds what had arrived.
    """
    if stored is None:
        return watched(await client.embed(items, lists=True, **call)).tolist()
    found = await stored.aread(items)
    missing = _missing(items, found)
    fresh: dict[Item, Vector] = {}
    if missing:
        try:
            fresh = _table(missing, watched(await client.embed(missing, lists=True, **call)))
        except EmbeddingError as error:
            await stored.awrite(_arrived(missing, error.result))
            _renumber(error, items, missing, found)
            raise
        await stored.awrite(fresh)
    return _in_order(items, found, fresh)


def _missing(items: Sequence[Item], found: Mapping[Item, Vector]) -> list[Item]:
    return [item for item in dict.fromkeys(items) if item not in found]


def _table(items: Sequence[Item], result: EmbeddingResult) -> dict[Item, Vector]:
    return dict(zip(items, result.tolist(), strict=True))


def _arrived(items: Sequence[Item], result: EmbeddingResult | None) -> dict[Item, Vector]:
    if result is None or not len(result):
        return {}
    return {item: list(result[at]) for at, item in enumerate(items) if at not in result.failures}


def _in_order(
    items: Sequence[Item], found: Mapping[Item, Vector], fresh: Mapping[Item, Vector]
) -> list[Vector]:
    vectors = [list(found[item] if item in found else fresh[item]) for item in items]
    width = max(map(len, vectors), default=0)
    for at, vector in enumerate(vectors):
        if not vector:  # an empty text, sent alone: nothing told its width
            vectors[at] = [0.0] * width
        elif len(vector) != width:
            raise InvalidResponseError(
                f"Vectors of {len(vector)} and of {width} components met: the embeddings cache "
                "holds some that this model did not make. Clear it.",
                reason="dimension",
                index=at,
            )
    return vectors


def _renumber(
    error: EmbeddingError,
    items: Sequence[Item],
    missing: Sequence[Item],
    found: Mapping[Item, Vector],
) -> None:
    """Bring an error about the inputs that were sent into terms of those that were asked for."""
    if list(items) == list(missing):
        return
    said = f"{error.message} (Positions count the distinct inputs that were not in the cache.)"
    restate(error, said)
    if error.result is not None:
        error.result = _spread(error.result, items, missing, found)


def _spread(
    result: EmbeddingResult,
    items: Sequence[Item],
    missing: Sequence[Item],
    found: Mapping[Item, Vector],
) -> EmbeddingResult:
    import numpy as np  # noqa: PLC0415 - on the way to an error only

    width = result.vectors.shape[1] or max(map(len, found.values()), default=0)
    if any(len(vector) != width for vector in found.values()):
        return result
    vectors = np.full((len(items), width), np.nan, dtype=np.float32)
    rows = {item: row for row, item in enumerate(missing)}
    failures: dict[int, EmbeddingError] = {}
    for at, item in enumerate(items):
        row = rows.get(item)
        if row is None:
            vectors[at] = found[item]
        elif row in result.failures:
            failures[at] = result.failures[row]
        else:
            vectors[at] = result.vectors[row]
    return dataclasses.replace(result, vectors=vectors, failures=failures, flags={})
