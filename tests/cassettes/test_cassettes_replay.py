"""Every cassette, played to both shells with no network at all.

Rules of this file:
- No socket can be made while these tests run, not even on loopback.
- What comes out is compared with the cassette by a decoder that is not the package's own.
"""

from __future__ import annotations

import socket

import numpy as np
import pytest
from cassette_faces import arun, options_of, run
from cassette_format import path_of
from cassette_scenarios import SCENARIOS
from cassette_scrub import API, read_vector
from cassette_table import Scenario, matrix
from cassette_tape import replay
from pytest_socket import SocketBlockedError

KEY = "sk-or-v1-" + "0" * 64

pytestmark = pytest.mark.usefixtures("socket_disabled")
every_cassette = pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.name for s in SCENARIOS])


@every_cassette
def test_cassette_replays_on_requests(scenario: Scenario):
    with replay(path_of(scenario.name)) as tape:
        outcomes = run(scenario, options_of(scenario, API, KEY))
    compare_vectors(scenario, outcomes, tape)


@every_cassette
async def test_cassette_replays_on_aiohttp(scenario: Scenario):
    with replay(path_of(scenario.name)) as tape:
        outcomes = await arun(scenario, options_of(scenario, API, KEY))
    compare_vectors(scenario, outcomes, tape)


@every_cassette
def test_cassette_usage_is_the_sum_of_what_was_recorded(scenario: Scenario):
    clients = []
    with replay(path_of(scenario.name)) as tape:
        run(scenario, options_of(scenario, API, KEY), clients.append)
    recorded = [answer["usage"] for answer in tape.answers()]
    usage = clients[0].usage
    assert usage.prompt_tokens == sum(one["prompt_tokens"] for one in recorded)
    assert (usage.cost or 0) == pytest.approx(sum(one["cost"] for one in recorded))
    assert usage.requests == sum(request.method == "POST" for request in tape.requests)


def compare_vectors(scenario: Scenario, outcomes, tape):
    """What came out is what was recorded, row by row."""
    recorded = [
        read_vector(item["embedding"]) for answer in tape.answers() for item in answer["data"]
    ]
    if scenario.rows is None or not recorded or scenario.folder == "catalogue":
        return
    came = [row for outcome in outcomes for row in matrix(outcome)]
    places = scenario.rows or range(len(came))
    for row, place in zip(came, places, strict=False):
        np.testing.assert_array_equal(row, np.asarray(recorded[place], np.float32))
    assert set(places) == set(range(len(recorded)))


def test_cassette_tests_cannot_make_a_socket():
    with pytest.raises((SocketBlockedError, UserWarning)):
        socket.socket(socket.AF_INET)


async def test_cassette_tests_cannot_make_a_socket_in_a_loop():
    with pytest.raises((SocketBlockedError, UserWarning)):
        socket.socket(socket.AF_INET)
