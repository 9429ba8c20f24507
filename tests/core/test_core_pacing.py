"""The parts of pacing: retry budget, luck, adaptive limit, the line and the cool-down."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from properties import examples

from openrouter_embed.core import level as rules
from openrouter_embed.core import pacing
from openrouter_embed.core.level import START, AdaptiveLimit, Luck, Signal, Ticket
from openrouter_embed.core.pacing import Hold, Pacer, RetryBudget

FINE, THROTTLED, TROUBLED, NEUTRAL = Signal


def silent():
    """A wake-up that nobody hears."""


# ---------------------------------------------------------------- retry budget


def test_a_full_budget_lasts_for_its_capacity_and_no_longer():
    budget = RetryBudget(3)
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]


def test_a_retry_that_succeeds_gives_its_token_back():
    budget = RetryBudget(2)
    budget.take()
    budget.succeeded(retried=True)
    assert budget.tokens == 2


def test_a_success_at_once_earns_a_share():
    budget = RetryBudget(2)
    budget.take()
    budget.succeeded(retried=False)
    assert budget.tokens == 1 + pacing.RETRY_REFILL


@given(st.lists(st.sampled_from(["take", "retried", "first"]), max_size=300))
def test_the_budget_stays_between_nothing_and_its_capacity(steps):
    budget = RetryBudget(10)
    for step in steps:
        before = budget.tokens
        if step == "take":
            assert budget.take() == (before >= 1)
        else:
            budget.succeeded(retried=step == "retried")
        assert 0 <= budget.tokens <= 10


def test_30_percent_random_failures_leave_the_budget_in_balance():
    """What a request takes on average comes back: retries until success, one of them returned."""
    share = 0.3
    taken = share / (1 - share)
    assert (1 - share) * pacing.RETRY_REFILL + share > taken


# ---------------------------------------------------------------- luck


def luck_after(*outcomes):
    luck = Luck()
    for number, good in outcomes:
        (luck.succeeded if good else luck.failed)(number)
    return luck.failures


@pytest.mark.parametrize(
    ("outcomes", "failures"),
    [
        ([], 0),
        ([(1, False)], 1),
        ([(1, False), (2, False), (3, False)], 3),
        ([(3, False), (1, False), (2, False)], 3),  # whatever the order of arrival
        ([(1, False), (3, False)], 1),  # 2 may still succeed
        ([(1, False), (2, False), (3, True)], 0),
        ([(2, False), (3, False), (1, True)], 2),  # a success that is older ends no row
        ([(5, True), (4, False)], 1),  # a failure that is overtaken stands alone
        ([(4, True), (1, False), (2, False)], 1),
    ],
)
def test_failures_are_counted_in_the_order_of_sending(outcomes, failures):
    assert luck_after(*outcomes) == failures


def test_luck_remembers_only_as_much_as_it_needs():
    luck = Luck()
    for number in range(1000):
        luck.failed(number)
    assert luck.failures == rules.MEMORY
    assert len(luck._failed) == rules.MEMORY


# ---------------------------------------------------------------- adaptive limit


def ticket(limit, number=1, crowd=None):
    crowd = limit.crowd - 1 if crowd is None else crowd
    return Ticket(silent, number, limit.epoch, crowd)


def succeed(limit, times, took=0.2):
    for _ in range(times):
        limit.update(FINE, ticket(limit), took)


def refuse(limit, times=1):
    """Refuse requests of one round trip."""
    for old in [ticket(limit) for _ in range(times)]:
        limit.update(THROTTLED, old)


def at(level, highest=64):
    """A limit that was served and refused, and has come to a level."""
    limit = AdaptiveLimit(highest)
    succeed(limit, 1)
    refuse(limit)
    limit.level = float(level)
    return limit


def test_the_start_is_moderate_and_never_above_the_highest():
    assert AdaptiveLimit(64).limit == rules.START
    assert AdaptiveLimit(3).limit == 3


def test_the_limit_grows_with_every_success_that_had_to_share():
    limit = AdaptiveLimit(64)
    succeed(limit, 2)
    assert limit.limit == rules.START + 2 * rules.BURST
    succeed(limit, 100)
    assert limit.limit == 64


def test_it_does_not_grow_when_nobody_was_held_back():
    limit = AdaptiveLimit(64)
    limit.update(FINE, ticket(limit, crowd=limit.crowd))
    assert limit.limit == rules.START


def test_a_neutral_outcome_says_nothing():
    limit = AdaptiveLimit(64)
    limit.update(NEUTRAL, ticket(limit))
    assert (limit.limit, limit.luck.failures) == (rules.START, 0)


@pytest.mark.parametrize(("level", "left"), [(0.4, 0.3), (4, 3.0), (20, 15.0), (200, 184.0)])
def test_a_refusal_takes_a_quarter_but_not_too_much_of_a_large_level(level, left):
    limit = at(level, 256)
    refuse(limit)
    assert limit.level == pytest.approx(left)


def test_the_refusals_of_one_round_trip_count_once_but_their_number_tells_how_far_it_was_off():
    limit = at(64)
    refuse(limit, 3)
    assert limit.level == pytest.approx(58.88)
    limit = at(64)
    refuse(limit, 21)
    assert limit.level == 44


def test_the_refusals_of_one_round_trip_halve_it_at_most():
    limit = at(64)
    refuse(limit, 64)
    assert limit.level == 32


def test_a_success_raises_it_by_more_the_longer_the_run():
    limit, steps = at(1), []
    for _ in range(120):
        limit.level = 1.0
        succeed(limit, 1)
        steps.append(limit.level - 1)
    assert steps[0] == pytest.approx(rules.GAIN)
    assert steps[119] > steps[90] > steps[60] >= steps[0]


def test_where_runs_are_short_on_average_a_success_raises_it_by_less():
    def step(run):
        limit = at(rules.FEW)
        for _ in range(40):
            limit.level = rules.FEW
            succeed(limit, run)
            refuse(limit)
        limit.level = rules.FEW
        succeed(limit, 1)
        return limit.level - rules.FEW

    crowded, between, roomy = step(rules.CROWDED), step(22), step(rules.ROOMY + 2)
    assert crowded < between < roomy == pytest.approx(rules.FULL_GAIN)
    assert crowded == pytest.approx(rules.GAIN * math.sqrt(rules.FEW), abs=0.006)


def test_one_short_run_is_no_crowd():
    limit = at(rules.FEW)
    succeed(limit, rules.RUN)
    refuse(limit)
    succeed(limit, 2)
    refuse(limit)
    limit.level = rules.FEW
    succeed(limit, 1)
    assert limit.level - rules.FEW == pytest.approx(rules.FULL_GAIN)


@pytest.mark.parametrize("level", [1, 4, 16, 64])
def test_a_round_trip_of_successes_raises_it_by_less_than_one(level):
    limit = at(level, 256)
    succeed(limit, 1000)
    limit.level = float(level)
    succeed(limit, level)
    assert limit.level - level <= rules.PER_ROUND_TRIP


def test_a_refusal_ends_the_run():
    limit = at(4)
    succeed(limit, 200)
    limit.level = 4.0
    succeed(limit, 1)
    quick = limit.level - 4
    refuse(limit)
    limit.level = 4.0
    succeed(limit, 1)
    assert limit.level - 4 < 0.6 * quick


def test_what_was_sent_before_a_cut_does_not_raise_it():
    limit = at(16)
    old = ticket(limit)
    refuse(limit)
    before = limit.level
    limit.update(FINE, old, 0.2)
    assert limit.level == before


def test_below_one_requests_go_one_at_a_time_with_a_gap():
    limit = at(0.25)
    assert (limit.limit, limit.gap) == (1, pytest.approx(0.8))


def test_a_gap_has_an_end():
    limit = at(1)
    refuse_often(limit)
    assert limit.gap == pytest.approx(rules.LONGEST_GAP)


def test_a_client_that_was_never_served_keeps_asking():
    limit = AdaptiveLimit(64)
    refuse_often(limit)
    assert limit.gap == pytest.approx(rules.STRANGER)


def test_a_client_that_was_never_served_looks_for_its_share_once_it_is():
    limit = AdaptiveLimit(64)
    refuse_often(limit)
    succeed(limit, 8)
    assert limit.level >= rules.START


def refuse_often(limit):
    for _ in range(60):
        refuse(limit)


def test_there_are_no_gaps_before_anything_was_refused():
    limit = AdaptiveLimit(64)
    succeed(limit, 3)
    fail_in_a_row(limit)
    assert limit.gap == 0


def test_single_failures_leave_the_limit_alone():
    limit = AdaptiveLimit(64)
    for number in range(0, 100, 2):
        limit.update(TROUBLED, ticket(limit, number=number))
    assert limit.limit == rules.START


def fail_in_a_row(limit, times=rules.OUTAGE):
    start = limit.luck._newest_success + 1
    old = [ticket(limit, number=start + at) for at in range(times)]
    for one in old:
        limit.update(TROUBLED, one)


def test_failures_in_a_row_bring_it_down_to_one():
    limit = AdaptiveLimit(64)
    fail_in_a_row(limit, rules.OUTAGE - 1)
    assert (limit.limit, limit.down) == (rules.START, False)
    limit.update(TROUBLED, ticket(limit, number=rules.OUTAGE - 1))
    assert (limit.limit, limit.down) == (1, True)


def test_one_outage_counts_once():
    limit = AdaptiveLimit(64, 64)
    fail_in_a_row(limit, 60)
    assert limit.limit == 1
    limit.update(FINE, ticket(limit, number=100))
    assert not limit.down


@pytest.mark.parametrize("level", [16, 64])
def test_after_an_outage_it_rises_by_one_with_every_success_to_where_it_was(level):
    limit = at(level)
    fail_in_a_row(limit)
    succeed(limit, 5)
    assert limit.level == 6
    succeed(limit, level)
    assert limit.level == pytest.approx(level, abs=1)


SIGNALS = st.tuples(st.sampled_from(Signal), st.floats(0.001, 90), st.booleans(), st.booleans())


@given(st.lists(SIGNALS, max_size=400), st.integers(1, 64))
@settings(max_examples=examples(200))
def test_the_limit_stays_between_one_and_the_highest(steps, highest):
    limit = AdaptiveLimit(highest)
    epoch = 0
    for number, (signal, took, crowded, current) in enumerate(steps):
        limit.crowd += crowded
        epoch = limit.epoch if current else epoch
        limit.update(signal, Ticket(silent, number, epoch, 0), took)
        assert 1 <= limit.limit <= highest
        assert isinstance(limit.limit, int)
        assert 0 < limit.level <= highest
        assert 0 <= limit.gap <= rules.LONGEST_GAP


# ---------------------------------------------------------------- the line


class Caller:
    """Somebody who asks for leave, and notes whether it was woken."""

    def __init__(self, pacer, now=0.0):
        self.pacer = pacer
        self.now = now
        self.woken = 0
        self.tickets = []

    def wake(self):
        self.woken += 1

    def ask(self, now=None):
        leave = self.pacer.enter(self.now if now is None else now, self.wake)
        if isinstance(leave, Ticket):
            self.tickets.append(leave)
        return leave

    def finish(self, signal=NEUTRAL):
        self.pacer.release(self.tickets.pop(0), signal)

    def forget(self):
        self.pacer.forget(self.wake)


def callers(count, highest=1):
    pacer = Pacer(highest)
    return pacer, [Caller(pacer) for _ in range(count)]


def test_leave_is_given_up_to_the_limit():
    pacer, (one,) = callers(1, 2)
    assert isinstance(one.ask(), Ticket)
    assert isinstance(one.ask(), Ticket)
    assert one.ask() == Hold(None)
    assert (pacer.in_flight, pacer.limit.crowd) == (2, 1)
    assert [leave.number for leave in one.tickets] == [1, 2]


def test_who_waits_is_woken_when_a_place_is_free():
    _, (one, two) = callers(2)
    one.ask()
    two.ask()
    one.finish()
    assert (one.woken, two.woken) == (0, 1)
    assert isinstance(two.ask(), Ticket)


def test_who_gives_a_place_back_is_not_woken_for_it():
    _, (one,) = callers(1)
    one.ask()
    one.ask()
    one.finish()
    assert one.woken == 0


def test_only_as_many_are_woken_as_there_is_room_for():
    _, everyone = callers(5)
    for caller in everyone:
        caller.ask()
    everyone[0].finish()
    assert [caller.woken for caller in everyone] == [0, 1, 0, 0, 0]


def test_the_line_is_served_in_order():
    _, (one, two, three) = callers(3)
    one.ask()
    two.ask()
    three.ask()
    one.finish()
    two.ask()
    two.finish()
    assert (two.woken, three.woken) == (1, 1)


def test_who_has_requests_in_flight_lets_those_who_wait_go_first():
    _, (bulk, query) = callers(2, 2)
    bulk.ask()
    bulk.ask()
    query.ask()
    bulk.finish()
    assert query.woken == 1
    assert isinstance(bulk.ask(), Hold)
    assert isinstance(query.ask(), Ticket)
    query.finish()
    assert bulk.woken == 1
    assert isinstance(bulk.ask(), Ticket)


def test_an_urgent_call_gets_one_place_whatever_is_in_flight():
    pacer, (one,) = callers(1)
    one.ask()
    other = Caller(pacer)
    first = pacer.enter(0.0, other.wake, urgent=True)
    assert isinstance(first, Ticket)
    assert pacer.enter(0.0, other.wake, urgent=True) == Hold(None)
    pacer.cool_down(9.0)
    assert pacer.enter(0.0, silent, urgent=True) == Hold(9.0)


def test_who_has_nothing_in_flight_may_pass_a_line_that_does_not_move():
    _, (bulk, stuck, query) = callers(3, 2)
    bulk.ask()
    bulk.ask()
    stuck.ask()
    bulk.finish()
    assert isinstance(query.ask(), Ticket)


def test_a_turn_that_is_not_taken_is_passed_on():
    _, (one, two, three) = callers(3)
    one.ask()
    two.ask()
    three.ask()
    one.finish()
    two.forget()
    assert three.woken == 1


def test_whoever_goes_in_wakes_the_next_while_there_is_room():
    pacer, (one, two, three, four) = callers(4, 3)
    one.ask()
    one.ask()
    one.ask()
    two.ask()
    three.ask()
    four.ask()
    pacer.cool_down(5.0)
    one.finish()
    one.finish()
    one.finish()
    woken = three.woken
    assert isinstance(two.ask(6.0), Ticket)
    assert three.woken == woken + 1


def test_forgetting_twice_or_unknown_is_harmless():
    _, (one,) = callers(1)
    one.forget()
    one.forget()
    assert one.woken == 0


def test_nobody_goes_during_a_cool_down():
    pacer, (one,) = callers(1)
    pacer.cool_down(5.0)
    pacer.cool_down(3.0)
    assert one.ask(4.9) == Hold(5.0)
    assert isinstance(one.ask(5.0), Ticket)


def test_a_lock_that_is_given_is_held_for_every_change_and_for_no_wake_up():
    lock = threading.Lock()
    pacer = Pacer(1, lock=lock)
    held = []
    first = pacer.enter(0.0, silent)
    pacer.enter(0.0, lambda: held.append(lock.locked()))
    pacer.release(first, FINE)
    assert held == [False]
    with lock:
        assert pacer.spread == 1
    assert pacer.take_retry()
    pacer.succeeded(0.0, retried=True)
    assert (pacer.budget.tokens, pacer.failures, pacer.server_down) == (100, 0, False)


def test_threads_that_share_a_pacer_keep_its_books_right():
    pacer = Pacer(8, lock=threading.Lock())

    def work():
        for _ in range(300):
            if pacer.take_retry():
                pacer.succeeded(0.0, retried=True)
            leave = pacer.enter(0.0, silent)
            if isinstance(leave, Ticket):
                assert pacer.in_flight <= 64
                pacer.release(leave, FINE)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (pacer.in_flight, pacer._held, pacer.budget.tokens) == (0, {}, 100)


class Line(RuleBasedStateMachine):
    """Whoever wants to go and was told to wait is woken before the last place falls idle."""

    def __init__(self):
        super().__init__()
        self.pacer = Pacer(6, start=2)
        self.callers = [Caller(self.pacer) for _ in range(4)]
        self.waiting = set()
        self.timed = set()
        self.now = 0.0

    def try_(self, at):
        leave = self.callers[at].ask(self.now)
        self.stop(at)
        if isinstance(leave, Hold):
            (self.waiting if leave.until is None else self.timed).add(at)
        self.answer()

    def stop(self, at):
        self.waiting.discard(at)
        self.timed.discard(at)

    def answer(self):
        """Everyone who was woken asks again, as a driver would."""
        for at, caller in enumerate(self.callers):
            if caller.woken:
                caller.woken = 0
                if at in self.waiting | self.timed:
                    self.try_(at)

    @rule(at=st.integers(0, 3))
    def ask(self, at):
        self.try_(at)

    @rule(at=st.integers(0, 3), signal=st.sampled_from(Signal), more=st.booleans())
    def finish(self, at, signal, more):
        caller = self.callers[at]
        if caller.tickets:
            caller.finish(signal)
            if more:
                self.try_(at)
            else:
                caller.forget()
                self.stop(at)
            self.answer()

    @rule(at=st.integers(0, 3))
    def leave(self, at):
        self.callers[at].forget()
        self.stop(at)
        self.answer()

    @precondition(lambda self: not self.waiting)
    @rule(seconds=st.floats(0, 2))
    def cool(self, seconds):
        self.pacer.cool_down(self.now + seconds)

    @rule()
    def pass_time(self):
        """Let a gap go by; who was told a moment asks again when it comes, as a driver would."""
        self.now += 3.0
        for at in sorted(self.timed):
            self.try_(at)

    @invariant()
    def nobody_waits_in_vain(self):
        room = self.pacer.in_flight < self.pacer.limit.limit
        begin = max(self.pacer.cool_until, self.pacer.next_at)
        assert not (room and self.waiting and self.now >= begin)

    @invariant()
    def books_are_right(self):
        assert self.pacer.in_flight == sum(len(caller.tickets) for caller in self.callers)
        assert self.pacer.in_flight == sum(self.pacer._held.values())
        assert 1 <= self.pacer.limit.limit <= 6


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=examples(100), stateful_step_count=60, deadline=None)


def test_a_client_without_history_never_cools():
    assert Pacer(4).cool_until == -math.inf


# ---------------------------------------------------------------- gaps, and who is next


def spaced(level=0.5, chance=0.5):
    """A pacer that was refused, at a level, with a round trip of one second."""
    pacer = Pacer(64, chance=lambda: chance)
    pacer.limit.update(FINE, ticket(pacer.limit), 1.0)
    pacer.limit.update(THROTTLED, ticket(pacer.limit))
    pacer.limit.level = level
    return pacer


def test_below_one_in_flight_the_next_request_waits_its_gap():
    pacer = spaced(0.5)
    one = Caller(pacer)
    assert isinstance(one.ask(10.0), Ticket)
    one.finish()
    assert one.ask(11.0) == Hold(12.0)
    assert isinstance(one.ask(12.0), Ticket)


@pytest.mark.parametrize(("chance", "gap"), [(0.0, 1.0), (0.5, 2.0), (0.999, 2.998)])
def test_chance_makes_a_gap_shorter_or_longer_by_half(chance, gap):
    pacer = spaced(0.5, chance)
    one = Caller(pacer)
    one.ask(10.0)
    one.finish()
    assert one.ask(10.5).until == pytest.approx(10.0 + gap)


def test_what_waited_for_a_cool_down_is_not_sent_in_one_burst():
    pacer = spaced(8.0)
    one = Caller(pacer)
    pacer.cool_down(20.0)
    moment, sent = 20.0, []
    while len(sent) < 8:
        leave = one.ask(moment)
        if isinstance(leave, Ticket):
            sent.append(moment)
        else:
            moment = leave.until
    assert sent[-1] - sent[0] >= 0.4
    assert len(set(sent)) == 8


def test_clients_that_were_refused_together_come_back_apart():
    moments = set()
    for chance in (0.1, 0.5, 0.9):
        pacer = spaced(0.25, chance)
        pacer.cool_down(20.0)
        moments.add(Caller(pacer).ask(20.0).until)
    assert len(moments) == 3


def test_who_gives_a_place_back_asks_behind_those_who_wait():
    _, (one, two) = callers(2)
    one.ask()
    two.ask()
    one.finish()
    assert isinstance(one.ask(), Hold)
    assert isinstance(two.ask(), Ticket)


def test_who_is_next_and_does_not_come_keeps_others_waiting_for_a_moment_only():
    _, (one, two) = callers(2)
    one.ask()
    two.ask()
    one.finish()
    assert one.ask(5.0) == Hold(5.0 + pacing.GRACE)
    assert isinstance(one.ask(5.0 + pacing.GRACE), Ticket)


# ---------------------------------------------------------------- opening


def test_a_single_answer_does_not_open_the_limit():
    """A client that has only asked a query still begins a large job with small requests."""
    pacer, (one,) = callers(1, 64)
    one.ask()
    one.finish(FINE)
    assert (pacer.opened, pacer.spread) == (False, START)


def test_growing_opens_the_limit():
    pacer, (one,) = callers(1, 64)
    for _ in range(START + 1):
        one.ask()
    one.finish(FINE)
    assert (pacer.opened, pacer.spread) == (True, 64)


def test_a_refusal_opens_the_limit_too():
    pacer, (one,) = callers(1, 64)
    for _ in range(START):
        one.ask()
    pacer.release(one.tickets.pop(), FINE, 0.2)
    one.finish(THROTTLED)
    assert (pacer.opened, pacer.spread) == (True, int(START * (1 - rules.CUT)))


def test_a_limit_that_cannot_grow_is_open_from_the_start():
    pacer, _ = callers(1, START - 1)
    assert pacer.opened


def test_calls_one_after_the_other_are_not_slowed_by_a_chance_refusal_now_and_then():
    """One in a hundred is refused, and nothing holds these calls back."""
    pacer, now = Pacer(64), 0.0
    for number in range(5000):
        ticket = pacer.enter(now, wake_nobody)
        while not isinstance(ticket, Ticket):
            now = now + 0.1 if ticket.until is None else max(now, ticket.until)
            ticket = pacer.enter(now, wake_nobody)
        now += 0.1
        refused = number % 100 == 99
        pacer.release(ticket, Signal.THROTTLED if refused else Signal.FINE, 0.1)
    assert now < 5000 * 0.1 * 1.2


def wake_nobody():
    """Nobody waits elsewhere."""
