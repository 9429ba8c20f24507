"""The page about many machines: its links lead somewhere, and it names what there is."""

from __future__ import annotations

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "many-machines.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_link_of_the_page_leads_somewhere():
    for link, _, anchor in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", TEXT):
        target = PAGE.parent / link
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in [each.lower().replace(" ", "-") for each in headings]


def test_the_page_shows_every_public_name():
    shown = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    for name in ("Bill", "Embedder", "embed_column"):
        assert re.search(rf"\b{name}\(|\b{name},\n", shown), name
