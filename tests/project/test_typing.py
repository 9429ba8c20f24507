"""What users write passes a strict type checker."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import EmbeddingClient, ImageInput
from openrouter_embed.ray import Bill, Embedder, embed_column

OpenRouterEmbeddings(model="m", api_key="k", chunk_size=10)
OpenRouterEmbedding("m", api_key="k", dimensions=3)
OpenRouterEmbedding(model="m", api_key="k")
OpenRouterEmbedding(model_name="m", embed_batch_size=10)

kind: list[int] = embed_column([1], "m", dimensions=3, bill=Bill(max_cost=1))
Embedder("m", column="words", on_error="return", cache="f.sqlite")

client = EmbeddingClient("m")
image = ImageInput.from_url("https://example.org/a.png")
mixed = ["a", image, [1, 2]]
client.embed(mixed)
client.embed([["a", image], "b"])
client.embed(["a", image])
"""


@pytest.mark.slow
def test_constructors_and_mixed_lists_pass_mypy(tmp_path):
    pytest.importorskip("mypy")
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
