"""Make the notebooks of `examples/notebooks` out of their sources, and the site's pages of them.

    python docs/run_notebooks.py           # run every source, write what has changed
    python docs/run_notebooks.py --check   # fail if a notebook or a page is not what that gives

Rules of this file:
- A source is Python in cells (`# %%`, `# %% [markdown]`); the `.ipynb` and the page are made of it.
- What differs from run to run is not kept: counts, ids, times of execution, the kernel's name.
- Durations and the last shade of a pixel are no difference: neither is written anew for them.
- A notebook runs in a folder of its own, with no key but the one that its source sets.
"""

from __future__ import annotations

import argparse
import base64
import io
import itertools
import os
import pathlib
import re
import shutil
import sys
import tempfile
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import nbclient
import nbformat
import numpy as np
from matplotlib import image
from traitlets.config import Config

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
SOURCES: Final = ROOT / "examples" / "notebooks"
PAGES: Final = ROOT / "docs" / "notebooks"
sys.path[:0] = [str(ROOT / "docs")]

import home  # noqa: E402 - beside this file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOTEBOOKS: Final = ("compare_models", "langchain_rag", "llamaindex_index", "half_price")
"""In the order in which they are read."""
BESIDE: Final = ("almanac.md", "readable.mplstyle")
"""What notebooks read."""
SECONDS: Final = 120
"""A cell that takes longer hangs."""
WIDTH: Final = 86
"""Characters of a line that a page shows."""
BLOCK: Final = 8
"""Pixels, squared, that are compared by their mean: edges of letters are drawn a little apart."""
SHADES: Final = 0.1
"""How far two such means may be from each other, of 1."""
_CELL: Final = re.compile(r"^# %%(.*)\n", re.MULTILINE)
_ALT: Final = re.compile(r'alt="([^"]*)"')
_DURATION: Final = re.compile(r"\b[\d.,]+ m?s\b")
_LINKS: Final = (
    (re.compile(r"(?<=\]\()\.\./\.\./docs/"), "../"),
    (re.compile(r"(?<=\]\()(\w+)\.ipynb"), r"\1.md"),
)
"""How links of a notebook are written on its page."""


@dataclass(frozen=True)
class Made:
    """A notebook that has run: its file's text, its page's text, and the pictures of the page."""

    name: str
    notebook: str
    page: str
    pictures: Mapping[str, bytes] = field(repr=False)

    def files(self) -> Iterator[tuple[pathlib.Path, bytes]]:
        """Name every file, with what it is to hold."""
        yield SOURCES / f"{self.name}.ipynb", self.notebook.encode()
        yield PAGES / f"{self.name}.md", self.page.encode()
        for name, data in self.pictures.items():
            yield PAGES / name, data


# ------------------------------------------------------------------ source to notebook


def read_source(text: str) -> Any:
    """Return the notebook that a source describes, not yet run."""
    parts = _CELL.split(text)[1:]
    cells = [_cell(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    for number, cell in enumerate(cells, 1):
        cell["id"] = f"cell-{number:02}"
    return nbformat.v4.new_notebook(cells=cells, metadata=_METADATA)


_METADATA: Final = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def _cell(marker: str, body: str) -> Any:
    if "[markdown]" in marker:
        return nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE))
    told = _ALT.search(marker)
    return nbformat.v4.new_code_cell(body.strip(), metadata={"alt": told[1]} if told else {})


def sources_of(notebook: Any) -> list[tuple[str, str]]:
    """Return the kind and the text of every cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


# ------------------------------------------------------------------ running it


def run(name: str) -> Any:
    """Run a source in a kernel of its own, and return its notebook with outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = read_source((SOURCES / f"{name}.py").read_text(encoding="utf-8"))
    execute(notebook, {})
    _strip(notebook)
    return notebook


def execute(notebook: Any, variables: Mapping[str, str]) -> None:
    """Run the cells of a notebook, with some variables in its environment.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        for each in BESIDE:
            shutil.copy(SOURCES / each, folder)
        no_port = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})
        client = nbclient.NotebookClient(
            notebook, timeout=SECONDS, record_timing=False, config=no_port
        )
        client.execute(env={**_environment(folder), **variables}, cwd=folder)


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of a kernel: ours, without keys and with a history of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENROUTER_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "IPYTHONDIR": f"{folder}/.ipython"}


def _strip(notebook: Any) -> None:
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [_stripped(output, cell) for output in _joined(cell.outputs)]


def _joined(outputs: list[Any]) -> Iterator[Any]:
    """Put printed lines together: in how many messages they come is chance."""
    last: Any = None
    for output in outputs:
        if last and output.output_type == last.output_type == "stream":
            last.text += output.text
            continue
        if last:
            yield last
        last = output
    if last:
        yield last


def _stripped(output: Any, cell: Any) -> Any:
    if "execution_count" in output:
        output.execution_count = None
    if "text/html" in output.get("data", {}):
        output.data.pop("text/plain", None)  # the same table, as wide as its durations
    if "image/png" in output.get("data", {}):
        output.data["text/plain"] = cell.metadata.get("alt", "")
        output.data["image/png"] = output.data["image/png"].strip()
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    return output


# ------------------------------------------------------------------ notebook to page


def make(name: str) -> Made:
    """Run a source, and write down its notebook and its page."""
    notebook = run(name)
    pictures: dict[str, bytes] = {}
    blocks = [block for cell in notebook.cells for block in _blocks(cell, name, pictures)]
    title, *rest = "\n\n".join(blocks).partition("\n")
    source = f"{home.source()}examples/notebooks/{name}.ipynb"
    page = f"{title}\n\n*This page is a notebook: [{name}.ipynb]({source}).*\n{''.join(rest)}\n"
    return Made(name, nbformat.writes(notebook) + "\n", page, pictures)


def _blocks(cell: Any, name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """Return a cell and its outputs as Markdown; pictures are put aside."""
    if cell.cell_type == "markdown":
        text = cell.source
        for link, there in _LINKS:
            text = link.sub(there, text)
        yield text
        return
    yield f"```python\n{cell.source}\n```"
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = base64.b64decode(data["image/png"])
            yield f"![{data['text/plain']}]({file})"
        elif "text/html" in data:
            yield f'<div class="output">{data["text/html"]}</div>'
        else:
            text = output.get("text") or data.get("text/plain", "")
            yield f"```text\n{_folded(text)}\n```"


def _folded(text: str) -> str:
    """Fold long lines, as notebook programs do."""
    lines = text.rstrip().splitlines()
    return "\n".join(itertools.chain.from_iterable(map(_fold, lines)))


def _fold(line: str) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent) or [line]


def index(made: list[Made]) -> bytes:
    """Return the page that lists the notebooks: of each its title, its first words, a picture."""
    parts = [_INDEX]
    for each in made:
        title, _, rest = each.page.partition("\n")
        told = next(part for part in rest.split("\n\n")[1:] if part.strip())
        *_, (alt, picture) = re.findall(r"!\[(.*)\]\((.+\.png)\)", each.page)
        parts += [
            f"## [{title.removeprefix('# ')}]({each.name}.md)",
            told.strip(),
            f"[![{alt}]({picture})]({each.name}.md)",
        ]
    return ("\n\n".join(parts) + "\n").encode()


_INDEX: Final = f"""# Notebooks

Four notebooks to read here, or to run and change. They need no key: a local emulator of OpenRouter
answers, and deleting one cell asks the real API instead. They lie in
[examples/notebooks]({home.source()}examples/notebooks), with the little almanac that they read;
`pip install ".[demo,plot]"` brings what they import, and any notebook program opens them."""


# ------------------------------------------------------------------ old and new


def differs(path: pathlib.Path, new: bytes) -> bool:
    """Say whether a file is to be written anew."""
    if not path.is_file():
        return True
    old = path.read_bytes()
    if path.suffix == ".png":
        return not alike(old, new)
    if path.suffix == ".ipynb":
        one, other = (nbformat.reads(each.decode(), 4) for each in (old, new))
        pictures = (_take_pictures(one), _take_pictures(other))
        if len(pictures[0]) != len(pictures[1]) or not all(map(alike, *pictures)):
            return True
        old, new = (nbformat.writes(each).encode() for each in (one, other))
    return _DURATION.sub("a while", old.decode()) != _DURATION.sub("a while", new.decode())


def _take_pictures(notebook: Any) -> list[bytes]:
    """Take the pictures out of a notebook."""
    data = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    return [base64.b64decode(each.pop("image/png")) for each in data]


def alike(one: bytes, other: bytes) -> bool:
    """Say whether two pictures show the same."""
    if one == other:
        return True
    first, second = (image.imread(io.BytesIO(each)) for each in (one, other))
    return first.shape == second.shape and float(_blocks_of(first - second).max()) < SHADES


def _blocks_of(pixels: Any) -> Any:
    """Return how far the mean of every block of pixels is from nothing."""
    places = [np.arange(0, size, BLOCK) for size in pixels.shape[:2]]
    sums = np.add.reduceat(np.add.reduceat(pixels, places[0], axis=0), places[1], axis=1)
    return np.abs(sums) / BLOCK**2


def main() -> int:
    """Write what has changed, or with `--check` name it; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if out of date")
    check = parser.parse_args().check
    made = [make(name) for name in NOTEBOOKS]
    wanted = {path: data for each in made for path, data in each.files()}
    wanted[PAGES / "index.md"] = index(made)
    spare = [path for path in PAGES.glob("*") if path not in wanted]
    stale = [path for path, data in wanted.items() if differs(path, data)]
    for path in [*stale, *spare]:
        print(f"{path.relative_to(ROOT)}: {'out of date' if check else 'written anew'}")
    if check:
        return int(bool(stale or spare))
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wanted[path])
    for path in spare:
        path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
