"""The store in an SQLite file: what was put is what is got."""

from __future__ import annotations

import copy
import pickle
import threading
import time

import numpy as np
import pytest
from cache_world import WIDTH, fill, key, keys, names_in, read, right, vector, vectors

import openrouter_embed
from openrouter_embed import CacheError, ConfigurationError, EmbeddingCache, SQLiteCache


def test_what_was_put_is_got_bit_for_bit(cache):
    fill(cache, range(300))
    assert right(cache, range(300)) == set(range(300))


def test_what_was_not_put_is_not_got(cache):
    fill(cache, range(10))
    assert right(cache, range(5, 15)) == set(range(5, 10))
    assert cache.get([]) == []


@pytest.mark.parametrize("count", [1, 2, 4, 5, 63, 64, 65, 700, 1100])
def test_any_number_at_once(cache, count):
    fill(cache, range(1100))
    names = range(1100 - count, 1100)
    assert right(cache, names) == set(names)


def test_positions_are_those_of_the_keys_that_were_asked_for(cache):
    fill(cache, range(200))
    names = list(np.random.default_rng(0).permutation(400))
    assert right(cache, names) == set(range(200))


@pytest.mark.parametrize("width", [1, 2, 3, 7, 1536, 4097])
def test_any_width(cache, width):
    fill(cache, range(70), width=width)
    assert right(cache, range(70), width=width) == set(range(70))


def test_vectors_of_several_widths_come_in_portions_of_one(cache):
    fill(cache, range(10), width=8)
    fill(cache, range(10, 20), width=16)
    found = cache.get(keys(range(20)))
    assert sorted(portion.vectors.shape for portion in found) == [(10, 8), (10, 16)]


def test_odd_numbers_survive(cache):
    rows = np.array([[0.0, -0.0, 1e-45, 3.4e38]], dtype=np.float32)
    cache.put([key("odd")], rows)
    (found,) = cache.get([key("odd")])
    assert found.vectors.tobytes() == rows.tobytes()


def test_views_and_other_layouts_are_kept_as_what_they_show(cache):
    whole = np.arange(80, dtype=np.float32).reshape(10, 8)
    cache.put(keys(range(5)), whole[::2, ::-1])
    (found,) = cache.get(keys(range(5)))
    assert np.array_equal(found.vectors, whole[::2, ::-1])


def test_who_served_is_told(cache):
    fill(cache, range(6), host="DeepInfra")
    fill(cache, range(6, 9))
    hosts = {tuple(found.at): found.host for found in cache.get(keys(range(9)))}
    assert {"DeepInfra", ""} == set(hosts.values())


def test_what_is_there_stays_unless_it_is_replaced(cache):
    cache.put([key("x")], np.ones((1, 4), np.float32))
    cache.put([key("x")], np.zeros((1, 4), np.float32))
    assert cache.get([key("x")])[0].vectors.tolist() == [[1.0] * 4]
    cache.put([key("x")], np.zeros((1, 4), np.float32), replace=True)
    assert cache.get([key("x")])[0].vectors.tolist() == [[0.0] * 4]


def test_what_was_replaced_takes_no_room(cache):
    fill(cache, range(200), width=1024)
    before = cache.stats().bytes
    for _ in range(5):
        fill(cache, range(200), width=1024, replace=True)
    assert cache.stats().bytes <= 1.1 * before
    assert cache.stats().vectors == 200
    assert right(cache, range(200), width=1024) == set(range(200))


def test_a_file_outlives_its_object(path):
    with SQLiteCache(path) as first:
        fill(first, range(100))
    with SQLiteCache(path) as second:
        assert right(second, range(100)) == set(range(100))


def test_a_closed_file_is_whole_by_itself(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(100))
    assert names_in(path.parent) == [path.name]


def test_a_closed_cache_opens_again(cache):
    fill(cache, range(10))
    cache.close()
    assert right(cache, range(10)) == set(range(10))


def test_nothing_is_opened_before_it_is_needed(path):
    cache = SQLiteCache(path)
    assert not path.exists()
    cache.close()
    assert not path.exists()


def test_an_object_that_nobody_closed_leaves_no_warning(path):
    cache = SQLiteCache(path)
    fill(cache, range(10))
    del cache
    assert names_in(path.parent) == [path.name]


def test_it_is_a_cache_by_its_protocol(cache):
    assert isinstance(cache, EmbeddingCache)


def test_copies_share_the_file_and_pickles_name_it(path):
    with SQLiteCache(path, max_bytes=10**9, max_age=60.0) as cache:
        fill(cache, range(3))
        assert copy.copy(cache) is cache
        assert copy.deepcopy(cache) is cache
        with pickle.loads(pickle.dumps(cache)) as other:
            assert (other.path, other.max_bytes, other.max_age) == (str(path), 10**9, 60.0)
            assert right(other, range(3)) == {0, 1, 2}


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SQLiteCache("here.sqlite") as cache:
        monkeypatch.chdir("/")
        fill(cache, range(3))
    assert (tmp_path / "here.sqlite").exists()


@pytest.mark.parametrize("name", ["a b?c#d%20.sqlite", "ünïcode.sqlite", "semi;colon&.sqlite"])
def test_any_name_a_file_may_have(tmp_path, name):
    with SQLiteCache(tmp_path / name) as cache:
        fill(cache, range(3))
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": ""}, "`path`"),
        ({"path": 3}, "`path`"),
        ({"path": "/"}, "names the folder"),
        ({"path": "/no/such/folder/x"}, "does not exist"),
        ({"max_bytes": 0}, "`max_bytes`"),
        ({"max_bytes": "1 GB"}, "`max_bytes`"),
        ({"max_age": -1}, "`max_age`"),
        ({"max_age": True}, "`max_age`"),
        ({"read_only": 1}, "`read_only`"),
    ],
)
def test_wrong_options_are_refused_when_they_are_given(path, options, said):
    with pytest.raises(ConfigurationError, match=said):
        SQLiteCache(**{"path": path, **options})


def test_wrong_keys_and_shapes_are_refused(cache):
    with pytest.raises(ConfigurationError, match="32 bytes"):
        cache.get([b"short"])
    with pytest.raises(ConfigurationError, match="one vector for each"):
        cache.put(keys(range(2)), vectors(range(3)))


def test_read_only_reads_and_refuses_to_write(path):
    with SQLiteCache(path) as cache:
        fill(cache, range(5))
    with SQLiteCache(path, read_only=True) as cache:
        assert right(cache, range(5)) == set(range(5))
        with pytest.raises(CacheError, match="cannot be written to") as caught:
            fill(cache, range(5, 6))
        assert caught.value.trouble == "read_only"
        assert cache.tend() is False


def test_made_in_one_thread_and_used_in_many(cache):
    wrong = []

    def work(number):
        names = range(number * 50, number * 50 + 50)
        fill(cache, names)
        if right(cache, names) != set(names):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.stats().vectors == 400


def test_stats_count_what_is_there(cache):
    fill(cache, range(150))
    stats = cache.stats()
    assert stats.vectors == 150
    assert 150 * WIDTH * 4 < stats.bytes <= stats.file_bytes
    assert time.time() - 100 < stats.oldest <= stats.newest <= time.time()


def test_the_file_holds_hashes_and_numbers_alone(cache, path):
    fill(cache, ["a secret text"])
    cache.close()
    data = path.read_bytes()
    assert b"secret" not in data
    assert key("a secret text") in data
    assert vector("a secret text").tobytes() in data


def test_public_names_are_there():
    for name in ("SQLiteCache", "EmbeddingCache", "CacheStats", "CacheError", "CacheWarning"):
        assert name in openrouter_embed.__all__
        assert getattr(openrouter_embed, name) is not None


def test_a_portion_is_told_as_a_run_where_it_is_one(cache):
    fill(cache, range(64))
    (found,) = cache.get(keys(range(64)))
    assert found.at == range(64)
    assert read(cache, range(64)).keys() == set(range(64))
