"""OpenRouter embeddings for LangChain.

Rules of this file:
- The public names and nothing else; the class is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_openrouter_embed.embeddings import OpenRouterEmbeddings

__all__ = ["OpenRouterEmbeddings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from langchain_openrouter_embed import embeddings  # noqa: PLC0415 - lazy by design
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(__name__):
            raise
        raise ImportError(
            f"LangChain is not installed ({error.name} is missing): "
            "pip install 'openrouter-embed[langchain]'",
            name=error.name,
        ) from None
    value = globals()[name] = getattr(embeddings, name)
    return value


def __dir__() -> list[str]:
    return __all__
