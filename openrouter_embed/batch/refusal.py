"""What batches do not take, said before anything is sent: the reason, and the two ways out.

Rules of this file:
- Nothing is dropped silently that would change a vector, or where a text goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.batch.api import PROVIDER_FIELDS
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.space import effective_preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.inputs import Item
    from openrouter_embed.options.models import Role
    from openrouter_embed.options.settings import Settings

_LIVE: Final = "call `embed` instead, at the full price"


def check_settings(settings: Settings, role: Role | None, input_type: str | None) -> None:
    """Refuse a job that batches cannot do as it was asked for.

    Raises:
        ConfigurationError: Says what is in the way, and the ways out.
    """
    sent, _ = settings.role_text(role, input_type)
    if sent is not None:
        raise ConfigurationError(
            f"Batches take no `input_type`, by which `{settings.model}` is told what a text is: "
            f"{_LIVE}, or pass `input_type=None` to submit texts as they are, whose vectors are "
            "of another space."
        )
    if settings.cache_only:
        raise ConfigurationError(
            "`cache_only` buys nothing, so there is nothing to submit: leave one of them out."
        )
    _check_hosts(settings)


def _check_hosts(settings: Settings) -> None:
    wrong = [
        name for name in effective_preferences(settings.provider) if name not in PROVIDER_FIELDS
    ]
    if wrong:
        named = ", ".join(f"`{name}`" for name in wrong)
        raise ConfigurationError(
            f"Of provider preferences batches take `only` and `allow_fallbacks`, not {named}: "
            f"{_LIVE}, or leave {'them' if wrong[1:] else 'it'} out of `provider` here and "
            "wherever these vectors are to be used."
        )
    if settings.pin_provider and not settings.provider.only:
        raise ConfigurationError(
            "`pin_provider` keeps to the host that served first, and batches may be served by "
            f"several: name it with `provider={{'only': [...]}}`, or {_LIVE}."
        )


def check_units(units: Sequence[str | Item]) -> None:
    """Refuse inputs that batches do not take.

    Raises:
        ConfigurationError: One of them holds media.
    """
    if any(not isinstance(unit, str) and unit.kind == "content" for unit in units):
        raise ConfigurationError(
            f"Batches take texts and token ids, not images or other media: {_LIVE}, or submit "
            "the texts alone."
        )
