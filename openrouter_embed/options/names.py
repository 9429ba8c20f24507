"""What an option is called here that is called otherwise elsewhere, and how an unknown one is told.

Rules of this file:
- Tables, and the two functions that read them.
- A name is suggested only where it would be accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_ELSEWHERE: Final[tuple[tuple[str, str], ...]] = (
    ("base_url", "api_base url endpoint api_url openai_api_base openai_base_url"),
    ("api_key", "openai_api_key openrouter_api_key key token"),
    ("model", "model_name model_id"),
    ("max_batch_inputs", "batch_size chunk_size embed_batch_size max_batch_size"),
    ("show_progress_bar", "show_progress progress"),
    ("timeout", "request_timeout"),
    ("max_retries", "num_retries retries"),
    ("extra_body", "model_kwargs additional_kwargs"),
    ("default_headers", "headers extra_headers"),
    ("dimensions", "output_dimension output_dimensionality embedding_dim"),
    ("input_type", "task_type"),
    ("provider", "openrouter_provider"),
    ("max_concurrency", "max_concurrent_requests num_workers concurrency"),
    ("normalize", "normalize_embeddings"),
    ("proxy", "openai_proxy proxies"),
    ("session", "http_client http_async_client async_http_client"),
)
"""The name here, and what others call it."""

_NEEDLESS: Final = "Leave it out: it is not needed here."
_ROLES: Final = "Roles follow the method; for another task pass `input_type` to the call."
_BAR: Final = (
    "A bar is asked for in the call: `embed(…, progress=True)`, or `show_progress=True` with "
    "LlamaIndex."
)
_ADVICE: Final[tuple[tuple[str, str], ...]] = (
    (_NEEDLESS, "check_embedding_ctx_length tiktoken_enabled tiktoken_model_name tokenizer"),
    (_NEEDLESS, "allowed_special disallowed_special embedding_ctx_length reuse_client api_version"),
    (_NEEDLESS, "deployment openai_api_type openai_api_version openai_organization"),
    (_ROLES, "input_type task_type task"),
    (_BAR, "show_progress_bar show_progress progress"),
)
"""What to do, and the names that have no counterpart."""

_OURS: Final = {other: ours for ours, others in _ELSEWHERE for other in others.split()}
_TOLD: Final = {other: text for text, others in _ADVICE for other in others.split()}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence on what to write instead of an unknown name; empty if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    names = list(known)
    ours = _OURS.get(name)
    if ours in names:
        return f"Did you mean `{ours}`?"
    if name in _TOLD:
        return _TOLD[name]
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else ""


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Say that `name` is no known `what`, and what to write instead."""
    text = printable(name, 60)
    return f"Unknown {what} `{text}`. {suggestion(text, known)}".rstrip()
