"""How many requests a call can make use of."""

from __future__ import annotations

import math

import pytest

from openrouter_embed.core.flow import LEAST, Flow


def play(flow, waits, *, busy, left=10):
    """Land requests one after the other, each after a wait, and work on each for a while."""
    now = 0.0
    for wait in waits:
        sent, idle = now, flow.idle
        flow.stop(now)
        now += wait
        flow.go_on(now)
        now += busy
        flow.landed(now, sent=sent, idle=idle, left=left)
    return flow.width


def test_a_call_that_has_seen_nothing_is_not_limited():
    assert Flow().width == math.inf


def test_who_waits_for_answers_is_not_limited():
    assert play(Flow(), [1.0] * 5, busy=0.1) == math.inf


def test_who_is_busy_all_the_time_keeps_to_what_is_in_flight():
    assert play(Flow(), [0.05], busy=1.0, left=7) == 7


def test_two_in_flight_are_always_worth_it():
    assert play(Flow(), [0.0], busy=1.0, left=0) == LEAST


def test_who_must_wait_again_gets_one_more_with_every_answer():
    flow = Flow()
    play(flow, [0.0], busy=1.0, left=2)
    assert play(flow, [1.0, 1.0, 1.0], busy=0.1) == 5


def test_only_time_between_stop_and_go_on_counts():
    flow = Flow()
    flow.go_on(5.0)
    flow.stop(10.0)
    flow.go_on(12.0)
    flow.go_on(20.0)
    assert flow.idle == 2.0


def test_a_clock_that_steps_back_takes_no_time_away():
    flow = Flow()
    flow.stop(10.0)
    flow.go_on(9.0)
    assert flow.idle == 0.0


@pytest.mark.parametrize("wait", [0.2, 5.0])
def test_a_tenth_of_the_round_trip_is_the_measure(wait):
    assert play(Flow(), [wait], busy=wait * 8.9) == math.inf
    assert play(Flow(), [wait], busy=wait * 9.1) == 10
