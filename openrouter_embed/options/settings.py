"""Settings: what a client was told, checked once and frozen.

Rules of this file:
- Every option is checked before anything is sent, by its row of the table.
- The environment is read by one pure function of a mapping; an argument wins over it.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import speaking
from openrouter_embed.options.checks import AUTO
from openrouter_embed.options.key import (
    FROM_ENVIRONMENT,
    KEY_VARIABLE,
    NO_KEY,
    origin_of,
    read_key,
    reveal_key,
)
from openrouter_embed.options.models import ModelProfile, Role, find_profile
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.table import OPTIONS, OptionTable
from openrouter_embed.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(OptionTable):
    """Everything a client was told. Immutable; `replace` makes a changed copy, checked again.

    Attributes:
        key_origin: Where the key came from, for messages.
    """

    key_origin: str = FROM_ENVIRONMENT

    @property
    def profile(self) -> ModelProfile:
        """The row of the model table that applies."""
        return find_profile(self.model)

    @property
    def limited(self) -> bool:
        """Whether a call that begins now must ask the limiter."""
        return self.limiter is not None and bool(getattr(self.limiter, "active", True))

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some options changed and checked.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        return dataclasses.replace(self, **_checked(changes))

    def role_text(self, role: Role | None, input_type: str | None) -> tuple[str | None, str]:
        """Return the `input_type` to send and the prefix to put before texts.

        The first that applies: an `input_type` given for the call; the client's own type or prefix
        for the role; the model's profile. Without a role nothing is sent or prefixed unless asked.
        A type that was asked for switches the profile's prefix off, and the reverse: a model that
        gets both would apply the role twice.
        """
        if role is None:
            return (None if input_type == AUTO else input_type), ""
        profile = self.profile
        own_type = getattr(self, f"{role}_input_type") if input_type == AUTO else input_type
        own_prefix = getattr(self, f"{role}_prefix")
        prefix = own_prefix or ""
        if own_prefix == AUTO:
            prefix = profile.prefix(role) if own_type in (AUTO, None) else ""
        if own_type == AUTO:
            own_type = None if own_prefix and own_prefix != AUTO else profile.input_type(role)
        instruction = self.query_instruction or profile.query_instruction or ""
        return own_type, prefix.replace("{instruction}", instruction)

    def authorization(self, *, public: bool = False) -> str:
        """Return the header that authenticates a request.

        Args:
            public: Whether the request may go without a key.

        Raises:
            ConfigurationError: There is no key, or the callable gave none that can be sent.
        """
        key = self.api_key
        if key is None and public and not os.environ.get(KEY_VARIABLE):
            return NO_KEY
        if key is None:
            key = read_key(None, os.environ, restored=True)
        return f"Bearer {reveal_key(key)}"

    def headers(self) -> dict[str, str]:
        """Return the headers of every request but for the key; the user's own win."""
        ours = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"openrouter-embed/{__version__}",
            "HTTP-Referer": self.app_url,
            "X-OpenRouter-Title": self.app_title,
            "X-OpenRouter-Categories": ",".join(self.app_categories) or None,
        }
        taken = {name.lower() for name in self.default_headers}
        kept = {n: v for n, v in ours.items() if v is not None and n.lower() not in taken}
        return {**kept, **self.default_headers}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the key, callables and sessions; a copy reads the environment."""
        kept = {name: getattr(self, name) for name, row in OPTIONS.items() if row.pickled}
        return _restore, (kept,)

    def __copy__(self) -> Settings:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        """Share: nothing here can change, and a copy within this process keeps its key."""
        return self


def _restore(values: Mapping[str, Any]) -> Settings:
    return Settings(**values)


def make_settings(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    key_required: bool = True,
) -> Settings:
    """Check a client's options and fill in what the environment says.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """
    given = {**from_environment(environ), **{k: v for k, v in options.items() if v is not None}}
    none = [k for k, v in options.items() if v is None and k in OPTIONS]
    unset = {name: None for name in none if OPTIONS[name].none_counts}
    with speaking({name: _variable(name, environ) for name in given if options.get(name) is None}):
        checked = _checked({**given, **unset})
    if "model" not in checked:
        raise ConfigurationError(
            "Which model? Pass for example `model='openai/text-embedding-3-small'`."
        )
    if options.get("api_key") is None and key_required:
        # Read now: a program may build clients for several keys, one after the other.
        checked["api_key"] = read_key(None, environ)
    return Settings(**checked, key_origin=origin_of(checked.get("api_key")))


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that the environment sets; empty variables count as unset."""
    told = {name: environ.get(_variable(name, environ)) for name in OPTIONS}
    return {name: value for name, value in told.items() if value}


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """Return the variable that sets an option; empty if none does."""
    return next((one for one in OPTIONS[name].variables if environ.get(one)), "")


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        row = OPTIONS.get(name)
        if row is None:
            raise ConfigurationError(unknown_name("option", name, OPTIONS))
        checked[name] = row.check(name, value)
    return checked
