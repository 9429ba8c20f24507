"""What a call says while it goes on: a line for whatever fails and is mended, and one long wait.

Rules of this file:
- One `Herald` per call. Lines go to the logger `openrouter_embed`, with `extra` keys
  `openrouter_embed.*`; they hold no text, key or URL. `docs/observability.md` lists them all.
- A call that goes well says nothing.
- Whoever waits is told before the wait, not after it.
- A warning never costs a call its result.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed.core.retry import SERVED_WITHIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.core.notice import Notice, Turn

LOGGER: Final = logging.getLogger("openrouter_embed")
PATIENCE: Final = 3.0
"""Seconds of retrying after which a call says so."""


class Herald:
    """Tells of one call's retries.

    Attributes:
        retries: How many there were.
    """

    def __init__(self, model: str, also: Callable[[], None] | None = None) -> None:
        self._model = model
        self._also = also
        self._began: float | None = None
        self._warned = False
        self.retries = 0

    def __call__(self, notice: Notice) -> None:
        """Tell of a retry; once the call will have retried for 3 seconds, warn, too."""
        self.retries += 1
        if self._also is not None:
            self._also()
        if self._began is None:
            self._began = notice.now
        if LOGGER.isEnabledFor(logging.INFO):
            LOGGER.info(
                "Retry in %.1f s, attempt %d%s: %s",
                notice.wait,
                notice.attempts + 1,
                "" if notice.allowed is None else f" of {notice.allowed}",
                notice.cause,
                extra=self._extra("retry", notice),
            )
        # A thread that waits cannot speak: it says so before a wait that will be long.
        if not self._warned and notice.now + notice.wait - self._began >= PATIENCE:
            self._warned = True
            LOGGER.warning(
                "Still retrying after %d failures: %s It goes on %s.",
                self.retries,
                notice.cause,
                _how_long(notice),
                extra=self._extra("still_retrying", notice),
            )

    def turn(self, turn: Turn) -> None:
        """Tell of another way that the call takes."""
        if not LOGGER.isEnabledFor(logging.INFO):
            return
        values = {"model": self._model, "kind": turn.kind, "count": turn.count, "wait": turn.wait}
        said = _TURNS[turn.event].format(turn=turn, model=self._model)
        LOGGER.info("%s %s", said, turn.cause, extra=extras(turn.event, **values))

    def _extra(self, event: str, notice: Notice) -> dict[str, Any]:
        values = {
            "model": self._model,
            "kind": notice.kind,
            "attempt": notice.attempts,
            "attempts_allowed": notice.allowed,
            "retries": self.retries,
            "wait": round(notice.wait, 3),
            "elapsed": round(notice.now - (self._began or notice.now), 3),
            "ends_in": None if notice.ends is None else round(notice.ends - notice.now, 3),
        }
        return extras(event, **values)


_TURNS: Final = {
    "cool_down": "All requests wait for {turn.wait:.1f} s:",
    "split": "A request of {turn.count} inputs goes out in halves:",
    "parts": "An input is too long and goes out anew, in parts ({turn.count}):",
    "format": "`{model}` is asked for floats from now on, base64 failed:",
}


def extras(event: str, **values: Any) -> dict[str, Any]:
    """Return what a line carries besides its sentence."""
    return {f"openrouter_embed.{name}": value for name, value in {"event": event, **values}.items()}


def warn(message: str, category: type[Warning]) -> None:
    """Warn the caller; where warnings are errors, log instead: the vectors are paid for."""
    try:
        warnings.warn(message, category, stacklevel=5)
    except Warning:
        LOGGER.warning("%s", message, extra=extras("warning"))


def _how_long(notice: Notice) -> str:
    limit = f", up to {notice.allowed} attempts per request" if notice.allowed else ""
    if notice.ends is not None:
        return f"for {max(0.0, notice.ends - notice.now):.0f} more seconds{limit}"
    if limit:
        return f"for{limit[1:]}, without an end in time: `deadline=` sets one"
    return (
        f"until its turn comes, or nothing was served for {SERVED_WITHIN:.0f} seconds: `deadline=` "
        "sets another end"
    )
