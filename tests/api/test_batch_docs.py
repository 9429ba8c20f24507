"""The page about batches: what the common test of pages does not see."""

from __future__ import annotations

import pathlib
import re

import pytest

import openrouter_embed
from openrouter_embed.batch import api

TEXT = (pathlib.Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_indexes_of_the_page_are_built_without_a_request(
    openrouter_emulator, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, "docs/batch.md", "exec"), names)

    assert openrouter_emulator.stats.requests == 0
    assert len(openrouter_emulator.batches.ids) == 3


def test_every_error_that_the_page_names_exists():
    for name in re.findall(r"`(\w+Error)`", TEXT):
        assert hasattr(openrouter_embed, name)


def test_the_limits_of_the_page_are_those_of_the_code():
    assert f"{api.MAX_REQUESTS:,} inputs" in TEXT
    assert f"{api.MAX_ANSWER_BYTES >> 20} MiB" in TEXT
