"""`OpenRouterEmbedding`: what LlamaIndex calls, in its words.

Rules of this file:
- Every public method of the base classes is overridden: their batching, caching and limiting lose
  vectors, mix roles or send requests one by one. What they promise in spans and events is kept.
- One call of LlamaIndex is one call of the client, which plans the requests and sends them at once.
- Public methods announce and private ones embed, so that spans nest as they do in the base class.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, cast

from llama_index.core.base.embeddings.base import dispatcher, mean_agg
from llama_index.core.schema import MetadataMode

from llama_index_openrouter_embed._cache import StoredVectors
from llama_index_openrouter_embed._events import Announcer, consumed, grouped, signed
from llama_index_openrouter_embed._fetch import afetch, fetch
from llama_index_openrouter_embed._images import (
    describe,
    describe_parts,
    list_images,
    read_image,
    read_images,
    read_parts,
)
from llama_index_openrouter_embed._object import OpenRouterObject
from llama_index_openrouter_embed._options import check_call
from llama_index_openrouter_embed._progress import bar
from openrouter_embed import InvalidResponseError, Options
from openrouter_embed.adapting import (
    aguarded,
    as_text,
    as_texts,
    guarded,
    speaking,
    spelled_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.schema import BaseNode
    from llama_index.core.storage.kvstore.types import BaseKVStore
    from typing_extensions import Unpack

    from llama_index_openrouter_embed._cache import Item
    from llama_index_openrouter_embed._images import ImageLike, Part
    from openrouter_embed import EmbeddingResult

    Role = Literal["query", "document"]
    Vector = list[float]


@spelled_out(Options)
class OpenRouterEmbedding(OpenRouterObject):
    """Embeddings from OpenRouter for LlamaIndex: texts, queries, images.

    Queries are embedded as queries and texts as documents, in the way the model wants. A batch is
    planned and sent concurrently, synchronously too and inside a running event loop. Everything
    but `callback_manager`, `embed_batch_size`, `embeddings_cache` and `rate_limiter` is fixed once
    made; `model_copy(update={...})` makes a changed copy.

    Examples:
        >>> from llama_index.core import Settings
        >>> Settings.embed_model = OpenRouterEmbedding(
        ...     model_name="openai/text-embedding-3-small"
        ... )  # doctest: +SKIP

    Args:
        model_name: Model id as OpenRouter lists it; `model` is the same.
        api_key: Key, or a callable that returns it; else `OPENROUTER_API_KEY`.
        api_base: Where to send; else `OPENROUTER_API_BASE`; `base_url` is the same.
        embed_batch_size: Texts per pair of events. If given, also the most inputs per request.
        num_workers: The most requests in flight, for sync and async calls together.
        embeddings_cache: One of LlamaIndex's key-value stores, for finished vectors.
        rate_limiter: One of LlamaIndex's, asked once per request sent; told the likely tokens.
        additional_kwargs: More fields for the request body; `extra_body` is the same.
        callback_manager: LlamaIndex's; `VectorStoreIndex` and `Settings` put their own here.
        options: Every option of `openrouter_embed.EmbeddingClient`.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    @spelled_out(Options)
    @guarded
    def __init__(
        self,
        model_name: str | None = None,
        *,
        model: str | None = None,
        api_base: str | None = None,
        additional_kwargs: Mapping[str, Any] | None = None,
        embed_batch_size: int | None = None,
        num_workers: int | None = None,
        embeddings_cache: BaseKVStore | None = None,
        rate_limiter: Any = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[Options],
    ) -> None:
        given = {
            "model_name": model_name,
            "model": model,
            "api_base": api_base,
            "additional_kwargs": additional_kwargs,
            "embed_batch_size": embed_batch_size,
            "num_workers": num_workers,
            "embeddings_cache": embeddings_cache,
            "rate_limiter": rate_limiter,
            "callback_manager": callback_manager,
            **options,
        }
        self._assemble(given)

    @classmethod
    def class_name(cls) -> str:
        """Return the name that serialized forms carry."""
        return "OpenRouterEmbedding"

    # ------------------------------------------------------------------ texts

    @signed
    @guarded
    def get_text_embedding(self, text: str) -> Vector:
        """Embed one text as a document.

        Raises:
            EmbeddingError: The call failed.
        """
        with self._announcer([text]) as announcer:
            vector: Vector = self._get_text_embedding(text)
            announcer.finish([vector])
        return vector

    @aguarded
    async def aget_text_embedding(self, text: str) -> Vector:
        """Embed one text as a document.

        Raises:
            EmbeddingError: The call failed.
        """
        with self._announcer([text]) as announcer:
            vector: Vector = await self._aget_text_embedding(text)
            announcer.finish([vector])
        return vector

    @guarded
    def get_text_embedding_batch(
        self,
        texts: list[str],
        show_progress: bool = False,
        **kwargs: Any,
    ) -> list[Vector]:
        """Embed texts as documents: many requests at once, one vector per text, in order.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        check_call(kwargs)
        texts = as_texts(texts)
        with (
            self._announcer(texts, self.embed_batch_size) as announcer,
            self._bar(len(texts), "Generating embeddings", show=show_progress) as told,
        ):
            vectors = self._embed(texts, "document", **told)
            announcer.finish(vectors)
        return vectors

    @aguarded
    async def aget_text_embedding_batch(
        self,
        texts: list[str],
        show_progress: bool = False,
        **kwargs: Any,
    ) -> list[Vector]:
        """Embed texts as documents: many requests at once, one vector per text, in order.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        check_call(kwargs)
        texts = as_texts(texts)
        with (
            self._announcer(texts, self.embed_batch_size, together=True) as announcer,
            self._bar(len(texts), "Generating embeddings", show=show_progress) as told,
        ):
            vectors = await self._aembed(texts, "document", **told)
            announcer.finish(vectors)
        return vectors

    @signed
    @guarded
    def _get_text_embedding(self, text: str) -> Vector:
        return self._embed([as_text(text, "text")], "document")[0]

    @aguarded
    async def _aget_text_embedding(self, text: str) -> Vector:
        return (await self._aembed([as_text(text, "text")], "document"))[0]

    @guarded
    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        """Embed any number of texts without events; parts of LlamaIndex call this directly."""
        return self._embed(as_texts(texts), "document")

    @aguarded
    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        """Embed any number of texts without events; parts of LlamaIndex call this directly."""
        return await self._aembed(as_texts(texts), "document")

    # ------------------------------------------------------------------ queries

    @signed
    @guarded
    def get_query_embedding(self, query: str) -> Vector:
        """Embed one text as a search query.

        Raises:
            EmbeddingError: The call failed.
        """
        with self._announcer([query]) as announcer:
            vector: Vector = self._get_query_embedding(query)
            announcer.finish([vector])
        return vector

    @aguarded
    async def aget_query_embedding(self, query: str) -> Vector:
        """Embed one text as a search query.

        Raises:
            EmbeddingError: The call failed.
        """
        with self._announcer([query]) as announcer:
            vector: Vector = await self._aget_query_embedding(query)
            announcer.finish([vector])
        return vector

    @guarded
    def get_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Vector] | None = None
    ) -> Vector:
        """Embed queries in one call and make one vector of them.

        Args:
            queries: Texts, embedded as search queries.
            agg_fn: Takes their vectors, returns one; the mean unless given.

        Raises:
            EmbeddingError: The call failed.
        """
        queries = as_texts(queries, "queries")
        if len(queries) == 1:
            vectors = [self.get_query_embedding(queries[0])]
        else:
            vectors = self._get_query_embeddings(queries)
        return (agg_fn or mean_agg)(vectors)

    @aguarded
    async def aget_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Vector] | None = None
    ) -> Vector:
        """Embed queries in one call and make one vector of them.

        Args:
            queries: Texts, embedded as search queries.
            agg_fn: Takes their vectors, returns one; the mean unless given.

        Raises:
            EmbeddingError: The call failed.
        """
        queries = as_texts(queries, "queries")
        if len(queries) == 1:
            vectors = [await self.aget_query_embedding(queries[0])]
        else:
            vectors = await self._aget_query_embeddings(queries)
        return (agg_fn or mean_agg)(vectors)

    @dispatcher.span
    @guarded
    def _get_query_embeddings(self, queries: list[str]) -> list[Vector]:
        with self._announcer(queries) as announcer:
            vectors = self._embed(queries, "query")
            announcer.finish(vectors)
        return vectors

    @dispatcher.span
    @aguarded
    async def _aget_query_embeddings(self, queries: list[str]) -> list[Vector]:
        with self._announcer(queries) as announcer:
            vectors = await self._aembed(queries, "query")
            announcer.finish(vectors)
        return vectors

    @signed
    @guarded
    def _get_query_embedding(self, query: str) -> Vector:
        return self._embed([as_text(query, "query")], "query")[0]

    @aguarded
    async def _aget_query_embedding(self, query: str) -> Vector:
        return (await self._aembed([as_text(query, "query")], "query"))[0]

    # ------------------------------------------------------------------ images

    @dispatcher.span
    @guarded
    def get_image_embedding(self, img_file_path: ImageLike, *, role: Role = "query") -> Vector:
        """Embed one image, as a query unless told otherwise.

        Args:
            img_file_path: A path, an https or data URL, or a `BytesIO`.
            role: What to embed it as.

        Raises:
            EmbeddingError: The image cannot be read, or the call failed.
        """
        with self._announcer([describe(img_file_path)]) as announcer:
            vector: Vector = self._get_image_embedding(img_file_path, role=role)
            announcer.finish([vector])
        return vector

    @dispatcher.span
    @aguarded
    async def aget_image_embedding(
        self, img_file_path: ImageLike, *, role: Role = "query"
    ) -> Vector:
        """Embed one image, as a query unless told otherwise; see `get_image_embedding`.

        Raises:
            EmbeddingError: The image cannot be read, or the call failed.
        """
        with self._announcer([describe(img_file_path)]) as announcer:
            vector: Vector = await self._aget_image_embedding(img_file_path, role=role)
            announcer.finish([vector])
        return vector

    @dispatcher.span
    @guarded
    def get_image_embedding_batch(
        self,
        img_file_paths: Sequence[ImageLike],
        show_progress: bool = False,
        *,
        role: Role = "document",
    ) -> list[Vector]:
        """Embed images, as documents unless told otherwise.

        Args:
            img_file_paths: Paths, https or data URLs, or `BytesIO`s.
            show_progress: Whether to show a progress bar.
            role: What to embed them as.

        Raises:
            EmbeddingError: An image cannot be read, or the call failed.
        """
        paths = list_images(img_file_paths)
        chunks = [describe(image) for image in paths]
        images = read_images(paths)
        with (
            self._announcer(chunks, self.embed_batch_size) as announcer,
            self._bar(len(chunks), "Generating image embeddings", show=show_progress) as told,
        ):
            vectors = self._embed(images, role, **told)
            announcer.finish(vectors)
        return vectors

    @dispatcher.span
    @aguarded
    async def aget_image_embedding_batch(
        self,
        img_file_paths: Sequence[ImageLike],
        show_progress: bool = False,
        *,
        role: Role = "document",
    ) -> list[Vector]:
        """Embed images, as documents unless told otherwise; see `get_image_embedding_batch`.

        Raises:
            EmbeddingError: An image cannot be read, or the call failed.
        """
        paths = list_images(img_file_paths)
        chunks = [describe(image) for image in paths]
        images = await asyncio.to_thread(read_images, paths)
        with (
            self._announcer(chunks, self.embed_batch_size, together=True) as announcer,
            self._bar(len(chunks), "Generating image embeddings", show=show_progress) as told,
        ):
            vectors = await self._aembed(images, role, **told)
            announcer.finish(vectors)
        return vectors

    @dispatcher.span
    @guarded
    def get_multimodal_embedding(self, parts: Sequence[Part], *, role: Role = "document") -> Vector:
        """Embed texts and images together as one vector.

        Args:
            parts: Strings are texts; images are `ImageInput`s, `BytesIO`s or `pathlib.Path`s.
            role: What to embed them as.

        Raises:
            EmbeddingError: A part cannot be read, or the call failed.
        """
        item = read_parts(parts)
        with self._announcer([describe_parts(item)]) as announcer:
            vectors = self._embed([item], role)
            announcer.finish(vectors)
        return vectors[0]

    @dispatcher.span
    @aguarded
    async def aget_multimodal_embedding(
        self, parts: Sequence[Part], *, role: Role = "document"
    ) -> Vector:
        """Embed texts and images together as one vector; see `get_multimodal_embedding`.

        Raises:
            EmbeddingError: A part cannot be read, or the call failed.
        """
        item = await asyncio.to_thread(read_parts, parts)
        with self._announcer([describe_parts(item)]) as announcer:
            vectors = await self._aembed([item], role)
            announcer.finish(vectors)
        return vectors[0]

    @guarded
    def _get_image_embedding(self, img_file_path: ImageLike, *, role: Role = "query") -> Vector:
        return self._embed([read_image(img_file_path)], role)[0]

    @aguarded
    async def _aget_image_embedding(
        self, img_file_path: ImageLike, *, role: Role = "query"
    ) -> Vector:
        image = await asyncio.to_thread(read_image, img_file_path)
        return (await self._aembed([image], role))[0]

    @guarded
    def _get_image_embeddings(
        self, img_file_paths: Sequence[ImageLike], *, role: Role = "document"
    ) -> list[Vector]:
        return self._embed(read_images(list_images(img_file_paths)), role)

    @aguarded
    async def _aget_image_embeddings(
        self, img_file_paths: Sequence[ImageLike], *, role: Role = "document"
    ) -> list[Vector]:
        images = await asyncio.to_thread(read_images, list_images(img_file_paths))
        return await self._aembed(images, role)

    # ------------------------------------------------------------------ as a transformation

    @guarded
    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give every node its vector.

        Raises:
            EmbeddingError: The call failed; no node was touched.
        """
        nodes = _sized(nodes)
        return _attach(nodes, self.get_text_embedding_batch(_contents(nodes), **kwargs))

    @aguarded
    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give every node its vector.

        Raises:
            EmbeddingError: The call failed; no node was touched.
        """
        nodes = _sized(nodes)
        return _attach(nodes, await self.aget_text_embedding_batch(_contents(nodes), **kwargs))

    # ------------------------------------------------------------------ what all of them use

    def _embed(self, items: Sequence[Item], role: Role, **told: Any) -> list[Vector]:
        call = {"role": role, **self._limits(), **told}
        with speaking(self._backend.names):
            return fetch(self._backend.client, items, self._stored(role), self._watched, **call)

    async def _aembed(self, items: Sequence[Item], role: Role, **told: Any) -> list[Vector]:
        call = {"role": role, **self._limits(), **told}
        client, stored = self._backend.client.as_async(), self._stored(role)
        with speaking(self._backend.names):
            return await afetch(client, items, stored, self._watched, **call)

    def _watched(self, result: EmbeddingResult) -> EmbeddingResult:
        return consumed(self._backend.watched(result))

    def _limits(self) -> dict[str, int]:
        asked = "embed_batch_size" in self.model_fields_set
        return self._backend.limits(self.embed_batch_size if asked else None)

    def _stored(self, role: Role) -> StoredVectors | None:
        # `is None`: a store that is empty may well be falsy.
        if self.embeddings_cache is None:
            return None
        # What was asked for; our table of models may be wrong about what arrives.
        width = self._backend.settings.dimensions
        return StoredVectors(self.embeddings_cache, self._backend.client.vector_space(role), width)

    def _announcer(self, chunks: list[str], size: int = 1, *, together: bool = False) -> Announcer:
        groups = grouped(chunks, size)
        return Announcer(self.to_payload(), self.callback_manager, groups, together=together)

    def _bar(self, total: int, what: str, *, show: bool) -> Any:
        return bar(total, what, self._backend.settings.on_progress, show=show)


def _sized(nodes: Iterable[BaseNode]) -> Sequence[BaseNode]:
    """Return the nodes themselves, or a list of what can be walked but once."""
    return cast("Sequence[BaseNode]", nodes) if hasattr(nodes, "__len__") else list(nodes)


def _contents(nodes: Sequence[BaseNode]) -> list[str]:
    return [node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]


def _attach(nodes: Sequence[BaseNode], vectors: Sequence[Vector]) -> Sequence[BaseNode]:
    if len(vectors) != len(nodes):  # a subclass or wrapper lost some: no node gets another's
        raise InvalidResponseError(
            f"{len(vectors)} vectors for {len(nodes)} nodes: none was attached.", reason="count"
        )
    for node, vector in zip(nodes, vectors, strict=True):
        node.embedding = vector
    return nodes
