"""Small questions about texts that settings and inputs both ask."""

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


def encodable(text: str) -> bool:
    """Whether a text can be sent: half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
