"""The table of models in the documentation and on the command line is the one that is used."""

from __future__ import annotations

import importlib.util
import pathlib
import re

import pytest

from openrouter_embed.commands import cli
from openrouter_embed.options import models
from openrouter_embed.options.models import KNOWN_MODELS, PROFILES, find_profile

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")
ROLES = (DOCS / "roles.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", ROLES + PAGE, re.DOTALL)


@pytest.fixture
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copied(generate, monkeypatch, tmp_path):
    """The generator at work on a copy of the documentation."""
    for file in {row[0] for row in generate.TABLES}:
        (tmp_path / file).write_text((DOCS / file).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    return generate


def test_every_table_of_the_documentation_is_up_to_date(generate, capsys):
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


def test_a_table_that_is_out_of_date_is_noticed_and_then_written(copied, capsys):
    page = copied.DOCS / "models.md"
    page.write_text(PAGE.replace("1,536", "1,537"), encoding="utf-8")
    assert copied.main(["--check"]) == 1
    assert "docs/models.md: table `profiles` is out of date" in capsys.readouterr().out
    assert "1,537" in page.read_text(encoding="utf-8")
    assert copied.main([]) == 0
    assert page.read_text(encoding="utf-8") == PAGE


def test_a_page_without_its_markers_is_an_error(copied):
    (copied.DOCS / "models.md").write_text("nothing here", encoding="utf-8")
    with pytest.raises(ValueError, match="markers of `profiles`"):
        copied.main(["--check"])


def test_the_table_has_a_row_for_every_profile_in_their_order():
    found = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert found == [row.pattern for row in PROFILES]


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_every_snippet_of_the_pages_runs(openrouter_emulator, monkeypatch, number):
    monkeypatch.setattr(models, "_registered", [])
    scope = {"__name__": "page"}
    exec(
        compile(
            "from openrouter_embed import EmbeddingClient\n" + SNIPPETS[number], "page", "exec"
        ),
        scope,
    )
    if "passages" in scope:
        assert scope["passages"].vectors.shape == (1, 1024)
        assert len(openrouter_emulator.requests) == 3
    if "register_profile" in scope:
        assert find_profile("acme/search-large").document_prefix == "D: "


# ------------------------------------------------------------------ openrouter-embed models


@pytest.fixture
def listing(em, monkeypatch, capsys):
    """The lines that the command prints, split into columns."""
    monkeypatch.setenv("OPENROUTER_API_BASE", em.base_url)
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["models"]) == 0
    head, _, *rows = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in (head, *rows)]


def test_the_command_lists_every_model_without_a_key_and_embeds_nothing(listing, em):
    head, *rows = listing
    assert head == ["model", "$/M", "width", "takes", "context", "query", "document"]
    assert sorted(row[0] for row in rows) == sorted(KNOWN_MODELS)
    assert em.stats.requests == 0


@pytest.mark.parametrize(
    "expected",
    [
        ["openai/text-embedding-3-small", "0.02", "1536", "text", "8,192", "as it is", "as it is"],
        ["voyageai/voyage-4", "0.06", "1024", "text", "32,000", "input_type=query",
         "input_type=document"],
        ["intfloat/e5-base-v2", "0.005", "768", "text", "512", "prefix 'query: '",
         "prefix 'passage: '"],
        ["nvidia/nemotron-3-embed-1b:free", "free", "2048", "text", "32,768", "input_type=query",
         "input_type=passage"],
    ],
    ids=lambda row: row[0],
)  # fmt: skip
def test_the_command_says_what_is_done_for_a_model(listing, expected):
    assert expected in listing


def test_the_command_aligns_its_columns(em, monkeypatch, capsys):
    monkeypatch.setenv("OPENROUTER_API_BASE", em.base_url)
    monkeypatch.setenv("COLUMNS", "200")
    cli.main(["models"])
    head, _, *lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    end = head.index("context") + len("context")  # figures stand at the right
    assert all(line[end - 1].isdigit() and line[end] == " " for line in lines)
