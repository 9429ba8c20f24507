"""Whole schedules on a fake clock: what pacing does to a server that limits, fails or goes down."""

from __future__ import annotations

import statistics

import pytest
from core_world import World, admits, answer, down, failing, refusal, steady

from openrouter_embed.core.pacing import RETRY_CAPACITY
from openrouter_embed.errors import ServerError

LATENCY = 0.15
FAST = range(1)
MANY = range(100, 160)

seeds = pytest.mark.parametrize("seed", FAST)
many_seeds = pytest.mark.parametrize("seed", MANY)
slow = pytest.mark.slow


def finish(world, job):
    world.run()
    result = job.result()
    assert result.vectors[:, 0].tolist() == list(range(len(result)))
    return result


def seconds(world):
    return world.now - 1000.0


def statuses(sent):
    return [one.outcome.status for one in sent]


# ---------------------------------------------------------------- D18: so many in flight, no more

REQUESTS = {1: 300, 2: 500, 4: 1000, 8: 1600, 20: 2500, 50: 4000}


def settles(places, seed):
    world = World(admits(places, LATENCY), seed)
    count = REQUESTS[places]
    finish(world, world.job(count))
    late = world.sent[len(world.sent) // 3 :]
    served = [one.in_flight for one in late if one.in_flight]
    # A refusal takes a quarter at most, so the limit swings by that; what is served hardly does.
    assert abs(world.pacer.limit.limit - places) <= max(1, 0.25 * places)
    assert abs(statistics.median(served) - places) <= max(1, 0.15 * places)
    assert statuses(late).count(429) < 0.05 * len(late)
    assert seconds(world) < 1.15 * count * LATENCY / places + 3.0


@seeds
@pytest.mark.parametrize("places", [1, 4, 20])
def test_in_flight_settles_at_what_the_server_serves(places, seed):
    settles(places, seed)


@slow
@many_seeds
@pytest.mark.parametrize("places", REQUESTS)
def test_in_flight_settles_under_every_chance(places, seed):
    settles(places, seed)


def test_refusals_as_slow_as_answers_do_not_mislead():
    world = World(admits(4, LATENCY, quick=LATENCY))
    finish(world, world.job(600))
    assert abs(world.pacer.limit.limit - 4) <= 1


def test_a_server_that_grows_is_used_in_full_again():
    def serve(sent, world):
        return admits(4 if len(world.sent) < 400 else 24, LATENCY)(sent, world)

    world = World(serve)
    finish(world, world.job(5000))
    assert 24 - 5 <= world.pacer.limit.limit <= 24 + 2  # the last refusal takes up to five


def test_several_calls_share_what_the_server_serves():
    world = World(admits(8, LATENCY))
    jobs = [world.job(200) for _ in range(5)]
    world.run()
    assert all(len(job.result()) == 200 for job in jobs)
    assert abs(world.pacer.limit.limit - 8) <= 1


# ---------------------------------------------------------------- no errors at all


def test_slow_start_reaches_the_highest_in_three_round_trips():
    world = World(steady(LATENCY))
    finish(world, world.job(1000))
    first = next(one for one in world.sent if one.in_flight == 64)
    assert first.at - 1000.0 <= 3 * LATENCY
    assert world.highest == 64


def test_a_highest_limit_is_never_passed():
    world = World(steady(LATENCY), max_concurrency=5)
    finish(world, world.job(100))
    assert world.highest == 5


# ---------------------------------------------------------------- D17: random failures


def throughput(seed, count=1000, concurrency=16):
    """The share of a faultless run's throughput that is left at 30 % failures."""
    calm = World(steady(LATENCY), seed, max_concurrency=concurrency)
    finish(calm, calm.job(count))
    storm = World(failing(0.3, LATENCY), seed, max_concurrency=concurrency)
    result = finish(storm, storm.job(count, max_retries=10))
    assert result.usage.requests == len(storm.sent) > count
    return seconds(calm) / seconds(storm)


@seeds
def test_a_third_of_random_failures_costs_less_than_two_fifths_of_throughput(seed):
    assert throughput(seed) >= 0.6


@slow
@many_seeds
def test_random_failures_are_survived_under_every_chance(seed):
    assert throughput(seed) >= 0.6


@slow
def test_random_failures_are_survived_at_full_speed():
    """The last request may be unlucky for seconds, which weighs more the shorter the call is."""
    assert statistics.median(throughput(seed, 4000, 64) for seed in range(15)) >= 0.6


# ---------------------------------------------------------------- D15: outage


@pytest.mark.parametrize("calls", [1, 10, 100, 1000])
def test_an_outage_costs_the_calls_and_the_retry_budget_at_most(calls):
    world = World(down(0, 1e9))
    jobs = [world.job(1) for _ in range(calls)]
    world.run()
    assert len(world.sent) <= calls + RETRY_CAPACITY
    for job in jobs:
        with pytest.raises(ServerError):
            job.result()


def test_a_large_call_in_an_outage_ends_within_the_retry_budget():
    world = World(down(0, 1e9))
    job = world.job(1000)
    world.run()
    assert len(world.sent) <= 1 + RETRY_CAPACITY
    with pytest.raises(ServerError) as caught:
        job.result()
    assert len(caught.value.result.failures) == 1000


def test_an_outage_is_met_with_single_attempts_and_pauses():
    world = World(down(0, 1e9))
    world.job(1000)
    world.run()
    late = [one.at for one in world.sent[40:]]
    assert all(one.in_flight == 1 for one in world.sent[40:])
    assert (late[-1] - late[0]) / len(late) > 0.2


# ---------------------------------------------------------------- D16: down for three seconds


def recovers(seed, concurrency):
    begin, end = 1002.0, 1005.0
    world = World(down(begin, end, LATENCY), seed, max_concurrency=concurrency)
    count = 55 * concurrency
    finish(world, world.job(count))
    assert statuses(world.sent).count(503) < RETRY_CAPACITY
    back = [one for one in world.sent if one.at >= end]
    assert back[0].at - end < 1.5
    full = next(one for one in back if one.in_flight >= 0.9 * concurrency)
    assert full.at - end < 8.0
    assert seconds(world) < count * LATENCY / concurrency + 10.0


@seeds
@pytest.mark.parametrize("concurrency", [16])
def test_after_three_seconds_of_outage_the_call_goes_on_at_full_speed(seed, concurrency):
    recovers(seed, concurrency)


@slow
@many_seeds
@pytest.mark.parametrize("concurrency", [4, 16, 64])
def test_three_seconds_of_outage_are_survived_under_every_chance(seed, concurrency):
    recovers(seed, concurrency)


@pytest.mark.parametrize("seed", range(5))
def test_an_outage_from_the_first_request_on_is_survived(seed):
    world = World(down(1000.0, 1003.0, LATENCY), seed)
    finish(world, world.job(500))
    assert statuses(world.sent).count(503) < RETRY_CAPACITY / 2


# ---------------------------------------------------------------- D20: chance


def moments(seed, server):
    """When the attempts of a lone request went out, but for the first."""
    world = World(server, seed)
    world.job(1)
    world.run()
    assert len(world.sent) > 5
    return {one.at for one in world.sent[1:]}


@pytest.mark.parametrize("headers", [{}, {"retry-after": "2"}])
@pytest.mark.parametrize("status", [429, 503])
def test_two_clients_with_different_chance_never_send_at_the_same_moment(status, headers):
    def serve(sent, world):
        return 0.01, refusal(status, headers=headers)

    met = moments(1, serve) & moments(2, serve)
    assert not met


# ---------------------------------------------------------------- D10 and fairness


def test_one_retry_after_cools_every_call_of_the_client():
    told = {"retry-after": "2"}

    def serve(sent, world):
        first = len(world.sent) == 1
        return (0.01, refusal(429, headers=told)) if first else (LATENCY, answer(sent.request))

    world = World(serve, max_concurrency=8)
    world.job(50)
    world.run(until=1000.005)
    world.job(50)
    world.run()
    refused = world.sent[0].at + 0.01
    assert not [one for one in world.sent if refused < one.at < refused + 2.0]
    after = min(one.at for one in world.sent if one.at > refused)
    assert refused + 2.0 <= after <= refused + 2.2


def test_a_query_does_not_wait_for_a_bulk_call_to_end():
    world = World(steady(LATENCY), max_concurrency=4)
    world.job(400)
    world.run(until=1003.0)
    asked = world.now
    world.job(1)
    world.run()
    (query,) = (one for one in world.sent if one.job == 1)
    assert query.at - asked <= 2 * LATENCY


def test_bulk_calls_share_the_places_evenly():
    world = World(steady(LATENCY), max_concurrency=4)
    for _ in range(4):
        world.job(100)
    world.run(until=1000.0 + 50 * LATENCY)
    shares = [sum(one.job == number for one in world.sent) for number in range(4)]
    assert max(shares) - min(shares) <= 0.3 * max(shares)
