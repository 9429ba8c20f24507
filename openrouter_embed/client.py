"""The two clients: signatures, documentation, lifecycle; no decisions.

Rules of this file:
- Both clients stand on one `Engine`; what one knows, the other knows.
- Errors of ours leave through `guarded`, so that no frame in their traceback holds texts or keys.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from openrouter_embed import keeping
from openrouter_embed.catalogue import Pages, read_key_info
from openrouter_embed.engine import KEY_PATH, MODELS_PATH, Engine, check_call, make_engine
from openrouter_embed.errors import ConfigurationError, EmbeddingError
from openrouter_embed.guard import aguarded, guarded
from openrouter_embed.listed import one_query
from openrouter_embed.options.checks import AUTO
from openrouter_embed.options.keywords import CallOptions, Options
from openrouter_embed.options.signatures import spelled_out
from openrouter_embed.options.table import OPTIONS
from openrouter_embed.progress import listening
from openrouter_embed.streams import aparts_of, at_start, check_part, check_stream, parts_of
from openrouter_embed.telemetry import observe

if TYPE_CHECKING:
    import os
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from types import ModuleType

    from typing_extensions import Self, Unpack

    from openrouter_embed.batch.job import AsyncBatchJob, BatchJob, JobName
    from openrouter_embed.catalogue import Estimate, KeyInfo, ModelInfo
    from openrouter_embed.core.fetch import Ask, Fetch
    from openrouter_embed.core.job import Job
    from openrouter_embed.inputs import Input, Inputs
    from openrouter_embed.options.models import Role
    from openrouter_embed.options.settings import Settings
    from openrouter_embed.result import EmbeddingResult, Usage

    OnError = Literal["raise", "return"]
    Wake = Callable[[], None]
    Work = TypeVar("Work", Job, Fetch[Any])


class _Client:
    """What both clients are made of."""

    @spelled_out(Options)
    @guarded
    def __init__(self, model: str, **options: Unpack[Options]) -> None:
        self._engine = make_engine({**options, "model": model})

    @property
    def settings(self) -> Settings:
        """What the client was told; immutable."""
        return self._engine.settings

    @property
    def usage(self) -> Usage:
        """What all calls of this client have consumed so far: tokens, USD, requests."""
        return self._engine.usage

    @guarded
    def __setattr__(self, name: str, value: Any) -> None:
        if name in OPTIONS:
            raise ConfigurationError(
                f"`{name}` is fixed once the client is made: make another client, or pass it to "
                "the call. `client.settings` holds what is set."
            )
        super().__setattr__(name, value)

    @guarded
    def vector_space(self, role: Role | None = "document", *, input_type: str | None = AUTO) -> str:
        """Name the space that this client's vectors live in, for stores and indexes of one's own.

        Two names are equal exactly where the vectors of equal inputs are interchangeable: the same
        model, width, role as it is sent, host preferences, extra body and origin, and the same done
        to lengths and to long texts. The key, timeouts and the like do not enter.

        Args:
            role: What inputs are embedded as.
            input_type: As for `embed`.

        Returns:
            Letters, digits, `.`, `_` and `-`, at most 97 of them.

        Raises:
            ConfigurationError: The role is none.
        """
        from openrouter_embed.options.space import space_name  # noqa: PLC0415 - lazy by design

        check_call(role, input_type, "raise")
        return space_name(self._engine.settings, role, input_type)

    def __repr__(self) -> str:
        settings = self._engine.settings
        return f"{type(self).__name__}(model={settings.model!r}, base_url={settings.base_url!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.from_engine(Engine(self._engine.settings))

    def __copy__(self) -> Self:
        return self.from_engine(Engine(self._engine.settings))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings without the key; the copy reads it from the environment."""
        return _restore, (type(self), self._engine.settings)

    @classmethod
    @guarded
    def without_key(cls, model: str, **options: Unpack[Options]) -> Self:
        """Make a client that looks for its key when it needs it, in `OPENROUTER_API_KEY`.

        For objects that are restored where no key may be set yet. The catalogue needs no key at
        all, so `models` and `estimate` work without one.

        Args:
            model: Model id as OpenRouter lists it.
            options: Every other option but `api_key`.

        Raises:
            ConfigurationError: An option is unknown or wrong; at a request: there is no key.
        """
        if options.get("api_key") is not None:
            raise ConfigurationError("`without_key` takes no `api_key`: make the client with it.")
        return cls.from_engine(make_engine({**options, "model": model}, key_required=False))

    @classmethod
    def from_engine(cls, engine: Engine) -> Self:
        """Make a client on an engine that exists; for the package itself."""
        client = cls.__new__(cls)
        client._engine = engine  # noqa: SLF001 - ours
        return client


def _restore(cls: type[_Client], settings: Settings) -> _Client:
    return cls.from_engine(Engine(settings))


_thread = threading.local()


def _blocks_others() -> bool:
    """Whether a call made now keeps others of the client from finishing.

    It does inside a running event loop, as in a notebook, and inside another call, from a progress
    listener. Does not import asyncio.
    """
    asyncio = sys.modules.get("asyncio")
    in_loop = asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001 - documented, raises nothing
    return in_loop or getattr(_thread, "depth", 0) > 0


@spelled_out(Options)
class EmbeddingClient(_Client):
    """Embeddings from OpenRouter, synchronously.

    One client serves any number of threads. A call sends many requests at once, bounded by what
    the server bears, and works inside a running event loop, as in a notebook.

    Examples:
        >>> client = EmbeddingClient("openai/text-embedding-3-small")  # doctest: +SKIP
        >>> client.embed(["first", "second"], role="document").vectors.shape  # doctest: +SKIP
        (2, 1536)

    Args:
        model: Model id as OpenRouter lists it.
        options: Every other option, by keyword.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    @spelled_out(CallOptions, per_call=True)
    @guarded
    def embed(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        progress: bool = False,
        lists: bool = False,
        **overrides: Unpack[CallOptions],
    ) -> EmbeddingResult:
        """Embed inputs: one finite vector for each, in their order, or an error.

        Args:
            inputs: A string; strings; token ids; images; or lists of texts and images.
            role: Embed as queries or as documents, in the way the model wants; `None` as they are.
            input_type: Sent verbatim if given; `None` sends none; `auto` follows the role.
            on_error: `return` gives a result even if some inputs failed, with `.failures`.
            progress: Show a progress bar.
            lists: Make Python lists while waiting for the network, for `.tolist()` to hand out.
            overrides: Options for this call alone, such as `dimensions=256` or `deadline=30`.

        Returns:
            The vectors, float32 `(n, d)`, with usage and origin.

        Raises:
            ConfigurationError: An input or option is wrong; nothing was sent.
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        engine = self._engine
        settings = engine.call_settings(overrides)
        with observe(settings) as seen:
            if engine.needs_prices:
                self.models()
            with listening(inputs, bar=progress, listener=settings.on_progress) as listener:
                job = self._drive(
                    lambda wake: engine.job(
                        inputs,
                        settings,
                        role=role,
                        input_type=input_type,
                        on_error=on_error,
                        lists=lists,
                        urgent=_blocks_others(),
                        wake=wake,
                        on_progress=listener,
                        seen=seen,
                    )
                )
            return engine.finish(job, seen)

    def _drive(self, make: Callable[[Wake], Work]) -> Work:
        from openrouter_embed.shells.requests_shell import Inbox, drive  # noqa: PLC0415 - lazy

        connections = self._engine.connections
        inbox = Inbox()
        wake = inbox.wake
        work = make(wake)
        connections.enter(wake)
        _thread.depth = getattr(_thread, "depth", 0) + 1
        try:
            if work.keeps:
                keeping.recall(work)
            drive(work, inbox, connections.requests, self._engine.settings)
        finally:
            _thread.depth -= 1
            connections.leave(wake)
            if work.keeps:
                keeping.leave(work)
                keeping.flush(work)
        return work

    @guarded
    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts as documents to be searched, as Python lists.

        Raises:
            EmbeddingError: As `embed`.
        """
        return self.embed(texts, role="document", lists=True).tolist()

    @guarded
    def embed_query(self, text: str) -> list[float]:
        """Embed one text as a search query, as a Python list.

        Raises:
            EmbeddingError: As `embed`.
        """
        return list(self.embed([one_query(text)], role="query")[0])

    @spelled_out(CallOptions, per_call=True)
    @guarded
    def stream(
        self,
        iterable: Iterable[Input],
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        **overrides: Unpack[CallOptions],
    ) -> Iterator[EmbeddingResult]:
        """Embed an iterable of any length in bounded memory, in order.

        Inputs are read some thousands at a time, and only when the results before them have been
        taken. Each result's `.start` is the position of its first input.

        Raises:
            ConfigurationError: An option is wrong; an input is checked when it is read.
            EmbeddingError: As `embed`, for the part at hand; `.result.start` says which.
        """
        check_call(role, input_type, on_error)
        check_stream(iterable)
        self._engine.call_settings(overrides)
        options = {"role": role, "input_type": input_type, "on_error": on_error, **overrides}
        return self._stream(parts_of(iter(iterable)), options)

    def _stream(
        self, parts: Iterator[list[Input]], options: dict[str, Any]
    ) -> Iterator[EmbeddingResult]:
        start = 0
        for part in parts:
            size = len(part)
            try:
                check_part(part, start)
                result = self.embed(part, **options)
            except EmbeddingError as error:
                part.clear()
                at_start(error, start)
                raise
            yield dataclasses.replace(result, start=start)
            del result
            start += size

    @guarded
    def models(self) -> list[ModelInfo]:
        """Return OpenRouter's embedding models with price, context length and modalities.

        Raises:
            EmbeddingError: The catalogue could not be fetched.
        """
        pages = Pages(MODELS_PATH)
        while (path := pages.next) is not None:
            pages.add(self._get(path))
        return self._engine.remember_models(pages.models)

    @guarded
    def estimate(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        batch: bool = False,
        refresh: bool = False,
    ) -> Estimate:
        """Work out tokens and USD of a call before a cent is spent.

        The catalogue is fetched once per client, which costs nothing; no input is sent.

        Args:
            inputs: As for `embed`.
            role: As for `embed`.
            input_type: As for `embed`.
            batch: Whether for `submit`: half the price where the catalogue says so.
            refresh: Whether what is in the cache is to be bought again, and so counts.

        Raises:
            ConfigurationError: An input or an option is wrong, or the model's id is misspelt.
            EmbeddingError: The catalogue could not be fetched.
        """
        known = self._engine.known_models or self.models()
        return self._engine.estimate(inputs, role, input_type, known, batch=batch, refresh=refresh)

    @guarded
    def check(self) -> KeyInfo:
        """Verify the key, and return what is left on it.

        Raises:
            AuthenticationError: The key is refused.
            EmbeddingError: It could not be checked.
        """
        return read_key_info(self._get(KEY_PATH))

    def _get(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._ask(self._engine.question(path))
        return found

    @spelled_out(CallOptions, per_call=True)
    @guarded
    def submit(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        save_to: str | os.PathLike[str] | None = None,
        **overrides: Unpack[CallOptions],
    ) -> BatchJob:
        """Hand inputs in to be embedded within a day, at half the price where the model has that.

        Distinct inputs that are not in the cache are put into as few batches as can be read well.
        Collect them with the job that is returned, or from anywhere with `batch`.

        Args:
            inputs: Texts or token ids, as for `embed`.
            role: As for `embed`; models that want an `input_type` for it are refused.
            input_type: As for `embed`; `None` submits texts as they are.
            on_error: What `result` does about inputs that failed; `return` also returns the job if
                some batches could not be handed in.
            save_to: Where to keep the job's file, from before the first request on; one of a job
                that was handed in is not replaced.
            overrides: Options for this job alone; `max_batch_inputs` is for one batch here.

        Returns:
            The job, with nothing to wait for if everything is in the cache.

        Raises:
            ConfigurationError: An input or option is wrong, or nothing that batches take; nothing
                was sent.
            BudgetExceededError: It could cost more than `max_cost` allows; nothing was sent.
            EmbeddingError: It failed; `.submitted` holds what `batch` takes to go on with those
                batches that were accepted.
        """
        from openrouter_embed.batch.job import submit  # noqa: PLC0415 - lazy by design
        from openrouter_embed.batch.submission import Submission  # noqa: PLC0415 - lazy by design

        if self._engine.needs_prices:
            self.models()
        asked = (role, input_type, on_error)
        return submit(self._ask, Submission(self._engine, inputs, asked, save_to, overrides))

    @guarded
    def batch(self, path_or_ids: JobName) -> BatchJob:
        """Find a job again, in this process or another, today or within a month; asks nobody.

        Args:
            path_or_ids: The path of its file; the id of a batch, or several; or what
                `error.submitted` holds. Where only ids are known, results come in the order of the
                distinct inputs submitted.

        Raises:
            ConfigurationError: There is no such file, it holds no job, or one that was submitted
                elsewhere.
        """
        from openrouter_embed.batch.job import BatchJob, find_record  # noqa: PLC0415 - lazy by design

        return BatchJob(self._engine, self._ask, find_record(path_or_ids, self._engine.settings))

    def _ask(self, ask: Ask[Any]) -> Any:
        return self._drive(lambda _: self._engine.fetch(ask)).result()

    def as_async(self) -> AsyncEmbeddingClient:
        """Return the asynchronous face of this client: same settings, pacing, limits and usage.

        Closing it closes the asynchronous connections; closing this client closes everything.
        """
        return _View.from_engine(self._engine)

    def close(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        self._engine.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self._engine.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


async def _aiohttp_shell() -> ModuleType:
    """Import the shell; the first time in a thread, because it takes a good part of a second."""
    name = "openrouter_embed.shells.aiohttp_shell"
    module = sys.modules.get(name)
    if module is None or not hasattr(module, "drive"):
        import asyncio  # noqa: PLC0415 - lazy by design

        module = await asyncio.to_thread(importlib.import_module, name)
    return module


@spelled_out(Options)
class AsyncEmbeddingClient(_Client):
    """Embeddings from OpenRouter, asynchronously; the same names as `EmbeddingClient`, awaited.

    One client serves any number of event loops, one after another or at once.

    Args:
        model: Model id as OpenRouter lists it.
        options: Every other option, by keyword.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """

    @spelled_out(CallOptions, per_call=True)
    @aguarded
    async def embed(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        progress: bool = False,
        lists: bool = False,
        **overrides: Unpack[CallOptions],
    ) -> EmbeddingResult:
        """Embed inputs; see `EmbeddingClient.embed`.

        Raises:
            ConfigurationError: An input or option is wrong; nothing was sent.
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        engine = self._engine
        settings = engine.call_settings(overrides)
        with observe(settings) as seen:
            if engine.needs_prices:
                await self.models()
            with listening(inputs, bar=progress, listener=settings.on_progress) as listener:
                job = await self._drive(
                    lambda wake: engine.job(
                        inputs,
                        settings,
                        role=role,
                        input_type=input_type,
                        on_error=on_error,
                        lists=lists,
                        wake=wake,
                        busy=time.thread_time,
                        on_progress=listener,
                        seen=seen,
                    )
                )
            return engine.finish(job, seen)

    async def _drive(self, make: Callable[[Wake], Work]) -> Work:
        import asyncio  # noqa: PLC0415 - lazy by design, and loaded in whoever awaits

        shell = await _aiohttp_shell()
        connections = self._engine.connections
        bell = shell.Bell()
        wake = bell.ring_threadsafe
        work = make(wake)
        connections.enter(wake)
        try:
            if work.keeps:
                await asyncio.to_thread(keeping.recall, work)
            await shell.drive(work, bell, connections.aiohttp, self._engine.settings)
        finally:
            connections.leave(wake)
            if work.keeps:
                keeping.leave(work)
                if not keeping.flushed(work):
                    await asyncio.to_thread(keeping.flush, work)
        return work

    @aguarded
    async def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts as documents to be searched, as Python lists.

        Raises:
            EmbeddingError: As `embed`.
        """
        return (await self.embed(texts, role="document", lists=True)).tolist()

    @aguarded
    async def embed_query(self, text: str) -> list[float]:
        """Embed one text as a search query, as a Python list.

        Raises:
            EmbeddingError: As `embed`.
        """
        return list((await self.embed([one_query(text)], role="query"))[0])

    @spelled_out(CallOptions, per_call=True)
    @guarded
    def stream(
        self,
        iterable: Iterable[Input] | AsyncIterable[Input],
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        **overrides: Unpack[CallOptions],
    ) -> AsyncIterator[EmbeddingResult]:
        """Embed an iterable, asynchronous or not; see `EmbeddingClient.stream`.

        Raises:
            ConfigurationError: An option is wrong; an input is checked when it is read.
            EmbeddingError: As `embed`, for the part at hand; `.result.start` says which.
        """
        check_call(role, input_type, on_error)
        check_stream(iterable, asynchronous=True)
        self._engine.call_settings(overrides)
        options = {"role": role, "input_type": input_type, "on_error": on_error, **overrides}
        return self._stream(aparts_of(iterable), options)

    async def _stream(
        self, parts: AsyncIterator[list[Input]], options: dict[str, Any]
    ) -> AsyncIterator[EmbeddingResult]:
        start = 0
        async for part in parts:
            size = len(part)
            try:
                check_part(part, start)
                result = await self.embed(part, **options)
            except EmbeddingError as error:
                part.clear()
                at_start(error, start)
                raise
            yield dataclasses.replace(result, start=start)
            del result
            start += size

    @aguarded
    async def models(self) -> list[ModelInfo]:
        """Return OpenRouter's embedding models with price, context length and modalities.

        Raises:
            EmbeddingError: The catalogue could not be fetched.
        """
        pages = Pages(MODELS_PATH)
        while (path := pages.next) is not None:
            pages.add(await self._get(path))
        return self._engine.remember_models(pages.models)

    @aguarded
    async def estimate(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        batch: bool = False,
        refresh: bool = False,
    ) -> Estimate:
        """Work out tokens and USD of a call; see `EmbeddingClient.estimate`.

        Raises:
            ConfigurationError: An input or an option is wrong, or the model's id is misspelt.
            EmbeddingError: The catalogue could not be fetched.
        """
        known = self._engine.known_models or await self.models()
        return self._engine.estimate(inputs, role, input_type, known, batch=batch, refresh=refresh)

    @aguarded
    async def check(self) -> KeyInfo:
        """Verify the key, and return what is left on it.

        Raises:
            AuthenticationError: The key is refused.
            EmbeddingError: It could not be checked.
        """
        return read_key_info(await self._get(KEY_PATH))

    async def _get(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = await self._ask(self._engine.question(path))
        return found

    @spelled_out(CallOptions, per_call=True)
    @aguarded
    async def submit(
        self,
        inputs: Inputs,
        *,
        role: Role | None = None,
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        save_to: str | os.PathLike[str] | None = None,
        **overrides: Unpack[CallOptions],
    ) -> AsyncBatchJob:
        """Hand inputs in to be embedded within a day; see `EmbeddingClient.submit`.

        Raises:
            ConfigurationError: An input or option is wrong, or nothing that batches take; nothing
                was sent.
            BudgetExceededError: It could cost more than `max_cost` allows; nothing was sent.
            EmbeddingError: It failed; `.submitted` holds what `batch` takes to go on with those
                batches that were accepted.
        """
        from openrouter_embed.batch.job import asubmit  # noqa: PLC0415 - lazy by design
        from openrouter_embed.batch.submission import Submission  # noqa: PLC0415 - lazy by design

        if self._engine.needs_prices:
            await self.models()
        asked = (role, input_type, on_error)
        return await asubmit(self._ask, Submission(self._engine, inputs, asked, save_to, overrides))

    @guarded
    def batch(self, path_or_ids: JobName) -> AsyncBatchJob:
        """Find a job again; asks nobody, so it is not awaited. See `EmbeddingClient.batch`.

        Raises:
            ConfigurationError: There is no such file, it holds no job, or one that was submitted
                elsewhere.
        """
        from openrouter_embed.batch.job import AsyncBatchJob, find_record  # noqa: PLC0415 - lazy by design

        return AsyncBatchJob(
            self._engine, self._ask, find_record(path_or_ids, self._engine.settings)
        )

    async def _ask(self, ask: Ask[Any]) -> Any:
        return (await self._drive(lambda _: self._engine.fetch(ask))).result()

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
        await self._engine.connections.close_aiohttp()
