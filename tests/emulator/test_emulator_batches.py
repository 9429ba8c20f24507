"""Batches at half the price: submitting, looking, reading, listing, deleting, expiring."""

from __future__ import annotations

import http.client
import json

import numpy as np
import pytest
from emulator_calls import SMALL, call, post

from openrouter_embed.emulator import BatchItem, Emulator
from openrouter_embed.errors import ConfigurationError

ENDPOINT = "/v1/embeddings"
TEXTS = ["a first text", "a second one", "and a third"]
DAY = 86_400
KEYS = [
    "id", "object", "endpoint", "model", "completion_window", "status", "created_at",
    "finalized_at", "expires_at", "provider", "request_counts", "usage", "results", "error",
]  # fmt: skip


def submission(texts=TEXTS, **fields):
    requests = [{"custom_id": f"k{at}", "body": {"input": text}} for at, text in enumerate(texts)]
    return {"endpoint": ENDPOINT, "model": SMALL, **fields, "requests": requests}


def submit(emulator, *arguments, **fields):
    return call(emulator, "POST", "/batches", submission(*arguments, **fields))


def submitted(emulator, *arguments, **fields):
    return submit(emulator, *arguments, **fields).json["id"]


def look(emulator, batch_id):
    return call(emulator, "GET", f"/batches/{batch_id}")


def results_of(emulator, batch_id):
    return {row["custom_id"]: row for row in look(emulator, batch_id).json["results"]}


def names_of(results):
    return [row["custom_id"] for row in results]


@pytest.fixture
def batches():
    """An emulator whose batches take an hour."""
    with Emulator(backend="hashed", batch_seconds=3600) as running:
        yield running


def test_a_submission_is_stored_and_not_yet_judged(batches):
    answer = submit(batches)

    assert answer.status == 202
    assert list(answer.json) == KEYS
    assert answer.json["status"] == "validating"
    assert answer.json["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert answer.json["usage"] is answer.json["results"] is answer.json["error"] is None


def test_its_state_moves_with_a_clock_that_can_be_set(batches):
    batch = submitted(batches)
    seen = [look(batches, batch).json["status"]]
    for seconds in (1800, 1600, 300):
        batches.batches.advance(seconds)
        seen.append(look(batches, batch).json["status"])

    assert seen == ["validating", "in_progress", "finalizing", "completed"]
    assert batches.batches.status(batch) == "completed"


def test_counts_grow_while_it_is_in_progress(batches):
    batch = submitted(batches, ["text"] * 10)
    batches.batches.advance(1800)

    told = look(batches, batch).json

    assert told["request_counts"] == {"total": 10, "completed": 5, "failed": 0}
    assert told["results"] is None


def test_a_batch_takes_no_time_unless_it_is_asked_to(emulator):
    assert look(emulator, submitted(emulator)).json["status"] == "completed"


def test_results_hold_the_vectors_of_ordinary_requests(emulator):
    expected = post(emulator, input=TEXTS).vectors

    found = results_of(emulator, submitted(emulator))

    for at, vector in enumerate(expected):
        row = found[f"k{at}"]
        assert row["error"] is None
        assert row["response"]["status_code"] == 200
        body = row["response"]["body"]
        assert list(body) == ["object", "data", "model", "usage"]
        np.testing.assert_array_equal(body["data"][0]["embedding"], vector)


def test_results_come_in_another_order_than_the_requests(emulator):
    told = look(emulator, submitted(emulator)).json

    assert list(told) == KEYS
    assert names_of(told["results"]) == ["k2", "k1", "k0"]


def test_one_request_of_a_batch_may_hold_several_inputs_or_tokens(emulator):
    body = submission()
    body["requests"][0]["body"] = {"input": TEXTS, "dimensions": 256}
    body["requests"][1]["body"] = {"input": [[1, 2], [3]], "encoding_format": "base64"}
    batch = call(emulator, "POST", "/batches", body).json["id"]

    found = results_of(emulator, batch)

    assert [len(item["embedding"]) for item in found["k0"]["response"]["body"]["data"]] == [256] * 3
    assert len(found["k1"]["response"]["body"]["data"]) == 2
    assert isinstance(found["k1"]["response"]["body"]["data"][0]["embedding"], str)


def test_a_batch_costs_half_and_is_billed_once():
    with Emulator(backend="hashed") as running:
        post(running, input=TEXTS)
        listed = running.stats
        running.reset()
        batch = submitted(running)
        usage = look(running, batch).json["usage"]
        look(running, batch)

        assert usage["cost"] == pytest.approx(listed.cost / 2)
        assert usage["total_tokens"] == listed.tokens
        assert (running.stats.requests, running.stats.inputs) == (0, 3)
        assert running.stats.cost == pytest.approx(listed.cost / 2)


def test_the_batch_variant_of_a_model_is_served(emulator):
    told = look(emulator, submitted(emulator, model=f"{SMALL}:batch")).json

    assert (told["model"], told["request_counts"]["completed"]) == (f"{SMALL}:batch", 3)


def test_an_unknown_model_fails_the_batch_after_it_was_taken_in(batches):
    answer = submit(batches, model="nobody/nothing")
    batches.batches.advance(3600)
    told = look(batches, answer.json["id"]).json

    assert answer.status == 202
    assert told["status"] == "failed"
    assert told["error"] == {"message": "Model nobody/nothing does not exist"}
    assert told["results"] is None


def test_a_request_that_is_refused_is_an_item_of_its_own(emulator):
    batch = submitted(emulator, ["fine", "long " * 9000])
    told = look(emulator, batch).json
    refused = next(row for row in told["results"] if row["custom_id"] == "k1")["response"]

    assert told["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    assert refused["status_code"] == 400
    assert "maximum context length" in refused["body"]["error"]["message"]


def items(custom_id, body):
    del body
    return {
        "k0": BatchItem(error={"message": "boom", "type": "server_error", "param": None}),
        "k1": BatchItem(status=429),
        "k2": BatchItem(copies=0),
        "k3": BatchItem(copies=2),
        "k4": BatchItem(custom_id="somebody else"),
        "k5": BatchItem(body={"object": "list", "data": []}),
    }.get(custom_id)


def test_single_results_can_be_made_to_fail_to_miss_and_to_come_twice():
    with Emulator(backend="hashed", batch_items=items) as running:
        told = look(running, submitted(running, ["text"] * 7)).json

    names = names_of(told["results"])
    assert names == ["k6", "k5", "somebody else", "k3", "k3", "k1", "k0"]
    rows = {row["custom_id"]: row for row in told["results"]}
    assert rows["k0"]["response"] is None
    assert rows["k0"]["error"]["message"] == "boom"
    assert rows["k1"]["response"]["status_code"] == 429
    assert rows["k5"]["response"]["body"]["data"] == []
    assert told["request_counts"] == {"total": 7, "completed": 5, "failed": 2}


@pytest.mark.parametrize("late", ["endpoint", "model", "completion_window", "provider"])
def test_what_comes_after_the_requests_is_refused(emulator, late):
    body = submission(completion_window="24h", provider={"only": ["openai"]})
    body[late] = body.pop(late)

    answer = call(emulator, "POST", "/batches", body)

    assert (answer.status, late in answer.message) == (400, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"model": 1}, "model"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"callback_url": "http://a.test"}, "callback_url"),
        ({"metadata": {}}, "metadata"),
        ({"provider": {"zdr": True}}, "provider.zdr"),
        ({"provider": "openai"}, "provider"),
    ],
)
def test_a_wrong_frame_is_refused_at_once(emulator, changes, words):
    answer = submit(emulator, **changes)

    assert (answer.status, words in answer.message) == (400, True)


@pytest.mark.parametrize(
    ("request_body", "words"),
    [
        ({"input": "text", "input_type": "search_document"}, "input_type"),
        ({"input": "text", "provider": {"only": ["openai"]}}, "provider"),
        ({"input": "text", "model": "qwen/qwen3-embedding-8b"}, "model"),
        ({"input": [{"content": [{"type": "text", "text": "a"}]}]}, "input"),
        ({}, "input"),
        ("text", "body"),
    ],
)
def test_what_batches_do_not_take_is_refused_at_once(emulator, request_body, words):
    body = submission()
    body["requests"][1]["body"] = request_body

    answer = call(emulator, "POST", "/batches", body)

    assert (answer.status, f"requests.1.body{'' if words == 'body' else '.' + words}:") == (
        400,
        answer.message.split()[0],
    )


def test_names_must_be_unique_and_requests_must_be_there(emulator):
    twice = submission()
    twice["requests"][1]["custom_id"] = "k0"

    assert "unique" in call(emulator, "POST", "/batches", twice).message
    assert call(emulator, "POST", "/batches", submission([])).status == 400
    assert call(emulator, "POST", "/batches", b"{").status == 400


def test_too_many_requests_or_bytes_are_413():
    with Emulator(backend="hashed", max_batch_requests=2) as running:
        assert submit(running).status == 413
    with Emulator(backend="hashed", max_batch_bytes=100) as running:
        assert submit(running).status == 413


def test_a_key_is_asked_for(emulator):
    assert call(emulator, "GET", "/batches", key="").status == 401


def test_a_chosen_host_serves_the_batch(emulator):
    qwen = {"model": "qwen/qwen3-embedding-8b", "provider": {"only": ["siliconflow"]}}

    assert look(emulator, submitted(emulator, **qwen)).json["provider"] == "SiliconFlow"


def test_the_list_is_newest_first_and_in_pages():
    with Emulator(backend="hashed") as running:
        ids = [submitted(running) for _ in range(3)]
        first = call(running, "GET", "/batches?limit=2").json
        second = call(running, "GET", f"/batches?limit=2&after={first['last_id']}").json

    assert [batch["id"] for batch in first["data"]] == [ids[2], ids[1]]
    assert (first["first_id"], first["has_more"]) == (ids[2], True)
    assert [batch["id"] for batch in second["data"]] == [ids[0]]
    assert second["has_more"] is False
    assert "results" not in first["data"][0]


def test_the_list_is_filtered_by_state_and_time(batches):
    old = submitted(batches)
    batches.batches.advance(3500)
    between = int(batches.batches.now()) - 100
    new = submitted(batches)

    def listed(query):
        return [batch["id"] for batch in call(batches, "GET", f"/batches?{query}").json["data"]]

    assert listed("status=validating") == [new]
    assert listed("status=in_progress") == [old]  # it is finalizing, which a list does not know
    assert listed("status=in_progress&status=validating") == [new, old]
    assert listed(f"created_after={between}") == [new]
    assert listed(f"created_before={between}") == [old]
    assert call(batches, "GET", "/batches?created_after=soon").status == 400
    assert call(batches, "GET", "/batches?limit=1000").status == 400


def test_results_come_in_pages_as_well(emulator):
    batch = submitted(emulator)
    inline = look(emulator, batch).json["results"]
    first = call(emulator, "GET", f"/batches/{batch}/results?limit=2").json
    path = f"/batches/{batch}/results?limit=2&cursor={first['next_cursor']}"
    second = call(emulator, "GET", path).json

    assert list(first) == ["data", "has_more", "next_cursor", "object"]
    assert first["has_more"] is True
    assert (second["has_more"], second["next_cursor"]) == (False, None)
    assert names_of(first["data"]) + names_of(second["data"]) == names_of(inline)


def test_pages_of_a_running_batch_are_not_there_yet(batches):
    assert call(batches, "GET", f"/batches/{submitted(batches)}/results").status == 409


def test_pages_can_be_switched_off_as_in_older_documentation():
    with Emulator(backend="hashed", batch_pages=False) as running:
        assert call(running, "GET", f"/batches/{submitted(running)}/results").status == 404


def test_batches_may_stand_under_another_version_of_the_api():
    with Emulator(backend="hashed", batch_version="beta") as running:
        assert submit(running).status == 404
        beta = call(running, "POST", "/batches", submission(), prefix="/api/beta")
        assert beta.status == 202


def test_a_finished_batch_can_be_deleted_and_a_running_one_cannot(batches):
    batch = submitted(batches)
    running = call(batches, "DELETE", f"/batches/{batch}")
    batches.batches.advance(3600)
    deleted = call(batches, "DELETE", f"/batches/{batch}")

    assert running.status == 409
    assert deleted.json == {
        "deletion": {
            "openrouter": "deleted",
            "upstream": {"provider": "OpenAI", "status": "deleted"},
        },
        "id": batch,
        "object": "batch",
    }
    assert look(batches, batch).status == 404
    assert batches.batches.ids == []


def test_after_thirty_days_it_is_gone(batches):
    batch = submitted(batches)
    batches.batches.advance(30 * DAY)

    assert look(batches, batch).status == 410
    assert call(batches, "DELETE", f"/batches/{batch}").status == 410


def test_what_takes_more_than_a_day_expires_with_what_was_done():
    with Emulator(backend="hashed", batch_seconds=4 * DAY) as running:
        batch = submitted(running, ["text"] * 8)
        running.batches.advance(DAY)
        told = look(running, batch).json

    assert told["status"] == "expired"
    assert told["request_counts"] == {"total": 8, "completed": 2, "failed": 0}
    assert sorted(row["custom_id"] for row in told["results"]) == ["k0", "k1"]


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled", "cancelling", "paused"])
def test_it_can_be_put_into_any_state(emulator, status):
    batch = submitted(emulator)
    emulator.batches.put(batch, status, error="Because.")
    told = look(emulator, batch).json

    assert (told["status"], told["error"]) == (status, {"message": "Because."})
    assert told["results"] is None
    assert (told["finalized_at"] is None) == (status in {"cancelling", "paused"})


def test_a_cancelled_batch_may_hold_part_of_its_results(emulator):
    batch = submitted(emulator)
    emulator.batches.put(batch, "cancelled", completed=1)

    assert list(results_of(emulator, batch)) == ["k0"]


def test_a_look_may_be_answered_402_with_the_batch_and_an_error(emulator):
    batch = submitted(emulator)
    emulator.batches.put(batch, "failed", error="Insufficient credits", http_status=402)
    answer = look(emulator, batch)

    assert answer.status == 402
    assert answer.json["id"] == batch
    assert answer.json["error"] == {"code": 402, "message": "Insufficient credits"}


def test_there_is_nothing_to_put_where_there_is_no_batch(emulator):
    with pytest.raises(ConfigurationError, match="no batch 'batch_none'"):
        emulator.batches.put("batch_none", "failed")


def test_a_submission_whose_answer_is_lost_is_in_the_list():
    with Emulator(backend="hashed") as running:
        failure = running.fail("lost", on="batches", method="POST")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            submit(running)

        assert failure.count == 1
        assert len(running.batches.ids) == 1
        assert [batch["id"] for batch in call(running, "GET", "/batches").json["data"]] == (
            running.batches.ids
        )


def test_results_can_end_in_their_middle_and_are_whole_the_next_time(emulator):
    batch = submitted(emulator)
    emulator.fail("truncated", on="batches", method="GET")

    with pytest.raises(http.client.IncompleteRead):
        look(emulator, batch)
    assert len(look(emulator, batch).json["results"]) == 3


def test_requests_are_told_as_they_were_submitted(emulator):
    batch = submitted(emulator)

    requests = emulator.batches.requests(batch)

    assert [request.custom_id for request in requests] == ["k0", "k1", "k2"]
    assert [request.body for request in requests] == [{"input": text} for text in TEXTS]


def test_setting_the_counters_to_zero_keeps_batches(emulator):
    batch = submitted(emulator)
    emulator.reset()

    assert look(emulator, batch).status == 200


def test_ids_can_be_numbered():
    with Emulator(backend="hashed", fixed_ids=True) as running:
        assert submitted(running) == "batch_000000000000000000000001"
        assert json.loads(submit(running).raw)["id"] == "batch_000000000000000000000002"
