"""Interpreters are found where they are, and what does not run is none."""

from __future__ import annotations

import importlib.util
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
pytest.importorskip("nox", reason="comes with the extra `dev`")


@pytest.fixture(scope="module")
def find():
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"])  # the file extends it
        spec.loader.exec_module(module)
    return module.find_pythons


def interpreter(place, version, says=None):
    """Write a command that says it is an interpreter; without words it fails as a shim does."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"python{version}"
    path.write_text("#!/bin/sh\n" + (f"echo {says} {path}\n" if says else "exit 127\n"))
    path.chmod(0o755)
    return str(path)


def test_the_path_and_pyenv_are_searched(find, tmp_path):
    on_path = interpreter(tmp_path / "bin", "3.10", "3.10")
    under_pyenv = interpreter(tmp_path / "pyenv/versions/3.12.1/bin", "3.12", "3.12")
    environment = {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "pyenv")}
    assert find(environment) == {"3.10": on_path, "3.12": under_pyenv}


def test_the_newest_of_pyenv_is_taken(find, tmp_path):
    interpreter(tmp_path / "versions/3.12.9/bin", "3.12", "3.12")
    newest = interpreter(tmp_path / "versions/3.12.10/bin", "3.12", "3.12")
    assert find({"PATH": "", "PYENV_ROOT": str(tmp_path)}) == {"3.12": newest}


@pytest.mark.parametrize("says", [None, "3.11"], ids=["a shim", "another version"])
def test_a_command_that_is_not_what_it_is_called_is_passed_over(find, tmp_path, says):
    interpreter(tmp_path / "shims", "3.12", says)
    environment = {"PATH": str(tmp_path / "shims"), "PYENV_ROOT": str(tmp_path)}
    assert find(environment) == {}
    behind = interpreter(tmp_path / "versions/3.12.1/bin", "3.12", "3.12")
    assert find(environment) == {"3.12": behind}
