"""Threads that run blocking sends: started when needed, gone when idle.

Rules of this file:
- Threads are daemons: a request that hangs in the operating system never keeps a program alive.
- A thread holds no reference to a client, so a forgotten client is collected and its threads end.
- Of the free threads the one that was busy last goes on: what it has used is still in the caches.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final

from openrouter_embed.clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

    Task = Callable[[], None]
    Tasks = queue.SimpleQueue[Task | None]

IDLE_SECONDS: Final = 10.0
"""How long a thread without work stays; starting one costs some 50 microseconds."""
JOIN_SECONDS: Final = 2.0
"""How long closing waits for busy threads, all together."""


class Workers:
    """A pool without a size: the job decides how many sends run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Tasks] = []
        self._threads: dict[threading.Thread, Tasks] = {}
        self._closed = False

    def submit(self, task: Task) -> None:
        """Run a task in a thread of its own, a used one if there is one."""
        with self._lock:
            tasks = self._free.pop() if self._free else self._start()
        tasks.put(task)

    def _start(self) -> Tasks:
        tasks: Tasks = queue.SimpleQueue()
        thread = threading.Thread(
            target=self._loop, args=(tasks,), name="openrouter-embed-send", daemon=True
        )
        self._threads[thread] = tasks
        thread.start()
        return tasks

    def close(self) -> None:
        """End the idle threads at once, the others when their task ends."""
        with self._lock:
            self._closed = True
            threads = dict(self._threads)
            self._free.clear()
        for tasks in threads.values():
            tasks.put(None)
        until = monotonic() + JOIN_SECONDS
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - monotonic()))

    def _loop(self, tasks: Tasks) -> None:
        while (task := self._take(tasks)) is not None:
            task()
            del task  # a waiting thread must not keep a finished request's body alive
            with self._lock:
                if self._closed:
                    break
                self._free.append(tasks)
        with self._lock:
            self._threads.pop(threading.current_thread(), None)

    def _take(self, tasks: Tasks) -> Task | None:
        try:
            return tasks.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            pass
        with self._lock:
            if tasks in self._free:
                self._free.remove(tasks)
                return None
        return tasks.get()  # a task is on its way: this thread was chosen as its time was up
