"""The page about batches: its code runs and prints what it says."""

from __future__ import annotations

import pathlib
import re

import openrouter_embed
from openrouter_embed.batch import api

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "batch.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    "\n" * TEXT.count("\n", 0, found.start(1)) + found[1]
    for found in re.finditer(r"```python\n(.*?)```", TEXT, re.DOTALL)
]


def test_every_block_of_the_page_runs_and_prints_what_it_says(
    openrouter_emulator, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code in BLOCKS:
        exec(compile(code, str(PAGE), "exec"), names)
        expected = re.findall(r"^#> (.*)$", code, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected
    assert openrouter_emulator.stats.requests == 0
    assert len(openrouter_emulator.batches.ids) == 3


def test_the_page_has_blocks_and_says_what_they_print():
    assert len(BLOCKS) == 4
    assert all("#> " in block for block in BLOCKS)


def test_every_link_of_the_page_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (PAGE.parent / link).exists(), link


def test_every_error_that_the_page_names_exists():
    for name in re.findall(r"`(\w+Error)`", TEXT):
        assert hasattr(openrouter_embed, name)


def test_the_limits_of_the_page_are_those_of_the_code():
    assert f"{api.MAX_REQUESTS:,} inputs" in TEXT
    assert f"{api.MAX_ANSWER_BYTES >> 20} MiB" in TEXT
