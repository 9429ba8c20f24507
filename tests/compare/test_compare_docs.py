"""The page on choosing a model runs as it stands."""

from __future__ import annotations

import pathlib
import re

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "choosing.md").read_text(encoding="utf-8")


def test_every_block_of_the_page_runs(openrouter_emulator, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/choosing.md", "exec"), {"__name__": "page"})
    out = capsys.readouterr().out
    assert "4 documents and 2 queries go to 2 models, for about $" in out
    assert "nDCG@10" in out


def test_the_page_names_every_column(openrouter_emulator):
    from openrouter_embed.comparison.report import _COLUMNS

    shown = {name.format(k=10) for name, _ in _COLUMNS} - {"model", "width"}
    assert {name for name in shown if f"`{name}`" not in PAGE} == set()
