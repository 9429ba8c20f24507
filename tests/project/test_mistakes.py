"""The likely mistakes, made anew: each says what to do next, in the words of the page."""

from __future__ import annotations

import pathlib
import re
import sys

import pytest

from openrouter_embed import EmbeddingError

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mistakes.md").read_text(encoding="utf-8")
sys.path.append(str(ROOT / "docs"))
likely = __import__("mistakes")


@pytest.fixture(scope="module")
def server():
    with likely.emulator() as running:
        yield running


@pytest.mark.parametrize("row", likely.MISTAKES, ids=lambda row: row.what)
def test_a_mistake_is_told_with_what_to_do_next(row, server):
    error = likely.made(row, server.base_url)
    assert isinstance(error, EmbeddingError)
    assert row.advice in str(error)
    assert str(error).replace("|", "\\|") in PAGE
    assert likely.KEY not in str(error)
    assert "a text" not in str(error)


@pytest.mark.parametrize("row", likely.MISTAKES, ids=lambda row: row.what)
def test_advice_is_something_to_do(row):
    todo = (
        r"[`(]|set |make |check |start |pass |leave |drop |raise |use |must be|should end|"
        r"given to|did you mean"
    )
    assert re.search(todo, row.advice, re.IGNORECASE)


def test_there_are_twenty_and_more_and_none_twice():
    assert len(likely.MISTAKES) >= 20
    assert len({row.code for row in likely.MISTAKES}) >= 20
    assert len({row.what for row in likely.MISTAKES}) == len(likely.MISTAKES)


def test_what_is_no_mistake_is_noticed(server):
    fine = likely.Mistake("nothing", 'client.embed("a text")', "")
    with pytest.raises(AssertionError, match="Nothing was raised"):
        likely.made(fine, server.base_url)
