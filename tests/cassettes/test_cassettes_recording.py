"""The recorder: the same cassettes again, on either shell, and never more money than allowed.

Rules of this file:
- Everything here needs the emulator, hence loopback; replaying does not, and stands elsewhere.
- A second emulator plays the live service, so that nothing here can cost anything.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
from cassette_format import FOLDER, load_answer, path_of, read
from cassette_recorder import (
    Budget,
    OverBudgetError,
    emulated,
    is_live,
    price_bound,
    record,
    record_live,
)
from cassette_scenarios import BY_NAME, SCENARIOS

from openrouter_embed import EmbeddingClient
from openrouter_embed.errors import BudgetExceededError

pytestmark = pytest.mark.usefixtures("loopback")
CHEAP = [BY_NAME["inputs/string"], BY_NAME["errors/401"], BY_NAME["errors/503"]]


@pytest.fixture(scope="module")
def origin():
    with emulated() as origin:
        yield origin


@pytest.fixture
def stand_in(origin):
    """An emulator that the recorder takes for the live service."""
    return dataclasses.replace(origin, name="live")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["requests", "aiohttp"])
def test_cassettes_recorded_again_are_the_same_bytes(origin, tmp_path, shell):
    for scenario in SCENARIOS:
        if is_live(scenario.name):
            continue
        record(scenario, origin, into=tmp_path, shell=shell)
        again = path_of(scenario.name, tmp_path).read_bytes()
        assert again == path_of(scenario.name).read_bytes(), scenario.name


@pytest.mark.slow
def test_cassettes_recorded_from_nothing_differ_in_no_more_than_the_last_decimal(origin, tmp_path):
    """The committed vectors are not kept out of courtesy alone: new ones are nearly the same."""
    for scenario in SCENARIOS:
        if is_live(scenario.name):
            continue
        record(scenario, origin, into=tmp_path, reference=tmp_path)
        new, old = read(path_of(scenario.name, tmp_path)), read(path_of(scenario.name))
        for one, other in zip(new["interactions"], old["interactions"], strict=True):
            assert one["request"] == other["request"]
            assert _rounded(load_answer(one["response"])) == _rounded(
                load_answer(other["response"])
            )


def _rounded(tree):
    if isinstance(tree, dict):
        return {k: None if k == "embedding" and isinstance(v, str) else _rounded(v)
                for k, v in tree.items()}  # fmt: skip
    if isinstance(tree, list):
        return [_rounded(item) for item in tree]
    return pytest.approx(tree, abs=2e-4, rel=1e-9) if isinstance(tree, float) else tree


@pytest.mark.slow
def test_cassette_command_leaves_a_recorded_folder_as_it_was(tmp_path):
    environment = {**os.environ, "OPENROUTER_API_KEY": "must-not-be-used"}
    command = [sys.executable, "-m", "tests.record", "inputs/str*", "--into", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=FOLDER.parent, env=environment, capture_output=True, text=True, check=True
        )
        assert "2 cassettes recorded from the emulator" in done.stdout
        for name in ("inputs/string", "inputs/strings"):
            assert path_of(name, tmp_path).read_bytes() == path_of(name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [(["--live"], 2, "needs a key"), (["no/such*"], 2, "No scenario"), (["--list"], 0, "errors/")],
)
def test_cassette_command_explains_itself(arguments, status, told):
    environment = {k: v for k, v in os.environ.items() if k != "OPENROUTER_API_KEY"}
    command = [sys.executable, "-m", "tests.record", *arguments]
    done = subprocess.run(
        command, cwd=FOLDER.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert told in done.stdout + done.stderr


def test_cassette_that_cannot_be_provoked_live_is_not_recorded_live(stand_in, tmp_path):
    record_live(CHEAP, stand_in, 0.01, into=tmp_path, say=lambda _: None)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.yaml")}
    assert written == {"inputs/string.yaml", "errors/401.yaml"}
    tree = read(path_of("inputs/string", tmp_path))
    assert tree["recorded_from"] == "live"
    assert tree["recorded_at"]
    assert is_live("inputs/string", tmp_path)
    assert [item["request"]["method"] for item in tree["interactions"]] == ["POST"]


def test_cassette_recorded_live_again_keeps_its_day(stand_in, tmp_path):
    record_live(CHEAP[:1], stand_in, 0.01, into=tmp_path, say=lambda _: None)
    path = path_of("inputs/string", tmp_path)
    old = path.read_text().replace(read(path)["recorded_at"].strip("'"), "2001-02-03")
    path.write_text(old)
    record_live(CHEAP[:1], stand_in, 0.01, into=tmp_path, say=lambda _: None)
    assert path.read_text() == old


@pytest.mark.slow
def test_cassettes_that_can_be_recorded_live_all_are_within_the_default_sum(stand_in, tmp_path):
    spent = record_live(SCENARIOS, stand_in, 0.01, into=tmp_path, say=lambda _: None)
    assert 0 < spent < 1e-3
    for scenario in SCENARIOS:
        assert path_of(scenario.name, tmp_path).is_file() == scenario.live
        if scenario.live:
            new, old = (read(path_of(scenario.name, one)) for one in (tmp_path, FOLDER))
            requests = [[i["request"] for i in tree["interactions"]] for tree in (new, old)]
            assert requests[0] == requests[1], scenario.name


def test_cassette_prices_are_told_before_a_live_recording_spends(stand_in, tmp_path):
    told = []
    spent = record_live(CHEAP, stand_in, 0.01, into=tmp_path, say=told.append)
    assert "at most about $" in told[0]
    assert "the limit is $0.01" in told[0]
    assert 0 < spent < 1e-5


def test_cassette_that_may_cost_too_much_is_not_recorded(stand_in, tmp_path):
    with pytest.raises(OverBudgetError, match=r"only \$1e-09 are allowed"):
        record_live(CHEAP, stand_in, 1e-9, into=tmp_path, say=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_cassette_recording_stops_at_its_budget_even_where_the_bound_was_wrong(stand_in, tmp_path):
    with EmbeddingClient("any", api_key=stand_in.key, base_url=stand_in.base_url) as client:
        budget = Budget(1e-9, client.models())
    with pytest.raises(BudgetExceededError):
        record(CHEAP[0], stand_in, into=tmp_path, reference=tmp_path, budget=budget)
    assert list(tmp_path.rglob("*.yaml")) == []


def test_cassette_price_bounds_are_above_what_was_billed(origin):
    with EmbeddingClient("any", api_key=origin.key, base_url=origin.base_url) as client:
        models = client.models()
    for scenario in SCENARIOS:
        answers = [
            load_answer(item["response"]) for item in read(path_of(scenario.name))["interactions"]
        ]
        billed = sum(answer["usage"]["cost"] for answer in answers if "usage" in answer)
        if scenario.live:
            assert billed <= price_bound(scenario, models) < 3e-3, scenario.name
