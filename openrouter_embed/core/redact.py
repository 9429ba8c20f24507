"""Keep input texts out of messages: a server may quote what it refuses.

Rules of this file:
- A run of the message that also stands in an input is cut out; short runs are ordinary words.
- The API's own detail stays available as data on the error, never in its text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.core.plan import unit_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.errors import APIError
    from openrouter_embed.inputs import Item

SHORTEST: Final = 16
"""Characters from which a shared run counts as a quotation."""
_MARK: Final = "[input]"


def redact(error: APIError, units: Sequence[str | Item]) -> None:
    """Replace quotations of these inputs in an API error's message."""
    texts = [text for unit in units for text in unit_texts(unit)]
    clean = cut_quotations(error.message, texts)
    if clean != error.message:
        error.message = clean
        error.args = (clean,)


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
