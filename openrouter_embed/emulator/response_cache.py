"""The router's own response cache, as far as a client sees it: which requests it has seen.

Rules of this file:
- It works only where a request asks for it, and knows a request by its body.
- Vectors are deterministic here, so remembering that a body was answered is enough.
- Used on the server's event loop, but for being cleared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 300.0


class ResponseCache:
    """Bodies that were answered, and until when their answers are kept."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def clear(self) -> None:
        """Forget every answer."""
        self._until = {}

    def status(self, body: object, headers: Mapping[str, str], now: float) -> str:
        """HIT, MISS, or nothing where the cache was not asked for."""
        if headers.get("X-OpenRouter-Cache", "").lower() != "true":
            return ""
        key = msgspec.json.encode(body)
        clear = headers.get("X-OpenRouter-Cache-Clear", "").lower() == "true"
        if not clear and self._until.get(key, 0.0) > now:
            return "HIT"
        asked = headers.get("X-OpenRouter-Cache-TTL", "")
        self._until[key] = now + (float(asked) if asked.isdecimal() else _SECONDS)
        return "MISS"
