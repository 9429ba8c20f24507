"""What names a vector: the space it lives in, and the input within that space.

Rules of this file:
- Here alone it is decided which options enter a name. Every option that changes what the API
  computes does; what changes only how a request travels or what is done with an answer does not.
- A name is made of what is sent: two ways to say the same thing give the same name.
- Names are hashes: they hold neither a text nor a key.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from openrouter_embed.options.checks import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openrouter_embed.inputs import Item
    from openrouter_embed.options.models import Role
    from openrouter_embed.options.provider import ProviderPreferences
    from openrouter_embed.options.settings import Settings

SCHEME: Final = 1
"""Changes whenever names change their meaning: what is stored under old ones is bought again."""
SHORT: Final = 128
"""Estimated tokens below which a text is too long for no model; looking for its average is vain."""
WHOLE: Final = ""
"""How a text was embedded that went out as it is."""

_IDLE: Final[dict[str, object]] = {
    "allow_fallbacks": True,
    "require_parameters": False,
    "data_collection": "allow",
    "zdr": False,
    "enforce_distillable_text": False,
}
"""Preferences that, at these values, keep no host out."""
_UNORDERED: Final = frozenset({"only", "ignore", "quantizations"})
_PORTS: Final = {"http": 80, "https": 443}


def wire_space(settings: Settings, input_type: str | None) -> dict[str, Any]:
    """Return what decides which vector a text gets that is sent as it is.

    Args:
        settings: Of the call.
        input_type: As it is sent.
    """
    url = urlsplit(settings.base_url)
    return {
        "scheme": SCHEME,
        "origin": [url.scheme, url.hostname, url.port or _PORTS.get(url.scheme), url.path],
        "model": settings.model,
        "dimensions": settings.dimensions,
        "input_type": input_type,
        "provider": effective_preferences(settings.provider),
        "extra_body": settings.extra_body,
    }


def effective_preferences(provider: ProviderPreferences) -> dict[str, Any]:
    """Return the preferences that can keep a host out, as they are sent."""
    return {
        name: sorted(value) if name in _UNORDERED else value
        for name, value in provider.to_wire().items()
        if _IDLE.get(name) != value
    }


def _canonical(table: dict[str, Any]) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()


def space_name(settings: Settings, role: Role | None, input_type: str | None = AUTO) -> str:
    """Return one name for the space of the vectors that a client gives for a role.

    Equal exactly where vectors of equal inputs are interchangeable. It holds letters, digits, `.`,
    `_` and `-` alone, because some stores take no others.
    """
    sent, prefix = settings.role_text(role, input_type)
    table = wire_space(settings, sent)
    done = {
        "prefix": prefix,
        "normalize": settings.normalize,
        "long_input": settings.long_input,
    }
    # What a client does not do leaves no trace: an option added later changes no name.
    table |= {name: value for name, value in done.items() if value not in ("", False, "error")}
    digest = hashlib.sha256(_canonical(table)).hexdigest()[:32]
    return f"{re.sub('[^A-Za-z0-9.-]', '_', settings.model)[:64]}-{digest}"


class Keys:
    """Makes the keys of a call's inputs.

    Args:
        settings: Of the call.
        input_type: As it is sent.
    """

    def __init__(self, settings: Settings, input_type: str | None) -> None:
        self._treatment = settings.long_input
        longest = settings.profile.max_input_tokens or SHORT
        self.divides = settings.long_input != "error"
        """Whether texts that are too long are embedded in parts."""
        self._shortest = min(longest, SHORT)
        self._space = hashlib.sha256(_canonical(wire_space(settings, input_type)) + b"\n")

    def of(self, units: Iterable[str | Item], treatment: str = WHOLE) -> list[bytes | None]:
        """Return a key of 32 bytes for each unit; `None` for what must not be kept.

        What stands behind an http(s) URL may change from one day to the next.

        Args:
            units: As they are sent, role applied.
            treatment: What was done to texts that were too long, where something was.
        """
        text = self._space.copy()
        text.update(f"text {treatment}\n".encode())
        copy = text.copy
        keys: list[bytes | None] = []
        for unit in units:
            if isinstance(unit, str):
                digest = copy()
                digest.update(unit.encode())
                keys.append(digest.digest())
            else:
                keys.append(self._item(unit))
        return keys

    def averaged(self, units: Iterable[tuple[str | Item, int]]) -> list[bytes | None]:
        """Return the keys under which averages are kept; `None` for what is never divided.

        Args:
            units: As they are sent, each with its estimated tokens.
        """
        return [
            self.of([unit], self._treatment)[0]
            if isinstance(unit, str) and tokens >= self._shortest
            else None
            for unit, tokens in units
        ]

    def _item(self, item: Item) -> bytes | None:
        import msgspec  # noqa: PLC0415 - lazy by design

        value = item.value
        if isinstance(value, bytes):
            if _is_remote(msgspec.json.decode(value)):
                return None
            content = value
        else:
            content = msgspec.json.encode(value)
        digest = self._space.copy()
        digest.update(item.kind.encode() + b"\n" + content)
        return digest.digest()


def _is_remote(part: object) -> bool:
    """Whether anything but texts stands behind a URL; data URLs hold what they name."""
    if isinstance(part, str):
        return part[:8].lower().startswith(("http://", "https://"))
    if isinstance(part, list):
        return any(map(_is_remote, cast("list[object]", part)))
    if isinstance(part, dict):
        table = cast("dict[str, object]", part)
        return any(_is_remote(value) for name, value in table.items() if name != "text")
    return False
