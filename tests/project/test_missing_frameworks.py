"""Without its framework an adapter says which extra brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CASES = [
    ("langchain_core", "langchain_openrouter_embed", "OpenRouterEmbeddings", "langchain"),
    ("llama_index", "llama_index_openrouter_embed", "OpenRouterEmbedding", "llama-index"),
]


@pytest.mark.parametrize(("framework", "package", "name", "extra"), CASES)
def test_an_adapter_without_its_framework_names_the_extra(framework, package, name, extra):
    block = f"import sys; sys.modules[{framework!r}] = None; from {package} import {name}"
    done = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: ")
    assert f"pip install 'openrouter-embed[{extra}]'" in done.stderr
