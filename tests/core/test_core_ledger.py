"""A spending limit is kept, whatever requests cost up to the margin, and however they end."""

from __future__ import annotations

import threading
from random import Random

import pytest
from core_world import World, answer, refusal
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core.bill import Prices
from openrouter_embed.core.ledger import MARGIN, Ledger
from openrouter_embed.core.wire import Fault, FaultKind

ROUNDING = 1 + 1e-9


def test_the_first_request_is_held_to_the_margin_though_it_is_alone():
    ledger = Ledger(1.0)
    assert not ledger.reserve(0.41)
    assert ledger.reserve(0.4)


def test_a_limit_holds_against_everything_reserved_and_spent():
    ledger = Ledger(1.0)
    assert ledger.reserve(0.2)
    assert not ledger.reserve(0.21)
    ledger.settle(0.2, 0.5)
    assert ledger.reserve(0.2)
    assert (ledger.spent, ledger.held) == (0.5, 0.2)
    assert not ledger.reserve(0.01)


def test_without_a_limit_anything_goes():
    assert Ledger().reserve(1e12)


def test_what_nobody_can_tell_counts_as_the_most_it_may():
    ledger = Ledger(10.0)
    ledger.reserve(1.0)
    assert ledger.busy
    ledger.settle(1.0, None)
    assert not ledger.busy
    assert (ledger.spent, ledger.held) == (MARGIN, 0.0)


def test_what_requests_cost_beyond_the_margin_later_ones_reserve_as_well():
    ledger = Ledger(10.0)
    ledger.reserve(1.0)
    ledger.settle(1.0, 4.0)
    assert not ledger.reserve(1.51)
    assert ledger.reserve(1.5)


def test_a_forked_child_has_spent_and_learned_as_much_and_holds_nothing():
    ledger = Ledger(5.0)
    ledger.reserve(0.5)
    ledger.settle(0.5, 2.0)
    ledger.reserve(0.1)
    child = ledger.twin(threading.Lock())
    assert (child.spent, child.held, child.limit, child.busy) == (2.0, 0.0, 5.0, False)
    assert child.most(1.0) == ledger.most(1.0) == 4.0


# A request: its estimate, what it is billed as a share of that, whether its answer is lost, and
# whether it comes back before the next goes out.
requests = st.lists(
    st.tuples(
        st.floats(0, 1), st.floats(0, MARGIN), st.booleans(), st.integers(0, 4)
    ),
    max_size=60,
)  # fmt: skip


@given(requests, st.floats(0, 10))
@settings(deadline=None)
def test_what_is_billed_up_to_the_margin_never_passes_the_limit(requests, limit):
    ledger = Ledger(limit)
    billed = 0.0
    flying = []
    for amount, share, lost, landing in requests:
        if ledger.reserve(amount):
            flying.append((amount, share * amount, lost))
        for _ in range(min(landing, len(flying))):
            held, cost, gone = flying.pop(0)
            billed += cost
            ledger.settle(held, None if gone else cost)
            assert billed <= limit * ROUNDING
    assert billed + sum(cost for _, cost, _ in flying) <= limit * ROUNDING


@given(requests, st.floats(0, 10), st.floats(MARGIN, 50))
@settings(deadline=None)
def test_what_is_billed_beyond_it_passes_the_limit_by_no_more_than_was_in_flight(
    requests, limit, times
):
    ledger = Ledger(limit)
    billed = 0.0
    flying = []
    for amount, share, _, landing in requests:
        if ledger.reserve(amount):
            assert billed <= limit * ROUNDING, "sent though the limit was passed"
            flying.append((amount, share * amount * times))
        for _ in range(min(landing, len(flying))):
            held, cost = flying.pop(0)
            billed += cost
            ledger.settle(held, cost)


def bills(prices, world_random, outcomes):
    """A server that bills up to the margin, and answers, refuses or loses the answer."""
    told = []

    def serve(sent, world):
        tokens = sent.request.tokens * world_random.uniform(0, MARGIN)
        outcome = world_random.choice(outcomes)
        if outcome == "refused":
            return 0.1, refusal(503)
        told.append(tokens * prices.text)
        if outcome == "lost":
            return 0.1, Fault(FaultKind.RESET, "lost")
        usage = {"total_tokens": int(tokens) + 1, "cost": told[-1]}
        return world_random.uniform(0.01, 1), answer(sent.request, usage=usage)

    return serve, told


TEXTS = st.text("ab 1Ä", min_size=1, max_size=40)


@given(
    price=st.floats(1e-9, 10),
    affordable=st.floats(0, 200),
    texts=st.lists(TEXTS, min_size=1, max_size=30, unique=True),
    outcomes=st.lists(st.sampled_from(["ok", "refused", "lost"]), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
@settings(max_examples=examples(150), deadline=None)
def test_no_call_lets_a_request_out_that_could_pass_the_limit(
    price, affordable, texts, outcomes, seed
):
    limit = affordable * price
    random = Random(seed)
    concurrency = random.randint(1, 8)
    serve, told = bills(Prices(price), random, outcomes)
    world = World(serve, max_concurrency=concurrency)
    ledger = Ledger(limit)
    for part in (texts[::2], texts[1::2]):
        world.job(part, ledger=ledger, price=price)
    world.run()
    assert sum(told) <= limit * ROUNDING
    assert sum(told) <= ledger.spent * ROUNDING, "what may have been billed was forgotten"
    assert ledger.held == pytest.approx(0.0)


def test_a_request_that_is_too_dear_as_a_whole_goes_out_in_smaller_ones():
    """A limit somewhat above the cost of a call buys all of it, however it was packed."""
    costs = lambda sent, world: (0.1, answer(sent.request, usage=usage_of(sent.request)))  # noqa: E731
    ledger = Ledger(26.0)
    world = World(costs)
    job = world.job(16, per_request=16, ledger=ledger, price=1.0)
    world.run()
    assert len(job.result()) == 16
    assert ledger.spent == sum(job._plan.tokens.values())
    assert len(world.sent) > 1


def usage_of(request):
    return {"total_tokens": request.tokens, "cost": float(request.tokens)}


def test_a_price_of_its_own_holds_a_medium_to_the_limit():
    prices = Prices(1e-6, {"image": 5e-6})
    assert prices.cost(268, {"image": 258}) == pytest.approx(10e-6 + 258 * 5e-6)
    assert prices.cost(268, {"file": 258}) == pytest.approx(268e-6)
