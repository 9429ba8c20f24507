"""Refusals for load: how long a call waits for its turn, and when it gives up."""

from __future__ import annotations

from core_jobs import attempts, fails, run, scripted, told
from core_world import answer, refusal

from openrouter_embed.errors import RateLimitError


def crowded(sent, world):
    """Refuse most requests, but never all of them."""
    refused = world.random.random() < 0.6
    return 0.05, refusal(429) if refused else answer(sent.request)


def test_refusals_do_not_end_a_call_whose_client_is_served():
    world, job = run(crowded, 60, max_retries=1)
    assert len(job.result()) == 60
    assert max(attempts(world)) > 2


def test_refusals_that_wait_cost_none_of_the_retry_budget():
    world, _ = run(scripted("ok", 429, 429, 429), 4, max_concurrency=1)
    assert world.pacer.budget.tokens == world.pacer.budget.capacity


def test_without_a_single_success_patience_ends():
    """It had been served: that is reason enough to wait, though not for ever."""
    world, error = fails(RateLimitError, scripted("ok", then=429), 2, max_concurrency=1)
    assert error.attempts > 9
    assert 100 < world.now - 1000.0 < 160
    assert f"It was tried {error.attempts} times in 1" in str(error)


def test_a_client_that_was_never_served_has_its_retries_and_no_more():
    world, error = fails(RateLimitError, scripted(then=429), 1, max_retries=3)
    assert (len(world.sent), error.attempts) == (4, 4)
    assert "It was tried 4 times" in str(error)


def test_a_retry_after_is_reason_enough_to_wait():
    world, job = run(scripted(*[told(2)] * 6), 1, max_retries=1)
    assert len(job.result()) == 1
    assert len(world.sent) == 7


def test_with_a_deadline_a_refusal_waits_until_then():
    world, error = fails(
        RateLimitError, scripted("ok", then=429), 2, max_concurrency=1, deadline=1090.0
    )
    assert 60 < world.now - 1000.0 <= 90
    assert error.attempts > 9


def test_without_retries_a_refusal_is_final():
    world, _ = fails(RateLimitError, scripted("ok", then=429), 2, max_concurrency=1, max_retries=0)
    assert len(world.sent) == 2
