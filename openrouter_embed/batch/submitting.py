"""Handing in batches, each once: what to do when an answer is lost.

Rules of this file:
- A submission that may have arrived is looked for in the list before it is sent again.
- What was accepted is noted before anything else is sent, so that no failure loses it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from openrouter_embed.batch import api
from openrouter_embed.batch.api import Listed, State, matches
from openrouter_embed.batch.dialogue import Dialogue, Do, Questions
from openrouter_embed.batch.record import Batch
from openrouter_embed.errors import (
    APIError,
    BadRequestError,
    BatchError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InvalidResponseError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from openrouter_embed.batch.portions import Portion

LOOKS: Final = (2.0, 5.0, 15.0)
"""Seconds before each look into the list: what arrived may take a while to appear there."""
TRIES: Final = 3
"""How often a batch is handed in at most, if the list does not show it."""
MOST_PAGES: Final = 50
"""Further pages of the list that are read at most; `since` ends it long before."""
_LOST: Final = frozenset(
    {"reset", "timeout", "truncated", "decode", "protocol", "too_large", "tls"}
)
"""Faults after which a request may have been acted on."""


def may_have_arrived(error: EmbeddingError) -> bool:
    """Whether a submission that ended like this may exist."""
    if isinstance(error, TransportError):
        return error.kind in _LOST
    return isinstance(error, (ServerError, InvalidResponseError, ClientClosedError))


def submit(
    questions: Questions,
    lines: api.Lines,
    portions: Iterable[Portion],
    save: Callable[[], None],
) -> Dialogue[None]:
    """Hand in everything; the record holds what was accepted, also if it fails.

    Args:
        questions: Of the job.
        lines: Writes bodies.
        portions: What goes into each batch.
        save: Keeps the record.

    Raises:
        EmbeddingError: A batch was refused, or whether it arrived is not known.
    """
    record = questions.record
    first: api.ListPage = yield from questions.find(api.PATH, api.read_list)
    record.since = max((found.state.created_at for found in first.batches), default=0.0)
    before = yield from _with_following(questions, first)
    record.before = [found.id for found in before]
    yield Do(save)
    ready = iter(portions)
    while True:
        portion: Portion | None = yield Do(lambda: next(ready, None))
        if portion is None:
            return
        todo = deque([portion])
        while todo:
            part = todo.popleft()
            try:
                yield from _place(questions, lines, part, save)
            except APIError as error:
                if error.status != 413 or len(part.units) == 1:
                    raise
                todo.extendleft(reversed(part.halves()))


def _place(
    questions: Questions, lines: api.Lines, portion: Portion, save: Callable[[], None]
) -> Dialogue[None]:
    """Hand in one batch, and note it."""
    batch = Batch("", portion.units, State(status=api.SUBMITTING))
    questions.record.batches.append(batch)
    try:
        yield Do(save)
    except EmbeddingError:  # the file is another's: this batch stays here
        questions.record.batches.remove(batch)
        raise
    try:
        found = yield from _hand_in(questions, lines, batch, portion)
    except EmbeddingError:
        yield Do(save)
        raise
    batch.id, batch.state = found.id, found.state
    yield Do(save)


def _hand_in(
    questions: Questions, lines: api.Lines, batch: Batch, portion: Portion
) -> Dialogue[Listed]:
    """Send it until it is accepted, refused or found in the list.

    Raises:
        EmbeddingError: It was not accepted, and is struck off the record if that is certain.
    """
    body: bytes = yield Do(lambda: lines.body(portion.lines))
    doubtful = False
    for left in reversed(range(TRIES)):
        try:
            return (yield from questions.post(body, api.read_accepted))
        except EmbeddingError as error:  # noqa: PERF203 - the loop is short, and waits
            if not may_have_arrived(error):
                # A body that is refused as such was not accepted earlier; all else proves nothing.
                if isinstance(error, BadRequestError) or not doubtful:
                    questions.record.batches.remove(batch)
                raise
            doubtful = True
            if not left or isinstance(error, (ClientClosedError, DeadlineExceededError)):
                raise
            found = yield from _look(questions, batch, error)
            if found is not None:
                return found
    raise AssertionError  # the last round returns or raises


def _look(questions: Questions, batch: Batch, lost: EmbeddingError) -> Dialogue[Listed | None]:
    """Return the batch that a lost answer spoke of; `None` if the list does not show it.

    Raises:
        EmbeddingError: The list cannot be read, or shows several that it may be.
    """
    seen = False
    for pause in LOOKS:
        try:
            shown = yield from recent(questions, after=pause)
        except (ClientClosedError, ConfigurationError, DeadlineExceededError):
            raise
        except EmbeddingError:
            continue
        seen = True
        found = candidate(questions, batch, shown)
        if found is not None:
            return found
    if not seen:
        raise lost
    return None


def recent(questions: Questions, after: float = 0.0) -> Dialogue[Sequence[Listed]]:
    """Return the batches since the job began, as far as the list can be read.

    Args:
        questions: Of the job.
        after: Seconds to wait before the first question.

    Raises:
        EmbeddingError: The list cannot be read.
    """
    first: api.ListPage = yield from questions.find(api.PATH, api.read_list, after)
    return (yield from _with_following(questions, first))


def _with_following(questions: Questions, page: api.ListPage) -> Dialogue[Sequence[Listed]]:
    """Return what is on a page and on those that follow, down to the moment the job began at."""
    shown = [*page.batches]
    for _ in range(MOST_PAGES):
        oldest = shown[-1].state.created_at if shown else 0.0
        if page.last is None or not oldest or oldest < questions.record.since:
            break
        page = yield from _page_after(questions, page.last)
        shown += page.batches
    return shown


def _page_after(questions: Questions, last: str) -> Dialogue[api.ListPage]:
    page: api.ListPage = yield from questions.find(api.listing(last), api.read_list)
    return page


def candidate(questions: Questions, batch: Batch, shown: Sequence[Listed]) -> Listed | None:
    """Return the batch in the list that is the one submitted and never confirmed.

    Raises:
        BatchError: There are several.
    """
    record, count = questions.record, len(batch.units)
    taken = {*record.before, *record.ids}
    fits = [
        found
        for found in shown
        if found.id not in taken
        and matches(found, model=record.model, count=count, since=record.since)
    ]
    exact = [found for found in fits if found.state.total == count] or fits
    if len(exact) > 1:
        ids = ", ".join(found.id for found in exact)
        raise BatchError(
            f"The answer to a submission was lost, and it may be any of {ids}: look which is "
            "yours before you submit again.",
            status=api.SUBMITTING,
        )
    return exact[0] if exact else None
