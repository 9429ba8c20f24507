"""The examples for Spark and Dask run, and buy every text once."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("script", "library"), [("spark", "pyspark"), ("dask_dataframe", "dask.dataframe")]
)
def test_an_example_writes_every_row_and_buys_every_text_once(script, library, tmp_path):
    pytest.importorskip(library)
    if script == "spark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    parquet = pytest.importorskip("pyarrow.parquet")
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), str(tmp_path / "out")]
    around = {name: value for name, value in os.environ.items() if "OPENROUTER" not in name}
    done = subprocess.run(command, capture_output=True, text=True, env=around, check=False)
    assert done.returncode == 0, done.stderr
    assert "201 rows written, 1 of them without a text" in done.stdout
    assert "200 texts bought" in done.stdout
    written = parquet.read_table(tmp_path / "out")
    assert written.num_rows == 201
    assert written["embedding"].null_count == 1
