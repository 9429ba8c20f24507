"""The notebooks: each runs, holds what its source gives, and tells nothing of where it was made."""

from __future__ import annotations

import io
import json
import pathlib
import re
import sys

import pytest

pytest.importorskip("nbclient")
figure = pytest.importorskip("matplotlib.figure")
ROOT = pathlib.Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))
run_notebooks = __import__("run_notebooks")

NAMES = run_notebooks.NOTEBOOKS
FOLDER = run_notebooks.SOURCES
TELLTALE = re.compile(
    r"sk-or-|/(?:tmp|home|root|Users)\b|[A-Z]:\\|127\.0\.0\.1|localhost|File \""
    r"|gen-emb-|batch_[0-9a-f]"
)
"""Keys, places and ids, none of which a reader should see."""


def stored(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def outputs(name):
    return [output for cell in stored(name)["cells"] for output in cell.get("outputs", [])]


def test_every_source_is_a_notebook_and_every_notebook_has_a_source():
    for kind in ("py", "ipynb"):
        assert {path.stem for path in FOLDER.glob(f"*.{kind}")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_holds_the_cells_of_its_source(name):
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in stored(name)["cells"]]
    assert cells == run_notebooks.sources_of(run_notebooks.read_source(source))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_gives_what_is_stored(name):
    pytest.importorskip("wordllama")  # another model of words finds other things
    made = run_notebooks.make(name)
    stale = [path.name for path, data in made.files() if run_notebooks.differs(path, data)]
    assert stale == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_the_emulators_cells_a_notebook_asks_what_the_environment_names(
    name, openrouter_emulator
):
    notebook = run_notebooks.read_source((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    notebook.cells = [cell for cell in notebook.cells if "emulator" not in cell.source.lower()]
    variables = {
        "OPENROUTER_API_KEY": "another",
        "OPENROUTER_API_BASE": openrouter_emulator.base_url,
    }
    run_notebooks.execute(notebook, variables)
    assert openrouter_emulator.stats.inputs >= 40


def test_the_page_that_lists_them_is_up_to_date():
    pages = [(run_notebooks.PAGES / f"{name}.md").read_text(encoding="utf-8") for name in NAMES]
    made = [run_notebooks.Made(name, "", page, {}) for name, page in zip(NAMES, pages, strict=True)]
    assert (run_notebooks.PAGES / "index.md").read_bytes() == run_notebooks.index(made)


@pytest.mark.parametrize("name", NAMES)
def test_no_output_holds_a_key_an_id_or_a_place(name):
    for output in outputs(name):
        data = {**output.get("data", {}), "printed": output.get("text", "")}
        data.pop("image/png", None)
        assert TELLTALE.search(json.dumps(data)) is None


@pytest.mark.parametrize("name", NAMES)
def test_no_output_is_a_warning_or_an_error(name):
    assert {output["output_type"] for output in outputs(name)} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert {output.get("name", "stdout") for output in outputs(name)} == {"stdout"}


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_short_and_pictures_are_described(name):
    for output in outputs(name):
        assert len(output.get("text", [])) <= 12
        if "image/png" in output.get("data", {}):
            assert len("".join(output["data"]["text/plain"])) > 20


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_one_run_is_kept(name):
    notebook = stored(name)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    for number, cell in enumerate(notebook["cells"], 1):
        assert cell["id"] == f"cell-{number:02}"
        assert cell.get("execution_count") is None
        assert set(cell["metadata"]) <= {"alt"}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_that_an_emulator_answers_and_how_to_ask_the_real_api(name):
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in stored(name)["cells"]]
    at = next(at for at, (kind, text) in enumerate(cells) if "Emulator(" in text)
    assert "**The next cell starts an emulator.**" in cells[at - 1][1]
    assert "delete it**" in cells[at - 1][1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("took 12 ms", "took 1.3 s", False), ("12 texts", "13 texts", True)],
)
def test_a_duration_is_no_difference_but_a_figure_is(tmp_path, old, new, said):
    page = tmp_path / "page.md"
    page.write_text(old, encoding="utf-8")
    assert run_notebooks.differs(page, new.encode()) is said


def test_a_page_that_is_not_there_is_to_be_written(tmp_path):
    assert run_notebooks.differs(tmp_path / "page.md", b"")


def drawn(title, *, bottom=0.1):
    """A picture as notebooks have them, as PNG."""
    picture = figure.Figure(figsize=(4, 3))
    picture.add_axes((0.1, bottom, 0.8, 0.7), title=title)
    file = io.BytesIO()
    picture.savefig(file, format="png")
    return file.getvalue()


def test_pictures_are_alike_though_their_bytes_are_not():
    one = drawn("Forty passages")
    other = drawn("Forty passages", bottom=0.1001)
    assert run_notebooks.alike(one, one)
    assert run_notebooks.alike(one, other)


def test_a_picture_with_another_title_is_another():
    assert not run_notebooks.alike(drawn("Forty passages"), drawn("Which star is north?"))
