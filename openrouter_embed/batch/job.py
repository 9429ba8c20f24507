"""A job as its holder knows it: two faces, one that waits and one that is awaited.

Rules of this file:
- A face does what a dialogue says and decides nothing.
- Errors of ours leave through `guarded`, so that no frame in their traceback holds texts or keys.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from openrouter_embed.batch import api, files, watching
from openrouter_embed.batch.collecting import Collection
from openrouter_embed.batch.dialogue import Dialogue, Do, Questions
from openrouter_embed.batch.job_cache import open_cache
from openrouter_embed.batch.record import BatchCounts, Record, of_dict, of_ids
from openrouter_embed.clock import monotonic
from openrouter_embed.errors import ConfigurationError, EmbeddingError
from openrouter_embed.guard import aguarded, guarded, kind_of
from openrouter_embed.options.checks import check_maybe_seconds
from openrouter_embed.progress import listening

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager

    from typing_extensions import Self

    from openrouter_embed.batch.submission import Submission
    from openrouter_embed.core.fetch import Ask
    from openrouter_embed.engine import Engine
    from openrouter_embed.options.settings import Settings
    from openrouter_embed.result import EmbeddingResult, Progress, Usage

    AskNow = Callable[[Ask[Any]], Any]
    AskSoon = Callable[[Ask[Any]], Coroutine[Any, Any, Any]]
    OnError = Literal["raise", "return"]

T = TypeVar("T")
JobName: TypeAlias = "str | os.PathLike[str] | Iterable[str] | Mapping[str, Any]"


def find_record(job: object, settings: Settings) -> Record:
    """Return the record that `client.batch` was asked for.

    Raises:
        ConfigurationError: There is none, or it was submitted elsewhere.
    """
    record = _read_record(job, settings)
    if record.base_url != settings.base_url:
        raise ConfigurationError(
            f"The job was submitted at {record.base_url}, and this client's `base_url` is another."
        )
    return record


def _read_record(job: object, settings: Settings) -> Record:
    if isinstance(job, Mapping):
        return of_dict(cast("Mapping[str, Any]", job), "The mapping")
    if isinstance(job, os.PathLike):
        return files.read(cast("os.PathLike[str]", job))
    if isinstance(job, str):
        is_file = not api.is_id(job) or pathlib.Path(job).exists() or job.endswith(".json")
        return files.read(job) if is_file else of_ids([job], settings.base_url)
    if isinstance(job, Iterable):
        return of_ids(cast("Iterable[str]", job), settings.base_url)
    raise ConfigurationError(
        f"`batch` takes the path of a job's file, the id of a batch, or a list of ids, not a "
        f"{kind_of(job)}."
    )


class _Job:
    """What both faces know without asking.

    Attributes:
        record: What the job's file holds, as objects.
    """

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine = engine
        self.record = record

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the batches that were accepted."""
        return self.record.ids

    @property
    def status(self) -> str:
        """One word for all batches, as last seen: the least advanced that runs, or the worst end.

        The API's words are `validating`, `in_progress`, `finalizing`, `completed`, `failed`,
        `expired`, `cancelling` and `cancelled`, and perhaps others. Ours are `submitting` (no
        answer came), `unsent`, `gone` (deleted after 30 days) and `deleted`.
        """
        return self.record.status

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return not self.record.running

    @property
    def counts(self) -> BatchCounts:
        """How far the distinct inputs that were submitted have come, as last seen."""
        return self.record.counts

    @property
    def usage(self) -> Usage:
        """What the batches that are completed cost, as last seen."""
        return self.record.usage

    @property
    def failed(self) -> Mapping[str, str]:
        """The ids of batches that ended without results, each with a sentence that says why."""
        batches = self.record.batches
        return {
            batch.id: batch.state.error or batch.state.status
            for batch in batches
            if batch.id and batch.state.status in api.ENDED
        }

    @guarded
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the job's file: ids, hashes of the inputs and settings; no text, no key.

        Raises:
            ConfigurationError: The file names more batches of this job than are known here.
            OSError: It cannot be written; what was there before is still there.
        """
        files.save(self.record, path)

    def to_dict(self) -> dict[str, Any]:
        """Return what the job's file holds."""
        return self.record.to_dict()

    def __repr__(self) -> str:
        counts, ids = self.counts, self.ids
        many = f"{len(ids):,} batch{'' if len(ids) == 1 else 'es'}"
        done = f"{counts.completed + counts.failed:,} of {counts.total:,} done"
        return f"{type(self).__name__}({many}, {self.status}, {done})"

    def _questions(self) -> Questions:
        return Questions(settings=self._engine.settings, record=self.record)

    def _collection(self, on_error: object) -> Collection:
        if on_error not in (None, "raise", "return"):
            raise ConfigurationError("`on_error` must be 'raise', 'return' or None.")
        return Collection(
            self._questions(), open_cache(self._engine, self.record), self._engine.add_bill
        )

    def _finish(self, collection: Collection, on_error: str | None) -> EmbeddingResult:
        self._engine.tell_of_cache()
        return collection.result(on_error)

    def _heard(self, progress: bool) -> AbstractContextManager[Callable[[Progress], None] | None]:
        """Return what hears how far a wait has come: a bar, the client's listener, or nobody."""
        told = range(self.counts.total)
        return listening(told, bar=progress, listener=self._engine.settings.on_progress)

    def _wait(
        self, poll: object, deadline: object, tell: Callable[[Progress], None] | None
    ) -> Dialogue[None]:
        return watching.wait(
            self._questions(),
            poll=check_maybe_seconds("poll", poll),
            deadline=check_maybe_seconds("deadline", deadline),
            clock=monotonic,
            tell=tell or _nobody,
        )


def _nobody(_: Progress) -> None:
    """Listen to nothing."""


class BatchJob(_Job):
    """Inputs that were handed in to be embedded within a day; see `EmbeddingClient.submit`."""

    def __init__(self, engine: Engine, ask: AskNow, record: Record) -> None:
        super().__init__(engine, record)
        self._ask = ask

    @guarded
    def refresh(self) -> Self:
        """Ask what has become of the batches: one small question for each that is not done.

        Raises:
            EmbeddingError: A question was refused, or went unanswered.
        """
        run(watching.refresh(self._questions()), self._ask)
        return self

    @guarded
    def wait(
        self, *, poll: float | None = None, deadline: float | None = None, progress: bool = False
    ) -> Self:
        """Wait until all batches are done, one way or another; may be broken off and called again.

        Args:
            poll: Seconds between questions; else 10, and more each time up to 300.
            deadline: Seconds in all; `None` is no end.
            progress: Show a progress bar.

        Raises:
            DeadlineExceededError: Time is over; the batches go on.
            EmbeddingError: A question was refused.
        """
        with self._heard(progress) as tell:
            run(self._wait(poll, deadline, tell), self._ask)
        return self

    @guarded
    def result(self, *, on_error: OnError | None = None) -> EmbeddingResult:
        """Collect the vectors, in the order of the inputs; with a cache they go into it, too.

        Args:
            on_error: `return` lists failures instead of raising one; `None` is as submitted.

        Returns:
            The vectors, float32 `(n, d)`; those of a cached input without any request.

        Raises:
            BatchError: A batch is not done yet, or ended without results.
            EmbeddingError: An input failed, or results could not be had; `.result` holds the rest.
        """
        collection = self._collection(on_error)
        run(collection.collect(), self._ask)
        return self._finish(collection, on_error)

    @guarded
    def delete(self) -> None:
        """Delete the batches with their results from OpenRouter; a cache keeps what is in it.

        Raises:
            APIError: One is still running (409), or it was refused for another reason.
        """
        run(watching.delete(self._questions()), self._ask)


class AsyncBatchJob(_Job):
    """What `BatchJob` is, awaited; see `AsyncEmbeddingClient.submit`."""

    def __init__(self, engine: Engine, ask: AskSoon, record: Record) -> None:
        super().__init__(engine, record)
        self._ask = ask

    @aguarded
    async def refresh(self) -> Self:
        """Ask what has become of the batches; see `BatchJob.refresh`.

        Raises:
            EmbeddingError: A question was refused, or went unanswered.
        """
        await arun(watching.refresh(self._questions()), self._ask)
        return self

    @aguarded
    async def wait(
        self, *, poll: float | None = None, deadline: float | None = None, progress: bool = False
    ) -> Self:
        """Wait until all batches are done; see `BatchJob.wait`.

        Raises:
            DeadlineExceededError: Time is over; the batches go on.
            EmbeddingError: A question was refused.
        """
        with self._heard(progress) as tell:
            await arun(self._wait(poll, deadline, tell), self._ask)
        return self

    @aguarded
    async def result(self, *, on_error: OnError | None = None) -> EmbeddingResult:
        """Collect the vectors, in the order of the inputs; see `BatchJob.result`.

        Raises:
            BatchError: A batch is not done yet, or ended without results.
            EmbeddingError: An input failed, or results could not be had; `.result` holds the rest.
        """
        collection = self._collection(on_error)
        await arun(collection.collect(), self._ask)
        return self._finish(collection, on_error)

    @aguarded
    async def delete(self) -> None:
        """Delete the batches with their results from OpenRouter; see `BatchJob.delete`.

        Raises:
            APIError: One is still running (409), or it was refused for another reason.
        """
        await arun(watching.delete(self._questions()), self._ask)


def submit(ask: AskNow, submission: Submission) -> BatchJob:
    """Hand inputs in; see `EmbeddingClient.submit`."""
    run(submission.dialogue(), ask)
    return BatchJob(submission.engine, ask, submission.record)


async def asubmit(ask: AskSoon, submission: Submission) -> AsyncBatchJob:
    """Hand inputs in; see `AsyncEmbeddingClient.submit`."""
    await arun(submission.dialogue(), ask)
    return AsyncBatchJob(submission.engine, ask, submission.record)


def run(dialogue: Dialogue[T], ask: AskNow) -> T:
    """Do what a dialogue says, here and now."""
    answer: Any = None
    error: EmbeddingError | None = None
    try:
        while True:
            step = dialogue.send(answer) if error is None else dialogue.throw(error)
            answer = error = None
            try:
                answer = step.call() if isinstance(step, Do) else ask(step)
            except EmbeddingError as caught:
                error = caught
    except StopIteration as end:
        return cast("T", end.value)
    finally:
        dialogue.close()


async def arun(dialogue: Dialogue[T], ask: AskSoon) -> T:
    """Do what a dialogue says, and block no event loop."""
    import asyncio  # noqa: PLC0415 - lazy by design, and loaded in whoever awaits

    answer: Any = None
    error: EmbeddingError | None = None
    try:
        while True:
            step = dialogue.send(answer) if error is None else dialogue.throw(error)
            answer = error = None
            try:
                if isinstance(step, Do):
                    answer = await asyncio.to_thread(step.call)
                else:
                    answer = await ask(step)
            except EmbeddingError as caught:
                error = caught
    except StopIteration as end:
        return cast("T", end.value)
    finally:
        dialogue.close()
