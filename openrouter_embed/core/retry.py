"""When to try again: one pure decision, for calls and fetches alike.

Rules of this file:
- Time and chance come in as arguments; what follows for others is the caller's to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.verdict import Verdict

BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 20.0
JITTER: Final = 0.1
"""Share by which a wait the server asked for may be lengthened."""
MAX_WAIT: Final = 120.0
"""Seconds above which a Retry-After is not waited for but reported."""


def backoff(retries: int, chance: float) -> float:
    """Return the seconds before retry number `retries` (from 0): full jitter, up to 20 seconds.

    Args:
        retries: Retries already made.
        chance: A random number in [0, 1).
    """
    return chance * min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(retries, 16))


def pause(after: float | None, steps: int, chance: float) -> float:
    """Return the seconds to wait before trying again.

    Args:
        after: What the server asked for; lengthened a little, so that clients spread out.
        steps: How far our own back-off has doubled.
        chance: A random number in [0, 1).
    """
    if after is not None and after >= BACKOFF_BASE:
        return after * (1 + JITTER * chance)
    # A server that says "at once" is not taken at its word for ever.
    return max(after or 0.0, backoff(steps, chance))


def retry_at(
    verdict: Verdict,
    *,
    now: float,
    causes: Sequence[str],
    retries: int,
    max_retries: int,
    deadline: float | None,
    chance: float,
    luck: int | None = None,
) -> float | None:
    """Return the moment at which to try again; `None` if the failure is final.

    Args:
        verdict: The judgement on what came.
        now: Seconds, monotonic.
        causes: What the request has failed of so far, once for each retry.
        retries: Retries already made.
        max_retries: Retries allowed.
        deadline: The moment by which the call must end, if there is one.
        chance: A random number in [0, 1).
        luck: How far our own pauses may have doubled, whatever the request has been through: a
            server that mostly answers is asked again soon.
    """
    after = verdict.after
    if retries >= max_retries or causes.count(verdict.cause) >= verdict.rule.retry.value:
        return None
    steps = retries if luck is None or after is not None else min(retries, luck)
    ready = now + pause(after, steps, chance)
    too_late = deadline is not None and ready >= deadline
    return None if too_late or (after or 0) > MAX_WAIT else ready
