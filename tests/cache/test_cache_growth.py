"""A file that stays as small as it is told to."""

from __future__ import annotations

import itertools

import pytest
from cache_world import fill, read, right

from openrouter_embed import SQLiteCache
from openrouter_embed.cache import growth, layout, reading, sqlite, writing

WIDE = 512
"""2 KB a vector, 131 KB a pack."""


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000_000.0

        def time(self):
            return self.now

    clock = Clock()
    for room in (sqlite, reading, writing):
        monkeypatch.setattr(room, "time", clock)
    return clock


def test_without_a_limit_nothing_goes(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(1000), width=WIDE)
        assert cache.tend() is False
        assert cache.prune() == 0
        assert cache.stats().vectors == 1000


def test_a_limit_holds_while_vectors_come_in(path):
    limit = 2_000_000
    with SQLiteCache(path, max_bytes=limit) as cache:
        for start in range(0, 5000, 250):
            fill(cache, range(start, start + 250), width=WIDE)
            assert cache.stats().bytes <= limit
        assert path.stat().st_size <= 1.5 * limit
        newest = set(range(4750, 5000))
        assert right(cache, range(5000), width=WIDE) >= newest


def test_what_was_used_last_stays(path, clock):
    with SQLiteCache(path) as cache:
        for start in range(0, 640, 64):
            clock.now += 10_000
            fill(cache, range(start, start + 64), width=WIDE)
        clock.now += 10_000
        read(cache, range(64))
        half = cache.stats().bytes // 2
        removed = cache.prune(max_bytes=half)
        left = right(cache, range(640), width=WIDE)
        assert removed == 640 - len(left)
        assert set(range(64)) <= left
        assert set(range(64, 128)).isdisjoint(left)
        assert set(range(576, 640)) <= left


def test_what_was_not_used_for_long_goes(path, clock):
    with SQLiteCache(path, max_age=1000.0) as cache:
        fill(cache, range(64))
        fill(cache, range(64, 128))
        clock.now += 600
        read(cache, range(64))
        cache.tend()
        clock.now += 600
        while cache.tend():
            pass
        assert right(cache, range(128)) == set(range(64))


def test_the_record_of_use_outlives_the_object(path, clock):
    with SQLiteCache(path) as cache:
        fill(cache, range(64))
        fill(cache, range(64, 128))
    clock.now += 10_000
    with SQLiteCache(path) as cache:
        read(cache, range(64))
    with SQLiteCache(path) as cache:
        assert cache.prune(max_age=5000.0) == 64
        assert right(cache, range(128)) == set(range(64))


def test_reading_again_and_again_writes_nothing(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(64))
        for _ in range(5):
            read(cache, range(64))
            assert not cache._notes.used


def test_pruning_gives_room_back_to_the_disk(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(2000), width=WIDE)
        cache.prune(max_bytes=1_000_000)
        assert cache.stats().file_bytes < 1_200_000
        assert path.stat().st_size < 1_200_000


def test_clearing_leaves_an_empty_file_that_works(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(1000), width=WIDE)
        assert cache.clear() == 1000
        assert cache.stats().vectors == 0
        assert path.stat().st_size < 100_000
        fill(cache, range(10))
        assert right(cache, range(10)) == set(range(10))


def test_tending_is_done_in_small_steps(path, monkeypatch):
    with SQLiteCache(path) as cache:
        fill(cache, range(3000), width=WIDE)
    steps = []
    whole = growth.remove_packs
    monkeypatch.setattr(growth, "remove_packs", lambda c, p: steps.append(len(p)) or whole(c, p))
    with SQLiteCache(path, max_bytes=1_000_000) as cache:
        rounds = sum(1 for _ in itertools.takewhile(bool, iter(cache.tend, None)))
        assert rounds > 3
        assert max(steps) <= growth.STEP_PACKS
        assert cache.stats().bytes <= 1_000_000
    assert path.stat().st_size < 3_500_000


def test_the_log_stays_short(path, monkeypatch):
    monkeypatch.setattr(growth, "LONGEST_LOG", 1_000_000)
    monkeypatch.setattr(layout, "LONGEST_LOG", 1_000_000)
    longest = 0
    with SQLiteCache(path) as cache:
        for start in range(0, 4000, 200):
            fill(cache, range(start, start + 200), width=WIDE)
            longest = max(longest, path.with_name(path.name + "-wal").stat().st_size)
        assert longest < 2_500_000
        assert right(cache, range(4000), width=WIDE) == set(range(4000))
