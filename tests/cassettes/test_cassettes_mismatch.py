"""A change on the wire is noticed, and the failure says what changed.

Rules of this file:
- Each test changes one thing, either in a copy of a cassette or in what is sent.
- Both shells: what one of them hides, such as a swallowed exception, must not hide the change.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil

import pytest
from cassette_faces import arun, options_of, run
from cassette_format import dump, path_of, read
from cassette_scenarios import BY_NAME
from cassette_scrub import API
from cassette_table import call
from cassette_tape import CassetteMismatchError, replay

from openrouter_embed import errors

KEY = "a-key-of-nobody"
STRINGS = BY_NAME["inputs/strings"]

pytestmark = pytest.mark.usefixtures("socket_disabled")


@pytest.fixture(params=["requests", "aiohttp"])
def play(request):
    """Run a scenario against a cassette file on one of the shells."""

    def on_requests(scenario, path=None):
        with replay(path or path_of(scenario.name)) as tape:
            run(scenario, options_of(scenario, API, KEY))
        return tape

    def on_aiohttp(scenario, path=None):
        async def inner():
            with replay(path or path_of(scenario.name)) as tape:
                await arun(scenario, options_of(scenario, API, KEY))
            return tape

        return asyncio.run(inner())

    return on_requests if request.param == "requests" else on_aiohttp


@pytest.fixture
def changed(tmp_path):
    """A copy of a cassette with something changed in its tree."""

    def make(name, change):
        tree = read(path_of(name))
        change(tree["interactions"])
        path = tmp_path / "changed.yaml"
        path.write_text(dump(tree), encoding="utf-8")
        return path

    return make


def test_cassette_names_the_byte_and_the_field_that_changed(play):
    other = dataclasses.replace(
        STRINGS, calls=(call("embed", ["first text", "secpnd text", "third text"]),)
    )
    with pytest.raises(CassetteMismatchError) as failure:
        play(other)
    told = str(failure.value)
    assert "body.input[1]: recorded 'second text', sent 'secpnd text'" in told
    at = b'{"model":"openai/text-embedding-3-small","input":["first text","sec'
    assert f"body, byte {len(at)} of" in told
    assert "Nearest is interaction 1" in told


def test_cassette_notices_another_order_of_keys(play, changed):
    def swap(interactions):
        body = interactions[0]["request"]["json"]
        interactions[0]["request"]["json"] = dict(sorted(body.items()))

    with pytest.raises(CassetteMismatchError, match=r"body: keys recorded in the order \['dim"):
        play(STRINGS, changed(STRINGS.name, swap))


def test_cassette_notices_white_space_that_means_nothing(play, changed):
    def loosen(interactions):
        tree = interactions[0]["request"].pop("json")
        interactions[0]["request"]["text"] = str(tree).replace("'", '"')

    with pytest.raises(CassetteMismatchError, match="the same JSON in other bytes"):
        play(STRINGS, changed(STRINGS.name, loosen))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("dimensions", 9, "body.dimensions: recorded 9, sent 8"),
        ("dimensions", 8.0, "body.dimensions: recorded 8.0, sent 8"),
        ("user", None, "body.user: recorded, not sent"),
        ("encoding_format", "base64", "body.encoding_format: recorded 'base64', sent 'float'"),
    ],
)
def test_cassette_notices_another_value(play, changed, field, value, told):
    def change(interactions):
        interactions[0]["request"]["json"][field] = value

    with pytest.raises(CassetteMismatchError) as failure:
        play(STRINGS, changed(STRINGS.name, change))
    assert told in str(failure.value)


@pytest.mark.parametrize("header", ["content-type", "accept", "accept-encoding", "user-agent"])
def test_cassette_notices_another_header(play, changed, header):
    def change(interactions):
        interactions[0]["request"]["headers"][header] = "other"

    with pytest.raises(CassetteMismatchError, match=f"header {header}: recorded 'other', sent"):
        play(STRINGS, changed(STRINGS.name, change))


def test_cassette_notices_a_missing_key(play, changed):
    def change(interactions):
        del interactions[0]["request"]["headers"]["authorization"]

    with pytest.raises(CassetteMismatchError, match="header authorization: recorded 'nothing'"):
        play(STRINGS, changed(STRINGS.name, change))


def test_cassette_notices_a_header_nobody_knew(play):
    other = dataclasses.replace(
        STRINGS, options={**STRINGS.options, "default_headers": {"X-New": "value"}}
    )
    with pytest.raises(CassetteMismatchError, match="header x-new: recorded 'nothing', sent 'scr"):
        play(other)


@pytest.mark.parametrize(
    ("field", "value"), [("method", "PUT"), ("uri", f"{API}/embeddings/models")]
)
def test_cassette_notices_another_method_and_address(play, changed, field, value):
    def change(interactions):
        interactions[0]["request"][field] = value

    with pytest.raises(CassetteMismatchError, match=f"{field}: recorded '{value}', sent"):
        play(STRINGS, changed(STRINGS.name, change))


def test_cassette_with_unplayed_interactions_fails(play):
    once = BY_NAME["options/dimensions"]
    first_only = dataclasses.replace(once, calls=once.calls[:1], check=lambda _: None)
    with pytest.raises(
        CassetteMismatchError, match="holds what nobody asked for:\n  interaction 2"
    ):
        play(first_only)


def test_cassette_is_not_played_twice(play):
    twice = dataclasses.replace(STRINGS, calls=STRINGS.calls * 2)
    with pytest.raises(CassetteMismatchError, match="interaction 1 once more, which was played"):
        play(twice)


def test_cassette_notices_a_retry_too_many(play, changed):
    failing = BY_NAME["errors/503"]
    with pytest.raises(
        CassetteMismatchError, match="x-openrouter-embed-attempt: recorded '1', sent"
    ):
        play(failing, changed(failing.name, lambda interactions: interactions.pop()))


def test_cassette_mismatch_is_not_taken_for_an_expected_error(play):
    """Inside the client a refused request looks like a configuration error."""
    other = dataclasses.replace(
        STRINGS,
        calls=(call("embed", ["not recorded"], raises=errors.ConfigurationError),),
        check=lambda _: None,
    )
    with pytest.raises(CassetteMismatchError, match="matches no interaction"):
        play(other)


def test_cassette_that_is_missing_says_how_to_make_it(play, tmp_path):
    with pytest.raises(CassetteMismatchError, match=r"python -m tests\.record"):
        play(STRINGS, tmp_path / "none.yaml")


def test_cassette_is_never_written_by_a_test(play, tmp_path):
    path = tmp_path / "copy.yaml"
    shutil.copy(path_of(STRINGS.name), path)
    before = path.read_bytes()
    with pytest.raises(CassetteMismatchError):
        play(dataclasses.replace(STRINGS, calls=(call("embed", ["not recorded"]),)), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["copy.yaml"]
