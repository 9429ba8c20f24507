"""How a dialogue with the API is written down: what it may say, and to whom.

A dialogue is a generator. It yields an `Ask` and is sent the answer, or has the error thrown into
it; it yields a `Do` for what may block and needs no network, and is sent what that returned.

Rules of this file:
- Nothing here waits or sends: both clients' faces do what a dialogue yields.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

from openrouter_embed.batch import api
from openrouter_embed.core.fetch import PATIENCE, Ask
from openrouter_embed.errors import NotFoundError

if TYPE_CHECKING:
    from openrouter_embed.batch.record import Record
    from openrouter_embed.core.wire import Reply, Sink
    from openrouter_embed.options.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Do(Generic[T]):
    """Something to be done where blocking harms nobody."""

    call: Callable[[], T]


Dialogue: TypeAlias = Generator["Ask[Any] | Do[Any]", Any, T]

LONG_PATIENCE: Final = 300.0
"""Seconds for which a long answer is tried again."""
SLOWEST: Final = 200_000
"""Bytes per second that an upload must at least make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Where a job's questions are written.

    Attributes:
        settings: The client's, or the call's.
        record: The job.
        left: Seconds that the call has left; `None` for no end.
    """

    settings: Settings
    record: Record
    left: Callable[[], float | None] = lambda: None

    @property
    def brief(self) -> float:
        """Seconds that a small question may take."""
        return min(self.settings.timeout, PATIENCE)

    def find(self, path: str, read: Callable[[Reply], T], after: float = 0.0) -> Dialogue[T]:
        """Get something small below the root; where that is not known yet, find it.

        Raises:
            NotFoundError: It is below no root.
        """
        ask = Ask(path=path, after=after, timeout=self.brief, deadline=self.left(), read=read)
        return (yield from self._search(ask))

    def pour(self, path: str, sink: Callable[[], Sink], after: float = 0.0) -> Dialogue[Any]:
        """Get something that may be long, read by a sink; else as `find`.

        Raises:
            NotFoundError: It is below no root.
        """
        ask: Ask[Any] = Ask(
            path=path,
            after=after,
            timeout=self.settings.timeout,
            patience=LONG_PATIENCE,
            deadline=self.left(),
            read=_unread,
            sink=sink,
        )
        return (yield from self._search(ask))

    def _search(self, ask: Ask[T]) -> Dialogue[T]:
        record = self.record
        known = (record.root,) if record.root is not None else api.roots(self.settings)
        for root in known[:-1]:
            with contextlib.suppress(NotFoundError):
                answer = yield replace(ask, root=root)
                return cast("T", answer)
        answer = yield replace(ask, root=known[-1], after=0.0 if known[1:] else ask.after)
        record.root = known[-1]
        return cast("T", answer)

    def post(self, body: bytes, read: Callable[[Reply], T]) -> Dialogue[T]:
        """Hand in a batch, never again after an answer that was lost."""
        answer = yield Ask(
            path=api.PATH,
            root=self.record.root,
            method="POST",
            body=body,
            once=True,
            timeout=self.settings.timeout + len(body) / SLOWEST,
            patience=LONG_PATIENCE,
            retries=self.settings.max_retries,
            deadline=self.left(),
            read=read,
        )
        return cast("T", answer)

    def delete(self, batch_id: str) -> Dialogue[None]:
        """Delete a batch."""
        yield Ask(
            path=api.one(batch_id),
            root=self.record.root,
            method="DELETE",
            timeout=self.brief,
            read=_nothing,
        )


def _nothing(_: Reply) -> None:
    """Read an answer of which only that it came counts."""


def _unread(_: Reply) -> Any:
    raise AssertionError
