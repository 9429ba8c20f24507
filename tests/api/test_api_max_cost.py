"""A spending limit is never passed, whatever is in flight and however wrong an estimate is."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from api_faces import SMALL

from openrouter_embed import BudgetExceededError, ConfigurationError, EmbeddingClient
from openrouter_embed.core.job import Job

PRICE = 0.02e-6  # USD per token of SMALL at the emulator

KINDS = {
    "words": lambda at: f"text number {at} is about the weather in a small town " * 5,
    "digits": lambda at: "1 2 3 4 5 6 7 8 9 " * 20 + str(at),
    "hashes": lambda at: hashlib.sha256(str(at).encode()).hexdigest() * 8,
    "scripts": lambda at: f"日本語のテキスト {at} αβγδ " * 10,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.2, 0.8])
def test_a_limit_is_never_passed_and_what_was_bought_is_delivered(make, em, kind, share):
    texts = [KINDS[kind](at) for at in range(100)]
    make(dimensions=4).embed(texts)
    limit = share * em.stats.cost
    em.reset()
    client = make(dimensions=4, max_batch_inputs=4, max_cost=limit)
    with pytest.raises(BudgetExceededError, match="`max_cost`") as caught:
        client.embed(texts)
    assert 0.5 * limit < em.stats.cost <= limit
    result = caught.value.result
    assert result.ok.sum() == em.stats.inputs > 0
    assert np.isfinite(result.vectors[result.ok]).all()
    assert result.usage.cost == pytest.approx(em.stats.cost)


def test_a_limit_above_the_cost_is_no_hindrance(make, em):
    texts = [KINDS["words"](at) for at in range(100)]
    client = make(dimensions=4, max_batch_inputs=4)
    limit = 1.2 * client.estimate(texts).cost
    assert len(make(dimensions=4, max_batch_inputs=4, max_cost=limit).embed(texts)) == 100


def test_a_limit_holds_for_the_life_of_a_client(make, em):
    text = KINDS["words"](0)
    client = make(max_cost=400 * PRICE, dimensions=4)

    def spend():
        for number in range(100):
            client.embed([f"{number} {text}"])

    with pytest.raises(BudgetExceededError) as caught:
        spend()
    assert caught.value.result.ok.sum() == 0
    assert 200 * PRICE < em.stats.cost <= 400 * PRICE
    assert client.usage.cost == pytest.approx(em.stats.cost)


def test_nothing_can_be_bought_for_nothing(make, em):
    with pytest.raises(BudgetExceededError):
        make(max_cost=0).embed(["a"])
    assert em.stats.requests == 0


def test_what_is_free_needs_no_budget(make):
    assert len(make("nvidia/nemotron-3-embed-1b:free", max_cost=0).embed(["a", "b"])) == 2


def test_a_model_without_a_price_cannot_have_a_limit(make, em):
    with pytest.raises(ConfigurationError, match=r"`max_cost` needs a price.*some/new-model"):
        make("some/new-model", max_cost=1).embed(["a"])
    assert em.stats.requests == 0


def test_an_answer_that_reports_no_cost_counts_by_its_tokens(emulate, face):
    def unpriced(_, body):
        data = [{"embedding": [1.0], "index": at} for at in range(len(body["input"]))]
        usage = {"prompt_tokens": 1000, "total_tokens": 1000}
        return 200, {}, json.dumps({"data": data, "model": "m", "usage": usage}).encode()

    em = emulate(faults=unpriced)
    client = face.make(SMALL, api_key="k", base_url=em.base_url, max_cost=2500 * PRICE)
    client.embed(["a"])
    client.embed(["b"])
    with pytest.raises(BudgetExceededError):
        client.embed(["c"])
    client.close()


def test_an_answer_that_was_lost_counts_as_paid(emulate, face):
    em = emulate(faults=lambda *_: (0, {}, b""))
    text = KINDS["words"](0)
    client = face.make(SMALL, api_key="k", base_url=em.base_url, max_cost=150 * PRICE)
    with pytest.raises(BudgetExceededError):
        client.embed([text])
    client.close()
    assert em.stats.requests <= 3


def test_copies_start_at_zero(make, em, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    client = make(max_cost=8 * PRICE, dimensions=4)
    client.embed(["one two"])
    with pytest.raises(BudgetExceededError):
        client.embed(["three four"])
    for copied in (copy.deepcopy(client.client), pickle.loads(pickle.dumps(client.client))):
        again = type(client)(copied)
        assert len(again.embed(["three four"])) == 1
        again.close()


def test_threads_share_one_limit(em):
    limit = 4000 * PRICE
    with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_cost=limit) as client:

        def spend(thread):
            with suppress(BudgetExceededError):
                for number in range(20):
                    client.embed([f"{thread} {number} {KINDS['words'](0)}"], dimensions=4)

        threads = [threading.Thread(target=spend, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.5 * limit < em.stats.cost <= limit
        assert client.usage.cost == pytest.approx(em.stats.cost)


async def test_the_asynchronous_face_shares_the_limit(em):
    with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_cost=8 * PRICE) as client:
        client.embed(["one two"])
        async with client.as_async() as awaited:
            with pytest.raises(BudgetExceededError):
                await awaited.embed(["three four"])


def test_a_call_waits_for_what_other_calls_have_reserved(emulate):
    """What they reserved is more than they will cost; a limit above the cost refuses nobody."""
    em = emulate(latency=0.3)
    limit = 8 * 16 * 1.2 * PRICE
    with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_cost=limit) as client:
        client.models()
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(client.embed, [f"word {at} " * 5]) for at in range(8)]
            assert all(len(call.result()) == 1 for call in calls)
    assert em.stats.cost <= limit


def test_waiting_for_the_budget_takes_no_processor_time(emulate, monkeypatch):
    steps = []
    step = Job.next
    monkeypatch.setattr(Job, "next", lambda job, now: steps.append(now) or step(job, now))
    em = emulate(latency=0.3)
    limit = 100 * PRICE
    with (
        EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_cost=limit) as client,
        pytest.raises(BudgetExceededError),
    ):
        client.embed([f"word {at} " * 5 for at in range(20)], max_batch_inputs=1)
    assert len(steps) < 200
