"""One bill and one limit: whatever workers do, and in whatever order, all stay within it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed import BudgetExceededError, Usage
from openrouter_embed.ray.account import PATIENCE, Account, Wish
from openrouter_embed.ray.leases import AHEAD, LeasedLedger


def usage(tokens):
    return Usage(prompt_tokens=tokens, total_tokens=tokens, cost=tokens / 1e6, requests=1, inputs=1)


def wish(needed, *, spent=0.0, held=0.0, wanted=None):
    return Wish(spent=spent, held=held, needed=needed, wanted=wanted or needed)


def ledger(account, name, limit):
    return LeasedLedger(limit, lambda wished: account.lease(name, wished, 0.0))


def test_the_bill_is_the_sum_of_the_workers_last_words():
    account = Account()
    account.report("a", usage(10))
    account.report("b", usage(5))
    account.report("a", usage(30))
    account.report("a", usage(30))  # a message that came twice
    assert account.usage().total_tokens == 35
    assert account.usage().cost == pytest.approx(35e-6)
    assert account.usage().requests == 2


def test_a_lease_is_what_is_wanted_and_no_more_than_there_is():
    account = Account(10.0)
    assert account.lease("a", wish(1, wanted=8), 0.0).limit == 8
    assert account.lease("b", wish(1, wanted=8), 0.0).limit == 2
    assert account.lease("c", wish(1, wanted=8), 0.0).limit == 0


def test_what_does_not_suffice_for_a_request_is_left_for_others():
    account = Account(10.0)
    account.lease("a", wish(8), 0.0)
    assert account.lease("b", wish(3), 0.0).limit == 0
    assert account.lease("c", wish(2), 0.0).limit == 2


def test_what_is_given_back_can_be_leased_by_others():
    account = Account(10.0)
    account.lease("a", wish(10), 0.0)
    assert account.lease("b", wish(4), 0.0).others
    account.give_back("a", 3.0, 2.0, 0.0)
    assert account.lease("b", wish(4), 0.0).limit == 4


def test_nobody_waits_for_a_worker_that_gave_all_back_or_is_long_silent():
    account = Account(10.0)
    account.lease("a", wish(10), 0.0)
    assert account.lease("b", wish(4), PATIENCE - 1).others
    assert not account.lease("b", wish(4), PATIENCE + 1).others
    account.give_back("a", 10.0, 0.0, 100.0)
    assert not account.lease("b", wish(4), 100.0).others


def test_what_a_silent_worker_was_allowed_counts_as_spent():
    account = Account(10.0)
    account.lease("dead", wish(6), 0.0)
    assert account.lease("b", wish(1, wanted=10), 1e9).limit == 4


def test_a_ledger_asks_once_for_many_requests():
    account, asked = Account(1000.0), []

    def ask(wished):
        asked.append(wished)
        return account.lease("a", wished, 0.0)

    one = LeasedLedger(1000.0, ask)
    for _ in range(AHEAD):
        assert one.reserve(1.0)
    assert len(asked) == 1


def test_nothing_is_set_aside_while_it_is_given_back():
    account, told = Account(1000.0), []

    class Slow(LeasedLedger):
        """Another thread sends a request in the middle of giving back."""

        other = None

        def most(self, amount):
            if told and self.other is None:
                self.other = threading.Thread(target=self.reserve, args=(1.0,))
                self.other.start()
                self.other.join(0.2)
            return super().most(amount)

    one = Slow(1000.0, lambda wished: account.lease("a", wished, 0.0))
    assert one.reserve(1.0)
    one.settle(1.0, 1.0)
    told.append(True)
    one.give_back(lambda spent, held: told.append((spent, held)))
    one.other.join()
    assert told[1] == (1.0, 0.0)
    assert one.spent + one.most(one.held) <= one.limit


def test_a_ledger_that_gets_nothing_says_what_all_have_spent():
    account = Account(10.0)
    first, second = ledger(account, "a", 10.0), ledger(account, "b", 10.0)
    assert first.reserve(3.0)
    first.settle(3.0, 7.0)
    assert not second.reserve(3.0)
    error = second.refusal(3.0)
    assert isinstance(error, BudgetExceededError)
    assert "`max_cost` of $10, which all workers share" in error.message


def test_a_ledger_is_busy_while_another_worker_may_give_back():
    account = Account(10.0)
    first, second = ledger(account, "a", 10.0), ledger(account, "b", 10.0)
    assert first.reserve(4.0)
    assert not second.reserve(4.0)
    assert second.busy
    first.settle(4.0, 1.0)
    first.give_back(lambda spent, held: account.give_back("a", spent, held, 0.0))
    assert second.reserve(1.0)


def test_two_ledgers_that_wait_for_nothing_but_each_other_do_not_wait():
    account = Account(1.0)
    first, second = ledger(account, "a", 1.0), ledger(account, "b", 1.0)
    assert not first.reserve(1.0)
    assert not second.reserve(1.0)
    assert not first.reserve(1.0)
    assert not first.busy
    assert not second.busy


steps = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0.01, 3.0), st.floats(0.0, 2.5), st.booleans()),
    max_size=60,
)


@settings(max_examples=examples(150), deadline=None)
@given(steps=steps)
def test_no_order_of_requests_passes_the_limit(steps):
    """Each costs up to the margin; workers keep it in flight, settle it, or give back at once."""
    account, limit = Account(20.0), 20.0
    workers = [ledger(account, str(number), limit) for number in range(3)]
    flights = [[], [], []]
    for number, amount, factor, keep in steps:
        worker = workers[number]
        if worker.reserve(amount):
            flights[number].append((amount, factor))
        if not keep and flights[number]:
            held, times = flights[number].pop(0)
            worker.settle(held, held * times)
            worker.give_back(
                lambda spent, held, name=str(number): account.give_back(name, spent, held, 0.0)
            )
        most = sum(one.spent + one.most(one.held) for one in workers)
        assert most <= limit * (1 + 1e-9)


def test_threads_of_one_worker_share_a_ledger():
    account = Account(50.0)
    one = ledger(account, "a", 50.0)

    def spend():
        for _ in range(200):
            if one.reserve(0.1):
                one.settle(0.1, 0.1)
            one.give_back(lambda spent, held: account.give_back("a", spent, held, 0.0))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 49.0 <= one.spent <= 50.0 + 1e-9
