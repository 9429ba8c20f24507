"""What an option is called here that is called otherwise elsewhere, and how an unknown one is told.

Rules of this file:
- Tables, and the two functions that read them.
- A name is suggested only where it would be accepted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_ELSEWHERE: Final[tuple[tuple[str, str], ...]] = (
    ("base_url", "api_base url endpoint api_url openai_api_base openai_base_url"),
    ("base_url", "openrouter_api_base openrouter_base_url host server_url"),
    ("api_key", "openai_api_key openrouter_api_key key token cohere_api_key voyage_api_key auth"),
    ("model", "model_name model_id model_name_or_path engine"),
    ("max_batch_inputs", "batch_size chunk_size embed_batch_size max_batch_size"),
    ("max_batch_tokens", "max_tokens_per_batch max_batch_token batch_token_limit"),
    ("show_progress_bar", "show_progress progress"),
    ("timeout", "request_timeout timeout_s read_timeout connect_timeout timeout_ms"),
    ("deadline", "total_timeout max_time overall_timeout"),
    ("max_retries", "num_retries retries max_tries retry_attempts max_attempts"),
    ("extra_body", "model_kwargs additional_kwargs extra_params additional_params"),
    ("default_headers", "headers extra_headers custom_headers additional_headers"),
    ("dimensions", "output_dimension output_dimensionality embedding_dim embedding_dimension dim"),
    ("dimensions", "dims embed_dim truncate_dim vector_size output_dimensions dimension"),
    ("encoding_format", "encoding"),
    ("input_type", "task_type"),
    ("query_prefix", "query_prompt query_encode_prefix query_template"),
    ("document_prefix", "text_prefix passage_prefix document_prompt text_instruction prompt"),
    ("document_prefix", "embed_instruction"),
    ("query_instruction", "query_instruction_for_retrieval instruction task_description"),
    ("provider", "openrouter_provider provider_preferences providers provider_order"),
    ("max_concurrency", "max_concurrent_requests num_workers concurrency max_workers parallelism"),
    ("max_concurrency", "max_parallel_requests n_jobs max_connections pool_size"),
    ("rate_limiter", "limiter"),
    ("limiter", "rate_limiter"),
    ("long_input", "truncate truncation truncate_input auto_truncate max_length max_seq_length"),
    ("empty", "skip_empty"),
    ("normalize", "normalize_embeddings normalise normalized normalize_vectors encode_kwargs"),
    ("max_cost", "budget max_budget cost_limit"),
    ("proxy", "openai_proxy proxies proxy_url http_proxy https_proxy"),
    ("ca_bundle", "verify ca_file cafile ssl_context ssl_cert verify_ssl ssl cert"),
    ("session", "http_client http_async_client async_http_client client httpx_client"),
    ("on_progress", "progress_callback callback on_batch"),
    ("app_url", "site_url http_referer referer app_referer"),
    ("app_title", "site_name x_title title app_name"),
    ("user", "user_id end_user"),
    ("pin_provider", "sticky sticky_provider"),
)
"""The name here, and what others call it; of several the first that is accepted."""

_NEEDLESS: Final = "Leave it out: it is not needed here."
_ROLES: Final = (
    "Roles follow the method, or `role` in a call of `embed`; for another task pass `input_type` "
    "to the call."
)
_BAR: Final = (
    "A bar is asked for in the call: `embed(…, progress=True)`, or `show_progress=True` with "
    "LlamaIndex."
)
_RATES: Final = (
    "Requests are paced by what the server bears; a limit of your own is an object, in `limiter`, "
    "or one of LangChain's or LlamaIndex's in `rate_limiter`."
)
_PREFERENCE: Final = "It is a provider preference: pass `provider={'%s': …}`."
_ONE_MODEL: Final = "One client has one model: vectors of two models cannot be compared."
_ADVICE: Final[tuple[tuple[str, str], ...]] = (
    (_NEEDLESS, "check_embedding_ctx_length tiktoken_enabled tiktoken_model_name tokenizer"),
    (_NEEDLESS, "allowed_special disallowed_special embedding_ctx_length reuse_client api_version"),
    (_NEEDLESS, "deployment openai_api_type openai_api_version openai_organization organization"),
    (_NEEDLESS, "project default_query extra_query device trust_remote_code cache_folder"),
    (_NEEDLESS, "convert_to_numpy convert_to_tensor retry_min_seconds retry_max_seconds"),
    (_NEEDLESS, "backoff_factor embedding_types output_dtype precision temperature max_tokens"),
    (_ROLES, "input_type task_type task prompt_name embed_type role mode"),
    (_BAR, "show_progress_bar show_progress progress"),
    (_RATES, "requests_per_minute tokens_per_minute requests_per_second rpm tpm rate_limit"),
    (_RATES, "limiter rate_limiter"),
    (_PREFERENCE, "data_collection zdr allow_fallbacks order only ignore quantizations sort"),
    (_PREFERENCE, "require_parameters max_price preferred_min_throughput preferred_max_latency"),
    (_ONE_MODEL, "models fallbacks fallback_models route"),
)
"""What to do, and the names that have no counterpart."""

_OURS: Final = {
    other: [ours for ours, others in _ELSEWHERE if other in others.split()]
    for _, names in _ELSEWHERE
    for other in names.split()
}
_TOLD: Final = {other: text for text, others in _ADVICE for other in others.split()}
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence on what to write instead of an unknown name; empty if there is none."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    names = list(known)
    meant = _HUMP.sub("_", name).replace("-", "_").lower()  # as in JavaScript and in headers
    ours = next((one for one in [meant, *_OURS.get(meant, [])] if one in names), None)
    if ours is not None:
        return f"Did you mean `{ours}`?"
    if meant in _TOLD:
        return _TOLD[meant].replace("%s", meant)
    near = get_close_matches(meant, names, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else ""


def near_models(model: str, known: Collection[str]) -> list[str]:
    """Return ids like this one, the likeliest first: misspelt, or without their maker's name."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    bare = {one.rpartition("/")[2]: one for one in known}
    found = get_close_matches(model.lower(), known, n=3, cutoff=0.6)
    found += [bare[name] for name in get_close_matches(model.lower(), bare, n=1, cutoff=0.75)]
    return list(dict.fromkeys(found))


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Say that `name` is no known `what`, and what to write instead."""
    text = printable(name, 60)
    return f"Unknown {what} `{text}`. {suggestion(text, known)}".rstrip()
