"""Batches as a user meets them: handed in, waited for, collected, found again; both clients."""

from __future__ import annotations

import json
import pickle
import traceback

import numpy as np
import pytest
from batch_faces import E5, SMALL, VOYAGE

from openrouter_embed import BatchCounts, ImageInput
from openrouter_embed.batch import files
from openrouter_embed.emulator import BatchItem
from openrouter_embed.errors import (
    BatchError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    InsufficientCreditsError,
    NotFoundError,
)

TEXTS = ["a first text", "a second one", "a first text", "and a third"]
SECRET = "sk-or-v1-fake-key-of-a-test"


def sent(em):
    """Every request of every batch, by batch."""
    return [em.batches.requests(name) for name in em.batches.ids]


# ------------------------------------------------------------------ the whole way


def test_vectors_are_those_of_ordinary_calls_at_half_the_cost(make, em):
    client = make()
    live = client.embed(TEXTS)

    job = client.submit(TEXTS)
    assert job.wait() is job
    result = job.result()

    np.testing.assert_array_equal(result.vectors, live.vectors)
    assert result.usage.cost == pytest.approx(live.usage.cost / 2)
    assert result.usage == job.usage
    assert (result.model, result.space) == (SMALL, live.space)
    assert result.request_ids == job.ids
    assert client.usage.cost == pytest.approx(live.usage.cost * 1.5)


def test_distinct_inputs_are_sent_once_under_their_keys(make, em):
    job = make().submit(TEXTS, max_batch_inputs=2)
    mine = [em.batches.requests(name) for name in job.ids]
    assert [[request.body["input"] for request in batch] for batch in mine] == [
        ["a first text", "a second one"],
        ["and a third"],
    ]
    numbers = [request.custom_id.partition("-")[0] for batch in mine for request in batch]
    assert numbers == ["0", "1", "2"]
    assert job.counts == BatchCounts(total=3)


def test_a_role_set_by_prefix_is_applied(make, em):
    client = make(E5)
    job = client.submit(["a text"], role="document").wait()
    assert em.batches.requests(job.ids[0])[0].body["input"] == "passage: a text"
    live = client.embed(["a text"], role="document").vectors
    np.testing.assert_array_equal(job.result().vectors, live)


def test_token_ids_dimensions_and_normalize_are_as_for_any_call(make):
    client = make(dimensions=8, normalize=True)
    inputs = [[1, 2, 3], [4, 5]]
    job = client.submit(inputs).wait()
    np.testing.assert_array_equal(job.result().vectors, client.embed(inputs).vectors)


def test_empty_and_wrong_inputs_are_as_for_any_call(make):
    client = make(empty="zeros")
    result = client.submit(["a", "", "b"]).wait().result()
    assert not result.vectors[1].any()
    listed = make().submit(["a", "", 3], on_error="return").wait().result()
    assert sorted(listed.failures) == [1, 2]
    with pytest.raises(ConfigurationError, match="Input 1"):
        make().submit(["a", object()])


def test_nothing_is_asked_for_no_inputs(make, em):
    before = len(em.batches.ids)
    job = make().submit([])
    assert (job.ids, job.status, job.done) == ((), "completed", True)
    assert job.wait().result().vectors.shape == (0, 0)
    assert len(em.batches.ids) == before


def test_a_progress_listener_is_told(make):
    told = []
    make(on_progress=told.append).submit(TEXTS).wait(progress=True)
    assert (told[-1].done, told[-1].total) == (3, 3)
    assert told[-1].usage.cost > 0


def test_a_job_says_how_it_stands(make, emulate):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS)
    assert repr(job).endswith("BatchJob(1 batch, validating, 0 of 3 done)")
    slow.batches.advance(700)
    assert job.refresh().status == "in_progress"
    assert job.counts == BatchCounts(total=3, completed=2)
    assert not job.done


# ------------------------------------------------------------------ found again


@pytest.mark.parametrize("how", ["file", "path", "dict"])
def test_another_client_collects_from_the_file(make, tmp_path, how):
    place = tmp_path / "job.json"
    job = make().submit(TEXTS)
    job.save(place)
    name = {"file": str(place), "path": place, "dict": job.to_dict()}[how]

    other = make("another/model")
    result = other.batch(name).wait().result()

    np.testing.assert_array_equal(result.vectors, make().embed(TEXTS).vectors)
    assert result.model == SMALL


@pytest.mark.parametrize("many", [True, False])
def test_ids_alone_give_the_distinct_inputs_in_their_order(make, many):
    client = make()
    texts = [f"text {at}" for at in range(12)]
    job = client.submit([*texts, "text 3"], max_batch_inputs=5 if many else 50).wait()
    ids = job.ids if many else job.ids[0]
    result = client.batch(ids).result()
    np.testing.assert_array_equal(result.vectors, client.embed(texts).vectors)


def test_ids_of_a_batch_that_ended_early_give_what_it_has(make, emulate):
    slow = emulate(batch_seconds=1000)
    client = make(base_url=slow.base_url)
    job = client.submit(TEXTS)
    with pytest.raises(BatchError, match="not done yet"):
        client.batch(job.ids).result()
    slow.batches.put(job.ids[0], "expired", completed=2)
    assert client.batch(job.ids).result().vectors.shape == (2, 1536)


def test_a_batch_of_others_cannot_be_put_in_any_place(make, emulate):
    other = emulate(batch_items=lambda name, body: BatchItem(custom_id=f"theirs-{name}"))
    client = make(base_url=other.base_url)
    job = client.submit(TEXTS)
    with pytest.raises(BatchError, match="names no input"):
        client.batch(job.ids).result()


def test_an_error_holds_neither_text_nor_key_nor_frames(make, em):
    em.fail(402, after=1, on="batches", method="POST")
    with pytest.raises(InsufficientCreditsError) as caught:
        make(api_key=SECRET).submit(["confidential one", "confidential two"], max_batch_inputs=1)
    said = f"{caught.value!r} {vars(caught.value)} {pickle.dumps(caught.value)}"
    assert "confidential" not in said
    assert SECRET not in said
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    package = [frame for frame in frames if "/openrouter_embed/" in frame.f_code.co_filename]
    assert not any("confidential" in str(frame.f_locals) for frame in package)
    assert pickle.loads(pickle.dumps(caught.value)).submitted == caught.value.submitted


def test_the_file_holds_no_text_and_no_key(make, tmp_path):
    place = tmp_path / "job.json"
    make(api_key=SECRET).submit(["a confidential text"], save_to=place)
    said = place.read_text()
    assert "confidential" not in said
    assert SECRET not in said
    assert json.loads(said)["batches"][0]["id"]


def test_a_file_that_cannot_be_written_keeps_anything_from_being_sent(make, em, tmp_path):
    before = em.batches.ids
    with pytest.raises(OSError, match="No such file"):
        make().submit(TEXTS, save_to=tmp_path / "no" / "job.json")
    assert em.batches.ids == before


def test_a_disk_that_fails_later_costs_no_batch(make, tmp_path, monkeypatch):
    write, times = files.write, []

    def fails(record, path, look):
        times.append(path)
        if len(times) > 1:
            raise OSError(28, "No space left on device")
        write(record, path, look)

    monkeypatch.setattr(files, "write", fails)
    with pytest.warns(UserWarning, match="No space left"):
        job = make().submit(TEXTS, save_to=tmp_path / "job.json")
    assert job.wait().result().ok.all()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), ("{}", "no job"), ("[]", "no job"), ("{", "no job")],
)
def test_a_file_that_holds_no_job_says_so(make, tmp_path, content, says):
    place = tmp_path / "job.json"
    if content is not None:
        place.write_text(content)
    with pytest.raises(ConfigurationError, match=says):
        make().batch(str(place))


@pytest.mark.parametrize("odd", [3, None, [], "a/b c"])
def test_what_names_no_job_is_refused(make, odd):
    with pytest.raises(ConfigurationError):
        make().batch(odd)


def test_a_job_of_another_server_is_not_asked_for_here(make):
    table = make().submit(TEXTS).to_dict()
    with pytest.raises(ConfigurationError, match="base_url"):
        make(base_url="https://elsewhere.example/v1").batch(table)


# ------------------------------------------------------------------ the cache


def test_what_is_in_the_cache_is_not_submitted(make, em, tmp_path):
    client = make(cache=tmp_path / "c.sqlite")
    client.embed(TEXTS[:1])
    job = client.submit(TEXTS)
    names = [request.body["input"] for request in em.batches.requests(job.ids[0])]
    assert names == ["a second one", "and a third"]
    result = job.wait().result()
    np.testing.assert_allclose(result.vectors, make().embed(TEXTS).vectors, atol=1e-6)
    assert result.usage.cache_hits == 1
    assert result.usage.inputs == 3


def test_good_vectors_go_into_the_cache_and_calls_need_no_request(make, em, tmp_path):
    client = make(cache=tmp_path / "c.sqlite")
    client.submit(TEXTS).wait().result()
    em.reset()

    again = client.embed(TEXTS)

    assert em.stats.requests == 0
    assert again.usage.cache_hits == 3
    assert client.submit(TEXTS).ids == ()


def test_collecting_twice_reads_once(make, em, tmp_path):
    client = make(cache=tmp_path / "c.sqlite")
    job = client.submit(TEXTS).wait()
    first = job.result()
    job.delete()
    second = job.result()
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert second.usage.cache_hits == 3
    assert client.usage.cost == pytest.approx(first.usage.cost)


def test_refresh_buys_anew_and_replaces(make, em, tmp_path):
    client = make(cache=tmp_path / "c.sqlite")
    client.embed(TEXTS)
    job = client.submit(TEXTS, refresh=True).wait()
    assert job.counts.total == 3
    assert job.result().usage.cache_hits == 0


def test_failures_do_not_go_into_the_cache(make, emulate, tmp_path):
    bad = emulate(
        batch_items=lambda _, body: BatchItem(status=500) if "third" in body["input"] else None
    )
    client = make(base_url=bad.base_url, cache=tmp_path / "c.sqlite")
    client.submit(TEXTS, on_error="return").wait().result()
    assert client.embed(TEXTS, cache_only=True, on_error="return").failures.keys() == {3}


# ------------------------------------------------------------------ refused before sending


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"model": VOYAGE, "role": "document"}, "input_type=None"),
        ({"model": "who/knows", "role": "query"}, "input_type=None"),
        ({"input_type": "search_query"}, "call `embed` instead"),
        ({"provider": {"zdr": True}}, "`zdr`"),
        ({"provider": {"order": ["a"], "sort": "price"}}, "leave them out"),
        ({"pin_provider": True}, "pin_provider"),
        ({"cache_only": True}, "cache_only"),
        ({"no_option": 1}, "no_option"),
        ({"role": "x"}, "role"),
    ],
)
def test_what_batches_do_not_take_is_refused(make, em, call, says):
    before = len(em.batches.ids)
    with pytest.raises(ConfigurationError, match=says):
        make().submit(["a text"], **call)
    assert len(em.batches.ids) == before


def test_media_are_refused(make):
    image = ImageInput.from_url("https://x.example/a.png")
    with pytest.raises(ConfigurationError, match="not images"):
        make("google/gemini-embedding-2").submit([image, "a text"])


def test_a_model_with_input_types_may_be_told_none(make):
    client = make(VOYAGE)
    result = client.submit(["a"], role="document", input_type=None).wait().result()
    np.testing.assert_array_equal(result.vectors, client.embed(["a"]).vectors)


def test_preferences_that_keep_no_host_out_are_no_hindrance(make):
    provider = {"only": ["openai"], "allow_fallbacks": False, "zdr": False}
    assert make(provider=provider).submit(["a"]).wait().result().ok.all()


# ------------------------------------------------------------------ money

HALF = {"id": f"{SMALL}:batch", "pricing": {"prompt": "0.00000001"}}


@pytest.mark.parametrize(("more", "share"), [((HALF,), 0.5), ((), 1.0)])
def test_an_estimate_is_half_where_the_listing_says_so(make, emulate, more, share):
    client = make(base_url=emulate(more_models=more).base_url)
    full = client.estimate(TEXTS)
    batch = client.estimate(TEXTS, batch=True)
    assert batch.tokens == full.tokens
    assert batch.cost == pytest.approx(full.cost * share)


def test_what_could_pass_the_limit_is_not_submitted(make, em):
    before = len(em.batches.ids)
    with pytest.raises(BudgetExceededError):
        make(max_cost=1e-9).submit(["a long text " * 100])
    assert len(em.batches.ids) == before


def test_half_the_price_lets_twice_as_much_pass(make, emulate):
    text = "some words " * 50
    for more, passes in (((HALF,), True), ((), False)):
        client = make(base_url=emulate(more_models=more).base_url)
        limit = client.estimate([text]).cost * 2.5 * 0.7
        limited = make(base_url=client.settings.base_url, max_cost=limit)
        if passes:
            limited.submit([text])
        else:
            with pytest.raises(BudgetExceededError):
                limited.submit([text])


def test_what_was_submitted_counts_against_the_limit(make):
    client = make()
    cost = client.estimate(["word " * 50]).cost
    limited = make(max_cost=cost * 3)
    limited.submit(["word " * 50])
    with pytest.raises(BudgetExceededError):
        limited.submit(["another " * 50])


# ------------------------------------------------------------------ waiting and the end


def test_a_wait_ends_by_its_deadline_and_may_go_on(make, emulate):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS)
    with pytest.raises(DeadlineExceededError, match="go on"):
        job.wait(poll=0.01, deadline=0.05)
    slow.batches.advance(1000)
    assert job.wait().result().ok.all()


def test_the_last_look_is_at_the_end(make, emulate):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS)
    slow.batches.advance(999.7)
    assert job.wait(poll=50, deadline=0.5).status == "completed"


@pytest.mark.parametrize("call", [{"poll": 0}, {"poll": "x"}, {"deadline": -1}])
def test_odd_pauses_are_refused(make, call):
    with pytest.raises(ConfigurationError):
        make().submit(TEXTS).wait(**call)


def test_results_before_the_end_are_an_error_that_holds_what_is_there(make, emulate):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS, max_batch_inputs=2)
    slow.batches.put(job.ids[0], "completed")
    with pytest.raises(BatchError, match=r"have no vector \(index 3\).*`wait` for it") as caught:
        job.result()
    assert caught.value.status == "validating"
    assert caught.value.result.ok.tolist() == [True, True, True, False]
    assert job.result(on_error="return").failures.keys() == {3}


def test_a_deleted_job_is_deleted_there(make, em):
    job = make().submit(TEXTS).wait()
    job.delete()
    job.delete()
    assert job.status == "deleted"
    assert job.ids[0] not in em.batches.ids
    with pytest.raises(BatchError, match="was deleted"):
        job.result()


def test_a_running_batch_is_not_deleted(make, emulate):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS)
    with pytest.raises(Exception, match="409") as caught:
        job.delete()
    assert caught.value.status == 409
    assert job.status == "validating"


def test_closing_the_client_ends_a_wait(make, emulate):
    slow = emulate(batch_seconds=1000)
    engine = []
    client = make(base_url=slow.base_url, on_progress=lambda _: engine[0].close())
    engine.append(getattr(client, "thing", client)._engine)
    with pytest.raises(ClientClosedError):
        client.submit(TEXTS).wait(poll=60)


def test_a_closed_client_asks_nothing(make):
    client = make()
    job = client.submit(TEXTS)
    client.aclose() if hasattr(client, "thing") else client.close()
    with pytest.raises(ClientClosedError):
        job.refresh()


# ------------------------------------------------------------------ the two roots


def test_the_other_root_is_found(make, emulate, tmp_path):
    beta = emulate(batch_version="beta")
    client = make(base_url=beta.base_url)
    job = client.submit(TEXTS).wait()
    assert job.to_dict()["root"] == "/api/beta"
    assert job.result().ok.all()
    assert client.batch(job.ids).result().ok.sum() == 3


def test_a_root_that_is_named_is_the_only_one(make, emulate):
    beta = emulate(batch_version="beta")
    make(base_url=beta.base_url, batch_root="/api/beta").submit(TEXTS)
    with pytest.raises(NotFoundError):
        make(base_url=beta.base_url, batch_root="/api/v1").submit(TEXTS)
