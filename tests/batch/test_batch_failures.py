"""What can befall a batch: every state, every refusal, every kind of bad result; both clients."""

from __future__ import annotations

import pytest

from openrouter_embed.emulator import BatchItem
from openrouter_embed.errors import (
    AuthenticationError,
    BadRequestError,
    BatchError,
    DeadlineExceededError,
    InsufficientCreditsError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)

TEXTS = [f"text {at}" for at in range(4)]


@pytest.fixture
def slow(emulate):
    """An emulator whose batches take a thousand seconds."""
    return emulate(batch_seconds=1000)


@pytest.fixture
def job(make, slow):
    return make(base_url=slow.base_url).submit(TEXTS)


# ------------------------------------------------------------------ states


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling", "new"])
def test_a_state_that_may_pass_is_waited_for(job, slow, status):
    slow.batches.put(job.ids[0], status)
    with pytest.raises(DeadlineExceededError):
        job.wait(poll=0.001, deadline=0.03)
    assert (job.status, job.done) == (status, False)
    slow.batches.put(job.ids[0], "completed")
    assert job.wait().result().ok.all()


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_an_end_without_results_is_a_failure_of_every_input(job, slow, status):
    slow.batches.put(job.ids[0], status, error="the reason")
    assert job.wait().status == status
    assert job.failed == {job.ids[0]: "the reason"}
    assert (job.counts.completed, job.counts.failed) == (0, 4)
    with pytest.raises(BatchError, match="the reason") as caught:
        job.result()
    assert (caught.value.id, caught.value.status) == (job.ids[0], status)
    listed = job.result(on_error="return")
    assert sorted(listed.failures) == [0, 1, 2, 3]
    assert {type(error) for error in listed.failures.values()} == {BatchError}


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled"])
def test_what_was_finished_before_such_an_end_is_taken(job, slow, status):
    slow.batches.put(job.ids[0], status, completed=3)
    result = job.wait().result(on_error="return")
    assert result.ok.tolist() == [True, True, True, False]
    assert result.failures[3].status == status


def test_a_batch_that_takes_more_than_a_day_expires(make, emulate):
    late = emulate(batch_seconds=2 * 86_400)
    job = make(base_url=late.base_url).submit(TEXTS)
    late.batches.advance(86_401)
    assert job.refresh().status == "expired"


def test_after_thirty_days_a_batch_is_gone(job, slow):
    slow.batches.advance(31 * 86_400)
    assert job.wait().status == "gone"
    with pytest.raises(BatchError, match="30 days"):
        job.result()


def test_what_was_collected_outlives_the_batch(make, slow, tmp_path):
    client = make(base_url=slow.base_url, cache=tmp_path / "c.sqlite")
    job = client.submit(TEXTS)
    slow.batches.advance(1001)
    job.wait().result()
    slow.batches.advance(31 * 86_400)
    assert client.batch(job.to_dict()).result().ok.all()


def test_one_batch_that_failed_takes_no_other_with_it(make, slow):
    job = make(base_url=slow.base_url).submit(TEXTS, max_batch_inputs=1)
    for at, name in enumerate(job.ids):
        slow.batches.put(name, "failed" if at == 2 else "completed")
    assert job.wait().status == "failed"
    result = job.result(on_error="return")
    assert result.ok.tolist() == [True, True, False, True]


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (413, BadRequestError),
        (422, BadRequestError),
    ],
)
def test_a_submission_that_is_refused_is_that_error(make, em, status, kind):
    before = em.batches.ids
    refusing = em.fail(status, on="batches", method="POST")
    with pytest.raises(kind) as caught:
        make().submit(TEXTS[:1])
    assert caught.value.submitted is None
    assert refusing.count == 1
    assert em.batches.ids == before


def test_a_submission_that_is_refused_for_load_is_tried_again(make, em):
    em.fail(429, times=2, on="batches", method="POST")
    assert make().submit(TEXTS).wait().result().ok.all()


def test_a_refusal_for_load_that_lasts_is_that_error(make, em):
    em.fail(429, times=None, on="batches", method="POST")
    with pytest.raises(RateLimitError):
        make(max_retries=2).submit(TEXTS)


def test_a_batch_that_is_too_large_is_halved(make, emulate):
    small = emulate(max_batch_requests=3)
    job = make(base_url=small.base_url).submit([f"text {at}" for at in range(8)])
    assert [len(small.batches.requests(name)) for name in job.ids] == [2, 2, 2, 2]
    assert job.wait().result().ok.all()


def test_what_was_accepted_before_a_refusal_is_not_lost(make, em, tmp_path):
    place = tmp_path / "job.json"
    client = make()
    em.fail(402, after=2, on="batches", method="POST")
    with pytest.raises(InsufficientCreditsError) as caught:
        client.submit(TEXTS, max_batch_inputs=1, save_to=place)

    for name in (caught.value.submitted, str(place)):
        job = client.batch(name).wait()
        assert len(job.ids) == 2
        result = job.result(on_error="return")
        assert result.ok.tolist() == [True, True, False, False]
        assert result.failures[3].status == "unsent"
        assert "402" in str(result.failures[3])


def test_the_job_is_returned_all_the_same_where_failures_are_listed(make, em):
    em.fail(402, after=1, on="batches", method="POST")
    job = make().submit(TEXTS, max_batch_inputs=2, on_error="return")
    assert job.wait().status == "unsent"
    assert job.result().ok.tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (402, InsufficientCreditsError), (404, NotFoundError)],
)
def test_a_question_that_is_refused_ends_the_wait(make, em, status, kind):
    job = make().submit(TEXTS)
    em.fail(status, times=None, on="batches", method="GET")
    with pytest.raises(kind):
        job.wait()
    em.reset()
    assert job.wait().result().ok.all()


def test_no_credit_at_the_end_comes_with_the_batch_and_may_be_mended(job, slow):
    name = job.ids[0]
    slow.batches.put(name, "completed", error="add credits", http_status=402)
    with pytest.raises(InsufficientCreditsError, match="add credits"):
        job.wait()
    slow.batches.put(name, "completed")
    assert job.wait().result().ok.all()


@pytest.mark.parametrize("what", [500, 503, 429, "reset", "garbage"])
def test_a_wait_outlives_what_passes(make, em, what):
    job = make(max_retries=0).submit(TEXTS)
    failing = em.fail(what, times=3, on="batches", method="GET")
    assert job.wait(poll=0.001).status == "completed"
    assert failing.count == 3


def test_a_wait_that_never_hears_anything_ends(make, em, monkeypatch):
    monkeypatch.setattr("openrouter_embed.batch.watching.MOST_FAILURES", 4)
    job = make(max_retries=0).submit(TEXTS)
    failing = em.fail(503, times=None, on="batches", method="GET")
    with pytest.raises(ServerError):
        job.wait(poll=0.001)
    assert failing.count == 4


def test_a_wait_honours_what_the_server_asks_for(make, em, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "openrouter_embed.batch.watching.pause",
        lambda rounds, poll, after: asked.append(after) or 0.001,
    )
    job = make(max_retries=0).submit(TEXTS)
    em.fail(429, on="batches", method="GET", retry_after=77)
    job.wait()
    assert asked == [77]


# ------------------------------------------------------------------ results


@pytest.mark.parametrize("what", ["truncated", "reset", "lost", 503, 429])
def test_results_that_were_cut_are_read_again(make, em, what):
    job = make().submit([f"text {at}" for at in range(150)]).wait()
    failing = em.fail(what, on="batches", method="GET")
    result = job.result()
    assert failing.count == 1
    assert result.ok.all()
    assert result.usage.inputs == 150


def test_results_that_cannot_be_had_leave_what_came_before(make, em, tmp_path):
    client = make(max_retries=0, cache=tmp_path / "c.sqlite")
    job = client.submit(TEXTS, max_batch_inputs=2).wait()
    em.fail("truncated", after=1, on="batches", method="GET")
    with pytest.raises(Exception, match="lost within the answer") as caught:
        job.result()
    assert caught.value.result.ok.tolist() == [True, True, False, False]
    assert job.result().usage.cache_hits == 2


ITEMS = {
    "status": (BatchItem(status=400), BadRequestError),
    "error": (BatchItem(error={"message": "m", "type": "server_error"}), ServerError),
    "error within": (BatchItem(body={"error": {"code": 429, "message": "m"}}), RateLimitError),
    "no vectors": (BatchItem(body={"data": []}), InvalidResponseError),
    "missing": (BatchItem(copies=0), InvalidResponseError),
    "doubled": (BatchItem(copies=2), InvalidResponseError),
    "unknown": (BatchItem(custom_id="who-knows"), InvalidResponseError),
}


@pytest.mark.parametrize("what", ITEMS)
def test_a_bad_result_is_the_failure_of_its_input_alone(make, emulate, what):
    bad, kind = ITEMS[what]
    odd = emulate(batch_items=lambda _, body: bad if body["input"] == "text 2" else None)
    client = make(base_url=odd.base_url)
    live = client.embed(TEXTS).vectors
    job = client.submit(TEXTS).wait()

    result = job.result(on_error="return")

    assert result.ok.tolist() == [True, True, False, True]
    assert type(result.failures[2]) is kind
    assert (result.vectors[[0, 1, 3]] == live[[0, 1, 3]]).all()
    with pytest.raises(kind, match="index 2"):
        job.result()


def test_a_result_under_the_name_of_another_lands_on_neither(make, emulate):
    names = {}

    def item(name, body):
        names[body["input"]] = name
        return BatchItem(custom_id=names.get("text 0")) if body["input"] == "text 2" else None

    odd = emulate(batch_items=item)
    result = make(base_url=odd.base_url).submit(TEXTS, on_error="return").wait().result()
    assert {at: error.reason for at, error in result.failures.items()} == {
        0: "doubled",
        2: "missing",
    }
