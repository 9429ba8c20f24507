"""The threads that run sends: which of them goes on, and how they end."""

from __future__ import annotations

import threading
import time
from unittest import mock

import pytest

from openrouter_embed.shells.workers import Workers


def alive():
    return [t for t in threading.enumerate() if t.name == "openrouter-embed-send"]


@pytest.fixture(autouse=True)
def others_are_gone():
    """Wait for what other tests have left to end by itself."""
    for thread in alive():
        thread.join(15)


def run(workers, *tasks):
    """Run tasks at once, end them in their order, and return the threads that ran them."""
    names, gates = {}, [threading.Event() for _ in tasks]
    done = [threading.Event() for _ in tasks]

    def make(at):
        def task():
            names[at] = threading.current_thread()
            gates[at].wait(5)
            done[at].set()

        return task

    for at in range(len(tasks)):
        workers.submit(make(at))
    for gate, end in zip(gates, done, strict=True):
        gate.set()
        assert end.wait(5)
        time.sleep(0.02)  # until the thread counts as free; nothing tells that from outside
    return [names[at] for at in range(len(tasks))]


def test_the_thread_that_was_busy_last_goes_on():
    workers = Workers()
    *_, last = run(workers, 1, 2, 3)
    assert run(workers, 1) == [last]
    workers.close()
    assert not alive()


def test_a_thread_without_work_ends():
    with mock.patch("openrouter_embed.shells.workers.IDLE_SECONDS", 0.05):
        workers = Workers()
        (thread,) = run(workers, 1)
        thread.join(5)
        assert not thread.is_alive()
        assert run(workers, 1) != [thread]
        workers.close()


def test_closing_ends_idle_threads_and_busy_ones_after_their_task():
    workers = Workers()
    busy, gate = threading.Event(), threading.Event()
    run(workers, 1)
    workers.submit(lambda: (busy.set(), gate.wait(5)))
    busy.wait(5)
    with mock.patch("openrouter_embed.shells.workers.JOIN_SECONDS", 0.05):
        workers.close()
    (left,) = alive()
    gate.set()
    left.join(5)
    assert not alive()


def test_a_task_after_closing_still_runs():
    """A call that is just ending may hand one over; its outcome must not be waited for in vain."""
    workers = Workers()
    run(workers, 1, 2)
    workers.close()
    done = threading.Event()
    workers.submit(done.set)
    assert done.wait(5)
    workers.close()
    assert not alive()
