"""Handing in once: answers that were lost, and processes that ended; both clients."""

from __future__ import annotations

import pytest

from openrouter_embed.batch import api
from openrouter_embed.errors import BatchError, EmbeddingError, ServerError, TransportError

TEXTS = [f"text {at}" for at in range(4)]


def new_since(em, before):
    return [name for name in em.batches.ids if name not in before]


@pytest.mark.parametrize("what", ["lost", "truncated"])
def test_a_submission_whose_answer_was_cut_off_is_not_sent_twice(make, em, what):
    before = em.batches.ids
    failing = em.fail(what, on="batches", method="POST")
    job = make().submit(TEXTS)
    assert failing.count == 1
    assert new_since(em, before) == list(job.ids)
    assert job.wait().result().ok.all()


def test_each_of_several_batches_is_found_again(make, em):
    before = em.batches.ids
    em.fail("lost", times=4, on="batches", method="POST")
    job = make().submit(TEXTS, max_batch_inputs=1)
    assert new_since(em, before) == list(job.ids)
    assert job.wait().result().ok.all()


@pytest.mark.parametrize("what", ["reset", 500, 502, "garbage"])
def test_a_submission_that_never_arrived_is_sent_again(make, em, what):
    before = em.batches.ids
    em.fail(what, on="batches", method="POST")
    job = make().submit(TEXTS)
    assert new_since(em, before) == list(job.ids)
    assert len(job.ids) == 1


def test_a_server_that_fails_for_good_is_that_error_after_three_tries(make, em):
    failing = em.fail(502, times=None, on="batches", method="POST")
    with pytest.raises(ServerError):
        make().submit(TEXTS)
    assert failing.count == 3


def test_where_the_list_cannot_be_read_nothing_is_sent_again(make, emulate):
    em = emulate()
    before = em.batches.ids
    client = make(max_retries=0, base_url=em.base_url)
    failing = em.fail("lost", on="batches", method="POST")
    em.fail(500, times=None, after=1, on="batches", method="GET")
    with pytest.raises(TransportError) as caught:
        client.submit(TEXTS)
    assert failing.count == 1
    em.reset()

    job = client.batch(caught.value.submitted)
    assert (job.status, job.ids) == ("submitting", ())
    assert job.refresh().ids == tuple(new_since(em, before))
    assert job.wait().result().ok.all()


def test_what_was_never_accepted_says_so_later(make, em):
    client = make()
    table = client.submit(TEXTS).to_dict()
    table["batches"][0].update(id=None, status="submitting")
    em.batches.advance(10)
    table["before"] = em.batches.ids
    job = client.batch(table)
    assert job.refresh().status == "unsent"
    with pytest.raises(BatchError, match="was not submitted"):
        job.result()


def test_a_batch_of_another_program_is_not_taken_for_ours(make, em, emulate):
    client = make(max_retries=0)
    client.submit(["another program's"])
    failing = em.fail("reset", times=None, on="batches", method="POST")
    with pytest.raises(EmbeddingError):
        client.submit(TEXTS)
    assert failing.count == 3


def test_among_several_that_it_may_be_none_is_taken(make, em):
    client = make()
    table = client.submit(TEXTS).to_dict()
    client.submit([f"{text} too" for text in TEXTS])
    table["batches"][0].update(id=None, status="submitting")
    with pytest.raises(BatchError, match="look which is yours"):
        client.batch(table).refresh()


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"model": "other"}, False),
        ({"model": "maker/M-2026:batch"}, True),
        ({"total": 3}, False),
        ({"total": 0}, True),
        ({"created_at": 99.0}, False),
        ({"created_at": 0.0}, True),
    ],
)
def test_what_can_be_the_batch_that_was_lost(changes, fits):
    model = changes.pop("model", "m")
    state = api.State(**{"total": 4, "created_at": 100.0, **changes})
    found = api.Listed("b", model, state)
    assert api.matches(found, model="m", count=4, since=100.0) is fits
