"""The adapter stands on the public names of the transport and knows no other framework."""

from __future__ import annotations

import ast
import pathlib

import pytest

import llama_index_openrouter_embed
import openrouter_embed
from openrouter_embed import adapting

SOURCES = sorted(pathlib.Path(llama_index_openrouter_embed.__file__).parent.glob("*.py"))


def imported(source):
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_only_public_names_are_imported_and_no_other_framework(source):
    for module, name in imported(source):
        assert not module.startswith("langchain")
        if module == "openrouter_embed":
            assert name in openrouter_embed.__all__
        elif module.startswith("openrouter_embed"):
            assert module == "openrouter_embed.adapting"
            assert name in adapting.__all__


def test_the_sources_were_found():
    assert {path.name for path in SOURCES} >= {"__init__.py", "embedding.py"}
