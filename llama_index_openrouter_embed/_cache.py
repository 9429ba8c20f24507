"""Finished vectors in one of LlamaIndex's key-value stores.

Rules of this file:
- A key is a hash of the name of the vector's space and of the input.
- What is read or written is copied: nobody's list is also the store's.
- An entry that cannot be right counts as absent. A store that refuses to write costs a log line,
  never the vectors that were paid for.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from openrouter_embed import ImageInput
from openrouter_embed.adapting import MediaInput, extras

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from llama_index.core.storage.kvstore.types import BaseKVStore

Vector: TypeAlias = "list[float]"
Medium: TypeAlias = "ImageInput | MediaInput"
Item: TypeAlias = "str | Medium | tuple[str | Medium, ...]"

COLLECTION: Final = "openrouter_embed"
FIELD: Final = "embedding"
AT_ONCE: Final = 256
"""Reads or writes of an asynchronous store under way at a time; pairs per bulk write."""

_LOG = logging.getLogger("llama_index_openrouter_embed")


class StoredVectors:
    """The part of a store that belongs to one space of vectors.

    Args:
        store: LlamaIndex's store.
        space: The client's name for the space of its vectors.
        width: Components that a vector has, if known.
    """

    def __init__(self, store: BaseKVStore, space: str, width: int | None) -> None:
        self._store: Any = store  # its stubs leave the values' types open
        self._width = width
        self._hash = hashlib.sha256(space.encode() + b"\n")

    def read(self, items: Iterable[Item]) -> dict[Item, Vector]:
        """Return copies of the vectors that are there."""
        keys = self._keys(items)
        values = [self._store.get(key, collection=COLLECTION) for key in keys]
        return self._believed(keys, values)

    async def aread(self, items: Iterable[Item]) -> dict[Item, Vector]:
        """Return copies of the vectors that are there, read concurrently."""
        keys = self._keys(items)
        values: list[dict[str, Any] | None] = []
        for part in _parts(list(keys)):
            reads = [self._store.aget(key, collection=COLLECTION) for key in part]
            values += await asyncio.gather(*reads)
        return self._believed(keys, values)

    def write(self, vectors: Mapping[Item, Vector]) -> None:
        """Keep copies of vectors."""
        pairs = self._pairs(vectors)
        try:
            for part in _parts(pairs):
                self._put(part)
        except Exception as error:  # noqa: BLE001 - stores are anybody's; see the head of this file
            _warn(error)

    async def awrite(self, vectors: Mapping[Item, Vector]) -> None:
        """Keep copies of vectors, written concurrently."""
        pairs = self._pairs(vectors)
        try:
            for part in _parts(pairs):
                await self._aput(part)
        except Exception as error:  # noqa: BLE001 - stores are anybody's; see the head of this file
            _warn(error)

    def _put(self, pairs: list[tuple[str, dict[str, Any]]]) -> None:
        try:
            self._store.put_all(pairs, collection=COLLECTION, batch_size=AT_ONCE)
        except NotImplementedError:  # the base class's way to say that there is no bulk write
            for key, value in pairs:
                self._store.put(key, value, collection=COLLECTION)

    async def _aput(self, pairs: list[tuple[str, dict[str, Any]]]) -> None:
        try:
            await self._store.aput_all(pairs, collection=COLLECTION, batch_size=AT_ONCE)
        except NotImplementedError:
            writes = [self._store.aput(key, value, collection=COLLECTION) for key, value in pairs]
            await asyncio.gather(*writes)

    def _keys(self, items: Iterable[Item]) -> dict[str, Item]:
        pairs = ((self._key(item), item) for item in dict.fromkeys(items))
        return {key: item for key, item in pairs if key is not None}

    def _key(self, item: Item) -> str | None:
        content = _content(item)
        if content is None:
            return None
        digest = self._hash.copy()
        digest.update(content)
        return digest.hexdigest()

    def _pairs(self, vectors: Mapping[Item, Vector]) -> list[tuple[str, dict[str, Any]]]:
        pairs = ((self._key(item), vector) for item, vector in vectors.items())
        return [(key, {FIELD: list(vector)}) for key, vector in pairs if key is not None]

    def _believed(
        self, keys: Mapping[str, Item], values: Sequence[Mapping[str, Any] | None]
    ) -> dict[Item, Vector]:
        entries = zip(keys.values(), values, strict=True)
        vectors = ((item, _vector(value, self._width)) for item, value in entries)
        return {item: vector for item, vector in vectors if vector is not None}


def _content(item: Item) -> bytes | None:
    """Return what identifies an input; `None` for what must not be cached.

    What stands behind an https URL may change, and an empty text is never bought.
    """
    parts = (item,) if isinstance(item, (str, ImageInput, MediaInput)) else item
    if any(_elsewhere(part) for part in parts):
        return None
    if isinstance(item, str):
        return b"text:" + item.encode("utf-8", "surrogatepass") if item else None
    return b"content:" + json.dumps([_pair(part) for part in parts]).encode()


def _elsewhere(part: str | Medium) -> bool:
    """Whether a medium is named by where it is; what is there may change."""
    if isinstance(part, MediaInput):
        return part.data[:8].lower() == "https://"
    return isinstance(part, ImageInput) and not part.url.startswith("data:")


def _pair(part: str | Medium) -> tuple[str, str]:
    if isinstance(part, str):
        return "text", part
    if isinstance(part, MediaInput):
        return f"{part.kind}/{part.format}", part.data
    return "image", part.url


def _vector(value: Mapping[str, Any] | None, width: int | None) -> Vector | None:
    """Return a copy of an entry's vector; `None` for an entry that cannot be right."""
    stored: Any = None if value is None else value.get(FIELD)
    if not isinstance(stored, list):
        return None
    vector = list(cast("Vector", stored))
    if not vector or width not in (None, len(vector)):
        return None
    try:
        return vector if math.isfinite(sum(vector)) else None
    except TypeError:
        return None


def _parts(things: list[Any]) -> list[list[Any]]:
    return [things[at : at + AT_ONCE] for at in range(0, len(things), AT_ONCE)]


def _warn(error: Exception) -> None:
    _LOG.warning(
        "The embeddings cache did not take new vectors (%s); they are returned all the same.",
        type(error).__name__,
        extra=extras("cache", kind=type(error).__name__),
    )
