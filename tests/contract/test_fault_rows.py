"""No row of the fault table is forgotten, and the documentation is up to date."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest
from fault_cases import CASES
from fault_rows import DIFFERENT, NOT_APPLIED, ROWS, SIMULATED

HERE = pathlib.Path(__file__).parent
_NAMES = re.compile(r"^def test((?:_[a-f]\d+)+)_", re.MULTILINE)


def rows_of_tests():
    rows = {case.row for case in CASES}
    for path in HERE.glob("test_*.py"):
        for names in _NAMES.findall(path.read_text(encoding="utf-8")):
            rows.update(names.upper().strip("_").split("_"))
    return rows


def test_every_row_is_tested_or_says_why_not():
    assert len(ROWS) == 102
    assert [
        row for row in ROWS if row not in rows_of_tests() | SIMULATED.keys() | NOT_APPLIED.keys()
    ] == []


def test_nothing_is_tested_that_is_no_row():
    assert rows_of_tests() <= set(ROWS)
    assert SIMULATED.keys() | NOT_APPLIED.keys() <= set(ROWS)


def test_no_row_is_excused_that_is_rows_of_tests():
    assert not rows_of_tests() & SIMULATED.keys()


def test_every_case_in_which_the_shells_differ_is_named():
    assert {case.id for case in CASES if case.on_requests} == DIFFERENT.keys()


@pytest.mark.slow
def test_the_tables_of_the_documentation_are_up_to_date():
    script = HERE.parents[1] / "docs" / "generate.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
