"""The README's code runs as it stands, against the emulator."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
EXPECTED = [
    "Bread needs flour, water and time.",
    "Bread needs flour and time.",
    "(2, 4096)",
    "(2, 768)",
    "(2, 1536)",
    "",
    "",
]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_every_snippet_of_the_readme_runs_and_prints_what_it_should(
    number, openrouter_emulator, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), names)
    if "test_my_search" in names:
        names["test_my_search"](openrouter_emulator)
    assert EXPECTED[number] in capsys.readouterr().out
    assert openrouter_emulator.stats.inputs >= 1


def test_the_readme_has_the_snippets_that_the_expectations_are_about():
    assert len(SNIPPETS) == len(EXPECTED)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link):
    assert (ROOT / link).exists()
