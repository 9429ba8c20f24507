"""The token estimate behaves like a tokenizer."""

import ast
import importlib.util
import json
import pathlib
import statistics
import textwrap

import pytest

from openrouter_embed.emulator.tokens import count_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 1),
        ("hello", 1),
        ("Hello, world!", 4),
        ("12345", 2),
        ("日本語", 4),
        ("😀🎉", 5),
    ],
)
def test_short_texts_cost_what_a_tokenizer_would_charge(text, tokens):
    assert count_tokens(text) == tokens


def test_english_documentation_is_within_a_tenth_of_a_real_tokenizer(monkeypatch):
    pytest.importorskip("tiktoken")
    found = importlib.util.find_spec("llama_index.core")
    if found is None or found.origin is None:
        pytest.skip("no tokenizer vocabulary on this machine")
    cache = pathlib.Path(found.origin).parent / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    import tiktoken

    encoding = tiktoken.get_encoding("cl100k_base")
    texts = [text for module in (ast, json, pathlib, statistics, textwrap) for text in docs(module)]

    real = sum(len(encoding.encode(text)) for text in texts)

    assert len(texts) > 100
    assert sum(map(count_tokens, texts)) == pytest.approx(real, rel=0.1)


def docs(module):
    tree = ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return [text for text in found if text]
