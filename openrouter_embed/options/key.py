"""The API key: where it comes from, and the wrapping that shows it to nobody.

Rules of this file:
- The key lives in a `Secret` and in nothing else; no message, repr or pickle holds it.
- A message about a key says where it came from, never what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY_VARIABLE: Final = "OPENROUTER_API_KEY"
FROM_ENVIRONMENT: Final = f"the environment variable {KEY_VARIABLE}"
NO_KEY: Final = "Bearer none"
"""What is sent where no key is needed and there is none: no proxy is confused by a header."""
FROM_ARGUMENT: Final = "the `api_key` argument"
FROM_CALLABLE: Final = "the `api_key` callable"
_HOW: Final = f"set the environment variable {KEY_VARIABLE}"
_MISSING: Final = (
    f"No API key: {_HOW}, or pass `api_key=`. Keys are made at "
    "https://openrouter.ai/settings/keys; without one, `openrouter-embed serve` runs a local "
    "emulator to send to."
)
_LEFT_BEHIND: Final = (
    "No API key: this object was restored from a pickle, a dump or a checkpoint, and none of these "
    f"holds a key. In the process that uses it {_HOW}, or make the object there with `api_key=`."
)


class Secret:
    """A string that shows itself to nobody who does not ask, and refuses to be pickled.

    Args:
        value: The string.
        origin: Where it came from, for messages.
    """

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str = FROM_ARGUMENT) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        """Return the string."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> str:
        raise TypeError("A Secret is not pickled.")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self


def read_key(
    key: object, environ: Mapping[str, str], *, restored: bool = False
) -> Secret | Callable[[], str]:
    """Return the key from an argument, else from the environment.

    Args:
        key: The argument.
        environ: The environment.
        restored: Whether the object may have had a key that it could not bring along.

    Raises:
        ConfigurationError: There is none, or it cannot be sent in a header.
    """
    if isinstance(key, Secret):
        return key
    if callable(key):
        return cast("Callable[[], str]", key)
    if key is not None:
        return Secret(check_key(key, FROM_ARGUMENT), FROM_ARGUMENT)
    value = environ.get(KEY_VARIABLE)
    if not value:
        raise ConfigurationError(_LEFT_BEHIND if restored else _MISSING)
    return Secret(check_key(value, FROM_ENVIRONMENT), FROM_ENVIRONMENT)


def origin_of(key: Secret | Callable[[], str] | None) -> str:
    """Return where a key came from; one that is not there will be the environment's."""
    if key is None:
        return FROM_ENVIRONMENT
    return key.origin if isinstance(key, Secret) else FROM_CALLABLE


def check_key(value: object, origin: str) -> str:
    """Return a key that can stand in a header; white space around it is dropped.

    Raises:
        ConfigurationError: It cannot; the message never holds it.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise ConfigurationError(
            f"The API key from {origin} is empty or no string. Pass a key, or pass none and {_HOW}."
        )
    if len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES:
        raise ConfigurationError(
            f"The API key from {origin} stands in quotation marks, which would be sent along: "
            "remove them. (docker's `--env-file` keeps them.)"
        )
    if text.lower().startswith("bearer "):
        raise ConfigurationError(
            f"The API key from {origin} begins with `Bearer`, which is added here: leave it out."
        )
    if not all(33 <= ord(c) <= 126 for c in text):
        raise ConfigurationError(
            f"The API key from {origin} holds white space, control or non-ASCII characters: copy "
            "it again."
        )
    return text


_QUOTES: Final = "\"'`"


def reveal_key(key: Secret | Callable[[], str]) -> str:
    """Return the key itself, for the one header that it goes into.

    Raises:
        ConfigurationError: The callable failed, or gave none that can be sent.
    """
    if isinstance(key, Secret):
        return key.reveal()
    try:
        value = key()
    except Exception as error:  # noqa: BLE001 - whatever the user's callable raises
        reason = f"The `api_key` callable failed with {type(error).__name__}."
    else:
        return check_key(value, FROM_CALLABLE)
    raise ConfigurationError(reason)
