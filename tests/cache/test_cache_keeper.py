"""Between calls and a store: what a store does badly costs a call nothing but the store."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from cache_world import fill, key, keys, right, vectors

from openrouter_embed import CacheError, Found, SQLiteCache
from openrouter_embed.cache import keeper as module
from openrouter_embed.cache.flights import Claims, Flights
from openrouter_embed.cache.keeper import Keeper, keeper_of


class Store:
    """A store of somebody's own."""

    def __init__(self):
        self.rows = {}
        self.gate = threading.Event()
        self.gate.set()
        self.writers = set()
        self.fails = None

    def get(self, keys):
        if self.fails is not None:
            raise self.fails
        at = [position for position, each in enumerate(keys) if each in self.rows]
        if at:
            yield Found(at, np.array([self.rows[keys[position]][0] for position in at]), "Host")

    def put(self, keys, vectors, *, host="", replace=False):
        self.writers.add(threading.current_thread())
        assert self.gate.wait(20)
        if self.fails is not None:
            raise self.fails
        for each, row in zip(keys, vectors, strict=True):
            if replace or each not in self.rows:
                self.rows[each] = row, host


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def keeper(store):
    return Keeper(store)


def offer(keeper, names, **options):
    names = list(names)
    options = {"host": "", "replace": False, **options}
    return keeper.offer(keys(names), vectors(names), **options)


def got(keeper, names):
    names = list(names)
    return {
        names[start + at]
        for start, found in keeper.read(keys(names), lambda *portion: portion)
        for at, row in zip(found.at, found.vectors, strict=True)
        if np.array_equal(row, vectors([names[start + at]])[0])
    }


def test_what_was_offered_is_in_the_store_once_it_was_waited_for(keeper, store):
    keeper.wait(offer(keeper, range(5), host="DeepInfra"))
    assert got(keeper, range(10)) == set(range(5))
    assert {host for _, host in store.rows.values()} == {"DeepInfra"}


def test_writing_is_done_by_another_thread_from_copies(keeper, store):
    store.gate.clear()
    rows = vectors(range(3))
    ticket = keeper.offer(keys(range(3)), rows, "", replace=False)
    rows[:] = 0
    store.gate.set()
    keeper.wait(ticket)
    assert got(keeper, range(3)) == {0, 1, 2}
    assert threading.current_thread() not in store.writers


def test_where_the_system_gives_no_thread_the_caller_writes(keeper, store, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        ticket = offer(keeper, range(3))
        assert keeper.settled(ticket)
    assert store.writers == {threading.current_thread()}
    keeper.wait(offer(keeper, range(3, 6)))
    assert got(keeper, range(6)) == set(range(6))
    assert len(store.writers) == 2


def test_one_thread_writes_and_goes_when_it_has_nothing_to_do(keeper, store, monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.01)
    for start in range(0, 50, 5):
        ticket = offer(keeper, range(start, start + 5))
    keeper.wait(ticket)
    for thread in store.writers:
        thread.join(5)
        assert not thread.is_alive()
    keeper.wait(offer(keeper, range(50, 55)))
    assert got(keeper, range(55)) == set(range(55))


def test_many_small_writes_are_written_together(keeper, store):
    store.gate.clear()
    sizes = []
    put = store.put
    store.put = lambda keys, *rest, **named: sizes.append(len(keys)) or put(keys, *rest, **named)
    for name in range(100):
        ticket = offer(keeper, [name])
    other = offer(keeper, range(50, 60), host="Another")
    store.gate.set()
    keeper.wait(max(ticket, other))
    assert len(sizes) <= 4
    assert got(keeper, range(100)) == set(range(100))


def test_what_nobody_waits_for_is_gathered_until_somebody_does(keeper, store, monkeypatch):
    monkeypatch.setattr(module, "GATHER", 60.0)
    sizes = []
    put = store.put
    store.put = lambda keys, *rest, **named: sizes.append(len(keys)) or put(keys, *rest, **named)
    for name in range(100):
        ticket = offer(keeper, [name])
    keeper.wait(ticket)
    assert sizes == [100]


def test_what_is_enough_to_be_written_waits_for_nobody(keeper, store, monkeypatch):
    monkeypatch.setattr(module, "GATHER", 60.0)
    monkeypatch.setattr(module, "ENOUGH", 10)
    written = threading.Event()
    put = store.put
    store.put = lambda *args, **named: put(*args, **named) or written.set()
    for name in range(10):
        offer(keeper, [name])
    assert written.wait(10)
    assert len(store.rows) == 10


def test_a_little_that_nobody_waits_for_is_written_soon(keeper, store, monkeypatch):
    monkeypatch.setattr(module, "GATHER", 0.01)
    written = threading.Event()
    put = store.put
    store.put = lambda *args, **named: put(*args, **named) or written.set()
    offer(keeper, [1])
    assert written.wait(10)


def test_our_own_file_is_written_from_the_rows_that_were_offered(tmp_path):
    class Watched(SQLiteCache):
        def put_together(self, parts, **options):
            seen.extend(rows for _, rows in parts)
            super().put_together(parts, **options)

    seen = []
    rows = vectors(range(70))
    with Watched(tmp_path / "c.sqlite") as cache:
        keeper = Keeper(cache)
        assert keeper.wait(keeper.offer(keys(range(70)), rows, "", replace=False))
        assert right(cache, range(70)) == set(range(70))
    assert all(np.shares_memory(one, rows) for one in seen)


def test_a_class_beneath_ours_that_reads_and_writes_in_its_own_way_is_asked(tmp_path):
    class Counting(SQLiteCache):
        def get(self, keys):
            asked.append("get")
            return super().get(keys)

        def put(self, keys, vectors, **options):
            asked.append("put")
            kept.append(vectors)
            super().put(keys, vectors, **options)

    asked, kept = [], []
    with Counting(tmp_path / "c.sqlite") as cache:
        keeper = Keeper(cache)
        rows = vectors(range(5))
        keeper.wait(keeper.offer(keys(range(5)), rows, "", replace=False))
        assert got(keeper, range(5)) == set(range(5))
    assert asked == ["put", "get"]
    assert not np.shares_memory(kept[0], rows), "it may keep what it is given"


def test_it_is_told_whether_what_was_waited_for_is_written(keeper, store):
    store.gate.clear()
    ticket = offer(keeper, range(3))
    assert not keeper.wait(ticket, timeout=0.01)
    store.gate.set()
    assert keeper.wait(ticket)


def test_a_long_queue_is_told_and_its_end_wakes(keeper, store, monkeypatch):
    monkeypatch.setattr(module, "MOST_QUEUED", 1000)
    store.gate.clear()
    woken = threading.Event()
    assert not keeper.congested(woken.set)
    ticket = offer(keeper, range(20))
    assert keeper.congested(woken.set)
    assert not woken.is_set()
    store.gate.set()
    keeper.wait(ticket)
    assert woken.wait(5)
    assert not keeper.congested(woken.set)


@pytest.mark.parametrize("error", [CacheError("It is full.", trouble="full"), ValueError("x")])
def test_a_store_that_fails_is_complained_of_once_and_left_alone_for_a_while(keeper, store, error):
    store.fails = error
    for _ in range(3):
        assert got(keeper, range(3)) == set()
        keeper.wait(offer(keeper, range(3)))
    (said,) = keeper.complaints()
    assert "went on without it" in said
    assert keeper.complaints() == []
    store.fails = None
    assert got(keeper, range(3)) == set(), "it rests"
    keeper._rests.clear()
    keeper.wait(offer(keeper, range(3)))
    assert got(keeper, range(3)) == {0, 1, 2}


def test_no_message_holds_what_a_foreign_exception_says(keeper, store):
    store.fails = ValueError("the text that was asked about")
    got(keeper, range(3))
    assert "text" not in keeper.complaints()[0]


WRONG = {
    "too many positions": Found([0, 1, 2], vectors([0])),
    "positions beyond the keys": Found([7], vectors([0])),
    "positions that are no whole numbers": Found([0.0], vectors([0])),
    "one position twice": Found([0, 0], vectors([0, 0])),
    "no columns": Found([0], np.zeros((1, 0), np.float32)),
    "no matrix": Found([0], np.zeros(3, np.float32)),
    "no float32": Found([0], np.zeros((1, 3))),
    "not finite": Found([0], np.full((1, 3), np.nan, np.float32)),
    "nothing at all": None,
}


@pytest.mark.parametrize("found", WRONG.values(), ids=WRONG)
def test_what_is_no_vector_counts_as_absent(keeper, store, found):
    store.get = lambda _: [found, Found([1], vectors([1]))]
    assert got(keeper, range(2)) == {1}
    assert "no vector" in keeper.complaints()[0]


def test_what_was_bought_goes_into_the_successor_of_a_damaged_file(tmp_path):
    path = tmp_path / "embeddings.sqlite"
    with SQLiteCache(path) as cache:
        fill(cache, range(1000))
        cache.close()
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(os.urandom(path.stat().st_size - 8192))
        keeper = Keeper(cache)
        keeper.wait(offer(keeper, range(2000, 2050)))
        (said,) = keeper.complaints()
        assert "set aside" in said
        assert right(cache, range(2100)) == set(range(2000, 2050))


def test_clients_of_one_file_have_one_keeper(tmp_path, store):
    path = str(tmp_path / "embeddings.sqlite")
    assert keeper_of(path) is keeper_of(path)
    assert keeper_of(store) is keeper_of(store)
    assert keeper_of(store) is not keeper_of(Store())


def test_a_forked_child_does_not_write_what_its_parent_had_queued(keeper, store):
    store.gate.clear()
    ticket = offer(keeper, range(3))
    child = os.fork()
    if child == 0:
        keeper.store.gate = threading.Event()
        keeper.store.gate.set()
        keeper.wait(offer(keeper, range(10, 12)))
        os._exit(0 if got(keeper, range(20)) == {10, 11} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.gate.set()
    keeper.wait(ticket)
    assert got(keeper, range(20)) == {0, 1, 2}


# ---------------------------------------------------------------------- flights


class Call:
    def __init__(self, flights, *, patient=True):
        self.woken = 0
        self.claims = Claims(flights, self.wake, patient=patient)

    def wake(self):
        self.woken += 1

    def claim(self, *names):
        return self.claims.claim({unit: key(name) for unit, name in enumerate(names)})

    def land(self, *names):
        self.claims.landed(keys(names), vectors(names), "Host")

    def news(self):
        return [(unit, row is not None, host) for unit, row, host in self.claims.news()]


@pytest.fixture
def flights():
    return Flights()


def test_the_second_waits_and_gets_the_vector_of_the_first(flights):
    first, second = Call(flights), Call(flights)
    assert first.claim("a", "b") == set()
    assert second.claim("c", "b") == {1}
    first.land("a", "b")
    assert second.woken == 1
    ((unit, row, host),) = second.claims.news()
    assert (unit, host) == (1, "Host")
    assert np.array_equal(row, vectors(["b"])[0])
    assert second.news() == []


def test_if_the_first_gives_up_the_next_buys_and_the_others_wait_for_it(flights):
    first, second, third = Call(flights), Call(flights), Call(flights)
    first.claim("a")
    assert second.claim("a") == {0}
    assert third.claim("a") == {0}
    first.claims.leave()
    assert second.news() == [(0, False, "")]
    assert third.news() == []
    second.land("a")
    assert third.news() == [(0, True, "Host")]


def test_who_has_left_buys_nothing(flights):
    first, second, third = Call(flights), Call(flights), Call(flights)
    first.claim("a")
    second.claim("a")
    third.claim("a")
    second.claims.leave()
    first.claims.leave()
    assert third.news() == [(0, False, "")]


def test_an_heir_that_leaves_before_it_looks_has_heirs(flights):
    first, second, third = Call(flights), Call(flights), Call(flights)
    for call in (first, second, third):
        call.claim("a")
    first.claims.leave()
    second.claims.leave()
    assert third.news() == [(0, False, "")]


def test_a_call_that_may_not_wait_buys_for_itself(flights):
    first, hasty = Call(flights), Call(flights, patient=False)
    first.claim("a")
    assert hasty.claim("a") == set()
    hasty.land("a")
    hasty.claims.leave()
    third = Call(flights)
    assert third.claim("a") == {0}
    first.land("a")
    assert third.news() == [(0, True, "Host")]


def test_nothing_is_kept_of_what_is_over(flights):
    first, second = Call(flights), Call(flights)
    first.claim("a", "b")
    second.claim("b", "c")
    first.land("a", "b")
    first.claims.leave()
    second.claims.leave()
    assert not flights.buyers
    assert not flights.waiters
