"""Two walks at once: one in a thread of its own beside the caller's.

Rules of this file:
- The thread is a daemon and belongs to one pair of walks: it ends with it, however that ends.
- Where the system gives no thread, as at a program's end, one walk follows the other.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


def beside(mine: Iterable[T], other: Iterable[T], most: int) -> Iterator[T]:
    """Yield what two walks find, in any order.

    Args:
        mine: Goes on where the caller is.
        other: Goes on in a thread.
        most: How much of the other's may wait to be taken.

    Raises:
        BaseException: What a walk raised, when its turn has come.
    """
    belt = _Belt(other, most)
    try:  # also around the start: Ctrl-C may come while it waits for the thread
        if started(belt.run, "openrouter-embed-beside"):
            for item in mine:
                yield item
                del item  # it is the taker's alone
                yield from belt.ready()
            yield from belt
        else:
            yield from mine
            yield from other
    finally:
        belt.stop()


def started(run: Callable[[], None], name: str) -> bool:
    """Run something in a thread; return whether the system gave one."""
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        return False
    return True


class _Belt(Generic[T]):
    """What one thread puts on, and another takes off."""

    def __init__(self, items: Iterable[T], most: int) -> None:
        self._items = items
        self._room = threading.Semaphore(most)
        self._found: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._stopped = False

    def run(self) -> None:
        """Put items on as long as there is room, until there are no more or nobody wants them."""
        end = _End()
        try:
            items = iter(self._items)
            while self._room.acquire() and not self._stopped:
                self._found.put(next(items))
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever takes it raises it
            end.error = error
        self._found.put(end)

    def ready(self) -> Iterator[T]:
        """Yield what is there already, but the last, which may be the end."""
        while self._found.qsize() > 1:
            yield cast(T, self._take())

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._take(), _End):
            yield item
            del item
        if item.error is not None:
            raise item.error

    def stop(self) -> None:
        """Let the thread end."""
        self._stopped = True
        self._room.release()

    def _take(self) -> T | _End:
        item = self._found.get()
        self._room.release()
        return item


class _End:
    """Lies behind the last item."""

    error: BaseException | None = None
