"""Options: the names LangChain's users write, and what the client is told.

Rules of this file:
- One table of names. Values are checked by the client, before pydantic sees any of them.
- No message of this file holds a value: an option may be a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, SecretStr

from langchain_openrouter_embed._limiter import RequestLimiter
from openrouter_embed import CallOptions, ConfigurationError, EmbeddingClient
from openrouter_embed.adapting import OPTIONS, ClientOptions, Secret, check_flag, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from langchain_core.rate_limiters import BaseRateLimiter

    from openrouter_embed import ProviderPreferences

    Key = SecretStr | str | Callable[[], str]
    Preferences = ProviderPreferences | Mapping[str, Any]

KEY_FIELD: Final = "openrouter_api_key"
RESTORED: Final = "lc_restored"
"""Keyword that a dump carries, so that an object made from it may start without a key."""

FIELD_OF: Final = {
    "api_key": KEY_FIELD,
    "base_url": "openrouter_api_base",
    "provider": "openrouter_provider",
    "timeout": "request_timeout",
    "extra_body": "model_kwargs",
    "max_batch_inputs": "chunk_size",
}
"""The client's option → the field of it, where LangChain has a name of its own."""

_CALLED: Final = {
    "extra_body": "model_kwargs",
    "max_batch_inputs": "chunk_size",
    "progress": "show_progress_bar",
}
"""The client's option → what messages call it here, unless it was written otherwise."""

OPTION_OF: Final = {field: option for option, field in FIELD_OF.items()}
HERE_ONLY: Final = (
    *(FIELD_OF.get(name, name) for name, row in OPTIONS.items() if not row.pickled),
    "rate_limiter",
)
"""Fields that stay in this process: keys, callables, sessions and what holds locks."""

_DECIDED: Final = {
    "inputs": "the inputs are the method's first argument",
    "role": "the method decides it; `input_type` can be set",
    "on_error": "these methods return every vector or raise",
    "progress": "it is called `show_progress_bar` here",
}


class EmbeddingsOptions(ClientOptions, total=False):
    """Every keyword of `OpenRouterEmbeddings`, for type checkers; here LangChain's own."""

    openrouter_api_key: Key | None
    api_key: Key | None
    openrouter_api_base: str | None
    openrouter_provider: Preferences | None
    request_timeout: float | None
    model_kwargs: Mapping[str, Any] | None
    chunk_size: int | None
    rate_limiter: BaseRateLimiter | None
    show_progress_bar: bool
    trace_runs: bool


class EmbedOptions(CallOptions, total=False):
    """Keywords of one call, for type checkers."""

    input_type: str | None
    openrouter_provider: Preferences | None
    request_timeout: float
    model_kwargs: Mapping[str, Any] | None
    chunk_size: int | None
    show_progress_bar: bool


def field_of(option: str, **changes: Any) -> Any:
    """Return the pydantic field of an option, as its row describes it."""
    row = OPTIONS[option]
    told: dict[str, Any] = {"default": row.default, "description": row.says, "repr": row.shown}
    told["exclude"] = None if row.pickled else True
    return Field(**{**told, **changes})


def spoken(written: Iterable[str]) -> dict[str, str]:
    """Return what messages call the options: what was written, else LangChain's name."""
    return {**_CALLED, **{OPTION_OF.get(name, name): name for name in written}}


def by_field(options: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return options under the names of their fields.

    Raises:
        ConfigurationError: A name is unknown, or an option is given under two names.
    """
    known = list(fields)
    named: dict[str, Any] = {}
    for name, value in options.items():
        field = FIELD_OF.get(name, name)
        if field not in known:
            raise unknown(name, known)
        if field in named:
            alias = OPTION_OF.get(field, field)
            raise ConfigurationError(f"`{alias}` and `{field}` are one option: pass one of them.")
        named[field] = value
    return named


def unknown(name: str, fields: Iterable[str]) -> ConfigurationError:
    """Return the error for a name that is no field and no alias of one."""
    return ConfigurationError(unknown_name("argument", name, [*fields, *FIELD_OF]))


def build(given: Mapping[str, Any], *, restored: bool) -> tuple[EmbeddingClient, dict[str, Any]]:
    """Make the client, and the values of the fields as the client understood them.

    Args:
        given: Options by field.
        restored: Whether a key may be missing until the first request.

    Raises:
        ConfigurationError: An option is wrong, or there is no key.
    """
    options = _client_options(given)
    own = {name: value for name, value in given.items() if OPTION_OF.get(name, name) not in OPTIONS}
    for name in {"show_progress_bar", "trace_runs"} & own.keys():
        own[name] = check_flag(name, own[name])
    if options["api_key"] is None and restored and all(given.get(n) is None for n in HERE_ONLY):
        client = EmbeddingClient.without_key(**options)
    else:
        client = EmbeddingClient(**options)
    return client, {**own, **_field_values(client, given)}


def _client_options(given: Mapping[str, Any]) -> dict[str, Any]:
    named = {OPTION_OF.get(field, field): value for field, value in given.items()}
    options = {name: value for name, value in named.items() if name in OPTIONS}
    options.setdefault("model", None)  # the client says what is missing better than Python does
    key = named.get("api_key")
    options["api_key"] = key.get_secret_value() if isinstance(key, SecretStr) else key
    if named.get("rate_limiter") is not None:
        if named.get("limiter") is not None:
            raise ConfigurationError("Pass `rate_limiter` or `limiter`, not both.")
        options["limiter"] = RequestLimiter.around(named["rate_limiter"])
    return options


def _field_values(client: EmbeddingClient, given: Mapping[str, Any]) -> dict[str, Any]:
    settings = client.settings
    key = settings.api_key
    values = {FIELD_OF.get(name, name): getattr(settings, name) for name in OPTIONS}
    return {
        **values,
        KEY_FIELD: SecretStr(key.reveal()) if isinstance(key, Secret) else key,
        "openrouter_provider": settings.provider.to_wire() or None,
        "app_categories": list(settings.app_categories) or None,
        "default_headers": dict(settings.default_headers) or None,
        "model_kwargs": dict(settings.extra_body) or None,
        "trace": dict(settings.trace) or None,
        "limiter": given.get("limiter"),
    }


def call_options(overrides: Mapping[str, Any], *, bar: bool) -> dict[str, Any]:
    """Return one call's keywords as the client names them.

    Args:
        overrides: As the caller wrote them; the client judges all but the names told here.
        bar: Whether to show a progress bar unless the call says otherwise.

    Raises:
        ConfigurationError: A name stands for what the method itself decides, or twice for one.
    """
    options: dict[str, Any] = {"progress": bar}
    for name, value in overrides.items():
        option = OPTION_OF.get(name, name)
        if option in _DECIDED:
            raise ConfigurationError(f"`{name}` cannot be passed: {_DECIDED[option]}.")
        if option == "show_progress_bar":
            option = "progress"
        elif option in options:
            raise ConfigurationError(
                f"`{option}` and `{FIELD_OF[option]}` are one option: pass one of them."
            )
        options[option] = value
    return options
