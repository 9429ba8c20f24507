"""OpenRouter embeddings for LlamaIndex: right vectors or an error, concurrent, with roles."""

from __future__ import annotations

from llama_index_openrouter_embed.embedding import OpenRouterEmbedding

__all__ = ["OpenRouterEmbedding"]
