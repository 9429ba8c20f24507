"""An error as the API tells it: read out of a body and its headers.

Rules of this file:
- Whatever a body holds, reading it never raises; what cannot be read is not there.
- Nothing is judged here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from openrouter_embed.core.codec import trim
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the API's body tells it."""

    status: int | None = None
    message: str = ""
    code: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    availability: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def waits(self) -> Mapping[str, Any]:
        """The metadata, with the wait that `availability` may ask for if they ask for none."""
        wait = self.availability.get("retry_after")
        return self.metadata if wait is None else {"retry_after_seconds": wait, **self.metadata}


MAX_ERROR_BYTES: Final = 2 * 1024 * 1024
MAX_MESSAGE: Final = 2000
"""Characters of an API's message that are looked at: patterns are slow on endless ones."""


def read_problem(body: bytes) -> Problem | None:
    """Read the error out of a body; `None` if it holds none that can be read. Never raises."""
    try:
        tree = msgspec.json.decode(trim(body[:MAX_ERROR_BYTES]))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if not isinstance(tree, dict):
        return None
    table = cast("dict[str, Any]", tree)
    error = table.get("error")
    if isinstance(error, str):
        return Problem(message=error[:MAX_MESSAGE])
    if not isinstance(error, dict):
        return Problem(message=_message(table["message"])) if "message" in table else None
    return _problem(cast("dict[str, Any]", error))


def _problem(error: Mapping[str, Any]) -> Problem:
    code = error.get("code")
    whole = isinstance(code, int) and not isinstance(code, bool) and 100 <= code <= 999
    metadata = error.get("metadata")
    data = dict(cast("dict[str, Any]", metadata)) if isinstance(metadata, dict) else {}
    availability = error.get("availability")
    told = cast("dict[str, Any]", availability) if isinstance(availability, dict) else {}
    return Problem(
        status=code if whole else None,
        message=_message(error.get("message")),
        code=code if isinstance(code, str) else None,
        metadata=data,
        availability=told,
    )


def _message(value: object) -> str:
    return value[:MAX_MESSAGE] if isinstance(value, str) else printable(value)


_SECONDS: Final = re.compile(r"\d{1,10}(?:\.\d{1,6})?", re.ASCII)


def retry_after(
    headers: Mapping[str, str], metadata: Mapping[str, Any], wall: float
) -> float | None:
    """Return the seconds a server asks to wait, from the first place that says so sensibly.

    In order: `retry-after-ms`, `Retry-After` in seconds or as a date (by difference with the
    server's own `Date`), `metadata.retry_after_seconds`, `metadata.headers`.
    """
    inner = metadata.get("headers")
    nested = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    lowered = {name.lower(): _message(value) for name, value in nested.items()}
    found = (
        _scaled(headers.get("retry-after-ms"), 0.001),
        _scaled(headers.get("retry-after"), 1.0),
        _until(headers.get("retry-after"), headers.get("date"), wall),
        _scaled(metadata.get("retry_after_seconds"), 1.0),
        _scaled(lowered.get("retry-after"), 1.0),
    )
    return next((seconds for seconds in found if seconds is not None), None)


def _scaled(value: object, factor: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    text = str(value).strip()
    return float(text) * factor if _SECONDS.fullmatch(text) else None


def _until(value: str | None, date: str | None, wall: float) -> float | None:
    then = _timestamp(value)
    if then is None:
        return None
    now = _timestamp(date)
    wait = then - (wall if now is None else now)
    return wait if wait > 0 else None


def _timestamp(value: str | None) -> float | None:
    if value is None or len(value) > 64 or "," not in value:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


_KEY: Final = re.compile(r"\b(sk|pk|key)-[\w-]{6,}")


def hide_keys(text: str) -> str:
    """Mask whatever looks like an API key; a server may echo the one it refuses."""
    return _KEY.sub(r"\1-***", text)


MAX_DEPTH: Final = 20
"""Levels of an error's metadata that are kept: a body may nest until nobody can walk it."""


def without_keys(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Mask keys in whatever JSON holds, as deep as anybody looks."""
    if not depth and isinstance(value, (dict, list)):
        return "…"
    if isinstance(value, str):
        return hide_keys(value)
    if isinstance(value, dict):
        table = cast("dict[str, Any]", value)
        return {hide_keys(name): without_keys(inner, depth - 1) for name, inner in table.items()}
    if isinstance(value, list):
        return [without_keys(inner, depth - 1) for inner in cast("list[object]", value)]
    return value
