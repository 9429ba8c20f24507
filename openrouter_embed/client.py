"""The two clients: signatures, documentation, lifecycle; no decisions.

Rules of this file:
- Both clients stand on one `Engine`; what one knows, the other knows.
- Errors of ours leave through `guarded`, so that no frame in their traceback holds texts or keys.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any, Literal

from openrouter_embed.bars import listening
from openrouter_embed.engine import Engine, make_engine
from openrouter_embed.errors import aguarded, guarded
from openrouter_embed.settings import AUTO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from openrouter_embed.inputs import Inputs
    from openrouter_embed.models import Role
    from openrouter_embed.result import EmbeddingResult, Usage
    from openrouter_embed.settings import Options, Settings

    OnError = Literal["raise", "return"]


class _Client:
    """What both clients are made of."""

    _engine: Engine

    @property
    def settings(self) -> Settings:
        """What the client was told; immutable."""
        return self._engine.settings

    @property
    def usage(self) -> Usage:
        """What all calls of this client have consumed so far: tokens, USD, requests."""
        return self._engine.usage

    def __repr__(self) -> str:
        settings = self._engine.settings
        return f"{type(self).__name__}(model={settings.model!r}, base_url={settings.base_url!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._with(Engine(self._engine.settings))

    def __copy__(self) -> Self:
        return self._with(Engine(self._engine.settings))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings without the key; the copy reads it from the environment."""
        return _restore, (type(self), self._engine.settings)

    @classmethod
    def _with(cls, engine: Engine) -> Self:
        client = cls.__new__(cls)
        client._engine = engine  # noqa: SLF001 - our own
        return client


def _restore(cls: type[_Client], settings: Settings) -> _Client:
    return cls._with(Engine(settings))  # noqa: SLF001 - our own


class EmbeddingClient(_Client):
    """Embeddings from OpenRouter, synchronously.

    One client serves any number of threads. A call sends many requests at once, bounded by what
    the server bears, and works inside a running event loop, as in a notebook.

    Example:
        >>> client = EmbeddingClient("openai/text-embedding-3-small")  # doctest: +SKIP
        >>> client.embed(["first", "second"], role="document").vectors.shape  # doctest: +SKIP
        (2, 1536)

    Args:
        model: Model id as OpenRouter lists it.
        options: Every other option by keyword; see `Options` in the documentation.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    @guarded
    def __init__(self, model: str, **options: Unpack[Options]) -> None:
        self._engine = make_engine({**options, "model": model})

    @guarded
    def embed(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        progress: bool = False,
        **overrides: Unpack[Options],
    ) -> EmbeddingResult:
        """Embed inputs: one finite vector for each, in their order, or an error.

        Args:
            inputs: A string; strings; token ids; images; or lists of texts and images.
            role: Embed as queries or as documents, in the way the model wants; `None` as they are.
            input_type: Sent verbatim if given; `None` sends none; `auto` follows the role.
            on_error: `return` gives a result even if some inputs failed, with `.failures`.
            progress: Show a progress bar.
            overrides: Options for this call alone, such as `dimensions=256` or `deadline=30`.

        Returns:
            The vectors, float32 `(n, d)`, with usage and origin.

        Raises:
            ConfigurationError: An input or option is wrong; nothing was sent.
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        from openrouter_embed.shells.requests_shell import drive  # noqa: PLC0415 - lazy by design

        engine = self._engine
        settings = engine.call_settings(overrides)
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def wake() -> None:
            inbox.put(None)

        with listening(bar=progress, listener=settings.on_progress) as listener:
            job = engine.job(
                inputs,
                settings,
                role=role,
                input_type=input_type,
                on_error=on_error,
                wake=wake,
                on_progress=listener,
            )
            engine.enter(wake)
            try:
                drive(job, inbox, engine.requests, settings)
            finally:
                engine.leave(wake)
        return job.result()

    @guarded
    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts as documents to be searched, as Python lists.

        Raises:
            EmbeddingError: As `embed`.
        """
        return self.embed(texts, role="document").tolist()

    @guarded
    def embed_query(self, text: str) -> list[float]:
        """Embed one text as a search query, as a Python list.

        Raises:
            EmbeddingError: As `embed`.
        """
        return self.embed([text], role="query")[0]

    def as_async(self) -> AsyncEmbeddingClient:
        """Return the asynchronous face of this client: same settings, pacing, limits and usage.

        Closing it closes the asynchronous connections; closing this client closes everything.
        """
        return _View._with(self._engine)  # noqa: SLF001 - our own

    def close(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncEmbeddingClient(_Client):
    """Embeddings from OpenRouter, asynchronously; the same names as `EmbeddingClient`, awaited.

    One client serves any number of event loops, one after another or at once.

    Args:
        model: Model id as OpenRouter lists it.
        options: Every other option by keyword; see `Options` in the documentation.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    @guarded
    def __init__(self, model: str, **options: Unpack[Options]) -> None:
        self._engine = make_engine({**options, "model": model})

    @aguarded
    async def embed(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        progress: bool = False,
        **overrides: Unpack[Options],
    ) -> EmbeddingResult:
        """Embed inputs; see `EmbeddingClient.embed`.

        Raises:
            ConfigurationError: An input or option is wrong; nothing was sent.
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        from openrouter_embed.shells.aiohttp_shell import Bell, drive  # noqa: PLC0415 - lazy

        engine = self._engine
        settings = engine.call_settings(overrides)
        bell = Bell()
        wake = bell.ring_threadsafe
        with listening(bar=progress, listener=settings.on_progress) as listener:
            job = engine.job(
                inputs,
                settings,
                role=role,
                input_type=input_type,
                on_error=on_error,
                wake=wake,
                on_progress=listener,
            )
            engine.enter(wake)
            try:
                await drive(job, bell, engine.aiohttp, settings)
            finally:
                engine.leave(wake)
        return job.result()

    @aguarded
    async def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts as documents to be searched, as Python lists.

        Raises:
            EmbeddingError: As `embed`.
        """
        return (await self.embed(texts, role="document")).tolist()

    @aguarded
    async def embed_query(self, text: str) -> list[float]:
        """Embed one text as a search query, as a Python list.

        Raises:
            EmbeddingError: As `embed`.
        """
        return (await self.embed([text], role="query"))[0]

    async def aclose(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        await self._engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _View(AsyncEmbeddingClient):
    """The asynchronous face of a synchronous client, which owns the engine."""

    async def aclose(self) -> None:
        await self._engine.close_lanes()
