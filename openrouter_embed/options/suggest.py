"""Small questions about texts that settings and inputs both ask."""

from __future__ import annotations

from openrouter_embed.errors import unknown_name

__all__ = ["encodable", "unknown_name"]


def encodable(text: str) -> bool:
    """Whether a text can be sent: half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
