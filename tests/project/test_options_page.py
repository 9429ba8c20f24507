"""The page and the docstrings of the options name every option, in the same words."""

from __future__ import annotations

import pathlib
import re

import pytest

from openrouter_embed.options.keywords import CallOptions, Options
from openrouter_embed.options.table import CALL_OPTIONS

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")


def described(kind):
    return dict(re.findall(r"^ +(\w+): (.+)$", kind.__doc__, re.MULTILINE))


@pytest.mark.parametrize("kind", [Options, CallOptions])
def test_help_describes_every_option(kind):
    assert set(described(kind)) == set(kind.__annotations__)


def test_what_a_call_and_a_client_share_is_described_alike():
    client, call = described(Options), described(CallOptions)
    shared = set(client) & set(call)
    assert {name: client[name] for name in shared} == {name: call[name] for name in shared}
    assert shared == CALL_OPTIONS - {"model"}


def test_the_page_has_a_row_for_every_option():
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == set(Options.__annotations__)


def test_the_code_of_the_page_runs(openrouter_emulator):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "docs/options.md", "exec"), {"__name__": "page"})
    assert openrouter_emulator.stats.requests == 1
