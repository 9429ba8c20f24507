"""Index a few notes with LlamaIndex and OpenRouter, and ask them a question.

With `OPENROUTER_API_KEY` set it uses the live API, which costs far less than a cent; without it a
local emulator answers, whose vectors are not those of the real model.

Usage: python examples/llama_index_search.py [QUESTION]
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from urllib.parse import urlsplit

from llama_index.core import Document, VectorStoreIndex

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import EmbeddingError
from openrouter_embed.emulator import Emulator

MODEL = "voyageai/voyage-4"
NOTES = (
    "Sourdough bread needs flour, water, salt and a night of patience.",
    "A violin has four strings, tuned in fifths.",
    "Whales are mammals: they breathe air and nurse their young.",
    "Tomato plants want water early in the morning, at the root.",
)
QUESTION = "What do I need to bake bread?"


def main() -> int:
    """Build the index, ask, and say what it cost."""
    question = " ".join(sys.argv[1:]) or QUESTION
    with ExitStack() as open_things:
        options = {}
        if os.environ.get("OPENROUTER_API_KEY"):
            print("OPENROUTER_API_KEY is set. Ctrl-C to stop.")
        else:
            print(f"No OPENROUTER_API_KEY is set: a local emulator answers for {MODEL}.")
            emulator = open_things.enter_context(Emulator())
            options = {"api_key": "emulated", "api_base": emulator.base_url}
        embedding = open_things.enter_context(OpenRouterEmbedding(MODEL, **options))
        print(f"Using the API at {urlsplit(embedding.api_base).netloc} with {MODEL}.")
        try:
            search(embedding, question)
        except EmbeddingError as error:
            print(f"It failed: {error}", file=sys.stderr)
            return 1
    return 0


def search(embedding: OpenRouterEmbedding, question: str) -> None:
    """Print the notes from best to worst, and the usage."""
    documents = [Document(text=note) for note in NOTES]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    retriever = index.as_retriever(similarity_top_k=len(NOTES))

    print(f"\n{question}")
    for hit in retriever.retrieve(question):
        print(f"{hit.score or 0.0:7.3f}  {hit.text}")

    usage = embedding.usage
    cost = "unknown" if usage.cost is None else f"${usage.cost:.8f}"
    print(f"\n{usage.requests} requests, {usage.total_tokens} tokens, cost {cost}")


if __name__ == "__main__":
    sys.exit(main())
