"""What a change must pass, as sessions: `nox -s tests`, `nox -s lint`, `nox --list` for all.

Rules of this file:
- A session makes an environment of its own and installs the package as its users do.
- Each session checks one thing; `.ci/run` strings them together and adds nothing of its own.
- An interpreter is a command `python3.X` on the PATH or under pyenv; no place is named here.
- Environments are filled by uv where there is one: ten of them, each in seconds instead of minutes.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import nox

if TYPE_CHECKING:
    from collections.abc import Mapping

SUPPORTED: Final = ("3.10", "3.11", "3.12", "3.13")
FRAMEWORKS: Final = {"langchain": "langchain-core", "llama-index": "llama-index-core"}


def find_pythons(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the supported versions that this machine has, each with the path of its program."""
    places = _places(environment)
    found: dict[str, str] = {}
    for version in SUPPORTED:
        commands = (shutil.which(f"python{version}", path=place) for place in places)
        programs = (_program(command, version) for command in commands if command)
        program = next(filter(None, programs), None)
        if program is not None:
            found[version] = program
    return found


def _places(environment: Mapping[str, str]) -> list[str]:
    """Return folders that may hold interpreters: those of the PATH, then pyenv's, newest first."""
    root = pathlib.Path(environment.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    own = sorted(root.glob("versions/*/bin"), key=_numbers, reverse=True)
    return [*environment.get("PATH", "").split(os.pathsep), *map(str, own)]


def _numbers(place: pathlib.Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", place.parent.name)]


def _program(command: str, version: str) -> str | None:
    """Return what a command really runs; a shim of pyenv runs nothing for versions not in use."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
    done = subprocess.run([command, "-c", ask], capture_output=True, text=True, check=False)
    said, _, program = done.stdout.strip().partition(" ")
    return program if done.returncode == 0 and said == version else None


def _required(extra: str, name: str) -> str:
    """Return how an extra of the package requires a distribution."""
    extras = nox.project.load_toml("pyproject.toml")["project"]["optional-dependencies"]
    (wanted,) = [each for each in extras[extra] if re.match(rf"{name}\b(?!-)", each)]
    return str(wanted)


PYTHONS: Final = find_pythons(os.environ)

# nox looks for `python3.X` on the PATH and takes the first, be it a shim that runs nothing.
os.environ["PATH"] = os.pathsep.join(
    [*(str(pathlib.Path(program).parent) for program in PYTHONS.values()), os.environ["PATH"]]
)
# nltk, which LlamaIndex brings, refuses to read files that are linked, as uv would have them.
os.environ["UV_LINK_MODE"] = "copy"
nox.options.sessions = ["lint", "types", "docs", "tests"]
nox.options.error_on_missing_interpreters = True
nox.options.default_venv_backend = "uv|virtualenv"


def clean(session: nox.Session) -> None:
    """Keep what is set around us out of the session; live keys above all."""
    for name in ("OPENROUTER_API_KEY", "OPENROUTER_API_BASE", "PYTHONPATH"):
        session.env[name] = None


@nox.session(python=list(PYTHONS))
def tests(session: nox.Session) -> None:
    """The fast suite, on each Python."""
    clean(session)
    session.install(".[test]")
    session.run("pytest", "-q", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """All tests, those that take long too, with branch coverage."""
    clean(session)
    session.install(".[dev,stores]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", "-m", "", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def machines(session: nox.Session) -> None:
    """Columns embedded on Ray, Spark (which needs Java) and Dask, in local mode."""
    clean(session)
    session.install(".[ray,test]", "dask[dataframe]", "pyspark>=4")
    session.run("pytest", "-q", "-m", "", "tests/machines", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and layout."""
    session.install(_required("dev", "ruff"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Two strict type checkers."""
    clean(session)
    session.install(".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """What is generated is up to date."""
    clean(session)
    session.install(".[test]")
    session.run("python", "docs/generate.py", "--check")
    session.run("python", "benchmarks/chart.py", "--check")
    session.run("python", "benchmarks/report.py", "--check")
    session.run("python", "benchmarks/pacing.py", "--check")


@nox.session(python=next(reversed(PYTHONS), None))
def site(session: nox.Session) -> None:
    """The documentation as a site: built without a warning, every link and asset followed."""
    clean(session)
    session.install(".[docs]")
    said = str(session.run("zensical", "build", "--strict", "--clean", silent=True))
    session.log(said)
    if "No issues found" not in said or "griffe: " in said:
        session.error("The site was not built without a warning.")
    session.run("python", "docs/check_site.py", "site")


@nox.session
@nox.parametrize("adapter", list(FRAMEWORKS))
def alone(session: nox.Session, adapter: str) -> None:
    """Each adapter at work where the other framework is not installed."""
    clean(session)
    session.install(f".[{adapter}]")
    session.run("python", ".ci/adapter_alone.py", adapter.replace("-", "_"))


@nox.session
def oldest(session: nox.Session) -> None:
    """Both adapters with the oldest frameworks that the package declares."""
    clean(session)
    declared = [_required(extra, name) for extra, name in FRAMEWORKS.items()]
    pinned = [re.sub(">=([^,]+).*", r"==\1", each) for each in declared]
    session.install(".[test]", *pinned)
    # Frameworks of that age warn with the newest pydantic, so warnings are not errors here.
    warned = ("-o", "filterwarnings=default")
    session.run("pytest", "-q", "-n", "2", *warned, "tests/langchain", "tests/llama_index")


if __name__ == "__main__":
    for known, where in PYTHONS.items():
        print(known, where)
