"""The form of an answer without its figures, to tell where two services differ.

Rules of this file:
- Pure functions of JSON; a vector is one thing, whatever its width.
- A null is a form of its own: it says that a field exists and may be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def shape(tree: Any) -> Any:
    """The form of a JSON value: kinds instead of figures, one element standing for a list."""
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in tree.items()}
    if isinstance(tree, list):
        if tree and all(type(item) in {int, float} for item in tree):
            return "numbers"
        return [shape(tree[0])] if tree else []
    if isinstance(tree, bool) or tree is None:
        return "boolean" if isinstance(tree, bool) else "null"
    return "text" if isinstance(tree, str) else "number"


def drift(expected: Any, found: Any) -> list[str]:
    """Where the form of `found` is not that of `expected`, in words."""
    return list(_drift(shape(expected), shape(found), "answer"))


def _drift(expected: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        yield from (f"{path}.{key}: missing" for key in expected if key not in found)
        yield from (f"{path}.{key}: new, {found[key]}" for key in found if key not in expected)
        for key in expected:
            if key in found:
                yield from _drift(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        if expected and found:
            yield from _drift(expected[0], found[0], f"{path}[]")
    elif expected != found and "null" not in (expected, found):
        yield f"{path}: {expected} expected, {found} found"
