"""One GET speaks a job's language and is judged like one."""

from __future__ import annotations

import pytest
from core_world import SETTINGS, refusal

from openrouter_embed.core.fetch import Ask, Fetch, read_data
from openrouter_embed.core.wire import Abort, Done, Fault, FaultKind, Reply, Send, Wait, fault
from openrouter_embed.errors import (
    AuthenticationError,
    DeadlineExceededError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
    TransportError,
)

GOOD = Reply(200, {}, b'\n{"data": [1]}')


def fetch(timeout=15.0, deadline=None, **options):
    ask = Ask(path="/models", timeout=timeout, deadline=deadline, read=read_data)
    return Fetch(ask, SETTINGS.replace(**options), now=0.0, chance=lambda: 0.5)


def drive(machine, *outcomes, now=0.0, seconds=0.1):
    """Give these outcomes in turn; return how many requests went out and when it ended."""
    outcomes = list(outcomes)
    sent = 0
    while True:
        step = machine.next(now)
        if isinstance(step, Send):
            sent += 1
            now += seconds
            machine.feed(step.request.id, outcomes.pop(0), now)
        elif isinstance(step, Wait):
            assert step.until > now
            now = step.until
        else:
            assert isinstance(step, Done)
            return sent, now


def test_the_answer_is_the_json_object():
    machine = fetch()
    request = machine.next(0.0).request
    assert (request.method, request.path, request.body) == ("GET", "/models", b"")
    machine.started(request.id, 0.0)
    machine.feed(request.id, GOOD, 0.1)
    assert machine.next(0.1) == Done()
    assert machine.result() == {"data": [1]}
    assert machine.close() == []


@pytest.mark.parametrize("trouble", [refusal(503), Fault(FaultKind.RESET, "x")])
def test_what_may_pass_is_tried_again(trouble):
    machine = fetch()
    assert drive(machine, trouble, trouble, GOOD)[0] == 3
    assert machine.result()["data"] == [1]


def test_retries_end():
    machine = fetch(max_retries=2)
    assert drive(machine, *[refusal(503)] * 3)[0] == 3
    with pytest.raises(ServerError) as caught:
        machine.result()
    assert caught.value.attempts == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"3", b"<html>", b"[" * 9999, b"\xff"])
def test_an_answer_that_is_not_the_object_expected_is_asked_for_once_more(body):
    machine = fetch()
    assert drive(machine, *[Reply(200, {}, body)] * 2)[0] == 2
    with pytest.raises(InvalidResponseError):
        machine.result()


def test_a_final_refusal_is_not_repeated():
    machine = fetch()
    assert drive(machine, refusal(401))[0] == 1
    with pytest.raises(AuthenticationError, match="api_key"):
        machine.result()


def test_retry_after_is_obeyed():
    machine = fetch()
    wait = refusal(429, headers={"retry-after": "7"})
    assert drive(machine, wait, GOOD) == (
        2,
        pytest.approx(7 * 1.05 + 0.2),
    )  # a little longer, never shorter


@pytest.mark.parametrize(("seconds", "deadline"), [("500", None), ("7", 5.0)])
def test_a_retry_after_beyond_reason_or_deadline_fails_at_once(seconds, deadline):
    machine = fetch(deadline=deadline)
    assert drive(machine, refusal(429, headers={"retry-after": seconds})) == (1, 0.1)
    with pytest.raises(RateLimitError):
        machine.result()


def test_an_attempt_that_takes_too_long_is_dropped_and_tried_again():
    machine = fetch(timeout=5.0)
    first = machine.next(0.0).request
    assert machine.next(0.0) == Wait(5.0)
    assert machine.close() == [first.id]
    assert machine.next(5.0) == Abort(first.id)
    machine.feed(first.id, GOOD, 5.1)
    assert machine.next(5.1) == Wait(5.25)
    assert isinstance(machine.next(5.25), Send)


def test_timeouts_end_as_a_timeout():
    machine = fetch(timeout=5.0, max_retries=0)
    request = machine.next(0.0).request
    assert machine.next(5.0) == Abort(request.id)
    assert machine.next(5.0) == Done()
    with pytest.raises(TransportError, match="within 5 seconds"):
        machine.result()


def test_the_deadline_ends_a_request_and_leaves_nothing_to_drop():
    machine = fetch(deadline=3.0)
    request = machine.next(0.0).request
    assert machine.next(1.0) == Wait(3.0)
    assert machine.next(3.0) == Abort(request.id)
    assert machine.next(3.0) == Done()
    assert machine.close() == []
    with pytest.raises(DeadlineExceededError) as caught:
        machine.result()
    assert caught.value.attempts == 1


def test_the_deadline_ends_a_back_off():
    machine = fetch(deadline=3.0)
    machine.feed(machine.next(0.0).request.id, refusal(503), 2.6)
    assert machine.next(2.6) == Wait(2.85)
    assert machine.next(3.0) == Done()
    with pytest.raises(DeadlineExceededError):
        machine.result()


def test_an_unknown_outcome_is_ignored():
    machine = fetch()
    machine.feed(7, GOOD, 0.0)
    assert isinstance(machine.next(0.0), Send)


# ---------------------------------------------------------------- patience


def told():
    notices = []
    ask = Ask(path="/models", read=read_data)
    return notices, Fetch(ask, SETTINGS, now=0.0, chance=lambda: 0.5, on_retry=notices.append)


def test_a_get_is_tried_three_times_and_says_so():
    notices, machine = told()
    assert drive(machine, *[refusal(503)] * 3)[0] == 3
    with pytest.raises(ServerError, match=r"It was tried 3 times\.$"):
        machine.result()
    assert [notice.attempts for notice in notices] == [1, 2]
    assert {(notice.kind, notice.allowed) for notice in notices} == {("503", 3)}


def test_nothing_that_listens_on_this_machine_is_final_after_two_tries():
    machine = fetch()
    assert drive(machine, *[fault(FaultKind.REFUSED, "localhost:8787")] * 2)[0] == 2
    with pytest.raises(TransportError, match=r"Nothing listens at localhost:8787.* tried 2 times"):
        machine.result()


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1:9", FaultKind.REFUSED),
        ("127.0.0.2", FaultKind.REFUSED),
        ("[::1]:9", FaultKind.REFUSED),
        ("localhost", FaultKind.REFUSED),
        ("openrouter.ai", FaultKind.CONNECT),
        ("10.0.0.1:80", FaultKind.CONNECT),
        ("localhost.example", FaultKind.CONNECT),
    ],
)
def test_a_far_server_that_refuses_may_be_starting_again(host, kind):
    assert fault(FaultKind.REFUSED, host).kind is kind


def test_a_get_that_hears_nothing_gives_up_within_its_patience():
    machine = fetch()
    assert isinstance(machine.next(0.0), Send)
    wait = machine.next(0.0)
    assert wait == Wait(15.0)
    assert isinstance(machine.next(15.0), Abort)
    assert machine.next(15.0) == Done()
    with pytest.raises(TransportError, match="No complete answer within 15 seconds"):
        machine.result()
