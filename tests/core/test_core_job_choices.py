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
    NotFoundError,
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
    ledger = Ledger(2.0)
    world, error = fails(BudgetExceededError, costs(0.4), 9, price=0.4, ledger=ledger)
    assert len(world.sent) == 3
    assert ledger.spent == pytest.approx(1.2)
    assert ledger.held == pytest.approx(0.0)
    assert len(error.result.failures) == 6
    assert "`max_cost` of $2: it may cost up to $1, and $1.2 are spent" in str(error)


def test_what_costs_less_than_reserved_makes_room_for_more():
    ledger = Ledger(2.5)
    world, job = run(costs(0.1), 6, price=0.4, ledger=ledger)
    assert len(job.result()) == 6
    assert ledger.spent == pytest.approx(0.6)
    assert world.highest == 2


def test_where_no_cost_is_reported_tokens_are_priced():
    ledger = Ledger(1.25)
    run(costs(None), 2, price=0.25, ledger=ledger)
    assert ledger.spent == pytest.approx(0.5)


def test_a_refused_request_costs_nothing_and_a_lost_answer_the_most_it_may():
    ledger = Ledger(10.0)
    fails(BadRequestError, scripted(then=400), 1, price=1.0, ledger=ledger)
    assert ledger.spent == 0.0
    fails(TransportError, scripted(then=RESET), 1, price=1.0, ledger=ledger, max_retries=0)
    assert ledger.spent == 2.5


def test_an_error_inside_a_200_costs_nothing_unless_it_says_so():
    ledger = Ledger(10.0)
    said = Reply(200, {}, b'{"error": {"code": 404, "message": "No endpoints found for x."}}')
    fails(NotFoundError, scripted(then=said), 1, price=1.0, ledger=ledger)
    assert ledger.spent == 0.0


def test_an_answer_that_tells_neither_cost_nor_tokens_counts_as_the_most_it_may():
    ledger = Ledger(10.0)
    bare = lambda sent, world: (0.1, answer(sent.request, usage=None))  # noqa: E731 - a server
    run(bare, 1, price=1.0, ledger=ledger)
    assert ledger.spent == 2.5


# ---------------------------------------------------------------- who bills


def byok(usd, fee=0.0, **changes):
    details = {"upstream_inference_cost": usd}
    usage = {"total_tokens": 1, "cost": fee, "is_byok": True, "cost_details": details, **changes}
    return lambda sent, world: (0.1, answer(sent.request, usage=usage))


def test_what_a_host_bills_to_a_key_of_ones_own_counts_towards_the_limit():
    ledger = Ledger(0.4)
    world, _ = fails(BudgetExceededError, byok(0.5), 2, price=0.1, ledger=ledger)
    assert len(world.sent) == 1
    assert ledger.spent == 0.5


def test_what_hosts_bill_is_summed_beside_the_cost():
    _, job = run(byok(0.5, 0.025), 2)
    usage = job.result().usage
    assert (usage.cost, usage.byok_cost, usage.billed) == (0.05, 1.0, 1.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_byok": False},
        {"is_byok": None, "cost": 0.5},
        {"cost_details": None},
        {"cost_details": {"upstream_inference_cost": "much"}},
    ],
)
def test_a_host_s_bill_is_counted_only_where_it_comes_on_top(changes):
    _, job = run(byok(0.5, **changes), 1)
    assert job.result().usage.byok_cost == 0.0


def test_without_a_word_on_keys_a_cost_of_nothing_means_that_the_host_bills():
    _, job = run(byok(0.5, is_byok=None), 1)
    assert job.result().usage.byok_cost == 0.5


def hit(sent, world):
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    told = answer(sent.request, usage=usage)
    return 0.1, Reply(200, {"x-openrouter-cache-status": "HIT"}, told.body)


def test_an_answer_out_of_the_router_s_cache_is_counted_and_costs_nothing():
    ledger = Ledger(10.0)
    _, job = run(hit, 2, price=1.0, ledger=ledger)
    usage = job.result().usage
    assert (usage.router_cache_hits, usage.total_tokens, usage.cost) == (2, 0, 0.0)
    assert ledger.spent == 0.0
