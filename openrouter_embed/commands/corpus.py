"""A corpus that every machine has: the documentation of Python's standard library.

Rules of this file:
- Files are parsed, never imported: nothing of the library runs.
"""

from __future__ import annotations

import ast
import functools
import pathlib
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openrouter_embed.commands.questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

SHORTEST: Final = 60
"""Characters below which a docstring says too little to be searched."""
LONGEST: Final = 1200
"""Characters kept of a docstring."""
_SKIPPED: Final = frozenset({"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo"})


@dataclass(frozen=True, slots=True)
class Doc:
    """One documented thing of the standard library."""

    name: str
    text: str


def read_corpus(limit: int) -> list[Doc]:
    """Return up to `limit` documented things of the standard library, spread over all of it."""
    docs = _all_documented()
    if limit >= len(docs):
        return list(docs)
    first = [doc for doc in docs if doc.name in _KEPT]
    rest = [doc for doc in docs if doc.name not in _KEPT]
    room = max(0, limit - len(first))
    return (first + [rest[at * len(rest) // room] for at in range(room)])[:limit]


_KEPT: Final = frozenset(name for _, names in QUESTIONS[:9] for name in names)
"""What the first of our own questions are about stays in however small a sample is asked for."""


def labelled(docs: list[Doc]) -> tuple[list[str], dict[int, set[int]]]:
    """Return our questions that these documents answer, and for each the documents that do."""
    places = {doc.name: at for at, doc in enumerate(docs)}
    answered = [
        (question, {places[name] for name in names if name in places})
        for question, names in QUESTIONS
    ]
    kept = [(question, found) for question, found in answered if found]
    return [question for question, _ in kept], dict(enumerate(found for _, found in kept))


@functools.cache
def _all_documented() -> tuple[Doc, ...]:
    """Parse the library once, which takes some seconds."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    return tuple(doc for path in sorted(root.rglob("*.py")) for doc in _documented(root, path))


def _documented(root: pathlib.Path, path: pathlib.Path) -> Iterator[Doc]:
    parts = path.relative_to(root).with_suffix("").parts
    if _SKIPPED.intersection(parts) or any(part.startswith("_") for part in parts):
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    yield from _walk(tree, ".".join(parts))


def _walk(node: ast.AST, name: str) -> Iterator[Doc]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, kinds):
        text = ast.get_docstring(node) or ""
        if len(text) >= SHORTEST:
            yield Doc(name, f"{name}: {' '.join(text.split())}"[:LONGEST])
    for child in ast.iter_child_nodes(node):
        if isinstance(child, kinds[1:]) and not child.name.startswith("_"):
            yield from _walk(child, f"{name}.{child.name}")
