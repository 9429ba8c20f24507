"""What is decided without asking anybody: sizes, states, pauses, records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.batch import api
from openrouter_embed.batch.api import Lines, State
from openrouter_embed.batch.portions import Most, Portion, most_of, portions
from openrouter_embed.batch.record import Batch, BatchCounts, Record, of_dict, of_ids
from openrouter_embed.batch.submitting import may_have_arrived
from openrouter_embed.batch.watching import pause
from openrouter_embed.core.wire import Reply
from openrouter_embed.errors import (
    BadRequestError,
    ConfigurationError,
    InvalidResponseError,
    RateLimitError,
    ServerError,
    TransportError,
)
from openrouter_embed.inputs import Item
from openrouter_embed.options.settings import Settings

SMALL = "openai/text-embedding-3-small"


def settings(model=SMALL, **options):
    return Settings(model=model).replace(**options)


# ------------------------------------------------------------------ what goes out


def test_a_body_has_its_keys_in_the_order_that_the_api_wants():
    lines = Lines(settings(provider={"only": ["openai"], "allow_fallbacks": False}))
    body = json.loads(lines.body([lines.line("0-k", "a text"), lines.line("1-k", "b")]))
    assert list(body) == ["endpoint", "model", "completion_window", "provider", "requests"]
    assert body["endpoint"] == "/v1/embeddings"
    assert body["completion_window"] == "24h"
    assert body["provider"] == {"only": ["openai"], "allow_fallbacks": False}
    assert body["requests"][0] == {"custom_id": "0-k", "body": {"input": "a text"}}


def test_a_request_says_no_more_than_it_must():
    lines = Lines(settings(dimensions=8, user="me", encoding_format="base64"))
    line = json.loads(lines.line("0-k", Item("tokens", (1, 2))))
    wanted = {"input": [1, 2], "dimensions": 8, "encoding_format": "base64", "user": "me"}
    assert line["body"] == wanted


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**6))
def test_a_custom_id_names_number_and_key(key, unit):
    name = api.custom_id(unit, api.key_name(key))
    assert len(name) <= 64
    number, found = api.read_custom_id(name)
    assert (number, api.key_of(found)) == (unit, key)


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 9), st.integers(1, 100))
def test_portions_hold_everything_in_order_and_no_more_than_they_may(sizes, count, size):
    requests = [(at, b"x" * length) for at, length in enumerate(sizes)]
    parts = list(portions(requests, Most(count, size)))
    assert [unit for part in parts for unit in part.units] == list(range(len(sizes)))
    for part in parts:
        assert 1 <= len(part.units) == len(part.lines) <= count
        assert len(part.units) == 1 or sum(map(len, part.lines)) <= size


def test_halves_hold_the_same():
    first, second = Portion([4, 5, 6], [b"a", b"b", b"c"]).halves()
    assert (first.units, second.units) == ([4, 5], [6])
    assert (first.lines, second.lines) == ([b"a", b"b"], [b"c"])


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 64 * 2**20 // (22 * 1536 + 512)),
        ({"dimensions": 8}, api.MAX_REQUESTS),
        ({"max_batch_inputs": 100}, 100),
        ({"model": "unknown/model"}, 64 * 2**20 // (22 * 4096 + 512)),
    ],
)
def test_a_batch_holds_what_can_be_answered_in_one_go(options, count):
    assert most_of(settings(**options)).count == count


# ------------------------------------------------------------------ what comes back


def test_a_state_that_says_nothing_sensible_is_read_all_the_same():
    odd = {"status": 3, "request_counts": [], "usage": "x", "created_at": True, "error": {}}
    assert api.read_state(odd) == State(status="unknown")
    assert api.read_state({"status": "paused", "error": "why"}).error == "why"
    assert api.read_state({"status": "failed", "error": {"message": "m"}}).error == "m"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"id":"../x"}', b'{"id":3}'])
def test_an_answer_without_an_id_accepts_nothing(body):
    with pytest.raises(InvalidResponseError):
        api.read_accepted(Reply(202, {}, body))


def test_a_list_is_read_as_far_as_it_can_be():
    rows = [{"id": "b1", "model": "m", "status": "failed"}, 3, {"id": None}, {"id": "b2"}]
    found = api.read_list(Reply(200, {}, json.dumps({"data": rows}).encode()))
    assert [(each.id, each.state.status) for each in found.batches] == [
        ("b1", "failed"),
        ("b2", "unknown"),
    ]
    with pytest.raises(InvalidResponseError):
        api.read_list(Reply(200, {}, b'{"data": 3}'))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"base_url": "https://eu.example/v1"}, {"others": ("/beta",)}),
        ({"base_url": "https://eu.example/api"}, {"others": ()}),
        ({"batch_root": "/api/beta"}, {"first": "/api/beta", "others": ()}),
    ],
)
def test_the_roots_to_try(changes, found):
    wanted = {"first": None, "others": ("/api/beta",), **found}
    first, *others = api.roots(settings(**changes))
    assert (first, tuple(others)) == (wanted["first"], wanted["others"])


@pytest.mark.parametrize("root", ["api/beta", "https://x/y", "/a/../b", "/a?b", 3, "/"])
def test_a_root_is_a_path(root):
    with pytest.raises(ConfigurationError, match="batch_root"):
        settings(batch_root=root)


# ------------------------------------------------------------------ records


def batch(status, *units, completed=0, **fields):
    return Batch(f"b-{status}", units, State(status=status, completed=completed, **fields))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), "completed"),
        (("completed", "completed"), "completed"),
        (("completed", "in_progress"), "in_progress"),
        (("validating", "finalizing"), "validating"),
        (("completed", "paused"), "paused"),
        (("paused", "cancelling"), "cancelling"),
        (("completed", "expired"), "expired"),
        (("failed", "expired", "gone"), "failed"),
        (("failed", "in_progress"), "in_progress"),
        (("deleted", "completed"), "deleted"),
    ],
)
def test_one_word_for_all_batches(words, status):
    record = Record(base_url="", batches=[batch(word) for word in words])
    assert record.status == status
    assert bool(record.running) == bool(set(words) - api.FINAL)


def test_counts_are_those_of_distinct_inputs():
    parts = [batch("completed", 0, 1, completed=2), batch("failed", 2), batch("in_progress", 3, 4)]
    counts = Record(base_url="", batches=parts).counts
    assert counts == BatchCounts(total=5, completed=2, failed=1)


def whole():
    names = [api.key_name(bytes([at]) * 32) for at in range(3)]
    return Record(
        base_url="https://x.example/v1",
        root="/api/beta",
        model="m",
        count=4,
        rows=[0, 1, -1, 2],
        empty=[2],
        refused={2: "why"},
        keys=names,
        batches=[batch("completed", 0, 2, usage={"cost": 1.5, "total_tokens": 7}), Batch("", [1])],
    )


def test_a_record_survives_being_plain_data():
    record = whole()
    table = json.loads(json.dumps(record.to_dict()))
    again = of_dict(table, "It")
    assert again.to_dict() == record.to_dict()
    assert again.usage.cost == 1.5
    assert again.ids == ("b-completed",)


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": ["short"]},
        {"keys": None},
        {"rows": [0, 1, 2, 3]},
        {"rows": [0]},
        {"rows": [-2, 0, 0, 0]},
        {"count": 9},
        {"batches": [{}]},
        {"batches": 3},
        {"root": "beta"},
        {"root": "/a b"},
        {"refused": []},
        {"base_url": None, "empty": None},
    ],
)
def test_a_damaged_record_is_refused(changes):
    with pytest.raises(ConfigurationError, match="damaged"):
        of_dict({**whole().to_dict(), **changes}, "It")


def test_two_batches_do_not_hold_the_same_input():
    table = whole().to_dict()
    table["batches"].append(table["batches"][0])
    with pytest.raises(ConfigurationError, match="damaged"):
        of_dict(table, "It")


@pytest.mark.parametrize(
    ("changes", "says"), [({"format": "x"}, "no job"), ({"version": 2}, "later")]
)
def test_what_is_no_job_or_a_later_one_says_so(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        of_dict({**whole().to_dict(), **changes}, "It")


@pytest.mark.parametrize("ids", [[], ["a b"], [""], [3], ["../x"], ["."]])
def test_ids_are_checked(ids):
    with pytest.raises(ConfigurationError, match="takes the path"):
        of_ids(ids, "")


# ------------------------------------------------------------------ pauses and doubts


def test_pauses_grow_from_ten_seconds_to_five_minutes(monkeypatch):
    monkeypatch.setattr("openrouter_embed.batch.watching.FIRST_POLL", 10.0)
    pauses = [pause(rounds, None, None) for rounds in range(1, 40)]
    assert pauses[0] == 10.0
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300.0
    assert sum(pauses[:9]) > 600


@pytest.mark.parametrize(
    ("poll", "asked", "seconds"),
    [(3.0, None, 3.0), (3.0, 60.0, 60.0), (600.0, None, 600.0), (None, 1000.0, 1000.0)],
)
def test_who_asks_for_a_pause_gets_it(poll, asked, seconds):
    assert pause(1, poll, asked) == seconds


@pytest.mark.parametrize(
    ("error", "doubtful"),
    [
        (TransportError("x", kind="reset"), True),
        (TransportError("x", kind="timeout"), True),
        (TransportError("x", kind="tls"), True),
        (TransportError("x", kind="connect"), False),
        (TransportError("x", kind="dns"), False),
        (InvalidResponseError("x", reason="json"), True),
        (ServerError("x", status=502), True),
        (RateLimitError("x", status=429), False),
        (BadRequestError("x", status=400), False),
    ],
)
def test_what_may_have_arrived(error, doubtful):
    assert may_have_arrived(error) is doubtful
