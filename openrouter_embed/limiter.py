"""Telling a limiter of the user's own what became of the requests that it let through.

Rules of this file:
- `release` and `refused` are told to limiters that have them.
- What goes wrong there costs no vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed.notices import warn

if TYPE_CHECKING:
    from openrouter_embed.core.level import Signal


class LimiterNews:
    """What is told to one limiter."""

    def __init__(self, limiter: object) -> None:
        self._limiter = limiter

    def landed(self, signal: Signal) -> None:
        """Tell what the end of a request says about load."""
        self._tell("release", signal.value)

    def refused(self, retry_after: float | None) -> None:
        """Tell of a refusal for load, with the seconds that the server asks to wait."""
        self._tell("refused", retry_after)

    def _tell(self, name: str, news: object) -> None:
        tell = getattr(self._limiter, name, None)
        if tell is None:
            return
        try:
            tell(news)
        except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
            warn(f"The limiter's `{name}` raised {type(error).__name__}.", UserWarning)
