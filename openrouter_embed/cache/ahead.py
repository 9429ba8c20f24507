"""One step ahead: the next portion is read while the one before is used.

Rules of this file:
- The thread is a daemon and belongs to one walk: it ends with it, however that ends.
- Where the system gives no thread, as at a program's end, the steps are done one after the other.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

S = TypeVar("S")
T = TypeVar("T")


def ahead(do: Callable[[S], T], steps: Sequence[S]) -> Iterator[T]:
    """Yield what comes of every step; the next is done in a thread while one is used.

    Raises:
        BaseException: What a step raised, when its turn has come.
    """
    asked: queue.SimpleQueue[tuple[S, Future[T]] | None] = queue.SimpleQueue()

    def ask(step: S) -> Future[T]:
        future: Future[T] = Future()
        asked.put((step, future))
        return future

    try:  # also around the start: Ctrl-C may come while it waits for the thread
        if len(steps) < 2 or not started(lambda: _serve(do, asked), "openrouter-embed-ahead"):
            yield from map(do, steps)
            return
        future = ask(steps[0])
        for step in steps[1:]:
            done = future.result()
            future = ask(step)
            yield done
        yield future.result()
    finally:
        asked.put(None)


def started(run: Callable[[], None], name: str) -> bool:
    """Run something in a thread; return whether the system gave one."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


def _serve(do: Callable[[S], T], asked: queue.SimpleQueue[tuple[S, Future[T]] | None]) -> None:
    while (task := asked.get()) is not None:
        step, future = task
        try:
            future.set_result(do(step))
        except BaseException as error:  # noqa: BLE001 - whoever asked raises it
            future.set_exception(error)
        del task, future  # what was found is the caller's, not the waiting thread's
