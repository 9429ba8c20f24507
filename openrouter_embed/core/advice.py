"""What a final error says: the API's message with quotations cut out and advice added.

Rules of this file:
- A run of the message that also stands in an input is cut out; short runs are ordinary words.
- The API's own detail stays available as data on the error, never in its text.
- One table of patterns; the first that fits a refusal gives the advice.
- Advice names our own options, because that is what the reader can change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from openrouter_embed.core.plan import unit_texts
from openrouter_embed.errors import APIError, RateLimitError, TransportError
from openrouter_embed.guard import restate
from openrouter_embed.options.models import KNOWN_MODELS
from openrouter_embed.options.names import near_models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openrouter_embed.errors import EmbeddingError
    from openrouter_embed.inputs import Item


def _nearest(model: str) -> str:
    names = ", ".join(f"`{name}`" for name in near_models(model, KNOWN_MODELS))
    return f"Did you mean {names}?" if names else "`openrouter-embed models` lists what there is."


def _no_host(model: str) -> str:
    if model.lower() in KNOWN_MODELS:
        return "The model exists: check the `provider` preferences and the account's settings."
    return _nearest(model)


def _fixed(text: str) -> Callable[[str], str]:
    return lambda _: text


SHORTEST: Final = 16
"""Characters from which a shared run counts as a quotation."""
_MARK: Final = "[input]"
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
        _fixed("Pass `long_input='split'` to embed it in parts, or `'truncate'` to cut it off."),
    ),
)


def explain(
    error: EmbeddingError, units: Sequence[str | Item], model: str, took: float = 0.0
) -> None:
    """Complete the message of a final error.

    Args:
        error: The error; its attempts are known.
        units: What was sent.
        model: To which model.
        took: Seconds since it was first sent.
    """
    if isinstance(error, APIError):
        redact(error, units)
        advise(error, model)
    if isinstance(error, RateLimitError):
        tell_attempts(error, f" in {took:.0f} seconds" if took >= 1 else "")
    elif isinstance(error, TransportError):
        tell_attempts(error)


def tell_attempts(error: EmbeddingError, within: str = "") -> None:
    """Let a final error say how often it was tried, if more than once."""
    if error.attempts > 1:
        _append(error, f"It was tried {error.attempts} times{within}.")


_AVAILABILITY: Final = {
    "wrong_endpoint": "The model is served by another endpoint: it embeds nothing.",
    "privacy_restricted": "The account's or the call's data policy keeps every host out.",
    "constraint_filtered": "The `provider` preferences keep every host out.",
    "free_variant_ended": "The free variant has ended: leave `:free` out.",
    "region_restricted": "No host may serve this region.",
    "capacity_exhausted": "Every host is full.",
    "temporarily_unavailable": "It should be back: try again later.",
}
"""What the codes of `error.availability` mean for the reader; those left out say it themselves."""
_MODEL_ID: Final = re.compile(r"~?[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,128})?(:[a-z0-9-]{1,32})?")


def _available(error: APIError) -> str:
    """Return what the router itself advises, in words."""
    code = error.availability.get("code")
    models = error.availability.get("fallback_models")
    named = cast("list[object]", models) if isinstance(models, list) else []
    ids = [f"`{name}`" for name in named if isinstance(name, str) and _MODEL_ID.fullmatch(name)]
    others = f"OpenRouter names as fallbacks: {', '.join(ids[:5])}." if ids else ""
    said = _AVAILABILITY.get(code, "") if isinstance(code, str) else ""
    return " ".join(filter(None, (said, others)))


def advise(error: APIError, model: str) -> None:
    """Append advice to a refusal's message, if there is any."""
    told = _available(error)
    if told:
        _append(error, told)
        return
    if error.status not in (400, 404, 422):
        return
    if error.status == 404 and _UNREASONED.search(error.message):
        _append(error, _OTHER_PLACE)
        return
    for pattern, advice in _HINTS:
        if pattern.search(error.message):
            _append(error, advice(model))
            return


def _append(error: EmbeddingError, advice: str) -> None:
    restate(error, f"{error.message} {advice}")


def redact(error: APIError, units: Sequence[str | Item]) -> None:
    """Replace quotations of these inputs in an API error's message."""
    texts = [text for unit in units for text in unit_texts(unit)]
    restate(error, cut_quotations(error.message, texts))


def cut_quotations(message: str, texts: Sequence[str]) -> str:
    """Return the message without the runs it shares with any of the texts."""
    whole = [text for text in texts if 4 <= len(text) < SHORTEST and text in message]
    for text in sorted(whole, key=len, reverse=True):
        message = message.replace(text, _MARK)
    haystack = "\0".join(" ".join(text.split()) for text in texts if len(text) >= SHORTEST)
    kept: list[str] = []
    at = 0
    while at < len(message):
        run = _shared_run(message, at, haystack)
        kept.append(_MARK if run else message[at])
        at += run or 1
    return "".join(kept)


def _shared_run(message: str, at: int, haystack: str) -> int:
    size = SHORTEST
    if at + size > len(message) or message[at : at + size] not in haystack:
        return 0
    while at + size < len(message) and message[at : at + size + 1] in haystack:
        size += 1
    return size
