"""Requests of more inputs than is known to be safe, tried where nobody says what the limit is.

A large call goes out in waves, as many requests at once as may be in flight; larger requests make
fewer waves, and count less against limits of requests per minute.

Rules of this file:
- A call that has had an answer, and would fill more than one wave, tries one request of twice the
  careful number. If it comes back, and soon, others follow, and the client remembers.
- If it fails for what its size may have caused, it goes again as its halves, and the client never
  tries that way again: what is learned costs a host one refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.core.pacing import Signal
from openrouter_embed.core.verdict import Scope

if TYPE_CHECKING:
    from openrouter_embed.core.verdict import Verdict

SOON: Final = 0.2
"""Share of an attempt's time within which a larger request must come back to be repeated."""
_OTHERWISE: Final = frozenset({"moderated", "told_not_to", "provider", "connect"})
"""Causes that have nothing to do with how many inputs were sent."""


def came_soon(seconds: float, timeout: float) -> bool:
    """Say whether an answer leaves enough of an attempt's time, both in seconds."""
    return seconds <= SOON * timeout


def size_may_be_to_blame(verdict: Verdict) -> bool:
    """Say whether a larger request may have failed because it was larger."""
    rule, cause = verdict.rule, verdict.cause.rpartition(":")[2]
    if rule.signal is Signal.THROTTLED or verdict.length or cause in _OTHERWISE:
        return False
    # Names of parameters stand in refusals for size as well, and a moment ago they were accepted.
    return rule.scope is not Scope.CALL or cause == "parameter"
