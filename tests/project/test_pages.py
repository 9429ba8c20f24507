"""The pages for those who carry on: what they name exists, and nothing that exists is left out."""

from __future__ import annotations

import ast
import functools
import importlib
import pathlib
import re

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
NAMES = ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
PLAN = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8")).body
SESSIONS = {
    node.name
    for node in PLAN
    if isinstance(node, ast.FunctionDef)
    and any("session" in ast.dump(decorator) for decorator in node.decorator_list)
}
LAWS = "Laws, and the test that holds each"
PACKAGES = ("openrouter_embed", "langchain_openrouter_embed", "llama_index_openrouter_embed")


def section(page, title):
    """Return the text under a heading."""
    parts = re.split(r"^## (.+)\n", PAGES[page], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def found(pattern):
    """Return what a pattern finds on all pages, with the page."""
    return [(page, hit) for page, text in PAGES.items() for hit in re.findall(pattern, text)]


@functools.cache
def functions_of(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize(("page", "path"), found(r"`([\w./-]+/(?:[\w.-]+\.\w+)?)(?:`|::)"))
def test_every_file_and_folder_that_a_page_names_exists(page, path):
    places = [ROOT, ROOT / "openrouter_embed"]
    assert any((place / path).exists() for place in places), f"{page}: {path}"


@pytest.mark.parametrize(("page", "link"), found(r"\]\(([^)#]+)"))
def test_every_link_of_a_page_leads_somewhere(page, link):
    assert (ROOT / link).exists(), f"{page}: {link}"


NAMED = sorted(
    {
        (page.name, named)
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
        for named in re.findall(r"tests/[\w/]+\.py::\w+", page.read_text(encoding="utf-8"))
    }
)
"""What users' pages name too, tables of promises among them."""


@pytest.mark.parametrize(("page", "named"), NAMED)
def test_every_test_that_a_page_names_exists(page, named):
    path, _, name = named.partition("::")
    assert name.startswith("test_")
    assert name in functions_of(path), f"{page}: {named}"


def test_every_law_has_a_test():
    laws = re.findall(r"^\d+\. .+$", section("ARCHITECTURE.md", LAWS), re.MULTILINE)
    assert len(laws) == 10
    assert [law for law in laws if "::test_" not in law] == []


def test_the_rooms_are_the_folders():
    listed = set(re.findall(r"`([\w/]+)/`", section("ARCHITECTURE.md", "Rooms")))
    inner = {
        str(path.parent.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).glob("**/__init__.py")
    }
    outer = {"tests", "cassettes", "benchmarks", "docs", "examples"}
    assert listed == inner | outer


def test_the_signpost_of_the_core_names_every_room_of_it():
    core = importlib.import_module("openrouter_embed.core")
    rooms = {path.stem for path in pathlib.Path(core.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(re.findall(r"`(\w+)`", core.__doc__)) - {"GET"} == rooms


def test_the_signpost_of_batches_names_every_room_of_it():
    batch = importlib.import_module("openrouter_embed.batch")
    rooms = {path.stem for path in pathlib.Path(batch.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(re.findall(r"`(\w+)`", batch.__doc__)) == rooms


def test_the_journey_of_a_text_has_ten_lines():
    journey = section("ARCHITECTURE.md", "The journey of one text")
    assert len(re.findall(r"^\d+\. ", journey, re.MULTILINE)) == 10


def test_setting_up_takes_three_commands():
    assert section("CONTRIBUTING.md", "Set up").count("\n$ ") == 3


def test_every_session_is_listed_and_every_listed_one_exists():
    table = section("CONTRIBUTING.md", "Sessions")
    assert set(re.findall(r"^\| `nox -s (\w+)`", table, re.MULTILINE)) == SESSIONS


@pytest.mark.parametrize(("page", "name"), found(r"nox -s (\w+)"))
def test_every_session_that_a_page_names_exists(page, name):
    assert name in SESSIONS, page


def test_the_whole_check_runs_every_session():
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(re.search(rf"\b{name}\b", run) for name in SESSIONS)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("openrouter_embed.options.models", ["PROFILES"]),
        ("openrouter_embed.core.verdict", ["STATUS_RULES", "SPECIAL_RULES", "FAULT_RULES"]),
        ("openrouter_embed.core.verdict", ["_SPECIAL_CASES"]),
    ],
)
def test_the_tables_that_the_page_names_are_where_it_says(module, names):
    for name in names:
        assert name in PAGES["CONTRIBUTING.md"]
        assert hasattr(importlib.import_module(module), name)


def test_the_tested_pythons_are_the_declared_ones():
    supported = re.search(r"SUPPORTED: Final = \((.+)\)", (ROOT / "noxfile.py").read_text())
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert re.findall(r'"(3\.\d+)"', supported[1]) == declared
    assert f'requires-python = ">={declared[0]}"' in project


def test_hooks_download_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks["repos"][0]["hooks"]} == {"system"}


def test_architecture_is_one_page():
    assert len(PAGES["ARCHITECTURE.md"].split()) <= 1100
