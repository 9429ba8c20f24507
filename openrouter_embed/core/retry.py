"""When to try again: one pure decision, for calls and fetches alike.

Rules of this file:
- Time and chance come in as arguments; what follows for others is the caller's to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.core.level import Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.core.backlog import Batch
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.pacing import Pacer
    from openrouter_embed.core.verdict import Verdict

BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 20.0
JITTER: Final = 0.1
"""Share by which a wait the server asked for may be lengthened."""
MAX_WAIT: Final = 120.0
"""Seconds above which a Retry-After is not waited for but reported."""
SERVED_WITHIN: Final = 120.0
"""Seconds without a single success after which a refusal for load is a failure like any other."""
SHORTEST_WAIT: Final = 0.5
"""Seconds below which a server that asks to wait says no more than “again”."""
MOST_JITTER: Final = 1.0
"""Share by which such a wait is lengthened at most, for who was refused again and again."""


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
        after: What the server asked for; lengthened a little, and more each time, so that clients
            that were refused together do not come back together.
        steps: How far our own back-off has doubled.
        chance: A random number in [0, 1).
    """
    if after is not None and after >= BACKOFF_BASE:
        return after * (1 + min(MOST_JITTER, JITTER * 2.0 ** min(steps, 16)) * chance)
    # A server that says "at once" is not taken at its word for ever.
    return max(after or 0.0, backoff(steps, chance))


def says_when(verdict: Verdict) -> bool:
    """Whether the server named a time to come back, rather than no more than “again”."""
    return (verdict.after or 0) >= SHORTEST_WAIT


def waits_its_turn(
    verdict: Verdict, *, now: float, begun: float, served: float, deadline: float | None
) -> bool:
    """Return whether a refusal is no failure, because it says no more than “not yet”.

    There must be reason to believe it: the client was served not long ago, or the server says when.
    Without a deadline that holds for `SERVED_WITHIN` after the last success.

    Args:
        verdict: The judgement on what came.
        now: Seconds, monotonic.
        begun: When the request was first sent.
        served: When the client was last served.
        deadline: The moment by which the call must end, if there is one.
    """
    if verdict.rule.signal is not Signal.THROTTLED:
        return False
    if not says_when(verdict) and now - served >= SERVED_WITHIN:
        return False
    return deadline is not None or now - max(begun, served) < SERVED_WITHIN


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
    waits: bool = False,
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
        waits: Whether it only waits for its turn, so that retries are not counted.
    """
    after = verdict.after
    often = retries >= max_retries or causes.count(verdict.cause) >= verdict.rule.retry.value
    if often and not waits:
        return None
    steps = retries if luck is None or after is not None else min(retries, luck)
    ready = now + pause(after, steps, chance)
    too_late = deadline is not None and ready >= deadline
    return None if too_late or (after or 0) > MAX_WAIT else ready


def try_again(
    batch: Batch,
    verdict: Verdict,
    call: Call,
    pacer: Pacer,
    *,
    now: float,
    chance: float,
) -> tuple[float | None, bool]:
    """Return when a batch is sent again, `None` if never, and whether it only waits for its turn.

    Args:
        batch: What failed.
        verdict: Of what.
        call: What its call was told.
        pacer: Knows when the client was last served, and how many requests failed in a row.
        now: Seconds, monotonic.
        chance: A random number in [0, 1).
    """
    most, deadline = call.settings.max_retries, call.deadline
    waits = most > 0 and waits_its_turn(
        verdict, now=now, begun=batch.begun, served=pacer.served_at, deadline=deadline
    )
    ready = retry_at(
        verdict,
        now=now,
        causes=batch.causes,
        retries=batch.retries,
        max_retries=most,
        deadline=deadline,
        chance=chance,
        # Who is refused for load asks more seldom each time, whatever happens to others.
        luck=None if verdict.rule.signal is Signal.THROTTLED else pacer.failures // 2,
        waits=waits,
    )
    return ready, waits
