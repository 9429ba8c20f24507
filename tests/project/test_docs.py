"""The pages as a whole: blocks run and print what they say, commands work, nothing has no place."""

from __future__ import annotations

import base64
import importlib
import json
import pathlib
import re
import shlex

import pytest
import yaml
from llama_index.core.instrumentation import get_dispatcher

import langchain_openrouter_embed
import llama_index_openrouter_embed
import openrouter_embed
from openrouter_embed.commands import cli

ROOT = pathlib.Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
}
ELSEWHERE = {
    "docs/caching.md": "tests/cache/test_cache_docs.py",
    "docs/choosing.md": "tests/compare/test_compare_docs.py",
    "docs/langchain.md": "tests/langchain/test_langchain_docs.py",
    "docs/llamaindex.md": "tests/llama_index/test_llama_docs.py",
    "docs/many-machines.md": "tests/machines/test_machines_ray.py",
    "docs/migration.md": "tests/langchain/test_langchain_docs.py",
    "docs/models.md": "tests/roles/test_roles_docs.py",
    "docs/observability.md": "tests/telemetry/test_telemetry_docs.py",
    "docs/roles.md": "tests/roles/test_roles_docs.py",
    "docs/testing.md": "tests/emulator/test_testing_docs.py",
}
"""Pages whose blocks another test runs, beside what they are about."""
GENERATED = {"docs/index.md", *(page for page in PAGES if page.startswith("docs/notebooks/"))}
"""Pages that hold the text of others, or are made of what `test_notebooks.py` runs."""
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXTS = [f"The {animal} lives near the harbour." for animal in ("heron", "otter", "badger", "lynx")]


def blocks(text):
    """The runnable blocks of a page, each at the lines that it has there."""
    for found in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1]


def commands(text):
    """The commands that the page shows, continued lines put together."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            assert line.startswith("$ "), line
            yield from line.partition("  #")[0].removeprefix("$ ").split(" && ")


RUNNABLE = [
    page for page, text in PAGES.items()
    if list(blocks(text)) and page not in ELSEWHERE and page not in GENERATED
]  # fmt: skip
COMMANDS = sorted({command for text in PAGES.values() for command in commands(text)})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files that pages speak of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.png").write_bytes(PIXEL)
    (tmp_path / "bell.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    two = "\n".join(f"{text} It sleeps until noon." for text in TEXTS)
    (tmp_path / "texts.txt").write_text(two, encoding="utf-8")
    rows = {"texts.jsonl": TEXTS, "questions.jsonl": ["Where is the otter?", "And the lynx?"]}
    for name, texts in rows.items():
        lines = [json.dumps({"text": text, "relevant": [1]}) for text in texts]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.fixture
def listeners():
    """What a page adds to LlamaIndex's dispatcher is gone when the next one runs."""
    dispatcher = get_dispatcher()
    before = [*dispatcher.event_handlers]
    yield
    dispatcher.event_handlers[:] = before


@pytest.mark.usefixtures("listeners")
@pytest.mark.parametrize("page", RUNNABLE)
def test_every_block_of_a_page_runs_and_prints_what_it_says(
    page, openrouter_emulator, capsys, folder
):
    names = {"__name__": "page"}
    for code in blocks(PAGES[page]):
        exec(compile(code, page, "exec"), names)
        expected = re.findall(r"^#> (.*)$", code, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected, code.strip()
    for name in [name for name in names if name.startswith("test_")]:
        names[name](openrouter_emulator)
    for value in names.values():
        if isinstance(value, openrouter_embed.EmbeddingClient):
            value.close()


@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_that_is_run_elsewhere_is_named_there(page):
    assert f"{pathlib.Path(page).name}" in (ROOT / ELSEWHERE[page]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_python_is_run_or_called_before(page):
    opened = re.findall(r"^```(.+)$", PAGES[page], re.MULTILINE)
    assert {kind for kind in opened if kind.startswith("py")} <= {
        "python",
        'python title="Before"',
    }
    assert set(opened) <= {"python", 'python title="Before"', "console", "text"}


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("openrouter-")])
def test_every_command_that_a_page_shows_works(command, openrouter_emulator, folder, capsys):
    _, *words = shlex.split(command)
    if words[0] in ("serve", "demo"):  # without an end, and slow: tests/project/test_cli.py
        assert words[0] in cli._parser().parse_args(words).run.__name__
        return
    with openrouter_embed.EmbeddingClient("baai/bge-m3", cache="embeddings.sqlite") as client:
        client.embed("a text")
        if words[:2] in (["batch", "status"], ["batch", "fetch"]):
            client.submit(TEXTS, save_to="job.json")
    assert cli.main(words) == 0
    assert capsys.readouterr().out


def test_the_other_commands_of_the_pages_are_of_this_project():
    extras = set(re.findall(r"^([\w-]+) = \[", PROJECT, re.MULTILINE))
    for command in COMMANDS:
        first, *rest = shlex.split(command)
        if first == "pip":
            assert set(re.findall(r"[\w-]+", rest[1].partition("[")[2])) <= extras, command
        elif first == "export":
            assert rest[0].split("=")[0] in {"OPENROUTER_API_KEY", "OPENROUTER_API_BASE"}
        else:
            assert first == "openrouter-embed", command


LINKS = [
    (page, link)
    for page, text in PAGES.items()
    for link in re.findall(r"\]\(([^)\s]+)\)", text)
    if not link.startswith(("https://", "#"))
]


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_every_link_of_a_page_leads_somewhere(page, link):
    target = (ROOT / page).parent.joinpath(link.partition("#")[0])
    assert target.exists(), page
    if page.startswith("docs/"):
        assert target.resolve().is_relative_to(DOCS), f"{page} leads out of the site"


def listed(nav):
    """The pages of a part of the navigation."""
    for entry in nav:
        for where in [entry] if isinstance(entry, str) else entry.values():
            yield from [where] if isinstance(where, str) else listed(where)


def test_every_page_has_one_place_in_the_navigation():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(listed(site["nav"])) == sorted(pages)


def test_the_reference_has_every_public_name_once():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in DOCS.glob("reference/*.md"))
    found = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    packages = (openrouter_embed, langchain_openrouter_embed, llama_index_openrouter_embed)
    public = {
        f"{package.__name__}.{name}"
        for package in packages
        for name in package.__all__
        if not name.startswith("__")
    }
    assert len(found) == len(set(found))
    assert public <= set(found)
    for name in found:
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


def test_every_member_that_the_reference_names_exists():
    for path in DOCS.glob("reference/*.md"):
        entries = re.split(r"^::: ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for entry in entries:
            module, _, name = entry.splitlines()[0].rpartition(".")
            kind = getattr(importlib.import_module(module), name)
            members = re.search(r"^ +members: \[(.*)\]", entry, re.MULTILINE)
            for member in members[1].split(", ") if members else []:
                assert hasattr(kind, member), f"{path.name}: {name}.{member}"


def test_the_readme_on_an_index_has_no_relative_link():
    builder = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(builder)
    builder.loader.exec_module(module)
    (source,) = re.findall(r'^Source = "(.+)"$', PROJECT, re.MULTILINE)
    metadata = {"urls": {"Source": source}}
    module.CustomMetadataHook(str(ROOT), {}).update(metadata)
    described = metadata["readme"]["text"]
    links = re.findall(r"\]\(([^)]+)\)", described)
    assert len(links) >= 20
    assert {link for link in links if not link.startswith(("https://", "#"))} == set()
    assert f"]({source}docs/speed.svg)" in described


def test_the_readme_is_read_in_five_minutes():
    words = re.sub(r"```.*?```", "", PAGES["README.md"], flags=re.DOTALL).split()
    assert len(words) <= 1000
