"""Request bodies: units written as the API wants them, with what a call's settings add.

Rules of this file:
- Keys in one order, nothing as null: equal requests are equal bytes.
- A body is written from units as they are; nothing is decided about which go together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from openrouter_embed.core.codec import encode
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.inputs import Item
    from openrouter_embed.options.models import Role
    from openrouter_embed.options.settings import Settings


class BodyMaker:
    """Writes the bodies of one call's requests.

    Attributes:
        prefix: The text that the role puts before each input.
        headers: What goes out beside the bodies.
        route: What decides who may serve: hosts are remembered under it.
    """

    def __init__(self, settings: Settings, role: Role | None, input_type: str | None) -> None:
        send_type, self.prefix = settings.role_text(role, input_type)
        self._model = settings.model
        fields: dict[str, Any] = {
            "dimensions": settings.dimensions,
            "user": settings.user,
            "provider": settings.provider.to_wire() or None,
            "input_type": send_type,
            "session_id": settings.session_id,
            "trace": dict(settings.trace) or None,
            **settings.extra_body,
        }
        self._rest = {name: value for name, value in fields.items() if value is not None}
        self.headers = _cache_headers(settings)
        self.route = f"{settings.model} {encode(fields['provider']).decode()}"

    def make(
        self, units: Sequence[str | Item], encoding_format: str, host: str | None = None
    ) -> bytes:
        """Return the body of a request for these units, for one host alone if one is named."""
        rest = self._rest
        if host is not None:
            rest = {**rest, "provider": pin(rest.get("provider", {}), host)}
        return encode(
            {
                "model": self._model,
                "input": [unit if isinstance(unit, str) else _plain(unit) for unit in units],
                "encoding_format": encoding_format,
                **rest,
            }
        )


_CACHE_HEADER: Final = "X-OpenRouter-Cache"


def _cache_headers(settings: Settings) -> tuple[tuple[str, str], ...]:
    wish = settings.router_cache
    if wish is False:
        return ()
    if any(name.lower().startswith(_CACHE_HEADER.lower()) for name in settings.default_headers):
        raise ConfigurationError(
            "`router_cache` and `default_headers` both speak of OpenRouter's cache: leave the "
            f"`{_CACHE_HEADER}` headers out."
        )
    seconds = () if wish is True else ((f"{_CACHE_HEADER}-TTL", f"{wish:.0f}"),)
    return ((_CACHE_HEADER, "true"), *seconds)


def pin(preferences: dict[str, Any], host: str) -> dict[str, Any]:
    """Narrow preferences to one host, never beyond the hosts the user allows.

    The user may have named an endpoint (`deepinfra/bf16`) where an answer names its host
    (`DeepInfra`): then the user's own name stays, because it says more.
    """
    allowed: list[str] = preferences.get("only", [])
    named = [name for name in allowed if _slug(name.split("/", 1)[0]) == _slug(host)]
    only = named or allowed or [host]
    return {**preferences, "only": only, "allow_fallbacks": False}


def _slug(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _plain(unit: Item) -> Any:
    return msgspec.Raw(unit.value) if isinstance(unit.value, bytes) else unit.value
