"""Results into rows: out of the cache what is there, and the rest out of completed batches.

Rules of this file:
- A batch is read only if it holds a vector that is not there yet.
- Vectors go into the cache as soon as their batch has been read to its end and nothing in it
  contradicts them.
- A batch that has no results, or none that can be read, is a failure of its inputs, and of no
  other's.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Final, Protocol

from openrouter_embed.batch import api
from openrouter_embed.batch.dialogue import Dialogue, Do, Questions
from openrouter_embed.batch.reader import Judge, NameReader, PageReader, ResultReader, by_key
from openrouter_embed.batch.watching import refresh_one
from openrouter_embed.core.collect import Collector
from openrouter_embed.core.rows import zeros
from openrouter_embed.errors import (
    APIError,
    BatchError,
    EmbeddingError,
    InvalidResponseError,
    NotFoundError,
)
from openrouter_embed.guard import bare
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from openrouter_embed.batch.record import Batch
    from openrouter_embed.result import EmbeddingResult

    Matrix = NDArray[np.float32]
    Page = tuple[list[bytes], str | None]  # results, and where the next page begins


class Kept(Protocol):
    """A cache as it is needed here; both may block."""

    def recall(self, units: Sequence[int]) -> Iterable[tuple[Sequence[int], Matrix, str]]:
        """Return what is there: inputs, their vectors, and who served them."""
        ...

    def keep(self, units: Sequence[int], rows: Matrix, host: str) -> None:
        """Keep vectors, and who served them."""
        ...


_SAYS: Final = {
    api.GONE: "is gone",
    api.DELETED: "was deleted",
    api.UNSENT: "was not submitted",
    "failed": "has failed",
    "expired": "has expired: the provider did not finish it in time",
    "cancelled": "was cancelled",
}


_NO_PAGES: Final = frozenset({400, 404, 405, 410, 501})
"""What a server says that has no pages, or no longer."""


class Collection:
    """The vectors of a job, as far as they are there.

    Args:
        questions: Of the job.
        cache: The cache, if there is one.
        on_usage: Told of each batch that was read, by its id, and of what it cost.
    """

    def __init__(
        self, questions: Questions, cache: Kept | None, on_usage: Callable[[str, Usage], None]
    ) -> None:
        self._questions = questions
        self._cache = cache
        self._on_usage = on_usage
        self._rows = Collector(questions.record.plan(), questions.record.dimensions)

    def collect(self) -> Dialogue[None]:
        """Get everything that can be had.

        Raises:
            EmbeddingError: A question was refused, or went unanswered; `.result` holds the rest.
        """
        try:
            yield from self._collect()
        except EmbeddingError as error:
            raise self._broken(error) from None

    def _collect(self) -> Dialogue[None]:
        record = self._questions.record
        if record.batches and not record.keys:
            yield from learn(self._questions)
            self._rows = Collector(record.plan(), record.dimensions)
        yield Do(self._recall)
        for batch in record.batches:
            if self._missing(batch):
                yield from self._read(batch)
        self._fail_the_rest()

    def _missing(self, batch: Batch) -> list[int]:
        return [unit for unit in batch.units if not self._rows.has(unit)]

    def _recall(self) -> None:
        record = self._questions.record
        if self._cache is None or record.refresh:
            return
        for units, rows, host in self._cache.recall(range(len(record.keys))):
            if self._rows.recall(units, rows, host, flag=""):
                self._rows.usage += Usage(inputs=len(units), cache_hits=len(units))

    def _read(self, batch: Batch) -> Dialogue[None]:
        """Read one batch, or say why it has no results."""
        if batch.state.status in api.NOT_THERE or not batch.id:
            self._fail(batch, _why(batch))
            return
        judge = Judge(
            by_key(self._questions.record.keys, batch.units),
            self._rows,
            self._questions.settings.key_origin,
        )
        try:
            yield from self._read_results(batch, judge)
        except (NotFoundError, InvalidResponseError) as error:
            self._fail(batch, bare(error))
            return
        judge.settle(batch.state)
        if batch.state.final:
            self._bill(batch, judge)
        if judge.good:
            yield Do(lambda: self._keep(judge.good, batch.state.provider))
        if batch.state.status != api.COMPLETED:
            self._fail(batch, _why(batch))

    def _read_results(self, batch: Batch, judge: Judge) -> Dialogue[None]:
        reader: ResultReader | None = None

        def open_reader() -> ResultReader:
            nonlocal reader
            reader = ResultReader(judge, reader)
            return reader

        try:
            yield from refresh_one(self._questions, batch, reader=open_reader)
            if in_pages(batch) and not judge.seen:
                yield from read_pages(self._questions, batch, judge.item)
        except EmbeddingError:
            if reader is not None:
                reader.stop()
            judge.begin()
            raise

    def _bill(self, batch: Batch, judge: Judge) -> None:
        told = batch.usage if batch.state.usage is not None else judge.usage or Usage()
        usage = dataclasses.replace(told, requests=1, inputs=len(judge.good))
        self._rows.usage += usage
        self._on_usage(batch.id, usage)

    def _keep(self, units: list[int], host: str) -> None:
        if self._cache is None:
            return
        rows = self._rows.rows.at(units)
        bad = zeros(rows)
        good = [at for at in range(len(units)) if at not in bad]
        if good:
            self._cache.keep([units[at] for at in good], rows[good], host or self._rows.host)

    def _fail(self, batch: Batch, error: EmbeddingError) -> None:
        self._rows.fail(self._missing(batch), error)

    def _fail_the_rest(self) -> None:
        rows, record = self._rows, self._questions.record
        left = [unit for unit in range(rows.count) if not rows.has(unit)]
        lost = [unit for unit in left if unit not in rows.failures]
        submitted = {unit for batch in record.batches for unit in batch.units}
        cached = [unit for unit in lost if unit not in submitted]
        message = (
            "It was in the cache, or could not be submitted, when the job was; now it is not in "
            "the cache that this client has."
        )
        rows.fail(cached, BatchError(message, status=api.UNSENT))

    def _broken(self, error: EmbeddingError) -> EmbeddingError:
        """Give an error that ended the collection what had come before it."""
        rows = self._rows
        twin = copy.copy(error)
        rows.fail([unit for unit in range(rows.count) if not rows.has(unit)], twin)
        error.result = self.result("return")
        return error

    def result(self, on_error: str | None) -> EmbeddingResult:
        """Return the rows in the order of the inputs.

        Raises:
            EmbeddingError: Some failed, and they are not to be listed; `.result` holds the others.
        """
        record, rows = self._questions.record, self._rows
        rows.asked, rows.space = record.model, record.space
        listed = (on_error or record.on_error) == "return"
        failed = rows.failures and not listed
        error = rows.culprits("have no vector") if failed else None
        wish = record.normalize
        normalize = wish if isinstance(wish, bool) else rows.unit is False
        result = rows.result(None, normalize=normalize)
        hosts = [batch.state.provider for batch in record.batches if batch.state.provider]
        result = dataclasses.replace(
            result,
            request_ids=record.ids,
            providers=tuple(dict.fromkeys((*result.providers, *hosts))),
        )
        if error is None:
            return result
        error.result = result
        raise error


def in_pages(batch: Batch) -> bool:
    """Whether results that a batch does not show may be had in pages."""
    state = batch.state
    return state.final and state.status not in api.NOT_THERE and state.completed > 0


def read_pages(questions: Questions, batch: Batch, tell: Callable[[bytes], None]) -> Dialogue[None]:
    """Read results that the batch does not show; where there are no pages, there are none."""
    cursor: str | None = None
    seen: set[str | None] = set()
    while cursor not in seen:
        seen.add(cursor)
        try:
            page: Page = yield from questions.pour(api.page(batch.id, cursor), PageReader)
        except APIError as error:
            if error.status not in _NO_PAGES:
                raise
            return
        for item in page[0]:
            tell(item)
        cursor = page[1]
        if cursor is None:
            return


def _why(batch: Batch) -> BatchError:
    status = batch.state.status
    says = _SAYS.get(status, f"is not done yet ({status}): `wait` for it")
    more = f" The reason given: {batch.state.error}" if batch.state.error else ""
    name = f"The batch {batch.id}" if batch.id else "A batch"
    return BatchError(f"{name} {says}.{more}", id=batch.id, status=status)


def learn(questions: Questions) -> Dialogue[None]:
    """Find out which inputs batches hold of which only the ids are known.

    Raises:
        BatchError: One is not done yet, or holds no request of this package.
    """
    record = questions.record
    numbers: dict[str, int] = {}
    for batch in record.batches:
        names = yield from _names(questions, batch)
        fresh = [key for _, key in sorted(names) if key not in numbers]
        for key in dict.fromkeys(fresh):
            numbers[key] = len(numbers)
        batch.units = [numbers[key] for key in dict.fromkeys(fresh)]
    record.keys = list(numbers)
    record.count = len(numbers)


def _names(questions: Questions, batch: Batch) -> Dialogue[list[tuple[int, str]]]:
    reader = NameReader()

    def open_reader() -> NameReader:
        nonlocal reader
        reader = NameReader()
        return reader

    yield from refresh_one(questions, batch, reader=open_reader)
    if in_pages(batch) and not reader.names:
        yield from read_pages(questions, batch, reader.item)
    if batch.state.status != api.COMPLETED and not reader.names:
        raise _why(batch)
    if not reader.names:
        raise BatchError(
            f"The batch {batch.id} names no input as this package does: its results cannot be "
            "put in any place.",
            id=batch.id,
            status=batch.state.status,
        )
    return reader.names
