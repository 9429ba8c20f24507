"""The laws of the house: who may import whom, and what importing costs."""

from __future__ import annotations

import ast
import importlib
import pathlib
import subprocess
import sys

import pytest

import openrouter_embed
from openrouter_embed import adapting

ROOT = pathlib.Path(openrouter_embed.__file__).parent
AT_THE_EDGE = {"files.py", "submission.py", "job.py", "job_cache.py"}
"""What of the room of batches touches files, clocks or the cache; the rest of it is pure."""
CORE = [
    *sorted((ROOT / "core").glob("**/*.py")),
    *(path for path in sorted((ROOT / "batch").glob("*.py")) if path.name not in AT_THE_EDGE),
]
ADAPTERS = {
    "langchain_openrouter_embed": "langchain",
    "llama_index_openrouter_embed": "llama_index",
}

FORBIDDEN_IN_CORE = {
    "aiohttp", "asyncio", "concurrent", "ftplib", "glob", "http", "httpx", "io", "logging",
    "multiprocessing", "os", "pathlib", "queue", "random", "requests", "sched", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "tqdm", "urllib", "urllib3", "uuid", "warnings",
}  # fmt: skip
CORE_FRIENDS = {"options", "inputs", "errors", "guard", "lists", "result", "core"}
"""Rooms the core may look into: data and settings, no client, shell or engine."""
BATCH_FRIENDS = CORE_FRIENDS | {"batch"}


def imports(path):
    """Every module a file imports, also within functions; the names of `from` imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from ((node.module, alias.name) for alias in node.names)


def test_there_is_a_core_to_look_at():
    assert {"job.py", "pacing.py", "codec.py", "verdict.py"} <= {path.name for path in CORE}


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_imports_nothing_that_does_io_waits_or_rolls_dice(path):
    for module, _ in imports(path):
        assert module.partition(".")[0] not in FORBIDDEN_IN_CORE, module


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_knows_no_client_no_shell_and_no_engine(path):
    for module, _ in imports(path):
        top, _, rest = module.partition(".")
        if top == "openrouter_embed":
            friends = BATCH_FRIENDS if path.parent.name == "batch" else CORE_FRIENDS
            assert rest.partition(".")[0] in friends, module


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_calls_nothing_that_prints_opens_or_measures(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "eval", "exec", "__import__"}


def test_loading_the_core_loads_nothing_that_does_io():
    """What the core's own dependencies load is theirs; threads and clocks come with Python."""
    code = (
        "import sys, openrouter_embed.core.job, openrouter_embed.core.fetch;"
        "print(sorted({'requests', 'aiohttp', 'urllib3', 'asyncio', 'sqlite3'} & set(sys.modules)))"
    )
    assert run(code) == "[]"


SHELLS = sorted((ROOT / "shells").glob("*.py"))


@pytest.mark.parametrize("path", SHELLS, ids=lambda path: path.name)
def test_shells_do_not_judge(path):
    names = {module for module, _ in imports(path)} | {name for _, name in imports(path) if name}
    assert not {"verdict", "judge", "json", "msgspec"} & {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("shell", ["requests_shell", "aiohttp_shell"])
def test_a_shell_loads_only_its_own_library(shell):
    other = {"requests_shell": "aiohttp", "aiohttp_shell": "requests"}[shell]
    code = f"import sys, openrouter_embed.shells.{shell}; print({other!r} in sys.modules)"
    assert run(code) == "False"


# ---------------------------------------------------------------- adapters


def adapter_files(name):
    folder = ROOT.parent / name
    return [path for path in sorted(folder.glob("**/*.py")) if path.name != "py.typed"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_know_only_their_own_framework(adapter):
    (other,) = set(ADAPTERS) - {adapter}
    foreign = (ADAPTERS[other], other)
    for path in adapter_files(adapter):
        for module, _ in imports(path):
            assert not module.startswith(foreign), f"{path.name}: {module}"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_adapters_import_only_public_names(adapter):
    public = {
        "openrouter_embed": {*openrouter_embed.__all__, None},
        "openrouter_embed.adapting": set(adapting.__all__),
    }
    for path in adapter_files(adapter):
        for module, name in imports(path):
            if module.partition(".")[0] == "openrouter_embed":
                assert name in public.get(module, ()), f"{path.name}: {name} of {module}"


def test_the_transport_imports_no_framework():
    for path in ROOT.glob("**/*.py"):
        if path.parent.name == "commands":
            continue  # they show the frameworks at work
        for module, _ in imports(path):
            assert not module.startswith(("langchain", "llama_index")), f"{path}: {module}"


# ---------------------------------------------------------------- what importing costs


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


HEAVY = {"requests", "urllib3", "aiohttp", "numpy", "msgspec", "pybase64", "tqdm", "asyncio"}


@pytest.mark.parametrize(
    "code",
    [
        "import openrouter_embed",
        "from openrouter_embed import EmbeddingClient, AsyncEmbeddingClient",
        "from openrouter_embed import ImageInput, ProviderPreferences, find_profile",
        "import openrouter_embed as o; o.EmbeddingClient('m', api_key='sk-or-v1-fake')",
    ],
)
def test_importing_and_constructing_load_no_library(code):
    assert run(f"{code}\nimport sys; print(sorted({HEAVY!r} & set(sys.modules)))") == "[]"


def test_every_public_name_can_be_imported_and_no_other_is_listed():
    for name in openrouter_embed.__all__:
        assert getattr(openrouter_embed, name) is not None
    assert sorted(openrouter_embed.__all__) == sorted(set(openrouter_embed.__all__))
    assert dir(openrouter_embed) == sorted(openrouter_embed.__all__)
    assert set(openrouter_embed._HOMES) <= set(openrouter_embed.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'EmbedingClient'"):
        openrouter_embed.EmbedingClient  # noqa: B018 - reading it is the test


def test_a_name_is_loaded_once():
    fresh = run(
        "import openrouter_embed as o; a = o.ImageInput; print(a is o.ImageInput,"
        " 'ImageInput' in vars(o))"
    )
    assert fresh == "True True"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_every_room_opens_on_its_own(path):
    importlib.import_module(f"openrouter_embed.{path.stem}".removesuffix(".__init__"))


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("**/*.py")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


# ---------------------------------------------------------------- how large things may be

PACKAGES = [ROOT, *(ROOT.parent / name for name in ADAPTERS)]
FILES = sorted(path for package in PACKAGES for path in package.glob("**/*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MOST_METHODS = 400, 50, 25
FACES = {"EmbeddingClient", "AsyncEmbeddingClient", "OpenRouterEmbeddings", "OpenRouterEmbedding",
         "OpenRouterObject"}  # fmt: skip
"""Classes as large as what they wrap."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def name_of(path):
    return str(path.relative_to(ROOT.parent))


def code_lines(node):
    """Lines of a function, without its signature and docstring."""
    documented = ast.get_docstring(node) is not None
    first = node.body[1 if documented and len(node.body) > 1 else 0]
    return node.end_lineno - first.lineno + 1


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_no_file_of_the_core_is_long(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_are_short_and_classes_small(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, FUNCTIONS):
            assert code_lines(node) <= LONGEST_FUNCTION, node.name
        elif isinstance(node, ast.ClassDef) and node.name not in FACES:
            methods = [inner for inner in node.body if isinstance(inner, FUNCTIONS)]
            assert len(methods) <= MOST_METHODS, node.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_begins_with_its_one_job_and_its_rules(path):
    """But for rooms, which have a law, and files that say all in a line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    short = len(path.read_text(encoding="utf-8").splitlines()) < 20
    assert short or path.name == "__init__.py" or "\n\nRules of this file:\n- " in text
