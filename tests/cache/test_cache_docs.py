"""The page about caching: its code runs and prints what it says."""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "caching.md"
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
    for name in ("client", "embeddings", "embedding", "cache"):
        names[name].close()


def test_the_page_has_blocks_and_says_what_they_print():
    assert len(BLOCKS) == 6
    assert all("#> " in block for block in BLOCKS)
