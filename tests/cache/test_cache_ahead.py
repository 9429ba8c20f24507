"""The next portion is read while one is used, in a thread that ends with the walk."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cache_world import fill, keys, vector

from openrouter_embed import SQLiteCache
from openrouter_embed.cache import ahead as room
from openrouter_embed.cache import keeper
from openrouter_embed.cache.ahead import ahead
from openrouter_embed.cache.keeper import Keeper


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "openrouter-embed-ahead"]


def ended():
    for thread in helpers():
        thread.join(5)
    return not helpers()


@pytest.mark.parametrize("steps", [[], [1], [1, 2], list(range(9))])
def test_every_step_is_done_once_and_in_order(steps):
    asked = []
    assert list(ahead(lambda step: asked.append(step) or -step, steps)) == [-s for s in steps]
    assert asked == steps
    assert ended()


def test_the_next_step_is_done_while_one_is_used():
    second = threading.Event()
    walk = ahead(lambda step: second.set() if step else None, [0, 1])
    next(walk)
    assert second.wait(5)
    walk.close()
    assert ended()


def test_no_more_than_one_step_is_done_in_advance():
    asked = []
    walk = ahead(asked.append, range(100))
    next(walk)
    walk.close()
    assert ended()
    assert asked == [0, 1]


def test_what_a_step_raised_is_raised_when_its_turn_has_come():
    walk = ahead(lambda step: 1 // step, [1, 0, 1])
    assert next(walk) == 1
    with pytest.raises(ZeroDivisionError):
        next(walk)
    assert ended()


def test_without_a_thread_the_steps_are_done_all_the_same(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(room.threading.Thread, "start", start)
    assert list(ahead(lambda step: step * 2, [1, 2, 3])) == [2, 4, 6]


def test_ctrl_c_while_the_thread_starts_leaves_none_behind(monkeypatch):
    start = room.threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(room.threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(ahead(lambda step: step, [1, 2, 3]))
    assert ended()


def test_a_store_is_read_in_portions_and_every_vector_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "AT_ONCE", 100)
    with SQLiteCache(tmp_path / "c.sqlite") as cache:
        fill(cache, range(950))
        found = {
            start + at: row
            for start, portion in Keeper(cache).read(keys(range(1000)))
            for at, row in zip(portion.at, portion.vectors, strict=True)
        }
    assert found.keys() == set(range(950))
    assert all(np.array_equal(row, vector(name)) for name, row in found.items())
    assert ended()
