"""Who is to blame: refused requests are split until the culprits are found, long texts divided.

Rules of this file:
- It only decides; what is sent, and what fails, is the job's to do.
- Splitting stays cheap: until some part of the call has succeeded, at most 2·ceil(log2 n) extra
  requests are spent on it in all, and one refusal is followed at a time.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.long import count_parts, cut_text, split_text
from openrouter_embed.core.verdict import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.backlog import Batch
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.core.verdict import Verdict

DEEPEST: Final = 3
"""How often the parts of a text are cut again while no answer has been believed."""
SHORTEST_PART: Final = 8
"""Tokens below which a text is too long for no model."""


@dataclass(frozen=True, slots=True)
class Split:
    """Send both halves of this batch."""

    batch: Batch
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail, and end the call: everything is refused, whatever it holds."""

    batch: Batch
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Nothing:
    """Wait for what is in flight: it tells more."""


class Hunt:
    """The refused batches of one call, and what was spent on finding culprits."""

    def __init__(self) -> None:
        self.suspects: deque[tuple[Batch, Verdict]] = deque()
        self._extra = 0
        self._largest = 1

    def suspect(self, batch: Batch, verdict: Verdict) -> None:
        """Take a refused batch of several inputs."""
        self.suspects.append((batch, verdict))

    def next(self, *, proven: bool, hunting: bool, in_flight: bool) -> Split | GiveUp | Nothing:
        """Return what to do about the first suspect.

        Args:
            proven: Whether some part of the call has succeeded.
            hunting: Whether half of a refused batch is in flight or waits to be sent.
            in_flight: Whether anything is.
        """
        if not self.suspects or (hunting and not proven):
            return Nothing()
        batch, verdict = self.suspects[0]
        self._largest = max(self._largest, len(batch.units))
        if proven or self._extra + 2 <= 2 * math.ceil(math.log2(self._largest)):
            self.suspects.popleft()
            self._extra += 2
            return Split(batch, verdict)
        if in_flight:
            return Nothing()
        self.suspects.popleft()
        return GiveUp(batch, replace(verdict, rule=replace(verdict.rule, scope=Scope.CALL)))


def divide(
    batch: Batch, verdict: Verdict, call: Call, plan: Plan, *, believed: bool
) -> Sequence[str]:
    """Return what to send in place of a refused text: its parts, its beginning, or nothing.

    Args:
        batch: The text, alone.
        verdict: The refusal.
        call: Says whether long texts may be divided or cut off, and how much the model reads.
        plan: Holds the text.
        believed: Whether any answer was: a text that is cut again and again, and never accepted, is
            refused for another reason.
    """
    text, tokens = plan.units[batch.units[0]], plan.tokens[batch.units[0]]
    way = call.settings.long_input
    wanted = way != "error" and (verdict.length or verdict.size)
    in_vain = batch.depth >= DEEPEST and not believed
    if not wanted or not isinstance(text, str) or in_vain or tokens < SHORTEST_PART:
        return ()
    own, limit = text[len(call.bodies.prefix) :], call.profile.max_input_tokens
    if way == "truncate":
        return [cut_text(own, tokens, limit)]
    parts = split_text(own, count_parts(tokens, limit))
    return parts if len(parts) > 1 else ()
