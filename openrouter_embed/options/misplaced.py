"""Where something belongs that was put among the fields of the request's body.

Rules of this file:
- What the API would not understand there is not sent: a preference about privacy would be lost
  without a word, and a key would go where no key may go.
- A message names the place, never the value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final, cast

from openrouter_embed.options.provider import ProviderPreferences

_NESTS: Final = frozenset({"extra_body", "model_kwargs", "additional_kwargs"})
_HEADERS: Final = frozenset({"extra_headers", "headers", "default_headers"})
_INPUT_TYPES: Final = (
    "pass `input_type=` to the call, or `query_input_type=` and `document_input_type=`"
)
_ELSEWHERE: Final[Mapping[str, str]] = {
    "input": "the inputs are the call's first argument",
    "input_type": _INPUT_TYPES,
    "task_type": _INPUT_TYPES,
    "extra_query": "leave it out, the API takes no query",
    "openrouter_api_key": "the key goes into `api_key`",
    "authorization": "the key goes into `api_key`",
    "request_timeout": "seconds go into `timeout`",
}
"""What is no option by this name, and what to do."""
_PREFERENCES: Final = frozenset(field.name for field in dataclasses.fields(ProviderPreferences))


def where_it_belongs(option: str, key: str, content: object) -> str:
    """Return what to write instead of a field of the body; empty if it may stay there.

    Args:
        option: What the option that holds the body's fields is called.
        key: The field's name.
        content: The field's value, whose own names may tell more.
    """
    if key in _NESTS:
        return _nested(option, content)
    if key in _HEADERS:
        return "headers go into `default_headers`"
    if key.lower() in _ELSEWHERE:
        return _ELSEWHERE[key.lower()]
    if key in _PREFERENCES:
        return f"it is a provider preference, pass `provider={{{key!r}: …}}`"
    return f"it is an option of its own, pass `{key}=…`" if key in _options() else ""


def _nested(option: str, content: object) -> str:
    inner = list(cast("Mapping[object, object]", content)) if isinstance(content, Mapping) else []
    places = (where_it_belongs(option, str(key), None) for key in inner)
    told = [f"{key!r}: {place}" for key, place in zip(inner, places, strict=True) if place]
    more = f" ({'; '.join(told)})" if told else ""
    return f"what is in it goes into `{option}` itself{more}"


def _options() -> Mapping[str, object]:
    # Local, for the table's rows hold the check that asks this.
    from openrouter_embed.options.table import OPTIONS  # noqa: PLC0415

    return OPTIONS
