"""What the constructor accepts, and which of it is serialized.

Rules of this file:
- Everything is checked here or by the client, before pydantic sees it: a `ValidationError` keeps
  its raw input, the key included.
- The tables decide; an option of the client that no table knows is operational.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.bridge.pydantic import Field
from llama_index.core.storage.kvstore.types import BaseKVStore

from openrouter_embed import ConfigurationError
from openrouter_embed.adapting import OPTIONS, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ALIASES: Final = {
    "model_name": "model",
    "api_base": "base_url",
    "additional_kwargs": "extra_body",
}
"""LlamaIndex's name → the client's."""

_CALLED: Final = {
    "extra_body": "additional_kwargs",
    "base_url": "api_base",
    "max_batch_inputs": "embed_batch_size",
    "progress": "show_progress",
}
"""The client's option → what messages call it here, unless it was written otherwise."""

_BAR: Final = "A bar is asked for in the call: `get_text_embedding_batch(…, show_progress=True)`."
_ROLES: Final = (
    "Roles follow the method; for another task set `query_input_type` and `document_input_type`."
)
_NO_OPTIONS: Final = {
    **dict.fromkeys(("show_progress_bar", "show_progress", "progress"), _BAR),
    **dict.fromkeys(("input_type", "task_type", "task", "role", "mode"), _ROLES),
}

_OTHER_FORM: Final = frozenset({"provider", *ALIASES.values()})
"""Options that are serialized under another name, or in a form of their own."""

VECTOR_OPTIONS: Final = tuple(
    name for name, row in OPTIONS.items() if row.vectors and name not in _OTHER_FORM
)
"""Client options that decide about vectors or hosts and are fields under their own name."""

LARGEST_BATCH: Final = 2048
"""LlamaIndex's limit for `embed_batch_size`."""


def field_of(option: str, **changes: Any) -> Any:
    """Return the pydantic field of an option, as its row describes it."""
    row = OPTIONS[option]
    told: dict[str, Any] = {"default": row.default, "description": row.says, **changes}
    return Field(**told)


def _batch_size(name: str, value: object) -> object:
    try:
        size: int = OPTIONS["max_concurrency"].check(name, value)
    except ConfigurationError:
        size = 0
    if not 1 <= size <= LARGEST_BATCH:
        raise ConfigurationError(f"`{name}` must be a whole number from 1 to {LARGEST_BATCH}.")
    return size


def _workers(name: str, value: object) -> object:
    return None if value is None else OPTIONS["max_concurrency"].check(name, value)


def _cache(name: str, value: object) -> object:
    if value is not None and not isinstance(value, BaseKVStore):
        raise ConfigurationError(
            f"`{name}` must be one of LlamaIndex's key-value stores, such as `SimpleKVStore()`."
        )
    return value


def _rate_limiter(name: str, value: object) -> object:
    if value is not None and not (hasattr(value, "acquire") and hasattr(value, "async_acquire")):
        raise ConfigurationError(
            f"`{name}` must have `acquire(num_tokens)` and `async_acquire(num_tokens)`; one with "
            "`aacquire` goes into `limiter`."
        )
    return value


def _limiter(name: str, value: object) -> object:
    if value is not None and not (hasattr(value, "acquire") and hasattr(value, "aacquire")):
        raise ConfigurationError(
            f"`{name}` must have `acquire(tokens)` and `aacquire(tokens)`; one of LlamaIndex's own "
            "goes into `rate_limiter`."
        )
    return value


def _anything(_: str, value: object) -> object:
    return value


FRAMEWORK: Final[dict[str, Callable[[str, Any], object]]] = {
    "embed_batch_size": _batch_size,
    "num_workers": _workers,
    "embeddings_cache": _cache,
    "rate_limiter": _rate_limiter,
    "callback_manager": _anything,
}
"""LlamaIndex's own arguments, each a field, with its check."""

ASSIGNABLE: Final = frozenset(FRAMEWORK) - {"num_workers"}
"""Fields that may change after construction; the rest is built into the client."""

_OURS: Final = frozenset(ALIASES) | frozenset(VECTOR_OPTIONS) | {"provider"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the constructor was given, sorted.

    Attributes:
        framework: LlamaIndex's own fields.
        extra: Fields that a subclass added.
        client: Options of the client, under its names.
    """

    framework: dict[str, Any] = field(default_factory=dict[str, Any])
    extra: dict[str, Any] = field(default_factory=dict[str, Any])
    client: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


def spoken(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what messages call the options: what was written, else LlamaIndex's name."""
    written = [name for name, value in given.items() if value is not None]
    return {**_CALLED, **{ALIASES.get(name, name): name for name in written}}


def check_call(given: Iterable[str]) -> None:
    """Refuse what a batch's caller wants of its vectors and would not get.

    The base class takes any keyword and ignores it, for indexes and pipelines hand theirs on.

    Raises:
        ConfigurationError: One is an option that decides about vectors, or a role.
    """
    for name in given:
        if name in VECTOR_OPTIONS:
            raise ConfigurationError(
                f"`{name}` is no option of a call: use `model_copy(update={{'{name}': …}})`."
            )
        if _NO_OPTIONS.get(name) is _ROLES:
            raise ConfigurationError(f"`{name}` is no option of a call. {_ROLES}")


def unknown(name: str, fields: Iterable[str]) -> ConfigurationError:
    """Return the error for a name that is no argument."""
    if name in _NO_OPTIONS:
        return ConfigurationError(f"Unknown argument `{name}`. {_NO_OPTIONS[name]}")
    known = [*OPTIONS, *ALIASES, *FRAMEWORK, *fields]
    return ConfigurationError(unknown_name("argument", name, known))


def read_arguments(given: Mapping[str, Any], fields: Iterable[str]) -> Arguments:
    """Sort and check the constructor's arguments.

    Args:
        given: Arguments by name.
        fields: Names of the class's fields, a subclass's included.

    Raises:
        ConfigurationError: A name is unknown, given twice, or its value is of the wrong kind.
    """
    arguments = Arguments()
    own = set(fields) - _OURS
    for name, value in given.items():
        option = ALIASES.get(name, name)
        if name == "class_name":  # stands in every serialized form
            continue
        if name in FRAMEWORK:
            if value is not None:
                arguments.framework[name] = FRAMEWORK[name](name, value)
        elif option in OPTIONS:
            _take(arguments.client, option, value)
        elif name in own:
            arguments.extra[name] = value
        else:
            raise unknown(name, own)
    if arguments.client.get("model") is None:
        raise ConfigurationError(
            "Which model? Pass for example `model_name='openai/text-embedding-3-small'`."
        )
    _limiter("limiter", arguments.client.get("limiter"))
    return arguments


def _take(options: dict[str, Any], option: str, value: Any) -> None:
    """Take an option that may have come under another name already; `None` says nothing."""
    if options.get(option) is not None and value is not None and options[option] != value:
        names = [option, *(name for name, client in ALIASES.items() if client == option)]
        both = " and ".join(f"`{name}`" for name in names)
        raise ConfigurationError(f"{both} are the same option and were given different values.")
    if value is not None or option not in options:
        options[option] = value
