"""The page and the example: their code runs and prints what they say, and nothing is left out."""

from __future__ import annotations

import ast
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from telemetry_table import METRICS, SPAN

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PACKAGES = ("openrouter_embed", "langchain_openrouter_embed", "llama_index_openrouter_embed")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).glob("**/*.py"))]
ROWS = [
    [cell.strip().strip("`") for cell in line.split("|")[1:-1]]
    for line in TEXT.splitlines()
    if line.startswith("| `") and ("INFO" in line or "WARNING" in line)
]


def run(*arguments):
    """Run Python in a process of its own: an SDK can be set up but once in one."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error::UserWarning"}, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_every_block_of_the_page_runs_and_prints_what_it_says(openrouter_emulator):
    expected = re.findall(r"^#> (.*)$", "".join(BLOCKS), re.MULTILINE)
    assert len(expected) == 5
    assert run("-c", "".join(BLOCKS)).splitlines() == expected
    assert openrouter_emulator.stats.requests >= 5


@pytest.mark.slow
def test_the_example_prints_spans_and_metrics_of_the_real_sdk():
    printed = run("examples/telemetry.py")
    decoder, found = json.JSONDecoder(), []
    while printed := printed.strip():
        one, end = decoder.raw_decode(printed)
        found.append(one)
        printed = printed[end:]
    spans, (measured,) = found[:-1], found[-1:]
    assert [span["name"].split()[0] for span in spans] == ["embeddings", "embeddings", "indexing"]
    assert {span["parent_id"] for span in spans[:2]} == {spans[2]["context"]["span_id"]}
    assert set(spans[0]["attributes"]) <= set(SPAN)
    (scope,) = measured["resource_metrics"][0]["scope_metrics"]
    assert {metric["name"] for metric in scope["metrics"]} == set(METRICS)


def test_every_link_of_the_page_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", TEXT):
        assert link.startswith("https:") or (PAGE.parent / link).exists(), link


LOGGING = ("extras(", "turning(", "_extra(", "getLogger(")


@functools.cache
def called():
    """Every call with a plain first argument, in files that log: its function and the argument."""
    texts = [path.read_text(encoding="utf-8") for path in FILES]
    trees = [ast.parse(text) for text in texts if any(word in text for word in LOGGING)]
    found = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = [call for call in found if call.args and isinstance(call.args[0], ast.Constant)]
    names = [getattr(call.func, "attr", getattr(call.func, "id", "")) for call in plain]
    return [(name, call.args[0].value) for name, call in zip(names, plain, strict=True)]


def calls(function):
    return [argument for name, argument in called() if name == function]


def test_every_event_that_is_logged_is_on_the_page_and_no_other():
    logged = {*calls("extras"), *calls("turning"), *calls("_extra")}
    assert logged == {row[2] for row in ROWS if row[2].isidentifier()}


def test_every_logger_is_on_the_page_and_no_other():
    assert {*calls("getLogger")} == {row[0] for row in ROWS}
