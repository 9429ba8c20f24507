"""Embeddings from OpenRouter: right vectors or an error, concurrent, with roles, retries and cost.

The names below are the public ones. They load what they need when first used, so importing this
package loads neither requests, aiohttp nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openrouter_embed.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BatchError,
    BudgetExceededError,
    CacheError,
    CacheMissError,
    CacheWarning,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InsufficientCreditsError,
    InvalidResponseError,
    MultipleProvidersWarning,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
)
from openrouter_embed.version import __version__

if TYPE_CHECKING:
    from openrouter_embed.batch.job import AsyncBatchJob, BatchJob
    from openrouter_embed.batch.record import BatchCounts
    from openrouter_embed.cache import CacheStats, EmbeddingCache, Found, SQLiteCache
    from openrouter_embed.catalogue import Estimate, KeyInfo, ModelInfo
    from openrouter_embed.client import AsyncEmbeddingClient, EmbeddingClient
    from openrouter_embed.comparison import Comparison, ModelScore, compare
    from openrouter_embed.inputs import ImageInput
    from openrouter_embed.lengths import NotNormalizedWarning
    from openrouter_embed.media import AudioInput, FileInput, VideoInput
    from openrouter_embed.options.keywords import CallOptions, Limiter, Options
    from openrouter_embed.options.models import (
        ModelProfile,
        find_profile,
        register_profile,
        unregister_profile,
    )
    from openrouter_embed.options.provider import ProviderPreferences
    from openrouter_embed.pacer import Pacer
    from openrouter_embed.result import EmbeddingResult, Progress, Usage
    from openrouter_embed.search import similarity

__all__ = [
    "APIError",
    "AsyncBatchJob",
    "AsyncEmbeddingClient",
    "AudioInput",
    "AuthenticationError",
    "BadRequestError",
    "BatchCounts",
    "BatchError",
    "BatchJob",
    "BudgetExceededError",
    "CacheError",
    "CacheMissError",
    "CacheStats",
    "CacheWarning",
    "CallOptions",
    "ClientClosedError",
    "Comparison",
    "ConfigurationError",
    "DeadlineExceededError",
    "EmbeddingCache",
    "EmbeddingClient",
    "EmbeddingError",
    "EmbeddingResult",
    "Estimate",
    "FileInput",
    "Found",
    "ImageInput",
    "InsufficientCreditsError",
    "InvalidResponseError",
    "KeyInfo",
    "Limiter",
    "ModelInfo",
    "ModelProfile",
    "ModelScore",
    "MultipleProvidersWarning",
    "NotFoundError",
    "NotNormalizedWarning",
    "Options",
    "Pacer",
    "PermissionDeniedError",
    "Progress",
    "ProviderPreferences",
    "RateLimitError",
    "SQLiteCache",
    "ServerError",
    "TransportError",
    "Usage",
    "VideoInput",
    "__version__",
    "compare",
    "find_profile",
    "register_profile",
    "similarity",
    "unregister_profile",
]

_HOMES = {
    "AsyncBatchJob": "batch.job",
    "AsyncEmbeddingClient": "client",
    "AudioInput": "media",
    "BatchCounts": "batch.record",
    "BatchJob": "batch.job",
    "CacheStats": "cache",
    "CallOptions": "options.keywords",
    "Comparison": "comparison",
    "EmbeddingCache": "cache",
    "EmbeddingClient": "client",
    "EmbeddingResult": "result",
    "Estimate": "catalogue",
    "FileInput": "media",
    "Found": "cache",
    "ImageInput": "inputs",
    "KeyInfo": "catalogue",
    "Limiter": "options.keywords",
    "ModelInfo": "catalogue",
    "ModelScore": "comparison",
    "ModelProfile": "options.models",
    "Options": "options.keywords",
    "Pacer": "pacer",
    "Progress": "result",
    "ProviderPreferences": "options.provider",
    "NotNormalizedWarning": "lengths",
    "Usage": "result",
    "VideoInput": "media",
    "SQLiteCache": "cache",
    "compare": "comparison",
    "find_profile": "options.models",
    "register_profile": "options.models",
    "similarity": "search",
    "unregister_profile": "options.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
