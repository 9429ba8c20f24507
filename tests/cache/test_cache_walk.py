"""How vectors lie in the file, and how they are walked along, in whatever order."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import threading

import numpy as np
import pytest
from cache_world import WIDTH, fill, keys, read, right, vectors
from hypothesis import example, given
from hypothesis import strategies as st

from openrouter_embed import ConfigurationError, SQLiteCache
from openrouter_embed.cache import reading, writing


@pytest.fixture
def asked(monkeypatch):
    """Sizes of the questions to the index."""
    sizes = []
    find = reading.find
    monkeypatch.setattr(
        reading,
        "find",
        lambda connection, wanted: sizes.append(len(wanted)) or find(connection, wanted),
    )
    return sizes


def put_together(cache, *parts, **options):
    cache.put_together([(keys(names), vectors(names)) for names in parts], **options)


def packs(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [size for (size,) in connection.execute("SELECT length(keys) / 32 FROM pack")]


# ---------------------------------------------------------------------- side by side


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([100, 128], [50, 50, 64, 64]),
        ([65], [32, 33]),
        ([1, 1, 1, 40], [43]),
        ([10, 100], [55, 55]),
        ([64, 3], [64, 3]),
    ],
)
def test_what_came_together_lies_together_and_little_shares_a_pack(cache, path, sizes, expected):
    starts = np.cumsum([0, *sizes])
    parts = [range(a, b) for a, b in itertools.pairwise(starts)]
    put_together(cache, *parts)
    assert packs(path) == expected
    assert right(cache, range(starts[-1])) == set(range(starts[-1]))


def test_a_key_that_two_parts_hold_is_kept_once_unless_it_is_replaced(cache):
    put_together(cache, range(40), range(20, 60))
    assert cache.stats().vectors == 60
    old, new = np.zeros((40, WIDTH), np.float32), np.ones((40, WIDTH), np.float32)
    cache.put_together([(keys(range(40)), old), (keys(range(40)), new)], replace=True)
    assert all((row == 1).all() for row in read(cache, range(40)).values())
    assert right(cache, range(40, 60)) == set(range(40, 60))


def test_parts_of_the_wrong_shape_are_refused_before_any_is_written(cache):
    with pytest.raises(ConfigurationError, match="one vector for each"):
        cache.put_together([(keys(range(3)), vectors(range(3))), (keys([7]), vectors([7, 8]))])
    assert right(cache, range(3)) == set()


def test_parts_of_two_widths_are_refused(cache):
    with pytest.raises(ConfigurationError, match="one width"):
        cache.put_together([(keys([1]), vectors([1])), (keys([2]), vectors([2], width=9))])


def test_wide_vectors_take_several_statements(cache, monkeypatch):
    monkeypatch.setattr(writing, "STATEMENT", 20_000)
    fill(cache, range(500))
    assert right(cache, range(500)) == set(range(500))


# ---------------------------------------------------------------------- along the way


def test_along_the_order_of_buying_the_index_is_asked_once_for_each_part(cache, asked):
    parts = [range(start, start + 128) for start in range(0, 2560, 128)]
    put_together(cache, *parts[::-1])
    asked.clear()
    assert right(cache, range(2560)) == set(range(2560))
    assert asked
    assert set(asked) == {1}
    assert len(asked) <= len(parts)


def test_where_a_portion_ends_within_a_pack_the_walk_goes_on_in_it(cache, asked, monkeypatch):
    monkeypatch.setattr(reading, "PORTION", 100)
    fill(cache, ["alone"])
    fill(cache, range(1000))
    asked.clear()
    assert right(cache, ["alone", *range(999)]) == {"alone", *range(999)}
    assert sum(asked) < 150


def test_keys_in_no_order_are_looked_up_many_at_a_time(cache, asked):
    fill(cache, range(2000))
    names = list(np.random.default_rng(0).permutation(2000))
    asked.clear()
    assert right(cache, names) == set(range(2000))
    assert len(asked) < 10


def test_in_an_order_of_its_own_much_is_read_pack_by_pack(cache, path, monkeypatch):
    monkeypatch.setattr(reading, "PORTION", 64)
    fetched = []
    fetch = reading._fetch
    monkeypatch.setattr(
        reading, "_fetch", lambda connection, run: fetched.append(run) or fetch(connection, run)
    )
    fill(cache, range(6000))
    names = list(np.random.default_rng(0).permutation(6000))
    assert right(cache, names) == set(range(6000))
    assert len(fetched) < 1500


def test_what_is_missing_in_the_middle_is_missing_and_the_rest_is_there(cache):
    fill(cache, range(300))
    fill(cache, range(310, 600))
    names = [*range(50), "never", *range(50, 700)]
    assert right(cache, names) == {*range(300), *range(310, 600)}


def test_a_vector_that_was_replaced_is_never_met_again(cache, path):
    fill(cache, range(640))
    some = [3, 64, 65, 200, 639]
    cache.put(keys(some), np.full((5, WIDTH), 7, np.float32), replace=True)
    for names in (range(640), range(60, 300), some):
        table = read(cache, names)
        assert table.keys() == set(names)
        assert all((table[name] == 7).all() for name in table if name in some)
    assert right(cache, set(range(640)) - set(some)) == set(range(640)) - set(some)
    assert cache.stats().vectors == 640


def test_a_vector_that_is_unsound_where_it_is_met_is_found_where_the_index_leads(cache, path):
    fill(cache, range(64), width=1536)
    cache.close()
    data = bytearray(path.read_bytes())
    middle = data.find(vectors([30], 1536).tobytes()[:200])
    assert middle > 0
    data[middle + 100] ^= 1
    path.write_bytes(data)
    assert right(cache, range(64), width=1536) == set(range(64)) - {30}
    fill(cache, [30], width=1536)
    assert right(cache, range(64), width=1536) == set(range(64))


STEPS = st.lists(
    st.tuples(
        st.booleans(),  # whether to replace
        st.lists(st.tuples(st.integers(0, 300), st.integers(1, 90)), min_size=1, max_size=4),
    ),
    min_size=1,
    max_size=6,
)


@example(steps=[(False, [(22, 23), (36, 1)]), (True, [(36, 1)])], start=22, step=1)
@given(steps=STEPS, start=st.integers(0, 300), step=st.sampled_from([1, 1, 1, -1, 3]))
def test_after_any_writes_a_walk_gives_what_was_kept_last(tmp_path_factory, steps, start, step):
    """Each write holds its own number in all its vectors."""
    kept = {}
    with SQLiteCache(tmp_path_factory.mktemp("walk") / "c.sqlite") as cache:
        for number, (replace, spans) in enumerate(steps):
            parts = [range(first, first + count) for first, count in spans]
            rows = [np.full((len(part), 4), number, np.float32) for part in parts]
            cache.put_together(
                [(keys(part), row) for part, row in zip(parts, rows, strict=True)], replace=replace
            )
            for name in {name for part in parts for name in part}:
                if replace or name not in kept:
                    kept[name] = number
        names = list(range(400))[start::step]
        found = {name: row.tolist() for name, row in read(cache, names).items()}
        assert found == {name: [kept[name]] * 4 for name in names if name in kept}


@pytest.mark.parametrize("count", [1, 3, 200])
def test_what_is_replaced_while_it_is_looked_up_stays_in_the_index(cache, monkeypatch, count):
    """The place that was found is no longer right, but the entry is: another wrote it meanwhile."""
    names = list(np.random.default_rng(0).permutation(count))
    fill(cache, range(count))
    fetch = reading._fetch

    def late(connection, run):
        monkeypatch.setattr(reading, "_fetch", fetch)
        with SQLiteCache(cache.path) as other:
            fill(other, range(count), replace=True)
        return fetch(connection, run)

    monkeypatch.setattr(reading, "_fetch", late)
    read(cache, names)
    fill(cache, ["another"])  # writes down what was noted
    assert right(cache, range(count)) == set(range(count))


def test_two_walks_do_not_wait_for_each_other(cache):
    fill(cache, range(100))
    done = threading.Event()
    with cache._reader._lock:
        thread = threading.Thread(
            target=lambda: [*cache.walk(keys(range(100)), second=True)] and done.set()
        )
        thread.start()
        assert done.wait(5)
    thread.join()
