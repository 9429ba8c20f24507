"""What a call need not buy: recalled, waited for, or refused to be bought; without any store."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from openrouter_embed.core.backlog import Backlog
from openrouter_embed.core.call import make_call
from openrouter_embed.core.callbacks import Callbacks
from openrouter_embed.core.collect import Collector
from openrouter_embed.core.growth import Growth
from openrouter_embed.core.kept import Kept
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.errors import CacheMissError
from openrouter_embed.options.settings import make_settings


class News(NamedTuple):
    unit: int
    row: np.ndarray | None
    host: str = ""


class Cache:
    def __init__(self):
        self.mail = []
        self.full = False

    def news(self):
        mail, self.mail = self.mail, []
        return mail

    def congested(self):
        return self.full

    def landed(self, units, rows, host, *, averaged):
        raise AssertionError("nothing lands here")


@pytest.fixture
def cache():
    return Cache()


@pytest.fixture
def world(cache):
    class World:
        def make(self, inputs, **options):
            told = make_settings({"model": "m", "api_key": "k", **options}, {})
            call = make_call(told, None, None)
            plan = call.plan(inputs)
            self.used = []
            self.rows = Collector(plan, told.dimensions)
            self.memory = ModelMemory()
            growth = Growth(call.limits, self.memory, call.bodies.route, told.timeout)
            self.backlog = Backlog(plan, call.limits, growth, spread=True)
            callbacks = Callbacks(chance=float, wake=print, cache=cache, on_usage=self.used.append)
            return Kept(call, self.rows, self.backlog, self.memory, callbacks)

        def to_send(self):
            units = []
            while self.backlog.fresh:
                units += self.backlog.take(0.0, 1, probe=False).units
            return units

    return World()


def rows(*numbers, width=3):
    return np.array([[number] * width for number in numbers], dtype=np.float32)


def test_without_anything_kept_all_is_sent(world):
    kept = world.make(["a", "b", "c"])
    assert list(kept.missing) == [0, 1, 2]
    kept.begin(())
    assert world.to_send() == [0, 1, 2]


def test_what_was_recalled_is_not_sent_and_is_counted(world):
    kept = world.make(["a", "b", "c", "d"])
    kept.recall([1, 3], rows(1, 3), "Host", averaged=False)
    kept.begin(())
    assert world.to_send() == [0, 2]
    assert world.rows.rows.at([1, 3]).tolist() == rows(1, 3).tolist()
    assert [(u.inputs, u.cache_hits) for u in world.used] == [(2, 2)]


def test_another_width_than_the_first_counts_as_absent(world):
    kept = world.make(["a", "b"])
    kept.recall(range(1), rows(1), "", averaged=False)
    kept.recall([1], rows(1, width=4), "", averaged=False)
    assert list(kept.missing) == [1]


def test_another_width_than_was_asked_for_counts_as_absent(world):
    kept = world.make(["a"], dimensions=4)
    kept.recall([0], rows(1), "", averaged=False)
    assert list(kept.missing) == [0]


def test_a_call_that_keeps_to_one_host_takes_the_first_ones_vectors_alone(world):
    kept = world.make(["a", "b", "c"], pin_provider=True)
    kept.recall([0], rows(1), "One", averaged=False)
    kept.recall([1], rows(1), "Other", averaged=False)
    kept.recall([2], rows(1), "One", averaged=False)
    assert list(kept.missing) == [1]


def test_what_others_are_buying_is_waited_for(world, cache):
    kept = world.make(["a", "b", "c"])
    kept.begin({1, 2})
    assert world.to_send() == [0]
    cache.mail = [News(1, rows(7)[0], "Host"), News(2, None)]
    kept.read_news()
    assert not kept.awaited
    assert world.rows.rows.at([1]).tolist() == rows(7).tolist()
    assert world.to_send() == [2]


def test_a_vector_that_another_bought_but_cannot_be_used_is_bought(world, cache):
    kept = world.make(["a", "b"], dimensions=4)
    kept.begin({1})
    cache.mail = [News(1, rows(7)[0])]
    kept.read_news()
    assert world.to_send() == [0, 1]


@pytest.mark.parametrize("others", [(), {0, 1}])
def test_nothing_is_sent_or_waited_for_if_nothing_may_be_bought(world, others):
    kept = world.make(["a", "b", "c"], cache_only=True, cache="/c.sqlite")
    kept.recall([2], rows(1), "", averaged=False)
    kept.begin(others)
    assert world.to_send() == []
    assert not kept.awaited
    assert {type(error) for error in world.rows.failures.values()} == {CacheMissError}
    assert sorted(world.rows.failures) == [0, 1]


def test_a_cache_that_cannot_keep_up_is_told(world, cache):
    kept = world.make(["a"])
    assert not kept.congested
    cache.full = True
    assert kept.congested
