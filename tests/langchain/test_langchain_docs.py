"""The pages about LangChain: their code runs, what they promise names a test."""

from __future__ import annotations

import base64
import os
import pathlib
import re
import runpy
import sys

import pytest

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import ConfigurationError
from openrouter_embed.emulator import Emulator

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("langchain.md", "migration.md")}
COMPARED = (ROOT / "docs" / "compared.md").read_text().partition("## LlamaIndex")[0]
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def blocks(page):
    """The runnable blocks of a page, each at the lines that it has there."""
    for found in re.finditer(r"```python\n(.*?)```", PAGES[page], re.DOTALL):
        before = PAGES[page].count("\n", 0, found.start(1))
        yield "\n" * before + found[1]


def run(page, code, names):
    exec(compile(code, str(ROOT / "docs" / page), "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_runs_and_prints_what_it_says(
    page, openrouter_emulator, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(PIXEL)
    names = {"__name__": "page"}
    for code in blocks(page):
        run(page, code, names)
        expected = re.findall(r"^#> (.*)$", code, re.MULTILINE)
        printed = capsys.readouterr().out.splitlines()
        assert printed == expected or not expected, code.strip()
    assert openrouter_emulator.stats.requests >= 2


def test_the_pages_have_blocks_and_say_what_they_print():
    assert {page: len([*blocks(page)]) for page in PAGES} == {"langchain.md": 16, "migration.md": 4}
    assert {page: text.count("#> ") for page, text in PAGES.items()} == {
        "langchain.md": 12,
        "migration.md": 3,
    }


def test_the_block_about_failures_shows_what_arrived(make, capsys):
    (code,) = (code for code in blocks("langchain.md") if "except EmbeddingError" in code)
    refusal = b'{"error":{"code":400,"message":"not this text"}}'

    def fault(number, body):
        return (400, {}, refusal) if "another text" in body["input"] else None

    with Emulator(backend="hashed", faults=fault) as picky:
        run("langchain.md", code, {"embeddings": make(base_url=picky.base_url)})
    assert capsys.readouterr().out.startswith("1 of 2 arrived; ")


def test_every_line_of_the_comparison_names_a_test():
    lines = [line for line in COMPARED.splitlines() if line.startswith("|")][2:]
    assert len(lines) >= 20
    for line in lines:
        _, _, ours, *theirs, tests, _ = line.split("|")
        assert ours.strip()
        assert "::test_" in tests
        assert len(theirs) == 6
        assert all(cell.strip() == "—" or cell.endswith(("*m* ", "*r* ")) for cell in theirs)


def moved(heading):
    """The options that a page's table says to exist here, and the old ones that do not."""
    table = PAGES["migration.md"].partition(heading)[2].partition("\n\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    here, old = set(), set()
    for left, right in rows:
        names = set(re.findall(r"`([a-z_]+)[=`]", left))
        here |= set(re.findall(r"`([a-z_]+)[=`]", right))
        (here if right.strip().startswith("the same") else old).update(names)
    return here, old - here


def is_known(kind, options):
    try:
        kind(**options).close()
    except ConfigurationError as error:
        return "Unknown argument" not in str(error)
    return True


MOVES = {
    "LangChain": ("### Name by name", OpenRouterEmbeddings, {"model": "m"}),
    "LlamaIndex": ("## LlamaIndex", OpenRouterEmbedding, {"model_name": "m"}),
}


@pytest.mark.parametrize(("heading", "kind", "model"), MOVES.values(), ids=MOVES)
def test_the_migration_tables_are_right_about_what_exists_here(heading, kind, model):
    here, old = moved(heading)
    here -= {"input_type"}  # an option of a call
    assert len(here) > 10
    assert len(old) > 3
    options = {"api_key": "k", **model}
    assert [name for name in here if not is_known(kind, {**options, name: None})] == []
    assert [name for name in old if is_known(kind, {**options, name: "x"})] == []


@pytest.mark.parametrize("words", [[], ["How", "is", "a", "bicycle", "chain", "cleaned?"]])
def test_the_rag_example_answers_from_what_it_retrieves(words, capsys, monkeypatch):
    answers = {0: "sourdough loaf bakes at a temperature of 240", 6: "chain is cleaned with a rag"}
    monkeypatch.setattr(sys, "argv", ["langchain_rag.py", *words])
    runpy.run_path(str(ROOT / "examples" / "langchain_rag.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "No OPENROUTER_API_KEY is set" in printed
    assert answers[len(words)] in printed
    assert "Counted by LangChain: {'voyageai/voyage-4'" in printed


def test_the_rag_example_uses_the_live_api_where_there_is_a_key(
    capsys, monkeypatch, openrouter_emulator
):
    assert os.environ["OPENROUTER_API_KEY"]  # the fixture's, and its base URL
    monkeypatch.setattr(sys, "argv", ["langchain_rag.py"])
    runpy.run_path(str(ROOT / "examples" / "langchain_rag.py"), run_name="__main__")
    origin = openrouter_emulator.base_url.split("/")[2]
    assert f"Using the API at {origin} with voyageai/voyage-4." in capsys.readouterr().out
    assert openrouter_emulator.stats.requests == 2
