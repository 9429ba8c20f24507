"""Use one adapter for real, against the emulator, in an environment without the other framework.

Usage: adapter_alone.py langchain | llama_index [both]; `both` allows the other framework to be there.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from typing import Any

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
    close = all(
        abs(a - b) < 1e-5 for one, two in zip(sync, native, strict=True) for a, b in zip(one, two, strict=True)
    )
    if len(sync) != len(TEXTS) or len(sync[0]) != 1024 or not close:
        sys.exit(f"{name}: wrong vectors")
    print(f"{name}: {len(sync)} vectors of {len(sync[0])}, sync and async agree")


if __name__ == "__main__":
    main()
