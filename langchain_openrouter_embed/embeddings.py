"""`OpenRouterEmbeddings`: LangChain's `Embeddings` on the shared client; no decisions.

Rules of this file:
- One object, one client: its synchronous and asynchronous sides share pacing, usage and limits.
- Every option is checked before pydantic sees it, for a `ValidationError` shows what it was given.
- What leaves this process (pickles, dumps) holds no key; what stays in it (copies) keeps it.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic reads it
from pydantic_core import PydanticCustomError

from langchain_openrouter_embed._inputs import read_images, read_query, read_texts
from langchain_openrouter_embed._options import (
    FIELD_OF,
    HERE_ONLY,
    KEY_FIELD,
    RESTORED,
    EmbeddingsOptions,
    EmbedOptions,
    build,
    by_field,
    call_options,
    field_of,
    spoken,
    unknown,
)
from langchain_openrouter_embed._runs import Run
from langchain_openrouter_embed._usage import report_usage
from openrouter_embed import ConfigurationError, EmbeddingError
from openrouter_embed.adapting import (
    KEY_VARIABLE,
    LengthWatch,
    aguarded,
    guarded,
    speaking,
    spelled_out,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from typing import Literal

    import numpy as np
    from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
    from numpy.typing import NDArray
    from PIL.Image import Image as Pillow
    from pydantic import ModelWrapValidatorHandler
    from typing_extensions import Self, Unpack

    from openrouter_embed import EmbeddingClient, EmbeddingResult, ImageInput, Usage
    from openrouter_embed.adapting import MediaInput

    Role = Literal["query", "document"]
    Image = str | os.PathLike[str] | ImageInput | MediaInput | Pillow | bytes


class _Checked(dict[str, Any]):
    """Values that the client has checked, on their way into pydantic."""


@spelled_out(EmbeddingsOptions)
class OpenRouterEmbeddings(Serializable, Embeddings):
    """Embedding models on OpenRouter.

    Exactly one finite vector per text, in order, or an error. Requests run concurrently, in
    synchronous and asynchronous calls alike, and are retried by one set of rules.

    Setup:
        Install the package and set the environment variable `OPENROUTER_API_KEY`.

        ```bash
        pip install -U "openrouter-embed[langchain]"
        export OPENROUTER_API_KEY="your-api-key"
        ```

    Key init args — completion params:
        model: str
            Model id as OpenRouter lists it, such as `openai/text-embedding-3-small`.
        dimensions: int | None
            Width of the vectors, for models that offer a choice.
        query_input_type, document_input_type, query_prefix, document_prefix: str | None
            How queries and documents are told apart; `auto` is what the model's makers say.
        openrouter_provider (alias `provider`): dict | None
            Which hosts may serve and under what terms, such as `{"zdr": True}`.

    Key init args — client params:
        openrouter_api_key (alias `api_key`): SecretStr | str | Callable | None
            Falls back to `OPENROUTER_API_KEY`.
        openrouter_api_base (alias `base_url`): str | None
            Falls back to `OPENROUTER_API_BASE`, then to OpenRouter.
        request_timeout (alias `timeout`): float
            Seconds for one attempt; `deadline` bounds a whole call.
        max_retries: int
            Attempts beyond the first.
        max_concurrency: int
            Requests in flight at once.
        chunk_size (alias `max_batch_inputs`): int | None
            Most texts in one request; the model's limits apply in any case.
        rate_limiter: BaseRateLimiter | None
            Asked once per request.

    Every keyword:
        options: Every keyword of `openrouter_embed.EmbeddingClient`, under the same name.

    Instantiate:
        ```python
        from langchain_openrouter_embed import OpenRouterEmbeddings

        embeddings = OpenRouterEmbeddings(model="openai/text-embedding-3-small")
        ```

    Embed single text:
        ```python
        embeddings.embed_query("What is the meaning of life?")
        ```

    Embed multiple texts:
        ```python
        embeddings.embed_documents(["First document", "Second document"])
        embeddings.embed_documents(["Another document"], dimensions=256, deadline=30)
        ```

    Async:
        ```python
        await embeddings.aembed_query("What is the meaning of life?")
        await embeddings.aembed_documents(["First document", "Second document"])
        ```

    Roles:
        `embed_documents` embeds passages to be found and `embed_query` questions, each in the way
        its model wants: by an `input_type`, by a prefix, or alike. For another task pass
        `input_type="classification"` to any method.

    Copies:
        `copy`, `deepcopy` and `model_copy` keep the key and give each copy a client of its own.
        Pickles and LangChain's `dumps` hold neither key, callables, limiters nor sessions; what is
        made from them reads `OPENROUTER_API_KEY` at its first request.

    Raises:
        ConfigurationError: An argument is unknown or wrong, or there is no key.
    """

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    model: str = field_of("model", default=...)
    openrouter_api_key: SecretStr | SkipJsonSchema[Callable[[], str]] | None = field_of("api_key")
    openrouter_api_base: str | None = field_of("base_url", default=None)
    openrouter_provider: dict[str, Any] | None = field_of("provider")
    dimensions: int | None = field_of("dimensions")
    encoding_format: str = field_of("encoding_format")
    query_input_type: str | None = field_of("query_input_type")
    document_input_type: str | None = field_of("document_input_type")
    query_prefix: str | None = field_of("query_prefix")
    document_prefix: str | None = field_of("document_prefix")
    query_instruction: str | None = field_of("query_instruction")
    user: str | None = field_of("user")
    session_id: str | None = field_of("session_id")
    trace: dict[str, Any] | None = field_of("trace")
    # `ChatOpenRouter` attributes traffic to LangChain unless told otherwise. Attribution belongs to
    # the user's own application, so these two have no default but the environment's.
    app_url: str | None = field_of("app_url")
    app_title: str | None = field_of("app_title")
    app_categories: list[str] | None = field_of("app_categories")
    default_headers: dict[str, str] | None = field_of("default_headers")
    model_kwargs: dict[str, Any] | None = field_of("extra_body")
    request_timeout: float = field_of("timeout")
    deadline: float | None = field_of("deadline")
    max_retries: int = field_of("max_retries")
    max_concurrency: int = field_of("max_concurrency")
    chunk_size: int | None = field_of("max_batch_inputs")
    max_batch_tokens: int | None = field_of("max_batch_tokens")
    max_cost: float | None = field_of("max_cost")
    batch_root: str | None = field_of("batch_root")
    long_input: str = field_of("long_input")
    empty: str = field_of("empty")
    normalize: bool | str = field_of("normalize")
    router_cache: bool | float = field_of("router_cache")
    pin_provider: bool = field_of("pin_provider")
    refresh: bool = field_of("refresh")
    cache_only: bool = field_of("cache_only")
    telemetry: bool = field_of("telemetry")
    cache: object = field_of("cache")
    proxy: str | None = field_of("proxy")
    ca_bundle: str | None = field_of("ca_bundle")
    limiter: object = field_of("limiter")
    pacer: object = field_of("pacer")
    session: object = field_of("session")
    on_progress: SkipJsonSchema[Callable[..., None]] | None = field_of("on_progress")
    rate_limiter: object = Field(
        default=None,
        exclude=True,
        repr=False,
        description="LangChain's `BaseRateLimiter`, asked once per request.",
    )
    show_progress_bar: bool = Field(
        default=False, description="Whether calls for documents show a progress bar."
    )
    trace_runs: bool = Field(
        default=False,
        description="Whether calls are runs of LangChain's callbacks, as LangSmith shows them.",
    )

    _client: EmbeddingClient = PrivateAttr()
    _lengths: LengthWatch = PrivateAttr(default_factory=lambda: LengthWatch("LangChain"))

    @spelled_out(EmbeddingsOptions)
    @guarded
    def __init__(self, model: str | None = None, **options: Unpack[EmbeddingsOptions]) -> None:
        given = dict(options) if model is None else {"model": model, **options}
        restored = given.pop(RESTORED, False) is True
        by_name = by_field(given, type(self).model_fields)
        with speaking(spoken(given)):
            client, values = build(by_name, restored=restored)
        try:
            # What `BaseModel.__init__` does, with the mark of having been checked.
            self.__pydantic_validator__.validate_python(_Checked(values), self_instance=self)
        except ValidationError as error:  # a field of a subclass
            reason = _reason(error)
        else:
            self._client = client
            return
        raise ConfigurationError(reason)

    @model_validator(mode="wrap")
    @classmethod
    def _construct(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Send mappings that reach pydantic on another way through the constructor."""
        if isinstance(value, _Checked) or not isinstance(value, Mapping):
            return handler(value)
        try:
            return cls(**cast(Mapping[str, Any], value))
        except ConfigurationError as error:
            reason = error.message
        # Pydantic would show the whole mapping, with the key, as this error's input.
        details = PydanticCustomError("configuration", "{reason}", {"reason": reason})
        raise ValidationError.from_exception_data(
            cls.__name__, [{"type": details, "loc": (), "input": None}], hide_input=True
        )

    @classmethod
    @guarded
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Make an object that may be without a key until its first request, as a restored one is.

        Checkpoints are read back so. Unlike pydantic's, it checks the values, because it makes a
        client of them.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        del _fields_set  # every field is set: the client said what it is
        given: dict[str, Any] = {**values, RESTORED: True}
        return cls(**given)

    @guarded
    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields or name in FIELD_OF:
            raise ConfigurationError(
                f"`{name}` cannot be changed: use `model_copy(update={{{name!r}: …}})`, or pass it "
                "to the call."
            )
        if not name.startswith("_") and not hasattr(type(self), name):
            raise unknown(name, type(self).model_fields)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # a checker that saw it would find no misspelt name any more

        def __getattr__(self, name: str) -> Any:
            """Read an option under the name that the client has for it."""
            field = FIELD_OF.get(name)
            return super().__getattr__(name) if field is None else getattr(self, field)

    @spelled_out(EmbedOptions, per_call=True)
    @guarded
    def embed_documents(
        self, texts: Sequence[str], **overrides: Unpack[EmbedOptions]
    ) -> list[list[float]]:
        """Embed texts as documents to be found.

        Args:
            texts: The texts.
            overrides: Options for this call alone, such as `dimensions=256` or `deadline=30`.

        Returns:
            One vector per text, in order.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        return self._embed(read_texts(texts), "document", overrides, lists=True).tolist()

    @spelled_out(EmbedOptions, per_call=True)
    @guarded
    def embed_query(self, text: str, **overrides: Unpack[EmbedOptions]) -> list[float]:
        """Embed one text as a query.

        Args:
            text: The text.
            overrides: As `embed_documents`.

        Returns:
            The vector.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        return list(self._embed(read_query(text), "query", overrides)[0])

    @spelled_out(EmbedOptions, per_call=True)
    @guarded
    def embed_documents_array(
        self, texts: Sequence[str], **overrides: Unpack[EmbedOptions]
    ) -> NDArray[np.float32]:
        """Embed texts as documents, into one float32 array `(n, d)`.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        return self._embed(read_texts(texts), "document", overrides).vectors

    @spelled_out(EmbedOptions, per_call=True)
    @guarded
    def embed_image(
        self,
        uris: Sequence[Image],
        *,
        role: Role = "document",
        **overrides: Unpack[EmbedOptions],
    ) -> list[list[float]]:
        """Embed images, each by its path, https URL or data URL, or other media.

        Args:
            uris: Where the images are. Files are read here, URLs by the model's host. Other media
                as `AudioInput`, `VideoInput` or `FileInput`.
            role: Whether they are to be found or to be searched with.
            overrides: As `embed_documents`.

        Returns:
            One vector per image, in order.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        return self._embed(read_images(uris), role, overrides).tolist()

    @spelled_out(EmbedOptions, per_call=True)
    @aguarded
    async def aembed_documents(
        self, texts: Sequence[str], **overrides: Unpack[EmbedOptions]
    ) -> list[list[float]]:
        """Embed texts as documents to be found; see `embed_documents`.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        result = await self._aembed(read_texts(texts), "document", overrides, lists=True)
        return result.tolist()

    @spelled_out(EmbedOptions, per_call=True)
    @aguarded
    async def aembed_query(self, text: str, **overrides: Unpack[EmbedOptions]) -> list[float]:
        """Embed one text as a query; see `embed_query`.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        return list((await self._aembed(read_query(text), "query", overrides))[0])

    @spelled_out(EmbedOptions, per_call=True)
    @aguarded
    async def aembed_documents_array(
        self, texts: Sequence[str], **overrides: Unpack[EmbedOptions]
    ) -> NDArray[np.float32]:
        """Embed texts as documents, into one float32 array `(n, d)`.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        return (await self._aembed(read_texts(texts), "document", overrides)).vectors

    @spelled_out(EmbedOptions, per_call=True)
    @aguarded
    async def aembed_image(
        self,
        uris: Sequence[Image],
        *,
        role: Role = "document",
        **overrides: Unpack[EmbedOptions],
    ) -> list[list[float]]:
        """Embed images; see `embed_image`. Files are read in a thread.

        Raises:
            EmbeddingError: As `embed_documents`.
        """
        images = await asyncio.to_thread(read_images, uris)
        return (await self._aembed(images, role, overrides)).tolist()

    def _embed(
        self,
        inputs: Sequence[Any],
        role: Role,
        overrides: Mapping[str, Any],
        *,
        lists: bool = False,
    ) -> EmbeddingResult:
        # A bar for a single query would only flicker.
        options = call_options(overrides, bar=self.show_progress_bar and role == "document")
        model: str = options.get("model", self.model)
        try:
            with speaking(spoken(overrides)), self._run(model, role, inputs) as run:
                result = run.result = self._client.embed(inputs, role=role, lists=lists, **options)
        except EmbeddingError as error:
            report_usage(model, error.result)
            raise
        report_usage(model, result)
        self._lengths.look(result, model)
        return result

    async def _aembed(
        self,
        inputs: Sequence[Any],
        role: Role,
        overrides: Mapping[str, Any],
        *,
        lists: bool = False,
    ) -> EmbeddingResult:
        # A bar for a single query would only flicker.
        options = call_options(overrides, bar=self.show_progress_bar and role == "document")
        model: str = options.get("model", self.model)
        try:
            async with self._run(model, role, inputs) as run:
                twin = self._client.as_async()
                with speaking(spoken(overrides)):
                    result = await twin.embed(inputs, role=role, lists=lists, **options)
                run.result = result
        except EmbeddingError as error:
            report_usage(model, error.result)
            raise
        report_usage(model, result)
        self._lengths.look(result, model)
        return result

    def _run(self, model: str, role: str, inputs: Sequence[Any]) -> Run:
        name, count = type(self).__name__, len(inputs)
        return Run(wanted=self.trace_runs, name=name, model=model, role=role, inputs=count)

    @property
    def usage(self) -> Usage:
        """What all calls of this object have consumed so far: tokens, USD, requests."""
        return self._client.usage

    @property
    def cache_namespace(self) -> str:
        """Name of the space that document vectors live in, such as for `CacheBackedEmbeddings`.

        Equal exactly where document vectors are interchangeable: the same model, width, role, host
        preferences, extra body and origin. Keys, timeouts and concurrency do not enter.
        """
        return self._client.vector_space("document")

    def close(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        self._client.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self._client.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that `dumps` works."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The argument that `dumps` replaces by a reference, and what it refers to."""
        return {KEY_FIELD: KEY_VARIABLE}

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return what `dumps` writes: every option, and for the key a reference."""
        form = cast("SerializedConstructor", super().to_json())
        reference = {"lc": 1, "type": "secret", "id": [KEY_VARIABLE]}
        form["kwargs"].update({KEY_FIELD: reference, RESTORED: True})
        path = getattr(self.cache, "path", None)
        if isinstance(path, str):  # its limits stay here; what is in the file is what counts
            form["kwargs"]["cache"] = path
        return form

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        kept = {**state["__dict__"], **dict.fromkeys(HERE_ONLY)}
        return {**state, "__dict__": kept}  # the client, among the private ones, drops its own key

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin._client = copy.copy(self._client)  # noqa: SLF001 - our own
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Keys, callables, limiters and sessions cannot be copied, and need not be.
        memo = {} if memo is None else memo
        for name in HERE_ONLY:
            memo[id(getattr(self, name))] = getattr(self, name)
        return super().__deepcopy__(memo)

    @guarded
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with a client of its own and, unlike pydantic's, checked changes.

        Args:
            update: Options to change, under any of their names.
            deep: Whether nested values are copied, too.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        twin = copy.deepcopy(self) if deep else copy.copy(self)
        if not update:
            return twin
        fields = type(self).model_fields
        values: dict[str, Any] = {name: getattr(twin, name) for name in fields}
        values |= by_field(update, fields)
        if values[KEY_FIELD] is twin.openrouter_api_key:
            values[KEY_FIELD] = twin._client.settings.api_key  # noqa: SLF001 - knows its origin
        values[RESTORED] = values[KEY_FIELD] is None
        return type(self)(**values)


def _reason(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return " ".join(f"`{'.'.join(map(str, p['loc']))}`: {p['msg']}." for p in problems)
