"""What the committed cassettes hold, and what they must never hold.

Rules of this file:
- Files are read as text and as YAML; nothing is replayed.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest
from cassette_format import FOLDER, CassetteSerializer, load_answer, path_of, read
from cassette_recorder import EMULATOR_NOTE, LIVE_TOLERANCE
from cassette_scenarios import BY_NAME, SCENARIOS
from cassette_scrub import (
    ANSWER_HEADERS,
    API,
    HIDDEN,
    REQUEST_HEADERS,
    SECRETS,
    Scrubber,
    SecretError,
    clean_request,
)
from vcr.request import Request

FILES = sorted(FOLDER.rglob("*.yaml"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
STATUSES = {400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 524, 529}


def test_cassettes_and_scenarios_are_the_same_set():
    stored = [path.relative_to(FOLDER).with_suffix("").as_posix() for path in FILES]
    assert sorted(BY_NAME) == stored
    assert len(BY_NAME) == len(SCENARIOS), "two scenarios have one name"
    assert len(stored) >= 20


@every_file
def test_cassette_holds_no_secret(path):
    text = path.read_text(encoding="utf-8")
    found = [what for what, pattern in SECRETS.items() if pattern.search(text)]
    assert found == []


@every_file
def test_cassette_holds_only_headers_on_the_list(path):
    for item in read(path)["interactions"]:
        headers = item["request"]["headers"]
        assert set(headers) <= REQUEST_HEADERS
        assert headers["authorization"] == f"Bearer {HIDDEN}"
        assert HIDDEN not in {v for name, v in headers.items() if name != "authorization"}
        assert set(item["response"]["headers"]) <= ANSWER_HEADERS


@every_file
def test_cassette_says_where_it_was_recorded(path):
    tree = read(path)
    scenario = BY_NAME[tree["cassette"]]
    assert path == path_of(tree["cassette"])
    assert tree["recorded_from"] in {"emulator", "live"}
    assert ("recorded_at" in tree) == (tree["recorded_from"] == "live")
    assert tree.get("note") == (EMULATOR_NOTE if tree["recorded_from"] == "emulator" else None)
    assert tree["provocable_live"] is scenario.live
    assert (tree["shows"], tree["through"]) == (scenario.shows, scenario.face)
    assert all(item["request"]["uri"].startswith(API) for item in tree["interactions"])


@every_file
def test_cassette_is_small_enough_to_review(path):
    assert path.stat().st_size < 48_000


@every_file
def test_cassette_is_as_the_recorder_writes_it(path):
    """Nobody edited it by hand, and cleaning it again changes nothing."""
    tree = read(path)
    interactions = tree.pop("interactions")
    stored = [load_answer(item["response"]) for item in interactions]
    scrubber = Scrubber(stored=stored, tolerance=LIVE_TOLERANCE)
    text = path.read_text(encoding="utf-8")
    tape = CassetteSerializer().deserialize(text)
    assert CassetteSerializer(tree, scrubber).serialize(tape) == text


def test_cassettes_hold_every_status():
    seen = Counter(
        item["response"]["status"]
        for path in FILES
        if path.parent.name == "errors"
        for item in read(path)["interactions"]
    )
    assert seen.keys() >= STATUSES | {200}


def test_cassettes_hold_every_form_of_input_and_both_encodings():
    bodies = [
        item["request"]["json"]
        for path in FILES
        for item in read(path)["interactions"]
        if item["request"]["method"] == "POST"
    ]
    kinds = {type(one).__name__ for body in bodies for one in body["input"]}
    assert kinds == {"str", "list", "dict"}
    assert {body["encoding_format"] for body in bodies} == {"float", "base64"}
    assert {key for body in bodies for key in body} == {
        "model", "input", "encoding_format", "dimensions", "user", "provider", "input_type",
        "usage",
    }  # fmt: skip


# ---------------------------------------------------------------- scrubbing


def _exchange(body: object, *, headers=None, uri=f"{API}/embeddings", packed=False):
    raw = body if isinstance(body, str) else json.dumps(body)
    string = gzip.compress(raw.encode()) if packed else raw
    return {
        "request": {"method": "POST", "uri": uri, "body": "{}", "headers": {}},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": headers or {},
            "body": {"string": string},
        },
    }


def _cleaned(scrubber: Scrubber, *args, **options):
    return scrubber.interaction(_exchange(*args, **options))["response"]


def test_cassette_scrubbing_drops_what_identifies_an_account():
    leaky = {
        "error": {"message": "Key sk-or-v1-" + "0123456789abcdef" + " refused for 203.0.113.9"},
        "user_id": "user_2abcDEF",
        "nested": [{"id": "gen-emb-1787150070-AbCdEfGhIjKlMnOpQrSt"}],
    }
    headers = {
        "Set-Cookie": ["__cf_bm=abc"],
        "CF-RAY": ["9ab3"],
        "Date": ["today"],
        "Content-Type": ["application/json"],
        "Retry-After": ["3"],
    }
    answer = _cleaned(Scrubber(), leaky, headers=headers)
    assert answer["headers"] == {"content-type": ["application/json"], "retry-after": ["3"]}
    text = answer["body"]["string"]
    Scrubber().refuse_secrets(text)
    assert "AbCdEf" not in text
    assert "2abcDEF" not in text


def test_cassette_scrubbing_numbers_ids_in_order():
    scrubber = Scrubber()
    texts = [_cleaned(scrubber, {"id": f"gen-emb-178715007{n}-AbCdEfGh"}) for n in (5, 6, 5)]
    numbers = [json.loads(text["body"]["string"])["id"][-1] for text in texts]
    assert numbers == ["1", "2", "1"]


def test_cassette_scrubbing_unpacks_compressed_answers():
    headers = {"Content-Encoding": ["gzip"]}
    answer = _cleaned(Scrubber(), {"a": 1}, headers=headers, packed=True)
    assert answer == {
        "status": {"code": 200, "message": "OK"},
        "headers": {},
        "body": {"string": '{"a":1}'},
    }


def test_cassette_scrubbing_keeps_the_white_space_before_an_answer():
    assert _cleaned(Scrubber(), '\n   \n{"a": 1}')["body"]["string"] == '\n   \n{"a":1}'


def test_cassette_scrubbing_keeps_no_figures_of_an_account():
    told = {"data": {"label": "sk-or-v1-abc...def", "usage": 17.3, "limit": None, "creator": "me"}}
    text = _cleaned(Scrubber(), told, uri=f"{API}/key")["body"]["string"]
    assert json.loads(text) == {"data": {"label": "sk-or-...", "usage": 0.25, "limit": 10.0}}


@pytest.mark.parametrize("encoded", ["list", "base64"])
def test_cassette_scrubbing_keeps_a_vector_that_hardly_moved(encoded):
    before = _cleaned(Scrubber(), _vector(encoded, 0.12345, -0.5))
    stored = [json.loads(before["body"]["string"])]
    moved = _cleaned(Scrubber(stored=stored, tolerance=2e-4), _vector(encoded, 0.12351, -0.5))
    assert moved == before
    other = _cleaned(Scrubber(stored=stored, tolerance=2e-4), _vector(encoded, 0.2, -0.5))
    assert other != before


def _vector(encoded, *numbers):
    import base64
    import struct

    packed = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return {"data": [{"embedding": list(numbers) if encoded == "list" else packed, "index": 0}]}


@pytest.mark.parametrize(
    "text",
    ["key: sk-or-v1-0123456789", "Bearer abc", "user_2abc", "set-cookie: x", "1.2.3.4", "my-key"],
)
def test_cassette_is_not_written_with_a_secret_in_it(text):
    with pytest.raises(SecretError):
        Scrubber(secrets=("my-key",)).refuse_secrets(text)


def test_cassette_request_keeps_that_there_was_a_key_and_a_version_but_not_which():
    request = Request(
        "POST",
        "http://127.0.0.1:4711/api/v1/embeddings",
        b"{}",
        {
            "Authorization": "Bearer my-key",
            "User-Agent": "openrouter-embed/9.9.9rc1",
            "X-Secret": "my-key",
            "Content-Length": "2",
        },
    )
    clean = clean_request(request)
    assert clean.uri == f"{API}/embeddings"
    assert dict(clean.headers) == {
        "authorization": f"Bearer {HIDDEN}",
        "user-agent": "openrouter-embed/*",
        "x-secret": HIDDEN,
    }
    odd = clean_request(Request("GET", API, None, {"Authorization": "my-key"}))
    assert odd.headers["authorization"] == f"{HIDDEN}: no bearer"
