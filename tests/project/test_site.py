"""The check of the built site finds what is wrong, and the site is told to fetch nothing."""

from __future__ import annotations

import pathlib
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))
check_site = __import__("check_site")
questions = __import__("questions")

GOOD = """<html><head><link rel="stylesheet" href="a.css">
<link rel="canonical" href="https://x.example/"></head>
<body><h1 id="top">A</h1><a href="other/">b</a><a href="other/#place">c</a>
<a href="#top">d</a><a href="https://x.example/">e</a><a href="mailto:a@x.example">f</a>
<img src="p.svg"></body></html>"""


@pytest.fixture
def site(tmp_path):
    """A site without faults; tests put one in."""
    (tmp_path / "other").mkdir()
    (tmp_path / "index.html").write_text(GOOD, encoding="utf-8")
    (tmp_path / "other" / "index.html").write_text('<p id="place">', encoding="utf-8")
    (tmp_path / "a.css").write_text("p { background: url(p.svg) }", encoding="utf-8")
    (tmp_path / "p.svg").write_text("<svg/>", encoding="utf-8")
    return tmp_path


def test_a_site_without_faults_passes(site, capsys):
    assert check_site.main([str(site)]) == 0
    assert "every link, anchor and asset is there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ('<a href="gone/">', "leads nowhere: gone/"),
        ('<a href="gone.md">', "leads nowhere: gone.md"),
        ('<a href="../outside/">', "leads out of the site: ../outside/"),
        ('<a href="#gone">', "has no such anchor: #gone"),
        ('<a href="other/#gone">', "has no such anchor: other/#gone"),
        ('<img src="gone.png">', "leads nowhere: gone.png"),
        ('<img src="https://x.example/p.png">', "loads from another host"),
        ('<script src="https://x.example/a.js"></script>', "loads from another host"),
        ('<link rel="stylesheet" href="//x.example/a.css">', "loads from another host"),
        ('<iframe src="https://x.example/"></iframe>', "loads from another host"),
        ("<p>```python a</p>", "a block of code was not rendered"),
    ],
)
def test_a_fault_is_found_and_named(site, capsys, planted, said):
    page = site / "index.html"
    page.write_text(GOOD.replace("</body>", f"{planted}</body>"), encoding="utf-8")
    assert check_site.main([str(site)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("index.html: ")
    assert said in printed


def test_a_style_sheet_that_loads_from_elsewhere_is_found(site, capsys):
    (site / "a.css").write_text("@import 'https://x.example/a.css';", encoding="utf-8")
    assert check_site.main([str(site)]) == 1
    assert "a.css: loads from another host: https://x.example/a.css" in capsys.readouterr().out


def test_no_site_is_said(tmp_path, capsys):
    assert check_site.main([str(tmp_path)]) == 2
    assert "build it first" in capsys.readouterr().out


def test_the_site_is_told_to_fetch_nothing():
    told = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert told["theme"]["font"] is False
    assert "repo_url" not in told
    names = {
        plugin if isinstance(plugin, str) else next(iter(plugin)) for plugin in told["plugins"]
    }
    assert names == {"search", "mkdocstrings"}


def test_an_outcome_without_words_is_an_error(monkeypatch):
    fewer = {title: dict(group) for title, group in questions.GROUPS.items()}
    del fewer["the API refuses"]["401"]
    monkeypatch.setattr(questions, "GROUPS", fewer)
    with pytest.raises(ValueError, match="401"):
        list(questions.questions())
