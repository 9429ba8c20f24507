"""What to do about a refusal: the sentence that turns an API's message into advice.

Rules of this file:
- One table of patterns; the first that fits a refusal gives the advice.
- Advice names our own options, because that is what the reader can change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openrouter_embed.options.models import KNOWN_MODELS
from openrouter_embed.options.names import near_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.errors import APIError


def _nearest(model: str) -> str:
    names = ", ".join(f"`{name}`" for name in near_models(model, KNOWN_MODELS))
    return f"Did you mean {names}?" if names else "`openrouter-embed models` lists what there is."


def _no_host(model: str) -> str:
    if model.lower() in KNOWN_MODELS:
        return "The model exists: check the `provider` preferences and the account's settings."
    return _nearest(model)


def _fixed(text: str) -> Callable[[str], str]:
    return lambda _: text


_UNREASONED: Final = re.compile(r"gave no reason|<html|<!doctype", re.IGNORECASE)
"""A 404 that is no answer of the API's, but of whatever stands at another address."""
_OTHER_PLACE: Final = "Check `base_url`: it should end in /api/v1."
_HINTS: Final[tuple[tuple[re.Pattern[str], Callable[[str], str]], ...]] = (
    (
        re.compile(r"support (image|audio|video|file)\w* input|no image", re.IGNORECASE),
        _fixed("This model takes no such input: `openrouter-embed models` lists what each takes."),
    ),
    (
        re.compile(r"input[_ ]type", re.IGNORECASE),
        _fixed(
            "To send none pass `query_input_type=None, document_input_type=None`, or "
            "`input_type=None` for one call."
        ),
    ),
    (
        re.compile(
            r"\bmodel\b.*(does not exist|not a valid|not found)|not a valid model", re.IGNORECASE
        ),
        _nearest,
    ),
    (
        re.compile(r"no endpoints found matching|data policy", re.IGNORECASE),
        _fixed("No host satisfies the `provider` preferences or the account's data policy."),
    ),
    (re.compile(r"no endpoints found", re.IGNORECASE), _no_host),
    (
        re.compile(r"\bdimensions?\b", re.IGNORECASE),
        _fixed("Leave `dimensions` out for the model's own width."),
    ),
    (
        re.compile(r"encoding[_ ]format|base64", re.IGNORECASE),
        _fixed("Pass `encoding_format='float'`."),
    ),
    (
        re.compile(r"context length|maximum (context|length)|token limit", re.IGNORECASE),
        _fixed("Pass `long_input='split'` to embed it in parts."),
    ),
)


def advise(error: APIError, model: str) -> None:
    """Append advice to a refusal's message, if there is any."""
    if error.status not in (400, 404, 422):
        return
    if error.status == 404 and _UNREASONED.search(error.message):
        _append(error, _OTHER_PLACE)
        return
    for pattern, advice in _HINTS:
        if pattern.search(error.message):
            _append(error, advice(model))
            return


def _append(error: APIError, advice: str) -> None:
    error.message = f"{error.message} {advice}"
    error.args = (error.message,)
