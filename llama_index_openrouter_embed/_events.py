"""The events of one call, as LlamaIndex's own base class emits them.

Rules of this file:
- They are emitted in the caller's thread and context, which hold the ids of span and trace.
- No start without its end, whatever happens in between.
- What a call consumed stands in the tags of its last end, once, under the names of its span.
- Without concurrency the base class emits start, end, start, end; its asynchronous batch emits
  all starts, then all ends. We do the same, though our call is one in both cases.
"""

from __future__ import annotations

import inspect
import uuid
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from llama_index.core.base.embeddings.base import dispatcher
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.event_handlers import NullEventHandler
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)

from openrouter_embed import EmbeddingError
from openrouter_embed.adapting import of_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_index.core.callbacks.base import CallbackManager
    from typing_extensions import Self

    from openrouter_embed import EmbeddingResult

    Vector = list[float]

Call = TypeVar("Call", bound="Callable[..., object]")

_current: ContextVar[Announcer | None] = ContextVar("announcer", default=None)


def consumed(result: EmbeddingResult) -> EmbeddingResult:
    """Let the call that is being announced tell what this cost; return it."""
    announcer = _current.get()
    if announcer is not None:
        announcer.result = result
    return result


class Announcer:
    """Announces one call, group by group.

    Example:
        with Announcer(payload, manager, groups) as announcer:
            announcer.finish(embed())

    Args:
        payload: What the events tell of the model.
        manager: LlamaIndex's callback manager.
        groups: The texts of each pair of events, in order.
        together: Whether every group starts before the first one ends.

    Attributes:
        result: What the client returned, if it was asked.
    """

    def __init__(
        self,
        payload: dict[str, Any],
        manager: CallbackManager,
        groups: Sequence[list[str]],
        *,
        together: bool = False,
    ) -> None:
        self.result: EmbeddingResult | None = None
        self._payload = payload
        self._manager = manager
        self._together = together
        self._waiting = deque(groups)
        self._open: deque[tuple[str, list[str]]] = deque()

    def __enter__(self) -> Self:
        try:
            for _ in range(len(self._waiting) if self._together else min(1, len(self._waiting))):
                self._start()
        except BaseException as error:
            self._fail(error)
            raise
        self._outer = _current.set(self)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        _current.reset(self._outer)
        if error is not None:
            self.result = getattr(error, "result", self.result)
            self._fail(error)

    def finish(self, vectors: Sequence[Vector]) -> None:
        """Announce that everything was embedded.

        Args:
            vectors: One for each text of all groups, in order.
        """
        at = 0
        while self._open or self._waiting:
            if not self._open:
                self._start()
            count = len(self._open[0][1])
            self._end(list(vectors[at : at + count]))
            at += count

    def _start(self) -> None:
        event_id = str(uuid.uuid4())
        self._open.append((event_id, self._waiting.popleft()))
        dispatcher.event(EmbeddingStartEvent(model_dict=self._payload))
        self._manager.on_event_start(
            CBEventType.EMBEDDING,
            payload={EventPayload.SERIALIZED: self._payload},
            event_id=event_id,
        )

    def _end(self, vectors: list[Vector]) -> None:
        event_id, chunks = self._open[0]
        last = len(self._open) == 1 and not self._waiting
        event = _end_event(chunks, vectors, self._tags(last=last)) if _heard() else None
        payload: dict[str, Any] = {
            EventPayload.CHUNKS: chunks,
            EventPayload.EMBEDDINGS: vectors,
        }
        self._open.popleft()
        if event is not None and self._together:
            dispatcher.event(event)
        try:
            self._manager.on_event_end(CBEventType.EMBEDDING, payload=payload, event_id=event_id)
        finally:
            if event is not None and not self._together:
                dispatcher.event(event)

    def _tags(self, *, last: bool) -> dict[str, Any]:
        """Return the tags of an end: what was consumed if it is the last, else none."""
        return of_result(self.result) if last and self.result is not None else {}

    def _fail(self, error: BaseException) -> None:
        """End what is open; the instrumentation has no failed end, so its end is an empty one."""
        if isinstance(error, EmbeddingError):
            error.__traceback__ = None  # its frames hold texts, and handlers may keep the error
        while self._open:
            event_id, _ = self._open.popleft()
            # A handler that fails as well must not hide the error that is under way.
            with suppress(Exception):
                self._manager.on_event_end(
                    CBEventType.EMBEDDING,
                    payload={EventPayload.EXCEPTION: error},
                    event_id=event_id,
                )
            dispatcher.event(
                EmbeddingEndEvent(chunks=[], embeddings=[], tags=self._tags(last=not self._open))
            )
        with suppress(AttributeError):
            # LlamaIndex's mark for "already in the trace".
            error.event_added = True  # type: ignore[attr-defined]  # not declared


def _heard() -> bool:
    """Say whether anybody listens: making an event of all vectors takes half as long as they do."""
    place = dispatcher
    while all(type(handler) is NullEventHandler for handler in place.event_handlers):
        if not place.propagate:
            return False
        place = place.parent
    return True


def _end_event(chunks: list[str], vectors: list[Vector], tags: dict[str, Any]) -> EmbeddingEndEvent:
    """Make the event that validation would make, without looking at every number once more.

    It holds lists of its own, as a validated one does: what a handler does to them is its affair.
    """
    copies = [vector.copy() for vector in vectors]
    return EmbeddingEndEvent.model_construct(chunks=chunks.copy(), embeddings=copies, tags=tags)


def signed(call: Call) -> Call:
    """Keep a function's signature at hand: LlamaIndex's spans work it out at every call."""
    setattr(call, "__signature__", inspect.signature(call))  # noqa: B010 - functions declare none
    return call


def grouped(chunks: list[str], size: int) -> list[list[str]]:
    """Cut a list into groups of at most `size`."""
    return [chunks[at : at + size] for at in range(0, len(chunks), size)]
