"""OpenRouter embeddings for LlamaIndex: right vectors or an error, concurrent, with roles."""

from __future__ import annotations

try:
    from llama_index_openrouter_embed.embedding import OpenRouterEmbedding
except ModuleNotFoundError as error:
    if (error.name or "").startswith(__name__):
        raise
    raise ImportError(
        f"LlamaIndex is not installed ({error.name} is missing): "
        "pip install 'openrouter-embed[llama-index]'",
        name=error.name,
    ) from None

__all__ = ["OpenRouterEmbedding"]
