"""A name for the space that document vectors live in, for caches and indexes.

Rules of this file:
- Equal exactly when document vectors are interchangeable; made from what is sent, not from how.
- Letters, digits, `.`, `_` and `-` alone: LangChain's file store takes no other key.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from openrouter_embed import EmbeddingClient, ProviderPreferences

_IDLE: Final[dict[str, object]] = {
    "allow_fallbacks": True,
    "require_parameters": False,
    "data_collection": "allow",
    "zdr": False,
    "enforce_distillable_text": False,
}
"""Preferences that, at these values, keep no host out."""
_UNORDERED: Final = frozenset({"only", "ignore", "quantizations"})


def cache_namespace(client: EmbeddingClient) -> str:
    """Return the name of the space that a client's document vectors live in."""
    settings = client.settings
    input_type, prefix = settings.role_text("document", "auto")
    url = urlsplit(settings.base_url)
    own_width = settings.profile.dimensions
    space = {
        "origin": [url.scheme, url.hostname, url.port or _PORTS.get(url.scheme)],
        "model": settings.model,
        "dimensions": None if settings.dimensions == own_width else settings.dimensions,
        "input_type": input_type,
        "prefix": prefix,
        "provider": _routing(settings.provider),
        "extra_body": settings.extra_body,
        "normalize": settings.normalize,
    }
    text = json.dumps(space, sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return f"{re.sub('[^A-Za-z0-9.-]', '_', settings.model)[:64]}-{digest}"


_PORTS: Final = {"http": 80, "https": 443}


def _routing(provider: ProviderPreferences) -> dict[str, Any]:
    wire = provider.to_wire()
    return {
        name: sorted(value) if name in _UNORDERED else value
        for name, value in wire.items()
        if _IDLE.get(name) != value
    }
