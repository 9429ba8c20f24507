"""The page for those who test programs of their own: its tests pass, its table is true."""

from __future__ import annotations

import ast
import inspect
import pathlib
import re

import pytest

import openrouter_embed
from openrouter_embed import EmbeddingClient, EmbeddingError
from openrouter_embed.emulator import Emulator

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "testing.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    "\n" * TEXT.count("\n", 0, found.start(1)) + found[1]
    for found in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL)
]
TESTS = [
    (name, block)
    for block in BLOCKS
    for name in re.findall(r"^def (test_\w+)", block, re.MULTILINE)
]
ROWS = re.findall(r"^\| `([^`]+)`.*?\| .+? \| (.+?) \| (.+?) \|$", TEXT, re.MULTILINE)[1:]
SMALL = "openai/text-embedding-3-small"


@pytest.mark.parametrize(("name", "block"), TESTS, ids=[name for name, _ in TESTS])
def test_every_test_of_the_page_passes(name, block, openrouter_emulator):
    names = {"__name__": "page"}
    exec(compile(block, str(PAGE), "exec"), names)
    test = names[name]
    test(*[openrouter_emulator] * len(inspect.signature(test).parameters))


def test_the_page_has_tests_and_rows():
    assert len(TESTS) == 7
    assert len(ROWS) == 14


def outcome(what, times):
    """What a program meets: "arrives", or the name of the error."""
    with Emulator(backend="hashed") as emulator:
        emulator.fail(what, times=times, retry_after=0.01)
        client = EmbeddingClient(
            SMALL, api_key="any", base_url=emulator.base_url, timeout=0.2, max_retries=1
        )
        with client:
            try:
                client.embed(["a text"])
            except EmbeddingError as error:
                return f"`{type(error).__name__}`"
    return "arrives"


@pytest.mark.parametrize(("what", "once", "always"), ROWS, ids=[row[0] for row in ROWS])
def test_every_row_of_the_table_is_true(what, once, always):
    failure = ast.literal_eval(what)

    assert outcome(failure, 1) == once
    assert outcome(failure, None) == always


def test_every_error_that_the_page_names_exists():
    for name in re.findall(r"`(\w+Error)`", TEXT):
        assert hasattr(openrouter_embed, name)


def test_every_kind_of_failure_is_in_the_table():
    from openrouter_embed.emulator.failures import _KINDS

    assert {f'"{kind}"' for kind in _KINDS} <= {row[0] for row in ROWS}
