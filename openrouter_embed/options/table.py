"""The options: one row each, and whatever else needs to know of an option asks its row.

Rules of this file:
- An option is described here and nowhere else: its name and type once checked, its check, its
  default, its sentence, who may set it, and whether it goes along in a pickle.
- To add one: write its row here and its line in `keywords.py` (what callers may write is wider than
  what is kept, and type checkers cannot read a table); where a framework has a name of its own for
  it, an entry in that adapter's table of names. Then run `python docs/generate.py`. The tests fail
  for whatever was forgotten.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed.options import checks
from openrouter_embed.options.checks import (
    AUTO,
    BASE_URL_VARIABLE,
    DEFAULT_BASE_URL,
    OTHER_BASE_URL_VARIABLE,
)
from openrouter_embed.options.provider import ProviderPreferences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from openrouter_embed.cache.protocol import EmbeddingCache
    from openrouter_embed.options.key import Secret
    from openrouter_embed.options.keywords import Limiter
    from openrouter_embed.pacer import Pacer
    from openrouter_embed.result import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What is known of one option.

    Attributes:
        check: Takes its name and a value, and returns the value as it is kept, or refuses it.
        says: Its sentence, for docstrings and documentation.
        default: Its value unless it is set; `None` also where that is an empty collection.
        per_call: Whether one call may set it for itself.
        vectors: Whether it changes vectors, or which host makes them.
        shown: Whether a repr may show it.
        pickled: Whether it can leave the process; if not, a copy elsewhere goes without.
        none_counts: Whether `None` says something other than “not set”.
        variables: The environment variables that set it unless an argument does; the first wins.
    """

    check: Callable[[str, Any], Any]
    says: str
    default: Any = None
    per_call: bool = False
    vectors: bool = False
    shown: bool = True
    pickled: bool = True
    none_counts: bool = False
    variables: tuple[str, ...] = ()


def option(
    check: Callable[[str, Any], Any],
    says: str,
    *,
    default: Any = None,
    empty: Callable[[], Any] | None = None,
    **rest: Any,
) -> Any:
    """Write one row; `empty` makes the default where that is a collection."""
    row = Option(check=check, says=says, default=default, **rest)
    about: dict[str, Any] = {"repr": row.shown, "metadata": {"option": row}}
    if empty is not None:
        return dataclasses.field(default_factory=empty, **about)
    return dataclasses.field(default=default, **about)


def _for_call(check: Callable[[str, Any], Any], says: str, **rest: Any) -> Any:
    return option(check, says, per_call=True, **rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTable:
    """Every option with its value; `Settings` adds what follows from them."""

    model: str = _for_call(
        checks.check_model, "Model id as OpenRouter lists it.", default=dataclasses.MISSING
    )
    dimensions: int | None = _for_call(
        checks.check_maybe_count, "Width of the vectors; `None` is the model's own.", vectors=True
    )
    encoding_format: str = _for_call(
        checks.check_choice("auto", "float", "base64"),
        "How vectors travel; `auto` is base64 where it is known to work.",
        default=AUTO,
    )
    query_input_type: str | None = _for_call(
        checks.check_maybe_text,
        "`input_type` for queries; `auto` as the model wants, `None` sends none.",
        default=AUTO,
        none_counts=True,
        vectors=True,
    )
    document_input_type: str | None = _for_call(
        checks.check_maybe_text,
        "The same for documents.",
        default=AUTO,
        none_counts=True,
        vectors=True,
    )
    query_prefix: str | None = _for_call(
        checks.check_prefix,
        "Text put before queries; `auto` as the model wants, `None` puts none.",
        default=AUTO,
        none_counts=True,
        vectors=True,
    )
    document_prefix: str | None = _for_call(
        checks.check_prefix,
        "The same for documents.",
        default=AUTO,
        none_counts=True,
        vectors=True,
    )
    query_instruction: str | None = _for_call(
        checks.check_maybe_text,
        "The task, for models whose query prefix names one.",
        vectors=True,
    )
    provider: ProviderPreferences = _for_call(
        checks.check_provider,
        "Which hosts may serve, and under what terms.",
        empty=ProviderPreferences,
        vectors=True,
    )
    user: str | None = _for_call(
        checks.check_maybe_text, "Your name for the end user, sent with every request."
    )
    session_id: str | None = _for_call(
        checks.check_session_id,
        "What a run of requests belongs to, at most 256 characters; else `OPENROUTER_SESSION_ID`.",
        variables=("OPENROUTER_SESSION_ID",),
    )
    trace: Mapping[str, Any] = _for_call(
        checks.check_trace,
        "What observability tools are told of a request, sent as it is.",
        empty=dict[str, Any],
        shown=False,
    )
    extra_body: Mapping[str, Any] = _for_call(
        checks.check_body,
        "More fields for the request body, sent as they are.",
        empty=dict[str, Any],
        shown=False,
        vectors=True,
    )
    timeout: float = _for_call(
        checks.check_seconds, "Seconds that one attempt may take.", default=60.0
    )
    deadline: float | None = _for_call(
        checks.check_maybe_seconds,
        "Seconds that a whole call may take, waits and retries included; `None` is no end.",
    )
    max_retries: int = _for_call(
        checks.check_count(0), "Attempts of one request beyond its first.", default=8
    )
    max_batch_inputs: int | None = _for_call(
        checks.check_maybe_count,
        "Most inputs in one request; the model's limits hold in any case.",
    )
    max_batch_tokens: int | None = _for_call(
        checks.check_maybe_count,
        "Most tokens in one request; the model's limits hold in any case.",
    )
    long_input: str = _for_call(
        checks.check_choice("error", "split", "truncate"),
        "A text above the model's context: refuse it, average its parts, or cut it off.",
        default="error",
        vectors=True,
    )
    empty: str = _for_call(
        checks.check_choice("error", "zeros"),
        "An empty text: refuse it, or give zeros without sending it.",
        default="error",
        vectors=True,
    )
    normalize: bool | str = _for_call(
        checks.check_normalize,
        "Scale vectors to unit length; `auto` does so where the model's are not.",
        default=False,
        vectors=True,
    )
    router_cache: bool | float = _for_call(
        checks.check_router_cache,
        "Whether OpenRouter may answer out of its own cache, or for how many seconds it may keep.",
        default=False,
    )
    pin_provider: bool = _for_call(
        checks.check_flag, "Keep to the host that served first.", default=False, vectors=True
    )
    refresh: bool = _for_call(
        checks.check_flag, "Buy what is in the cache anew, and replace it.", default=False
    )
    cache_only: bool = _for_call(
        checks.check_flag, "Buy nothing: what is not in the cache is an error.", default=False
    )
    telemetry: bool = _for_call(
        checks.check_switch,
        "Spans and metrics, where OpenTelemetry is set up; else `OPENROUTER_EMBED_OTEL`.",
        default=True,
        variables=("OPENROUTER_EMBED_OTEL",),
    )
    on_progress: Callable[[Progress], None] | None = _for_call(
        checks.check_callback,
        "Called with a `Progress` whenever a request is done.",
        shown=False,
        pickled=False,
    )
    api_key: Secret | Callable[[], str] | None = option(
        checks.check_api_key,
        "Key, or a callable that returns it; else `OPENROUTER_API_KEY`.",
        shown=False,
        pickled=False,
    )
    base_url: str = option(
        checks.check_base_url,
        "Where to send; else `OPENROUTER_API_BASE` or `OPENROUTER_BASE_URL`, else OpenRouter.",
        default=DEFAULT_BASE_URL,
        variables=(BASE_URL_VARIABLE, OTHER_BASE_URL_VARIABLE),
    )
    batch_root: str | None = option(
        checks.check_root,
        "Path of `/batches` on the server, if not beside `/embeddings` nor below `/api/beta`.",
    )
    app_url: str | None = option(
        checks.check_header_text,
        "Your program's address, for OpenRouter's rankings; else `OPENROUTER_APP_URL`.",
        variables=("OPENROUTER_APP_URL",),
    )
    app_title: str | None = option(
        checks.check_header_text,
        "Your program's name, for the same; else `OPENROUTER_APP_TITLE`.",
        variables=("OPENROUTER_APP_TITLE",),
    )
    app_categories: tuple[str, ...] = option(
        checks.check_categories, "Your program's categories, for the same.", empty=tuple[str, ...]
    )
    default_headers: Mapping[str, str] = option(
        checks.check_headers, "More headers for every request.", empty=dict[str, str], shown=False
    )
    max_concurrency: int = option(
        checks.check_count(1),
        "Most requests in flight; fewer while the server bears no more.",
        default=64,
    )
    limiter: Limiter | None = option(
        checks.check_limiter,
        "Your own rate limiter, asked once per request sent, retries included.",
        shown=False,
        pickled=False,
    )
    pacer: Pacer | None = option(
        checks.check_pacer,
        "A `Pacer` that several clients share, with its own `max_concurrency`.",
        shown=False,
        pickled=False,
    )
    max_cost: float | None = option(
        checks.check_maybe_dollars,
        "USD that the client may spend in its life; what would pass it is not sent.",
    )
    cache: str | EmbeddingCache | None = option(
        checks.check_cache,
        "File that keeps every vector bought, or a store of your own; nothing is bought twice.",
    )
    proxy: str | None = option(
        checks.check_proxy,
        "URL of a proxy, HTTP or with the extra `socks` SOCKS; else the environment's.",
        shown=False,
    )
    ca_bundle: str | None = option(
        checks.check_ca_bundle,
        "File or folder of the certificates to trust, or `system`, instead of the built-in ones.",
    )
    session: requests.Session | None = option(
        checks.check_anything,
        "Your own `requests.Session`, for synchronous calls.",
        shown=False,
        pickled=False,
    )


OPTIONS: Final[Mapping[str, Option]] = {
    row.name: row.metadata["option"] for row in dataclasses.fields(OptionTable)
}
"""Every option by name, `model` included, in the order in which they are documented."""

CALL_OPTIONS: Final = frozenset(name for name, row in OPTIONS.items() if row.per_call)
"""Options that one call may set; the rest belong to the client's connections."""
