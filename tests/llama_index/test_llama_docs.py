"""The page and the example about LlamaIndex: code runs, what they promise names a test."""

from __future__ import annotations

import pathlib
import re
import runpy
import sys

import pytest
from llama_doubles import PIXEL
from llama_index.core import Settings

from openrouter_embed.emulator import Emulator

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "llamaindex.md").read_text()
COMPARED = (ROOT / "docs" / "compared.md").read_text().partition("## LangChain\n")[2]
EXAMPLE = ROOT / "examples" / "llama_index_search.py"


def blocks():
    """The runnable blocks of the page, each at the lines that it has there."""
    for found in re.finditer(r"```python\n(.*?)```", PAGE, re.DOTALL):
        yield "\n" * PAGE.count("\n", 0, found.start(1)) + found[1]


def run(code, names):
    exec(compile(code, "docs/llamaindex.md", "exec"), names)


def rows(heading):
    """The cells of the table under a heading, line by line, without its head."""
    parts = re.split(r"^## (.+)\n", COMPARED, flags=re.MULTILINE)
    table = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_every_block_of_the_page_runs_and_prints_what_it_says(
    openrouter_emulator, capsys, tmp_path, monkeypatch
):
    # The oldest cores have no limiters to import.
    pytest.importorskip("llama_index.core.rate_limiter", reason="core has none yet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Settings, "_embed_model", None)
    (tmp_path / "cat.png").write_bytes(PIXEL)
    names = {"__name__": "page"}
    for code in blocks():
        run(code, names)
        expected = re.findall(r"^#> (.*)$", code, re.MULTILINE)
        printed = capsys.readouterr().out.splitlines()
        assert printed == expected, code.strip()
    assert openrouter_emulator.stats.requests >= 10


def test_the_page_has_blocks_and_says_what_they_print():
    assert len([*blocks()]) == 16
    assert PAGE.count("#> ") == 14


def test_the_block_about_failures_shows_what_arrived(make, capsys):
    (code,) = (code for code in blocks() if "except EmbeddingError" in code)
    refusal = b'{"error":{"code":400,"message":"not this text"}}'

    def fault(number, body):
        return (400, {}, refusal) if "another text" in body["input"] else None

    with Emulator(backend="hashed", faults=fault) as picky:
        run(code, {"embedding": make(server=picky)})
    assert capsys.readouterr().out.startswith("1 of 2 arrived; ")


def test_every_line_of_the_comparison_names_a_test():
    lines = rows("LlamaIndex")
    assert len(lines) >= 15
    for _, ours, *theirs, tests in lines:
        assert ours
        assert "::test_" in tests
        assert len(theirs) == 9
        assert all(cell == "—" or cell.endswith(("*m*", "*r*")) for cell in theirs)


def test_every_bug_of_the_base_class_has_a_test_that_bears_its_name():
    lines = rows("What LlamaIndex's base class gets wrong")
    assert len(lines) >= 19
    for _, ours, tests in lines:
        assert ours
        assert "::test_bug_" in tests


def test_the_benchmarks_figures_are_those_of_its_results():
    import json

    results = json.loads((ROOT / "benchmarks" / "results" / "llama-index-build.json").read_text())
    ours = [row["seconds"] for name, row in results["rows"].items() if name.startswith("ours")]
    assert results["title"].startswith("500 nodes")
    said = "take {:.1f} s, with `use_async=True` {:.1f} s".format(*ours)
    assert said in " ".join(PAGE.split())
    assert all(target["met"] for target in results["targets"])


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ([], "Sourdough bread needs"),
        (["How", "many", "strings", "has", "a", "violin?"], "A violin"),
    ],
)
def test_the_example_finds_the_answer(words, first, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "No OPENROUTER_API_KEY is set" in printed
    hits = re.findall(r"^ +-?\d\.\d{3}  (.*)$", printed, re.MULTILINE)
    assert len(hits) == 4
    assert hits[0].startswith(first)
    assert re.search(r"2 requests, \d+ tokens, cost \$0\.0", printed)


def test_the_example_uses_the_live_api_where_there_is_a_key(
    openrouter_emulator, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert not ended.value.code
    origin = openrouter_emulator.base_url.split("/")[2]
    assert f"Using the API at {origin} with voyageai/voyage-4." in capsys.readouterr().out
    assert openrouter_emulator.stats.requests == 2
