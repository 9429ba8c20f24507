"""What notebooks, `help` and type checkers show of the three classes."""

from __future__ import annotations

import inspect
import pydoc
import subprocess
import sys

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from langchain_openrouter_embed import OpenRouterEmbeddings
from langchain_openrouter_embed._options import FIELD_OF
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
from openrouter_embed.options.table import CALL_OPTIONS, OPTIONS

CLASSES = [EmbeddingClient, AsyncEmbeddingClient, OpenRouterEmbeddings, OpenRouterEmbedding]
CALLS = [
    EmbeddingClient.embed,
    EmbeddingClient.stream,
    AsyncEmbeddingClient.embed,
    OpenRouterEmbeddings.embed_documents,
    OpenRouterEmbeddings.embed_query,
    OpenRouterEmbeddings.aembed_documents,
    OpenRouterEmbeddings.embed_image,
]


def names(call):
    return set(inspect.signature(call).parameters)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_signature_names_every_option(cls):
    assert names(cls) >= set(OPTIONS) - {"model"}
    assert "options" not in names(cls)
    assert next(iter(inspect.signature(cls).parameters)) in ("model", "model_name")


def test_the_signatures_name_the_frameworks_own_words_too():
    assert names(OpenRouterEmbeddings) >= {*FIELD_OF.values(), "rate_limiter", "show_progress_bar"}
    assert names(OpenRouterEmbedding) >= {"api_base", "embed_batch_size", "num_workers"}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__qualname__)
def test_the_signature_of_a_call_names_what_one_call_may_set(call):
    assert names(call) >= CALL_OPTIONS
    assert "overrides" not in names(call)
    assert repr(inspect.signature(call).parameters["dimensions"].default) == "<as the client>"


def test_a_signature_shows_types_and_defaults():
    shown = str(inspect.signature(EmbeddingClient))
    assert "timeout: 'float' = 60.0" in shown
    assert "encoding_format: \"Literal['auto', 'float', 'base64']\" = 'auto'" in shown


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_help_says_what_every_option_does(cls):
    text = pydoc.render_doc(cls, renderer=pydoc.plaintext)
    for name, row in OPTIONS.items():
        assert name == "model" or f"{name}: {row.says}" in text


def test_help_of_a_call_says_what_its_options_do():
    text = pydoc.render_doc(EmbeddingClient.embed, renderer=pydoc.plaintext)
    assert f"dimensions: {OPTIONS['dimensions'].says}" in text
    assert "max_concurrency:" not in text


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    shell.user_ns.update({cls.__name__: cls for cls in CLASSES})
    shell.user_ns["client"] = EmbeddingClient("m", api_key="sk-or-v1-fake")
    shell.user_ns["embeddings"] = OpenRouterEmbeddings("m", api_key="sk-or-v1-fake")
    shell.user_ns["embedding"] = OpenRouterEmbedding("m", api_key="sk-or-v1-fake")
    yield shell
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ('EmbeddingClient("x", dim', "dimensions="),
        ('AsyncEmbeddingClient("x", max_r', "max_retries="),
        ("OpenRouterEmbeddings(api_", "api_key="),
        ("OpenRouterEmbeddings(openrouter_p", "openrouter_provider="),
        ("OpenRouterEmbedding(max_", "max_concurrency="),
        ("OpenRouterEmbedding(embed_b", "embed_batch_size="),
        ("client.embed([], dim", "dimensions="),
        ("client.stream([], dead", "deadline="),
        ("embeddings.embed_query('a', time", "timeout="),
        ("embedding.time", "timeout"),
        ("client.sett", "settings"),
    ],
)
def test_ipython_completes_the_options(shell, typed, offered):
    with provisionalcompleter():
        found = [one.text for one in shell.Completer.completions(typed, len(typed))]
    assert any(one.endswith(offered) for one in found), found


# ---------------------------------------------------------------- type checkers on users' code

RIGHT = """\
from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

OpenRouterEmbeddings("m", api_key="k", chunk_size=10, long_input="split")
OpenRouterEmbeddings(model="m", model_kwargs={"a": 1}, provider={"zdr": True})
OpenRouterEmbedding("m", api_key="k", dimensions=3)
OpenRouterEmbedding(model_name="m", embed_batch_size=10, empty="zeros")
EmbeddingClient("m", dimensions=3, encoding_format="float").embed(["a"], dimensions=2)
AsyncEmbeddingClient("m", deadline=3)
"""
WRONG = """\
OpenRouterEmbedding("x", dimension=3)
OpenRouterEmbedding("x", dimensions="3")
OpenRouterEmbedding("x", empty="zero")
OpenRouterEmbedding("x", embed_batch_size="3")
OpenRouterEmbeddings("x", dimension=3)
OpenRouterEmbeddings("x", dimensions="3")
OpenRouterEmbeddings("x", long_input="cut")
OpenRouterEmbeddings("x", chunk_size="3")
OpenRouterEmbeddings("x").embed_query("a", dimension=3)
EmbeddingClient("x", dimension=3)
EmbeddingClient("x", dimensions="3")
EmbeddingClient("x", encoding_format="base46")
EmbeddingClient("x").embed(["a"], role="documents")
EmbeddingClient("x").embed(["a"], dimension=3)
AsyncEmbeddingClient("x", timeout="3")
OpenRouterEmbedding("x").dimension
OpenRouterEmbeddings("x").dimension
"""
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--no-error-summary"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_type_checker_finds_every_wrong_name_type_and_literal_in_users_code(tmp_path, checker):
    """And nothing to complain of in what is right."""
    pytest.importorskip(checker)
    program = RIGHT + WRONG
    file = tmp_path / "program.py"
    file.write_text(program)
    cache = ["--cache-dir", str(tmp_path)] if checker == "mypy" else []
    command = [sys.executable, *CHECKERS[checker], *cache, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if " error: " in line]
    said = [line.split("program.py:")[1] for line in lines]
    found = {int(line.split(":")[0]) for line in said}
    first = RIGHT.count("\n") + 1
    assert found == set(range(first, first + WRONG.count("\n"))), done.stdout
