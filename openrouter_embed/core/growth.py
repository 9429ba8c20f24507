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

from openrouter_embed.core.level import Signal
from openrouter_embed.core.verdict import Scope

if TYPE_CHECKING:
    from openrouter_embed.core.limits import Limits
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.core.verdict import Verdict

SOON: Final = 0.2
"""Share of an attempt's time within which a larger request must come back to be repeated."""
_OTHERWISE: Final = frozenset({"moderated", "told_not_to", "provider", "connect"})
"""Causes that have nothing to do with how many inputs were sent."""


class Growth:
    """What one call knows of larger requests; `memory` holds what every call of the client knows.

    Args:
        limits: What requests are packed to.
        memory: What the client has learned.
        route: What decides who may serve.
        timeout: Seconds an attempt may take.
    """

    def __init__(self, limits: Limits, memory: ModelMemory, route: str, timeout: float) -> None:
        self._careful, self._most = limits.inputs, limits.most
        self._memory, self._route = memory, route
        self._soon = SOON * timeout
        self._answered = self._trying = False

    @property
    def proven(self) -> bool:
        """Whether larger requests may be sent."""
        return self._memory.bears_more(self._route) is True

    def begin(self, left: int, spread: int) -> bool:
        """Say whether the next request is to be the larger one that is tried.

        Args:
            left: Inputs not sent so far.
            spread: Requests that may be in flight, as far as is known.
        """
        untried = self._memory.bears_more(self._route) is None and self._most > self._careful
        if self._trying or not (untried and self._answered and left > self._careful * spread):
            return False
        self._trying = True
        return True

    def landed(self, count: int, seconds: float) -> None:
        """Learn from a request of so many inputs that was answered."""
        self._answered = True
        if not self._grown(count):
            return
        self._trying = False
        if seconds <= self._soon:
            self._memory.bore(self._route)
        else:
            self._memory.doubt_more(self._route)

    def failed(self, count: int, verdict: Verdict) -> bool:
        """Say whether a request failed for being larger, as far as can be told; then none is."""
        if not self._grown(count):
            return False
        self._trying = False
        blamed = size_may_be_to_blame(verdict)
        if blamed:
            self._memory.doubt_more(self._route)
        return blamed

    def _grown(self, count: int) -> bool:
        return self._careful < count <= self._most


def size_may_be_to_blame(verdict: Verdict) -> bool:
    """Say whether a larger request may have failed because it was larger."""
    rule, cause = verdict.rule, verdict.cause.rpartition(":")[2]
    if rule.signal is Signal.THROTTLED or verdict.length or cause in _OTHERWISE:
        return False
    # Names of parameters stand in refusals for size as well, and a moment ago they were accepted.
    return rule.scope is not Scope.CALL or cause == "parameter"
