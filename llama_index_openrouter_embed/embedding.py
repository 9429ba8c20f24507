"""`OpenRouterEmbedding`: what LlamaIndex calls, in its words.

Rules of this file:
- Every public method of the base classes is overridden: their batching, caching and limiting lose
  vectors, mix roles or send requests one by one. What they promise in spans and events is kept.
- One call of LlamaIndex is one call of the client, which plans the requests and sends them at once.
- What is serialized is what changes vectors and what decides where texts may go; nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Literal

from llama_index.core.base.embeddings.base import dispatcher, mean_agg
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.schema import MetadataMode

from llama_index_openrouter_embed._cache import Shelf
from llama_index_openrouter_embed._events import Announcer, grouped
from llama_index_openrouter_embed._fetch import afetch, fetch
from llama_index_openrouter_embed._guard import aguarded
from llama_index_openrouter_embed._images import (
    describe,
    describe_parts,
    read_image,
    read_images,
    read_parts,
)
from llama_index_openrouter_embed._link import Link
from llama_index_openrouter_embed._options import (
    ALIASES,
    ASSIGNABLE,
    FRAMEWORK,
    VECTOR_OPTIONS,
    read_arguments,
)
from llama_index_openrouter_embed._progress import bar
from openrouter_embed.errors import ConfigurationError, InvalidResponseError, guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.schema import BaseNode
    from llama_index.core.storage.kvstore.types import BaseKVStore
    from typing_extensions import Self, Unpack

    from llama_index_openrouter_embed._cache import Item
    from llama_index_openrouter_embed._images import ImageLike, Part
    from openrouter_embed import Options, Usage

    Role = Literal["query", "document"]
    Vector = list[float]

TEXTS_PER_EVENT: Final = 100
"""Default of `embed_batch_size`."""

_NOT_PICKLED: Final = frozenset({"api_key", "session", "on_progress", "callback_manager"})
_PICKLED_IF_POSSIBLE: Final = ("limiter", "rate_limiter", "embeddings_cache")
_RESTORING: ContextVar[bool] = ContextVar("restoring", default=False)
_LOG = logging.getLogger(__name__)


@contextmanager
def _restoring() -> Generator[None]:
    """Let objects be made without a key: they read the environment at their first request."""
    token = _RESTORING.set(True)
    try:
        yield
    finally:
        _RESTORING.reset(token)


class OpenRouterEmbedding(MultiModalEmbedding):
    """Embeddings from OpenRouter for LlamaIndex: texts, queries, images.

    Queries are embedded as queries and texts as documents, in the way the model wants. A batch is
    planned and sent concurrently, synchronously too and inside a running event loop. Everything
    but `callback_manager`, `embed_batch_size`, `embeddings_cache` and `rate_limiter` is fixed once
    made; `model_copy(update={...})` makes a changed copy.

    Example:
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
        options: Every option of `openrouter_embed.EmbeddingClient`, under its name.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    api_base: str = Field(default="", description="Where requests are sent.")
    dimensions: int | None = Field(default=None, description="Width of the vectors asked for.")
    query_input_type: str | None = Field(
        default="auto", description="`input_type` for queries; `auto` as the model wants."
    )
    document_input_type: str | None = Field(
        default="auto", description="`input_type` for documents; `auto` as the model wants."
    )
    query_prefix: str | None = Field(
        default="auto", description="Text before queries; `auto` as the model wants."
    )
    document_prefix: str | None = Field(
        default="auto", description="Text before documents; `auto` as the model wants."
    )
    query_instruction: str | None = Field(
        default=None, description="The task, for models whose query prefix names one."
    )
    provider: dict[str, Any] = Field(
        default_factory=dict, description="Which hosts may serve, and under what terms."
    )
    normalize: bool = Field(default=False, description="Whether to scale to unit length.")
    long_input: str = Field(default="error", description="What becomes of texts too long.")
    empty: str = Field(default="error", description="What becomes of empty texts.")
    pin_provider: bool = Field(
        default=False, description="Whether to keep to the host that served first."
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="More fields for the request body."
    )

    embed_batch_size: int = Field(
        default=TEXTS_PER_EVENT,
        gt=0,
        le=2048,
        exclude=True,
        description="Texts per pair of events; if given, also the most inputs per request.",
    )
    num_workers: int | None = Field(
        default=None, exclude=True, description="The most requests in flight."
    )
    embeddings_cache: Any = Field(
        default=None, exclude=True, description="Key-value store for finished vectors."
    )
    rate_limiter: Any = Field(
        default=None, exclude=True, description="LlamaIndex's rate limiter, asked per request."
    )

    _link: Link = PrivateAttr()

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
        arguments = read_arguments(given, type(self).model_fields)
        link = Link(
            arguments.client,
            num_workers=arguments.framework.get("num_workers"),
            rate_limiter=arguments.framework.get("rate_limiter"),
            restored=_RESTORING.get(),
        )
        fields = {**_serialized(link.settings), **arguments.framework, **arguments.extra}
        super().__init__(**fields)
        self._link = link

    @classmethod
    def class_name(cls) -> str:
        """Return the name that serialized forms carry."""
        return "OpenRouterEmbedding"

    # ------------------------------------------------------------------ texts

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
        **kwargs: Any,  # noqa: ARG002 - the base class takes and ignores them
    ) -> list[Vector]:
        """Embed texts as documents: many requests at once, one vector per text, in order.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        texts = _read_texts(texts)
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
        **kwargs: Any,  # noqa: ARG002 - the base class takes and ignores them
    ) -> list[Vector]:
        """Embed texts as documents: many requests at once, one vector per text, in order.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        texts = _read_texts(texts)
        with (
            self._announcer(texts, self.embed_batch_size, together=True) as announcer,
            self._bar(len(texts), "Generating embeddings", show=show_progress) as told,
        ):
            vectors = await self._aembed(texts, "document", **told)
            announcer.finish(vectors)
        return vectors

    @guarded
    def _get_text_embedding(self, text: str) -> Vector:
        return self._embed(_read_texts([text]), "document")[0]

    @aguarded
    async def _aget_text_embedding(self, text: str) -> Vector:
        return (await self._aembed(_read_texts([text]), "document"))[0]

    @guarded
    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        """Embed any number of texts without events; parts of LlamaIndex call this directly."""
        return self._embed(_read_texts(texts), "document")

    @aguarded
    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        """Embed any number of texts without events; parts of LlamaIndex call this directly."""
        return await self._aembed(_read_texts(texts), "document")

    # ------------------------------------------------------------------ queries

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
        if len(queries) == 1:
            vectors = [await self.aget_query_embedding(queries[0])]
        else:
            vectors = await self._aget_query_embeddings(queries)
        return (agg_fn or mean_agg)(vectors)

    @dispatcher.span
    @guarded
    def _get_query_embeddings(self, queries: list[str]) -> list[Vector]:
        queries = _read_texts(queries)
        with self._announcer(queries) as announcer:
            vectors = self._embed(queries, "query")
            announcer.finish(vectors)
        return vectors

    @dispatcher.span
    @aguarded
    async def _aget_query_embeddings(self, queries: list[str]) -> list[Vector]:
        queries = _read_texts(queries)
        with self._announcer(queries) as announcer:
            vectors = await self._aembed(queries, "query")
            announcer.finish(vectors)
        return vectors

    @guarded
    def _get_query_embedding(self, query: str) -> Vector:
        return self._embed(_read_texts([query]), "query")[0]

    @aguarded
    async def _aget_query_embedding(self, query: str) -> Vector:
        return (await self._aembed(_read_texts([query]), "query"))[0]

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
        images = read_images(img_file_paths)
        chunks = [describe(image) for image in img_file_paths]
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
        images = await asyncio.to_thread(read_images, img_file_paths)
        chunks = [describe(image) for image in img_file_paths]
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
        return self._embed(read_images(img_file_paths), role)

    @aguarded
    async def _aget_image_embeddings(
        self, img_file_paths: Sequence[ImageLike], *, role: Role = "document"
    ) -> list[Vector]:
        images = await asyncio.to_thread(read_images, img_file_paths)
        return await self._aembed(images, role)

    # ------------------------------------------------------------------ as a transformation

    @guarded
    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give every node its vector.

        Raises:
            EmbeddingError: The call failed; no node was touched.
        """
        return _attach(nodes, self.get_text_embedding_batch(_contents(nodes), **kwargs))

    @aguarded
    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give every node its vector.

        Raises:
            EmbeddingError: The call failed; no node was touched.
        """
        return _attach(nodes, await self.aget_text_embedding_batch(_contents(nodes), **kwargs))

    # ------------------------------------------------------------------ what all of them use

    def _embed(self, items: Sequence[Item], role: Role, **told: Any) -> list[Vector]:
        call = {"role": role, **self._limits(), **told}
        return fetch(self._link.client, items, self._shelf(role), **call)

    async def _aembed(self, items: Sequence[Item], role: Role, **told: Any) -> list[Vector]:
        call = {"role": role, **self._limits(), **told}
        return await afetch(self._link.client.as_async(), items, self._shelf(role), **call)

    def _limits(self) -> dict[str, int]:
        asked = "embed_batch_size" in self.model_fields_set
        return self._link.limits(self.embed_batch_size if asked else None)

    def _shelf(self, role: Role) -> Shelf | None:
        # `is None`: a store that is empty may well be falsy.
        if self.embeddings_cache is None:
            return None
        return Shelf(self.embeddings_cache, self._link.settings, role)

    def _announcer(self, chunks: list[str], size: int = 1, *, together: bool = False) -> Announcer:
        groups = grouped(chunks, size)
        return Announcer(self.to_payload(), self.callback_manager, groups, together=together)

    def _bar(self, total: int, what: str, *, show: bool) -> Any:
        return bar(total, what, self._link.settings.on_progress, show=show)

    # ------------------------------------------------------------------ life

    @property
    def usage(self) -> Usage:
        """What all calls of this object have consumed so far: tokens, USD, requests."""
        return self._link.usage

    def close(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        self._link.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self._link.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @guarded
    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            value = self._checked(name, value)
        super().__setattr__(name, value)
        if name == "rate_limiter":
            self._link.throttle.framework = value

    def _checked(self, name: str, value: Any) -> Any:
        if name in ASSIGNABLE:
            return FRAMEWORK[name](name, value)
        if name in _FIXED:
            raise ConfigurationError(
                f"`{name}` is fixed once the object is made: use "
                f"`model_copy(update={{'{name}': …}})`."
            )
        return value

    # ------------------------------------------------------------------ copies and other forms

    def to_payload(self) -> dict[str, Any]:
        """Return what events tell of the model; holds nothing secret."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
        }

    def __repr_args__(self) -> Generator[tuple[str, Any]]:
        for name in ("model_name", "api_base", "dimensions", "embed_batch_size"):
            yield name, getattr(self, name)

    @classmethod
    @guarded
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Make an object from `to_dict`; without a key it reads the environment when it needs it.

        Args:
            data: What `to_dict` returned.
            kwargs: Options besides, such as `api_key`.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        with _restoring():
            return super().from_dict(data, **kwargs)

    @guarded
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with its own connections and usage, and the key.

        Args:
            update: Options to change, under any of their names.
            deep: Makes no difference: options are fixed, and a cache or limiter is shared.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        del deep
        changes = {ALIASES.get(name, name): value for name, value in (update or {}).items()}
        with _restoring():
            return type(self)(**{**self._arguments(), **changes})

    def __copy__(self) -> Self:
        return self.model_copy()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy()

    def __getstate__(self) -> dict[str, Any]:
        """Return options without the key and whatever cannot leave the process."""
        given = self._arguments()
        kept = {name: value for name, value in given.items() if name not in _NOT_PICKLED}
        for name in _PICKLED_IF_POSSIBLE:
            if kept.get(name) is not None and not _can_be_pickled(kept[name]):
                _LOG.warning("`%s` cannot be pickled: the copy goes without.", name)
                del kept[name]
        return kept

    @guarded
    def __setstate__(self, state: dict[str, Any]) -> None:
        with _restoring():
            type(self).__init__(self, **state)

    def _arguments(self) -> dict[str, Any]:
        """Return what a constructor needs to make this object again, in this process."""
        others = type(self).model_fields.keys() - _FIXED
        fields = {n: getattr(self, n) for n in others if n in self.model_fields_set}
        return {**self._link.options, **fields, "num_workers": self.num_workers}


_FIXED: Final = frozenset(OpenRouterEmbedding.model_fields) - ASSIGNABLE


def _serialized(settings: Any) -> dict[str, Any]:
    """Return the fields that are serialized: what changes vectors, and where texts may go."""
    return {
        "model_name": settings.model,
        "api_base": settings.base_url,
        "provider": settings.provider.to_wire(),
        "additional_kwargs": dict(sorted(settings.extra_body.items())),
        **{name: getattr(settings, name) for name in VECTOR_OPTIONS},
    }


def _read_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, (str, bytes)):
        raise ConfigurationError("Pass a list of texts, even for one.")
    items = list(texts)
    for at, text in enumerate(items):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users
            raise ConfigurationError(f"Text {at} is a {type(text).__name__}, not a string.")
    return items


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


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a foreign object raises
        return False
    return True
