"""Looking after batches: what has become of them, when to ask again, and their deletion.

Rules of this file:
- Questions are gentle: 10 seconds apart at first, 5 minutes later, and never sooner than the
  server asks.
- A question that fails for a while changes nothing: batches go on by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.batch import api, submitting
from openrouter_embed.batch.api import State
from openrouter_embed.batch.reader import StateReader
from openrouter_embed.errors import (
    APIError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
    NotFoundError,
    RateLimitError,
    ServerError,
    TransportError,
)
from openrouter_embed.guard import restate
from openrouter_embed.result import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.batch.dialogue import Dialogue, Questions
    from openrouter_embed.batch.record import Batch

FIRST_POLL: Final = 10.0
GROWTH: Final = 1.5
LONGEST_POLL: Final = 300.0
MOST_FAILURES: Final = 24
"""Rounds in a row that may fail for reasons that pass: some two hours."""
_KEPT: Final = "OpenRouter keeps results for 30 days"


def pause(rounds: int, poll: float | None, asked: float | None) -> float:
    """Return the seconds to wait before the next round.

    Args:
        rounds: Rounds made so far, the first being 1.
        poll: What the caller chose, if anything.
        asked: What the server asked for, if anything.
    """
    own = poll if poll is not None else FIRST_POLL * GROWTH ** min(rounds - 1, 16)
    return max(own if poll is not None else min(own, LONGEST_POLL), asked or 0.0)


def refresh(questions: Questions, after: float = 0.0) -> Dialogue[None]:
    """Ask what has become of every batch that may still change.

    Args:
        questions: Of the job.
        after: Seconds to wait before the first question.

    Raises:
        EmbeddingError: A question was refused, or went unanswered.
    """
    if any(not batch.id for batch in questions.record.running):
        yield from _look_for_lost(questions, after)
        after = 0.0
    for batch in questions.record.running:
        yield from refresh_one(questions, batch, after)
        after = 0.0


def refresh_one(
    questions: Questions,
    batch: Batch,
    after: float = 0.0,
    reader: Callable[[], StateReader] = StateReader,
) -> Dialogue[None]:
    """Ask for one batch, and note its state."""
    if not batch.id:
        return
    try:
        state: State = yield from questions.pour(api.one(batch.id), reader, after)
        batch.state = state
    except NotFoundError as error:
        raise _unknown(batch, error) from None
    except APIError as error:
        if error.status != 410:
            raise
        batch.state = batch.state.become(api.GONE, f"{_KEPT}, and its are deleted.")


def _unknown(batch: Batch, error: NotFoundError) -> NotFoundError:
    restate(
        error,
        f"There is no batch {batch.id} for this key at this `base_url`; if batches live elsewhere "
        f"there, name the path with `batch_root`. The server said: {error.message}",
    )
    return error


def _look_for_lost(questions: Questions, after: float) -> Dialogue[None]:
    """Look for what was being handed in when a process ended, which may be a moment ago."""
    lost: list[Batch] = []
    for rest in (0.0, *submitting.LOOKS):
        shown = yield from submitting.recent(questions, max(rest, after))
        after = 0.0
        lost = [batch for batch in questions.record.running if not batch.id]
        for batch in lost:
            found = submitting.candidate(questions, batch, shown)
            if found is not None:
                batch.id, batch.state = found.id, found.state
        if all(batch.id for batch in lost):
            return
    for batch in lost:
        if not batch.id:
            batch.state = State(status=api.UNSENT, error="It was never accepted.")


def wait(
    questions: Questions,
    *,
    poll: float | None,
    deadline: float | None,
    clock: Callable[[], float],
    tell: Callable[[Progress], None],
) -> Dialogue[None]:
    """Ask again and again until nothing will change any more.

    Args:
        questions: Of the job.
        poll: Seconds between rounds, instead of the schedule's.
        deadline: Seconds in all, if they are limited.
        clock: Tells monotonic seconds.
        tell: Told how far it has come after each round.

    Raises:
        DeadlineExceededError: Time is over; the batches go on.
        EmbeddingError: A question was refused.
    """
    end = None if deadline is None else clock() + deadline
    rounds, failures, after = 0, 0, 0.0
    while True:
        asked: float | None = None
        try:
            yield from refresh(questions, after)
            failures = 0
        except (RateLimitError, ServerError, TransportError, InvalidResponseError) as error:
            failures += 1
            asked = error.retry_after
            if not _passes(error) or failures >= MOST_FAILURES:
                raise
        record = questions.record
        counts = record.counts
        done = counts.completed + counts.failed
        tell(Progress(done=done, total=counts.total, usage=record.usage))
        if not record.running and not failures:
            return
        rounds += 1
        after = pause(rounds, poll, asked)
        if end is not None:
            left = end - clock()
            if left <= 0:
                raise DeadlineExceededError(
                    f"The batches are not done after {deadline:g} seconds; they go on, and `wait` "
                    "may be called again."
                )
            after = min(after, left)  # the last look is at the end


def _passes(error: EmbeddingError) -> bool:
    """Whether a failure may pass by itself within the hour."""
    return not isinstance(error, TransportError) or error.kind not in ("tls", "redirect")


def delete(questions: Questions) -> Dialogue[None]:
    """Delete every batch with its results; one that is gone already counts as deleted.

    Raises:
        APIError: One is still running (409), or it was refused for another reason.
    """
    for batch in questions.record.batches:
        if batch.id and batch.state.status != api.DELETED:
            try:
                yield from questions.delete(batch.id)
            except APIError as error:
                if error.status not in (404, 410):
                    raise
            batch.state = batch.state.become(api.DELETED, "It was deleted.")
