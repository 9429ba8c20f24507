"""Threads that run blocking sends: started when needed, gone when idle.

Rules of this file:
- Threads are daemons: a request that hangs in the operating system never keeps a program alive.
- A thread holds no reference to a client, so a forgotten client is collected and its threads end.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Task = Callable[[], None]

IDLE_SECONDS: Final = 10.0
"""How long a thread without work stays; starting one costs some 50 microseconds."""
JOIN_SECONDS: Final = 2.0
"""How long closing waits for busy threads, all together."""


class Workers:
    """A pool without a size: the job decides how many sends run at once."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0
        self._threads: set[threading.Thread] = set()

    def submit(self, task: Task) -> None:
        """Run a task in a thread of its own, a used one if there is one."""
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                thread = threading.Thread(
                    target=self._loop, name="openrouter-embed-send", daemon=True
                )
                self._threads.add(thread)
                thread.start()
        self._tasks.put(task)

    def close(self) -> None:
        """End the idle threads at once, the others when their task ends."""
        with self._lock:
            threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        until = time.monotonic() + JOIN_SECONDS
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _loop(self) -> None:
        while (task := self._take()) is not None:
            task()
            del task  # a waiting thread must not keep a finished request's body alive
            with self._lock:
                self._free += 1
        with self._lock:
            self._threads.discard(threading.current_thread())

    def _take(self) -> Task | None:
        try:
            return self._tasks.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            pass
        with self._lock:
            if self._free:
                self._free -= 1
                return None
        return self._tasks.get()  # a task is on its way to a thread that counted as free
