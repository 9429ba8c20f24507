"""A smoke test of the live service: does it still answer in the form the emulator knows?

Run it with a key in `OPENROUTER_API_KEY`: `pytest -m live`. It costs far less than a cent.

Rules of this file:
- Without a key nothing here runs but the test of the comparison itself.
- A difference is reported whole: it is the emulator that has to learn it.
"""

from __future__ import annotations

import dataclasses
import os

import pytest
from cassette_format import load_answer, path_of, read
from cassette_recorder import emulated, live, record, record_live
from cassette_scenarios import BY_NAME
from cassette_shapes import drift

KEY = os.environ.get("OPENROUTER_API_KEY")
MOST_USD = 0.002
NAMES = (
    "inputs/string",
    "inputs/image",
    "encoding/float_and_base64",
    "roles/gemini",
    "catalogue/models",
    "catalogue/key",
    "errors/400_no_such_model",
    "errors/401",
)


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.enable_socket
@pytest.mark.skipif(not KEY, reason="needs a key in OPENROUTER_API_KEY")
@pytest.mark.parametrize("name", NAMES)
def test_live_cassette_has_the_form_of_the_emulated_one(name, tmp_path):
    differences = find_drift(name, live(str(KEY)), tmp_path)
    title = "The live service has drifted from the emulator:"
    assert not differences, "\n".join([title, *differences])


@pytest.mark.parametrize("name", NAMES)
def test_cassette_smoke_test_works_where_nothing_has_drifted(name, tmp_path, loopback):
    """A second emulator plays the live service, for the real one is seldom at hand."""
    with emulated() as origin:
        stand_in = dataclasses.replace(origin, name="live")
        assert find_drift(name, stand_in, tmp_path) == []


def find_drift(name, there, folder):
    """Record a scenario from the emulator and from elsewhere; return what differs in form."""
    scenario = BY_NAME[name]
    here, far = folder / "emulator", folder / "live"
    with emulated() as origin:
        record(scenario, origin, into=here, reference=here)
    record_live([scenario], there, MOST_USD, into=far)
    expected, found = (read(path_of(name, one))["interactions"] for one in (here, far))
    assert [item["request"] for item in found] == [item["request"] for item in expected]
    return [
        f"interaction {at}: {line}"
        for at, (one, other) in enumerate(zip(expected, found, strict=True), start=1)
        for line in _compare(one["response"], other["response"])
    ]


def _compare(expected, found):
    if expected["status"] != found["status"]:
        yield f"status {expected['status']} expected, {found['status']} found"
    yield from drift(load_answer(expected), load_answer(found))


def test_cassette_drift_names_every_difference():
    expected = {"data": [{"embedding": [0.5], "index": 0}], "usage": {"cost": 1.0}, "id": "a"}
    found = {"data": [{"embedding": "AAA=", "index": 0}], "usage": {"cost": 2, "byok": True}}
    assert drift(expected, found) == [
        "answer.id: missing",
        "answer.data[].embedding: numbers expected, text found",
        "answer.usage.byok: new, boolean",
    ]


def test_cassette_drift_looks_at_the_form_alone():
    expected = {"data": [{"embedding": [0.5, 0.25]}], "limit": None, "cost": 1}
    found = {"data": [{"embedding": [1]}, {"embedding": [2]}], "limit": 3.5, "cost": 1e-7}
    assert drift(expected, found) == []
