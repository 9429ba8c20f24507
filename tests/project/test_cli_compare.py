"""`openrouter-embed compare` reads people's files and compares on them."""

from __future__ import annotations

import json

import pytest

from openrouter_embed.commands import cli
from openrouter_embed.emulator import Emulator

MODELS = ["--model", "openai/text-embedding-3-small", "--model", "baai/bge-m3"]
TEXTS = [f"The {animal} lives near the harbour." for animal in ("heron", "otter", "badger", "lynx")]


@pytest.fixture(autouse=True)
def emulated(monkeypatch):
    with Emulator(backend="hashed") as emulator:
        monkeypatch.setenv("OPENROUTER_API_KEY", "emulated")
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
        yield emulator


def write_lines(path):
    path.write_text("\n\n".join(TEXTS) + "\n", encoding="utf-8")


def write_json_lines(path):
    path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")


def write_csv(path):
    path.write_text("id,text\n" + "".join(f'{n},"{t}"\n' for n, t in enumerate(TEXTS)))


def write_parquet(path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": TEXTS}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("texts.txt", write_lines),
        ("texts.jsonl", write_json_lines),
        ("texts.csv", write_csv),
        ("texts.parquet", write_parquet),
    ],
)
def test_files_of_every_kind_with_labelled_questions(tmp_path, capsys, name, write):
    file, queries = tmp_path / name, tmp_path / "questions.jsonl"
    write(file)
    rows = [{"text": "otter", "relevant": [1]}, {"text": "lynx", "relevant": [3]}]
    queries.write_text("\n".join(map(json.dumps, rows)))
    assert cli.main(["compare", str(file), "--queries", str(queries), "--json", *MODELS]) == 0
    seen = capsys.readouterr()
    table = json.loads(seen.out)
    assert (table["kind"], table["documents"], table["queries"]) == ("labelled", 4, 2)
    assert [row["ndcg"] for row in table["rows"]] == [1.0, 1.0]
    assert "4 documents and 2 queries go to 2 models, for about $" in seen.err


def test_questions_without_labels_show_agreement(tmp_path, capsys):
    file, queries = tmp_path / "texts.txt", tmp_path / "questions.txt"
    write_lines(file)
    queries.write_text("where is the otter\n")
    assert cli.main(["compare", str(file), "--queries", str(queries), *MODELS]) == 0
    assert "find the same" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        (None, [], "cannot be read: No such file"),
        ('{"body": "x"}', [], "row 1, has no text in `text`: name the field with `--field`"),
        ("[1]", [], "line 1, is no JSON object"),
        ('{"text": "x"}', ["--limit", "0"], "`--limit` must be at least 1"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_a_line(tmp_path, capsys, content, arguments, told):
    file = tmp_path / "texts.jsonl"
    if content is not None:
        file.write_text(content)
    assert cli.main(["compare", str(file), *arguments, *MODELS]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_without_a_file_the_standard_library_is_asked(capsys):
    assert cli.main(["compare", "--limit", "80", *MODELS]) == 0
    out = capsys.readouterr().out
    assert "(labelled)" in out
    assert "80 documents" in out
