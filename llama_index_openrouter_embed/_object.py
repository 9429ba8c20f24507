"""The adapter as an object: its fields, what it is made of, its life, its copies.

Rules of this file:
- Options are checked before pydantic sees them, and fixed once the object is made.
- What is serialized is what changes vectors and what decides where texts may go; nothing else.
- No form that leaves the process holds the key; a restored object reads the environment.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, cast

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding

from llama_index_openrouter_embed._backend import Backend
from llama_index_openrouter_embed._options import (
    ALIASES,
    ASSIGNABLE,
    FRAMEWORK,
    VECTOR_OPTIONS,
    field_of,
    read_arguments,
    spoken,
    unknown,
)
from openrouter_embed import ConfigurationError
from openrouter_embed.adapting import OPTIONS, extras, guarded, speaking

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Self

    from openrouter_embed import Usage

TEXTS_PER_EVENT: Final = 100
"""Default of `embed_batch_size`."""

_PICKLED_IF_POSSIBLE: Final = ("limiter", "rate_limiter", "embeddings_cache")
_NOT_PICKLED: Final = (
    frozenset(name for name, row in OPTIONS.items() if not row.pickled) | {"callback_manager"}
) - {*_PICKLED_IF_POSSIBLE}
_RESTORING: ContextVar[bool] = ContextVar("restoring", default=False)
_LOG = logging.getLogger("llama_index_openrouter_embed")


@contextmanager
def _restoring() -> Generator[None]:
    """Let objects be made without a key: they read the environment at their first request."""
    token = _RESTORING.set(True)
    try:
        yield
    finally:
        _RESTORING.reset(token)


class OpenRouterObject(MultiModalEmbedding):
    """Fields, construction, serialized forms; what it can do stands in `OpenRouterEmbedding`."""

    api_base: str = field_of("base_url", default="")
    dimensions: int | None = field_of("dimensions")
    query_input_type: str | None = field_of("query_input_type")
    document_input_type: str | None = field_of("document_input_type")
    query_prefix: str | None = field_of("query_prefix")
    document_prefix: str | None = field_of("document_prefix")
    query_instruction: str | None = field_of("query_instruction")
    provider: dict[str, Any] = field_of("provider", default={})
    normalize: bool | str = field_of("normalize")
    long_input: str = field_of("long_input")
    empty: str = field_of("empty")
    pin_provider: bool = field_of("pin_provider")
    additional_kwargs: dict[str, Any] = field_of("extra_body", default={})

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

    _backend: Backend = PrivateAttr()

    def _assemble(self, given: dict[str, Any]) -> None:
        """Check the constructor's arguments, and make of them the client and the fields."""
        arguments = read_arguments(given, type(self).model_fields)
        names = spoken(given)
        with speaking(names):
            backend = Backend(
                arguments.client,
                num_workers=arguments.framework.get("num_workers"),
                rate_limiter=arguments.framework.get("rate_limiter"),
                restored=_RESTORING.get(),
                names=names,
            )
        fields = {**_serialized(backend.settings), **arguments.framework, **arguments.extra}
        super().__init__(**fields)
        self._backend = backend

    # ------------------------------------------------------------------ life

    @property
    def usage(self) -> Usage:
        """What all calls of this object have consumed so far: tokens, USD, requests."""
        return self._backend.usage

    def close(self) -> None:
        """End the calls in flight and close the connections; again is harmless."""
        self._backend.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        await self._backend.aclose()

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
        if not name.startswith("_"):
            value = self._checked(name, value)
        super().__setattr__(name, value)
        if name == "rate_limiter":
            self._backend.throttle.framework = value

    def _checked(self, name: str, value: Any) -> Any:
        if name in ASSIGNABLE:
            return FRAMEWORK[name](name, value)
        fields = type(self).model_fields
        if name in _FIXED or name in OPTIONS or name in ALIASES:
            raise ConfigurationError(
                f"`{name}` is fixed once the object is made: use "
                f"`model_copy(update={{'{name}': …}})`."
            )
        if name not in fields and not hasattr(type(self), name):
            raise unknown(name, fields)
        return value

    if not TYPE_CHECKING:  # a checker that saw it would find no misspelt name any more

        def __getattr__(self, name: str) -> Any:
            """Read an option of the client that is no field."""
            option = ALIASES.get(name, name)
            if option not in OPTIONS:
                return super().__getattr__(name)
            backend = (self.__pydantic_private__ or {}).get("_backend")
            if backend is None:
                raise AttributeError(name)
            return getattr(backend.settings, option)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *OPTIONS})

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

    @classmethod
    @guarded
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Make an object that may be without a key until its first request, as a restored one is.

        Checkpoints are read back so. Unlike pydantic's, it checks the values, because it makes a
        client of them.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        del _fields_set  # the constructor knows best
        with _restoring():
            return cls(**values)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Make an object from a mapping of options, or let an object pass.

        Raises:
            ConfigurationError: An option is unknown or wrong, or there is no key.
        """
        # pydantic would wrap our error in its own, which keeps the mapping, key included.
        if isinstance(obj, Mapping):
            return cls(**cast("Mapping[str, Any]", obj))
        return super().model_validate(obj, **options)

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
                said = "`%s` cannot be pickled: the copy goes without."
                _LOG.warning(said, name, extra=extras("pickle"))
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
        return {**self._backend.options, **fields, "num_workers": self.num_workers}


_FIXED: Final = frozenset(OpenRouterObject.model_fields) - ASSIGNABLE


def _serialized(settings: Any) -> dict[str, Any]:
    """Return the fields that are serialized: what changes vectors, and where texts may go."""
    return {
        "model_name": settings.model,
        "api_base": settings.base_url,
        "provider": settings.provider.to_wire(),
        "additional_kwargs": dict(sorted(settings.extra_body.items())),
        **{name: getattr(settings, name) for name in VECTOR_OPTIONS},
    }


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - whatever a foreign object raises
        return False
    return True
