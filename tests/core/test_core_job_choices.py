"""What a job learns while it runs: the format, the host, the money that is left."""

from __future__ import annotations

import json

import pytest
from core_jobs import (
    RESET,
    costs,
    fails,
    numbers,
    run,
    scripted,
)
from core_world import (
    World,
    answer,
    refusal,
    steady,
)

from openrouter_embed.core.ledger import Ledger
from openrouter_embed.core.memory import ModelMemory
from openrouter_embed.core.wire import Reply
from openrouter_embed.errors import (
    BadRequestError,
    BudgetExceededError,
    InsufficientCreditsError,
    InvalidResponseError,
    TransportError,
)

# ---------------------------------------------------------------- base64 and floats


def formats(world):
    return [json.loads(one.request.body)["encoding_format"] for one in world.sent]


@pytest.mark.parametrize(
    ("known", "asked", "sent"),
    [(True, "auto", "base64"), (False, "auto", "float"), (False, "base64", "base64"),
     (True, "float", "float")],
)  # fmt: skip
def test_base64_is_asked_for_where_it_is_known_to_work(known, asked, sent):
    world, _ = run(steady(), 1, base64=known, encoding_format=asked)
    assert formats(world) == [sent]


@pytest.mark.parametrize(
    "failure",
    [
        refusal(404, "No successful provider responses."),
        refusal(400, "encoding_format is not supported"),
        Reply(200, {}, b'{"data": [{"index": 0, "embedding": "!!!"}]}'),
    ],
)
def test_a_host_that_fails_on_base64_is_asked_for_floats_once_and_for_all(failure):
    world = World(scripted(failure))
    first = world.job(1, base64=True, max_retries=0)
    world.run()
    second = world.job(1, base64=True)
    world.run()
    assert formats(world) == ["base64", "float", "float"]
    assert len(first.result()) == len(second.result()) == 1
    assert world.pacer.budget.tokens == 100


def test_a_format_that_was_asked_for_is_not_exchanged():
    server = scripted(then=refusal(400, "encoding_format is not supported"))
    world, _ = fails(BadRequestError, server, 1, encoding_format="base64")
    assert formats(world) == ["base64"]


def test_the_format_is_not_blamed_for_other_refusals():
    world, _ = fails(
        BadRequestError, scripted(then=refusal(400, "dimensions are bad")), 1, base64=True
    )
    assert formats(world) == ["base64"]


def test_a_failed_call_does_not_try_another_format():
    failure = refusal(404, "No successful provider responses.")
    world, _ = fails(InsufficientCreditsError, scripted((0.1, 402), (0.5, failure)), 2, base64=True)
    assert len(world.sent) == 2


def test_formats_are_remembered_by_model():
    memory = ModelMemory()
    memory.blame("a")
    assert memory.prefers_floats("a")
    assert not memory.prefers_floats("b")


# ---------------------------------------------------------------- one host for all vectors


def hosts(world):
    return [json.loads(one.request.body).get("provider", {}).get("only") for one in world.sent]


def test_the_host_that_serves_first_serves_all():
    def serve(sent, world):
        return 0.1, answer(sent.request, provider="Host")

    world, job = run(serve, 4, pin=True)
    assert hosts(world) == [None, ["Host"], ["Host"], ["Host"]]
    assert world.sent[1].at >= world.sent[0].at + 0.1
    assert job.result().providers == ("Host",)


def test_while_the_host_is_being_found_a_back_off_is_waited_out():
    def serve(sent, world):
        bad = len(world.sent) in (1, 3)
        return 0.1, refusal(503) if bad else answer(sent.request, provider="Host")

    world, job = run(serve, 4, pin=True)
    assert len(job.result()) == 4
    assert hosts(world)[0] is None


def test_a_server_that_names_no_host_is_not_asked_for_one():
    world, job = run(steady(), 4, pin=True)
    assert hosts(world) == [None] * 4
    assert {one.at for one in world.sent[1:]} == {1000.15}
    assert len(job.result()) == 4


def test_calls_that_look_for_a_host_at_the_same_time_end_with_one():
    def serve(sent, world):
        wanted = json.loads(sent.request.body).get("provider", {}).get("only")
        name = wanted[0] if wanted else f"Host {sent.job}"
        return 0.1 + 0.1 * sent.job, answer(sent.request, provider=name)

    world = World(serve)
    jobs = [world.job(3, pin=True) for _ in range(2)]
    world.run()
    assert {job.result().providers for job in jobs} == {("Host 0",)}
    assert {type(host) for host in hosts(world)} == {type(None), list}


def test_a_host_that_serves_in_spite_of_the_pin_is_not_believed():
    def serve(sent, world):
        return 0.1, answer(sent.request, provider=f"Host {len(world.sent)}")

    world, error = fails(InvalidResponseError, serve, 2, pin=True)
    assert error.reason == "provider"
    assert numbers(error.result)[0] == 0.0
    assert len(world.sent) == 1 + 4


def test_only_the_first_host_is_remembered():
    memory = ModelMemory()
    memory.served("m", "One")
    memory.served("m", "Two")
    memory.served("o", "")
    memory.served("o", "One")
    assert (memory.host("m"), memory.host("n"), memory.host("o")) == ("One", None, "")


# ---------------------------------------------------------------- a spending limit


def test_nothing_is_sent_that_could_pass_the_limit():
    ledger = Ledger(1.0)
    world, error = fails(BudgetExceededError, costs(0.4), 9, price=0.4, ledger=ledger)
    assert len(world.sent) == 2
    assert ledger.spent == 0.8
    assert ledger.held == pytest.approx(0.0)
    assert len(error.result.failures) == 7
    assert "$1" in str(error)


def test_what_costs_less_than_reserved_makes_room_for_more():
    ledger = Ledger(1.0)
    world, job = run(costs(0.1), 6, price=0.4, ledger=ledger)
    assert len(job.result()) == 6
    assert ledger.spent == pytest.approx(0.6)
    assert world.highest == 2


def test_where_no_cost_is_reported_tokens_are_priced():
    ledger = Ledger(1.0)
    run(costs(None), 2, price=0.25, ledger=ledger)
    assert ledger.spent == pytest.approx(0.5)


def test_a_refused_request_costs_nothing_and_a_lost_answer_its_estimate():
    ledger = Ledger(10.0)
    fails(BadRequestError, scripted(then=400), 1, price=1.0, ledger=ledger)
    assert ledger.spent == 0.0
    fails(TransportError, scripted(then=RESET), 1, price=1.0, ledger=ledger, max_retries=0)
    assert ledger.spent == 1.0
