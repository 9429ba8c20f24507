"""Around a call that has a cache: looking into it before, keeping what was bought after.

Rules of this file:
- Functions of a call's work; whoever drives it calls them where `work.keeps`, and nowhere else.
- `recall` and `flush` may block and belong where blocking harms nobody.
- The cache's own room is loaded by a client that has a cache, never by this file.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.cache.call import CallCache
    from openrouter_embed.cache.keeper import Keeper
    from openrouter_embed.core.job import Job
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.options.settings import Settings


def call_cache(
    keeper: Keeper,
    settings: Settings,
    sent: str | None,
    plan: Plan,
    *,
    wake: Callable[[], None],
    patient: bool,
) -> CallCache:
    """Return the cache as one call sees it.

    Args:
        keeper: Of the client's cache.
        settings: Of the call.
        sent: The `input_type` that the call sends.
        plan: Its units.
        wake: Lets it look again.
        patient: Whether it may wait for what other calls are buying.
    """
    from openrouter_embed.cache.call import CallCache  # noqa: PLC0415 - lazy by design
    from openrouter_embed.options.space import Keys  # noqa: PLC0415 - lazy by design

    return CallCache(
        keeper,
        Keys(settings, sent),
        plan,
        wake=wake,
        patient=patient,
        refresh=settings.refresh,
    )


def recall(work: object) -> None:
    """Take out of the cache what is there, and leave to others what they are buying; may block."""
    job = cast("Job", work)
    kept, cache = job.kept, _cache_of(work)
    place = kept.placer(threading.Lock())
    for found in cache.recall(kept.missing, place):
        kept.recall(found.units, found.rows, found.host, averaged=found.averaged, placed=True)
    others = cache.claim(kept.missing)
    for found in cache.recall_again(kept.missing, place):
        kept.recall(found.units, found.rows, found.host, averaged=found.averaged, placed=True)
    kept.begin(others)
    job.listener.tell(kept.progress)


def leave(work: object) -> None:
    """Let others buy what they left to this call."""
    _cache_of(work).leave()


def flushed(work: object) -> bool:
    """Whether nothing of what a call has bought is on its way into the cache."""
    return _cache_of(work).flushed


def flush(work: object) -> None:
    """Wait until what a call has bought is in the cache; may block."""
    if not _cache_of(work).flush():
        cast("Job", work).kept.leave_rows()


def _cache_of(work: object) -> CallCache:
    return cast("CallCache", cast("Job", work).kept.cache)
