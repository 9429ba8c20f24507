"""What would cost money or vectors: batches lost, bought twice, counted twice or dropped."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest
from batch_faces import SMALL

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
from openrouter_embed.batch import api, files, submitting
from openrouter_embed.emulator.batch_answers import BatchItem
from openrouter_embed.errors import (
    BatchError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    InsufficientCreditsError,
)

TEXTS = [f"text {at}" for at in range(4)]


def new_since(em, before):
    return [name for name in em.batches.ids if name not in before]


# ------------------------------------------------------------------ handed in, and not known


def test_a_client_that_is_closed_while_handing_in_loses_no_batch(em, tmp_path):
    before = em.batches.ids
    client = EmbeddingClient("openai/text-embedding-3-small", api_key="k", base_url=em.base_url)
    em.fail("lost", on="batches", method="POST")
    em.fail("stall", after=1, on="batches", method="GET")
    threading.Timer(0.3, client.close).start()
    with pytest.raises(ClientClosedError) as caught:
        client.submit(TEXTS, save_to=tmp_path / "job.json")
    (batch,) = json.loads((tmp_path / "job.json").read_bytes())["batches"]
    assert batch["status"] == "submitting"
    with EmbeddingClient(
        "openai/text-embedding-3-small", api_key="k", base_url=em.base_url
    ) as other:
        job = other.batch(caught.value.submitted).refresh()
        assert list(job.ids) == new_since(em, before)


def test_a_batch_that_may_be_any_of_several_stays_in_doubt(make, em, monkeypatch):
    client = make()
    em.fail("lost", times=2, on="batches", method="POST")

    def hand_in():
        with EmbeddingClient(
            "openai/text-embedding-3-small", api_key="k", base_url=em.base_url
        ) as other:
            other.submit([f"{text} too" for text in TEXTS])

    real = submitting._look

    def look(questions, batch, lost):
        em.reset()
        hand_in()
        return (yield from real(questions, batch, lost))

    monkeypatch.setattr(submitting, "_look", look)
    with pytest.raises(BatchError, match="look which is yours") as caught:
        client.submit(TEXTS)
    assert [batch["status"] for batch in caught.value.submitted["batches"]] == ["submitting"]


def test_a_refusal_after_a_lost_answer_leaves_the_first_in_doubt(make, em, monkeypatch):
    before = em.batches.ids
    monkeypatch.setattr("openrouter_embed.batch.submitting.candidate", lambda *_: None)
    em.fail("lost", on="batches", method="POST")
    em.fail(402, times=None, on="batches", method="POST")
    client = make()
    with pytest.raises(InsufficientCreditsError) as caught:
        client.submit(TEXTS)
    em.reset()
    monkeypatch.undo()
    assert caught.value.submitted is not None
    job = client.batch(caught.value.submitted).refresh()
    assert list(job.ids) == new_since(em, before)


def test_a_batch_that_the_list_shows_late_is_found(make, em, monkeypatch):
    client = make()
    table = client.submit(TEXTS).to_dict()
    (name,) = (batch["id"] for batch in table["batches"])
    table["batches"][0].update(id=None, status="submitting")
    looks = []
    real = api.read_list

    def late(reply):
        looks.append(1)
        page = real(reply)
        return page if len(looks) > 2 else replace(page, batches=[])

    monkeypatch.setattr("openrouter_embed.batch.api.read_list", late)
    assert client.batch(table).refresh().ids == (name,)


def test_a_batch_is_found_behind_many_others(make, em):
    client = make()
    table = client.submit(TEXTS).to_dict()
    (name,) = (batch["id"] for batch in table["batches"])
    table["batches"][0].update(id=None, status="submitting")
    for at in range(130):
        client.submit([f"other {at}"])
    assert client.batch(table).refresh().ids == (name,)


def broken_off(client):
    """Let the second batch of a client be broken off as by Ctrl-C."""
    handed_in, real = [], client._ask

    def ask(question):
        handed_in.extend([1] if question.method == "POST" else [])
        if len(handed_in) == 2:
            client._ask = real
            raise KeyboardInterrupt
        return real(question)

    client._ask = ask


@pytest.fixture
def client(em):
    with EmbeddingClient(
        "openai/text-embedding-3-small", api_key="k", base_url=em.base_url
    ) as made:
        yield made


def test_ctrl_c_between_two_batches_leaves_a_file_with_both(em, client, tmp_path):
    before, place = em.batches.ids, tmp_path / "job.json"
    broken_off(client)
    with pytest.raises(KeyboardInterrupt):
        client.submit(TEXTS[:2], max_batch_inputs=1, save_to=place)
    job = client.batch(place)
    assert job.status == "submitting"
    assert job.refresh().ids == tuple(new_since(em, before))
    assert job.status == "unsent"


def test_ctrl_c_without_a_file_names_what_was_accepted(em, client):
    before = em.batches.ids
    broken_off(client)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="broken off") as told:
        client.submit(TEXTS[:2], max_batch_inputs=1)
    (name,) = new_since(em, before)
    assert name in str(told[0].message)
    assert client.batch([name]).wait().result().ok.all()


async def test_a_cancelled_submission_is_in_the_file(emulate, tmp_path):
    own, place = emulate(), tmp_path / "job.json"
    async with AsyncEmbeddingClient(
        "openai/text-embedding-3-small", api_key="k", base_url=own.base_url
    ) as made:
        holding = own.fail("stall", on="batches", method="POST")
        task = asyncio.create_task(made.submit(TEXTS, save_to=place))
        while not holding.count:  # noqa: ASYNC110 - the emulator runs in a thread of its own
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert made.batch(place).status == "submitting"


# ------------------------------------------------------------------ one that takes others along


def test_a_batch_that_is_gone_takes_no_other_with_it(make, emulate):
    slow = emulate(batch_seconds=1000)
    client = make(base_url=slow.base_url)
    early = client.submit(TEXTS[:2])
    slow.batches.advance(29 * 86_400)
    early.wait()
    late = client.submit(TEXTS[2:])
    slow.batches.advance(2 * 86_400)
    late.wait()
    table = early.to_dict()
    more = late.to_dict()
    more["batches"][0]["units"] = [2, 3]
    table.update(keys=table["keys"] + more["keys"], count=4)
    table["batches"] += more["batches"]
    found = client.batch(table).result(on_error="return")
    assert found.ok.tolist() == [False, False, True, True]
    assert found.failures[0].status == "gone"


# ------------------------------------------------------------------ bills


def test_two_jobs_of_one_client_count_a_batch_once(make, em):
    client = make()
    job = client.submit(TEXTS).wait()
    job.result()
    once = client.usage
    client.batch(job.to_dict()).result()
    job.result()
    assert client.usage == once


def test_batches_that_are_not_billed_yet_count_with_the_margin(make, emulate):
    slow = emulate(batch_seconds=1000)
    client = make(base_url=slow.base_url)
    cost = client.estimate(["word " * 50], batch=True).cost
    limited = make(base_url=slow.base_url, max_cost=cost * 4.9)
    limited.submit(["word " * 50])
    with pytest.raises(BudgetExceededError):
        limited.submit(["wort " * 50])


def test_a_file_of_a_job_that_is_paid_for_is_not_replaced(make, em, tmp_path):
    client, place = make(), tmp_path / "job.json"
    client.submit(TEXTS, save_to=place)
    content, before = place.read_bytes(), em.batches.ids
    with pytest.raises(ConfigurationError, match=r"job\.json"):
        client.submit(["more"], save_to=place)
    assert (place.read_bytes(), em.batches.ids) == (content, before)


@pytest.mark.parametrize("stale", [False, True])
def test_of_two_programs_that_begin_one_file_at_once_one_pays(
    make, em, tmp_path, monkeypatch, stale
):
    place, look = tmp_path / "job.json", submitting._with_following
    before = em.batches.ids
    if stale:
        place.touch()
    begun = []

    def meanwhile(*arguments):
        if not begun:
            begun.append(True)
            with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url) as other:
                begun.append(other.submit(["more"], save_to=place))
        return look(*arguments)

    monkeypatch.setattr(submitting, "_with_following", meanwhile)
    with pytest.raises(ConfigurationError, match="another program"):
        make().submit(TEXTS, save_to=place)
    assert new_since(em, before) == [*begun[1].ids]
    assert json.loads(place.read_bytes()) == begun[1].to_dict()
    assert [each.name for each in tmp_path.iterdir()] == ["job.json"]


def test_a_file_that_was_put_there_after_the_first_look_is_not_replaced(
    make, em, tmp_path, monkeypatch
):
    place, write = tmp_path / "job.json", files.SaveTo.write
    before = em.batches.ids

    def late(self, record):
        monkeypatch.undo()
        with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url) as other:
            other.submit(["more"], save_to=place)
        return write(self, record)

    monkeypatch.setattr(files.SaveTo, "write", late)
    with pytest.raises(ConfigurationError, match="handed in"):
        make().submit(TEXTS, save_to=place)
    assert len(new_since(em, before)) == 1


def test_a_file_that_was_removed_meanwhile_is_written_anew(make, em, tmp_path, monkeypatch):
    place, look = tmp_path / "job.json", submitting._with_following

    def meanwhile(*arguments):
        place.unlink()
        return look(*arguments)

    monkeypatch.setattr(submitting, "_with_following", meanwhile)
    job = make().submit(TEXTS, save_to=place)
    assert json.loads(place.read_bytes()) == job.to_dict()


def test_who_knows_fewer_batches_of_a_job_does_not_replace_its_file(
    make, em, tmp_path, monkeypatch
):
    """A look at a job while it is handed in would take the batches that came since out of it."""
    monkeypatch.setattr(api, "MAX_REQUESTS", 2)
    place, client = tmp_path / "job.json", make()
    job = client.submit(TEXTS, save_to=place)
    assert len(job.ids) == 2
    whole = place.read_bytes()
    early = job.to_dict()
    early["batches"][1] |= {"id": None, "status": "submitting"}
    for batches in (early["batches"], early["batches"][:1]):
        seen = client.batch(early | {"batches": batches})
        with pytest.raises(ConfigurationError, match="does not know"):
            seen.save(place)
        assert place.read_bytes() == whole
    client.batch(place).wait().save(place)
    assert client.batch(place).done
    again = client.submit(TEXTS)
    again.save(place)
    assert json.loads(place.read_bytes()) == again.to_dict()


# ------------------------------------------------------------------ secrets


def test_what_a_server_says_of_a_batch_is_not_in_its_file(make, emulate, tmp_path):
    slow = emulate(batch_seconds=1000)
    job = make(base_url=slow.base_url).submit(TEXTS)
    slow.batches.put(job.ids[0], "failed", error="cannot embed 'the secret of text 3'")
    job.refresh().save(tmp_path / "job.json")
    assert "the secret" in job.failed[job.ids[0]]
    assert "the secret" not in (tmp_path / "job.json").read_text()


def test_a_failure_of_an_input_keeps_no_frames(make, emulate):
    odd = emulate(batch_items=lambda *_: BatchItem(body={"error": {"code": 429, "message": "m"}}))
    result = make(base_url=odd.base_url).submit(TEXTS, on_error="return").wait().result()
    for error in result.failures.values():
        assert (error.__context__, error.__cause__, error.__traceback__) == (None, None, None)


# ------------------------------------------------------------------ questions


def test_a_wait_pauses_before_it_asks_for_the_list_again(make, em, monkeypatch):
    client = make(max_retries=0)
    table = client.submit(TEXTS).to_dict()
    table["batches"][0].update(id=None, status="submitting")
    monkeypatch.setattr("openrouter_embed.batch.watching.pause", lambda *_: 0.25)
    em.fail(503, times=2, on="batches", method="GET")
    began = time.monotonic()
    client.batch(table).wait()
    assert time.monotonic() - began > 0.45
