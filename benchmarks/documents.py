"""What both makers of documents need: results to read, and a document to write or to compare."""

from __future__ import annotations

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parent / "docs"


def read_result(name: str) -> dict:
    """Return what a benchmark wrote."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def has_result(name: str) -> bool:
    """Say whether a benchmark was run."""
    return (HERE / "results" / f"{name}.json").exists()


def publish(name: str, text: str) -> None:
    """Write a document; with `--check` only say whether the one at hand is up to date."""
    target = DOCS / name
    if "--check" not in sys.argv:
        target.write_text(text)
    elif target.read_text() != text:
        sys.exit(f"{name} is not what the results say: run python {sys.argv[0]}")
