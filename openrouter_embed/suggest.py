"""One sentence for a name nobody knows, with the name that was probably meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from openrouter_embed.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """Say that `name` is no known `what`, and suggest the nearest."""
    text = printable(name, 60)
    near = get_close_matches(text, list(known), n=1, cutoff=0.6)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return f"Unknown {what} `{text}`.{hint}"
