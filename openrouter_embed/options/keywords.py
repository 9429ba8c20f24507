"""What callers may write for each option, for type checkers.

Rules of this file:
- One line per option, and no word about it: sentences stand in its row of `table.py`.
- What may be written is wider than what is kept: a mapping here is a `ProviderPreferences` there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict

from openrouter_embed.options.table import OPTIONS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import requests

    from openrouter_embed.cache.protocol import EmbeddingCache
    from openrouter_embed.options.provider import ProviderPreferences
    from openrouter_embed.pacer import Pacer
    from openrouter_embed.result import Progress


class Limiter(Protocol):
    """A rate limiter; asked once for every request that is really sent.

    One that has an attribute `active` is asked by the calls that begin while that is true. One that
    has `release(signal)` is told when a request that it let through has ended, and how: `fine`,
    `throttled`, `troubled` or `neutral`. One that has `refused(retry_after)` is told of every
    refusal for load, with the seconds that the server asks to wait or `None`. Both must return at
    once: they are called where answers are read, in an event loop perhaps.
    """

    def acquire(self, tokens: int) -> None:
        """Block until a request of about `tokens` tokens may go out."""

    async def aacquire(self, tokens: int) -> None:
        """Wait, without blocking the event loop, for the same."""


class SharedOptions(TypedDict, total=False):
    """What a client and a call may both be told."""

    dimensions: int | None
    encoding_format: Literal["auto", "float", "base64"]
    query_input_type: str | None
    document_input_type: str | None
    query_prefix: str | None
    document_prefix: str | None
    query_instruction: str | None
    provider: ProviderPreferences | Mapping[str, Any] | None
    user: str | None
    session_id: str | None
    trace: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    timeout: float
    deadline: float | None
    max_retries: int
    max_batch_inputs: int | None
    max_batch_tokens: int | None
    long_input: Literal["error", "split", "truncate"]
    empty: Literal["error", "zeros"]
    normalize: bool | Literal["auto"]
    router_cache: bool | float
    pin_provider: bool
    refresh: bool
    cache_only: bool
    telemetry: bool
    on_progress: Callable[[Progress], None] | None


class CallOptions(SharedOptions, total=False):
    """Options that one call may set for itself."""

    model: str


class ClientOptions(SharedOptions, total=False):
    """What a client may be told whatever wraps it; a framework may take other kinds of keys."""

    base_url: str | None
    batch_root: str | None
    app_url: str | None
    app_title: str | None
    app_categories: Sequence[str] | None
    default_headers: Mapping[str, str] | None
    max_concurrency: int
    limiter: Limiter | None
    pacer: Pacer | None
    max_cost: float | None
    cache: str | os.PathLike[str] | EmbeddingCache | None
    proxy: str | None
    ca_bundle: str | os.PathLike[str] | None
    session: requests.Session | None


class Options(ClientOptions, total=False):
    """Options that every client and adapter accepts under the same name, besides the model."""

    api_key: str | Callable[[], str] | None


_DESCRIBED: Final = (CallOptions, Options)

for _kind in _DESCRIBED:
    _lines = (f"    {_name}: {OPTIONS[_name].says}" for _name in _kind.__annotations__)
    _kind.__doc__ = "\n".join((f"{_kind.__doc__}", "", "Attributes:", *_lines, ""))
