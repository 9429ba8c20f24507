"""Threads that run blocking sends: started when needed, warm for a while, gone when idle.

Rules of this file:
- Threads are daemons: a send that hangs in the operating system keeps no program alive.
- A waiting thread refers to no client and to no work: what is forgotten is collected.
- The thread that was busy last goes on first: what it uses is still in the caches, where a new
  thread would cost a query some 150 microseconds.
- No lock, for a collector that runs in the wrong moment would wait for it for ever: a list's own
  `append`, `pop` and `remove` are indivisible, and whoever takes a queue off the list owns it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Final

from openrouter_embed.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    Work = Callable[[], None]
    Tasks = queue.SimpleQueue[Work | None]  # `None` sends its thread home

IDLE_SECONDS: Final = 5.0
"""How long a thread without work stays."""
JOIN_SECONDS: Final = 2.0
"""How long closing waits for threads whose sends were just ended, all together."""


class Workers:
    """As many threads as there are sends at once: the job decides how many those are."""

    def __init__(self) -> None:
        self.free: list[Tasks] = []
        self.threads: set[threading.Thread] = set()
        self._closed = False

    def start(self, work: Work) -> None:
        """Run a send in a thread that does nothing else meanwhile.

        Raises:
            RuntimeError: The system gives no thread.
        """
        tasks: Tasks
        try:
            tasks = self.free.pop()
        except IndexError:
            tasks = queue.SimpleQueue()
            thread = threading.Thread(
                target=self._serve, args=(tasks,), name="openrouter-embed-send", daemon=True
            )
            self.threads.add(thread)
            try:
                thread.start()
            except BaseException:
                self.threads.discard(thread)  # nobody could wait for its end
                raise
        tasks.put(work)

    def _serve(self, tasks: Tasks) -> None:
        while (work := self._take(tasks)) is not None:
            work()
            del work
            self.free.append(tasks)
            if self._closed:
                self.dismiss()
        self.threads.discard(threading.current_thread())

    def _take(self, tasks: Tasks) -> Work | None:
        try:
            return tasks.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            pass
        try:
            self.free.remove(tasks)
        except ValueError:
            return tasks.get()  # taken just as its time was up: the work is on its way
        return None

    def dismiss(self) -> None:
        """Send the free threads home now, and the others when their send is over."""
        self._closed = True
        with contextlib.suppress(IndexError):  # others take from the list as well
            while True:
                self.free.pop().put(None)

    def close(self) -> None:
        """Send all threads home, and wait a little for those that are busy."""
        self.dismiss()
        until = monotonic() + JOIN_SECONDS
        for thread in list(self.threads - {threading.current_thread()}):
            thread.join(max(0.0, until - monotonic()))
