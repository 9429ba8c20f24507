"""Two walks at once: the second goes on in a thread that ends with the pair."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cache_world import fill, keys, vector

from openrouter_embed import SQLiteCache
from openrouter_embed.cache import beside as room
from openrouter_embed.cache import keeper
from openrouter_embed.cache.beside import beside
from openrouter_embed.cache.keeper import Keeper


def helpers():
    return [thread for thread in threading.enumerate() if thread.name == "openrouter-embed-beside"]


def ended():
    for thread in helpers():
        thread.join(5)
    return not helpers()


@pytest.mark.parametrize("mine", [0, 1, 7])
@pytest.mark.parametrize("other", [0, 1, 7, 40])
def test_everything_is_given_once_and_each_walk_in_its_order(mine, other):
    found = list(beside(range(mine), range(100, 100 + other), 3))
    assert [item for item in found if item < 100] == list(range(mine))
    assert [item for item in found if item >= 100] == list(range(100, 100 + other))
    assert ended()


def test_the_second_goes_on_while_the_first_is_used():
    second = threading.Event()

    def other():
        second.set()
        yield 2

    walk = beside([1], other(), 1)
    assert next(walk) == 1
    assert second.wait(5)
    walk.close()
    assert ended()


def test_no_more_waits_than_may():
    made = []
    full = threading.Event()

    def other():
        for number in range(100):
            made.append(number)
            yield number
            if number == 1:
                full.set()

    walk = beside(iter([-1]), other(), 3)
    next(walk)
    assert full.wait(5)
    walk.close()
    assert ended()
    assert len(made) <= 3


def test_what_the_second_raised_is_raised_after_what_it_gave():
    def other():
        yield 1
        raise ZeroDivisionError

    walk = beside([], other(), 4)
    assert next(walk) == 1
    with pytest.raises(ZeroDivisionError):
        next(walk)
    assert ended()


def test_what_the_first_raised_ends_the_second():
    def mine():
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        list(beside(mine(), iter(int, 1), 4))
    assert ended()


def test_without_a_thread_one_follows_the_other(monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(room.threading.Thread, "start", start)
    assert list(beside([1, 2], [3, 4], 1)) == [1, 2, 3, 4]


def test_ctrl_c_while_the_thread_starts_leaves_none_behind(monkeypatch):
    start = room.threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(room.threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(beside([1, 2], [3], 1))
    assert ended()


def test_many_keys_are_read_by_two_threads_and_every_vector_is_right(tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "MANY", 100)
    readers = set()

    def use(start, found):
        readers.add(threading.current_thread().name)
        return [(start + at, row) for at, row in zip(found.at, found.vectors, strict=True)]

    with SQLiteCache(tmp_path / "c.sqlite") as cache:
        fill(cache, range(950))
        parts = Keeper(cache).read(keys(range(1000)), use)
        found = {at: row for part in parts for at, row in part}
    assert found.keys() == set(range(950))
    assert all(np.array_equal(row, vector(name)) for name, row in found.items())
    assert len(readers) == 2
    assert ended()
