"""Use one adapter for real, against the emulator, where the other framework is not installed.

Usage: adapter_alone.py langchain | llama_index [both]; with `both` the other one may be there.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from typing import Any

import numpy as np

from openrouter_embed.emulator import Emulator

TEXTS = ["the cat sat on the mat", "interest rates rose again", "a dog barked at the moon"]


def langchain(options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Embed synchronously and asynchronously through LangChain."""
    from langchain_openrouter_embed import OpenRouterEmbeddings

    with OpenRouterEmbeddings(model="voyageai/voyage-4", **options) as model:
        return model.embed_documents(TEXTS), asyncio.run(model.aembed_documents(TEXTS))


def llama_index(options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Embed synchronously and asynchronously through LlamaIndex."""
    from llama_index_openrouter_embed import OpenRouterEmbedding

    with OpenRouterEmbedding(model_name="voyageai/voyage-4", **options) as model:
        rows = model.get_text_embedding_batch(TEXTS)
        return rows, asyncio.run(model.aget_text_embedding_batch(TEXTS))


def main() -> None:
    """Run one of the two and check what came back."""
    name, both = sys.argv[1], "both" in sys.argv[2:]
    other = {"langchain": "llama_index", "llama_index": "langchain_core"}[name]
    if not both and importlib.util.find_spec(other) is not None:
        sys.exit(f"{other} is installed: this environment proves nothing")
    with Emulator(backend="hashed") as emulator:
        options = {"api_key": "emulated", "base_url": emulator.base_url}
        sync, native = {"langchain": langchain, "llama_index": llama_index}[name](options)
    if len(sync) != len(TEXTS) or len(sync[0]) != 1024 or not np.allclose(sync, native, atol=1e-5):
        sys.exit(f"{name}: wrong vectors")
    print(f"{name}: {len(sync)} vectors of {len(sync[0])}, sync and async agree")


if __name__ == "__main__":
    main()
