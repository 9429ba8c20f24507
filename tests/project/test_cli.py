"""The command line does what its help says."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from openrouter_embed import EmbeddingClient, __version__
from openrouter_embed.commands import cli
from openrouter_embed.emulator import Emulator, runner


@pytest.mark.slow
def test_demo_without_a_key_says_so_and_finds_the_right_answers_in_both_frameworks(capsys):
    assert cli.main(["demo", "--limit", "400"]) == 0
    out = capsys.readouterr().out
    assert "a local emulator answers" in out
    blocks = out.split("\n? ")[1:]
    rights = ["textwrap", "difflib", "statistics.median", "smtplib.SMTP"]
    for block, right in zip(blocks, rights, strict=True):
        assert right in block.split("\nLangChain")[0]
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["LangChain", "LlamaIndex", "*"]


def test_demo_shows_an_answer_once_where_both_frameworks_agree_and_else_side_by_side(capsys):
    from openrouter_embed.commands.demo import _show

    one, other = [(0.9, "textwrap.wrap")], [(0.9, "textwrap.fill")]
    _show("what?", one, one)
    assert capsys.readouterr().out.count("textwrap.wrap") == 1
    _show("what?", one, other)
    out = capsys.readouterr().out
    assert "LangChain" in out
    assert "0.900 textwrap.wrap" in out
    assert "0.900 textwrap.fill" in out


def test_a_long_name_is_cut_between_its_parts(capsys):
    from openrouter_embed.commands.demo import _show

    name = "asyncio.base_events.BaseEventLoop.set_exception_handler"
    _show("what?", [(0.5, name)], [(0.5, "other")])
    assert "0.500 ….set_exception_handler " in capsys.readouterr().out


def test_demo_with_two_models_compares_them(capsys):
    command = ["demo", "--limit", "60", "--model", "openai/text-embedding-3-small",
               "--model", "baai/bge-m3"]  # fmt: skip
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "a local emulator answers" in out
    assert "nDCG@10" in out
    assert "LlamaIndex" not in out


def test_demo_answers_a_question_of_ones_own_with_another_model(capsys):
    command = ["demo", "--limit", "50", "--model", "voyageai/voyage-4", "where is a heap?"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert out.count("\n? ") == 1
    assert "voyageai/voyage-4" in out


def test_demo_with_a_key_says_what_it_will_send_before_it_sends_texts(monkeypatch, capsys):
    with Emulator(backend="hashed") as emulator:
        monkeypatch.setenv("OPENROUTER_API_KEY", "emulated")
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
        origin = emulator.base_url.split("/")[2]
        assert cli.main(["demo", "--limit", "20", "what?"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "It will be sent 20 texts, twice: about" in out
    assert out.index("It will be sent") < out.index("Ctrl-C to stop") < out.index("LangChain, In")
    said = out[out.index("Using the API") : out.index("Ctrl-C to stop")]
    assert "$" in said
    assert origin in said
    assert "openrouter.ai" not in out


@pytest.fixture
def catalogue(monkeypatch):
    with Emulator(backend="hashed") as emulator:
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
        yield


@pytest.fixture
def columns(monkeypatch):
    return lambda width: monkeypatch.setenv("COLUMNS", str(width))


def test_models_lists_every_model_with_what_is_done_for_it(catalogue, columns, capsys):
    columns(200)
    assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 37
    voyage = next(line for line in lines if line.startswith("voyageai/voyage-4 "))
    assert "input_type=query" in voyage
    assert "input_type=document" in voyage


def test_the_command_line_leaves_logging_as_it_was(monkeypatch):
    log = logging.getLogger("openrouter_embed")
    before = log.level, list(log.handlers)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/api/v1")
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    cli.main(["models"])
    assert (log.level, log.handlers) == before


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_list_of_models_fits_the_terminal(catalogue, columns, capsys, width):
    columns(width)
    assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert "sentence-transformers/multi-qa-mpnet-base-" in "\n".join(lines)
    assert ("takes" in lines[0]) == (width >= 80)


def test_models_by_a_part_of_the_name_in_order_of_price(catalogue, capsys):
    assert cli.main(["models", "VOYAGE", "--sort", "price", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert len(records) == 5
    assert all("voyage" in record["id"] for record in records)
    prices = [record["usd_per_million_tokens"] for record in records]
    assert prices == sorted(prices)


def test_models_that_take_images(catalogue, capsys):
    assert cli.main(["models", "--images", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert records
    assert all("image" in record["modalities"] for record in records)


def test_no_model_fits_is_said(catalogue, capsys):
    assert cli.main(["models", "nothing-of-that-name"]) == 1
    assert "No model fits" in capsys.readouterr().err


def test_without_a_network_the_stored_catalogue_is_shown_and_said_to_be_old(monkeypatch, capsys):
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/api/v1")
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    assert cli.main(["models", "3-small", "--json"]) == 0
    seen = capsys.readouterr()
    assert "This is the catalogue of" in seen.err
    assert json.loads(seen.out)[0]["usd_per_million_tokens"] == 0.02


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, False), ({"FORCE_COLOR": "1"}, True),
                              ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)]
)  # fmt: skip
def test_colours_only_where_they_are_wanted(catalogue, capsys, monkeypatch, environ, coloured):
    termcolor = pytest.importorskip("termcolor")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    getattr(termcolor.can_colorize, "cache_clear", int)()  # it may ask once in a program's life
    assert cli.main(["models", "3-small"]) == 0
    assert ("\x1b[1m" in capsys.readouterr().out) == coloured


def test_a_shell_gets_its_completion(capsys):
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "compare" in script
    assert "--queries" in script


def test_a_reader_that_has_seen_enough_ends_it_quietly():
    code = "from openrouter_embed.commands.cli import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "completion", "bash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_failure_is_the_last_line_on_stderr_and_status_1(monkeypatch, capsys):
    monkeypatch.setenv("OPENROUTER_API_KEY", "emulated")
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/api/v1")
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    assert cli.main(["compare", "--limit", "5", "--model", "openai/text-embedding-3-small"]) == 1
    told, error = capsys.readouterr().err.splitlines()
    assert told.startswith("openrouter-embed: Retry in 0.0 s, attempt 2 of 3: Nothing listens at")
    assert error.startswith("openrouter-embed: No model could be compared.")
    assert "Nothing listens at 127.0.0.1:9, on this machine" in error
    assert error.endswith("It was tried 2 times.")


def test_demo_without_the_frameworks_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openrouter_embed.commands.demo", None)
    monkeypatch.setitem(sys.modules, "llama_index.core", None)
    assert cli.main(["demo"]) == 1
    assert "pip install 'openrouter-embed[demo]'" in capsys.readouterr().err


def test_a_limit_below_one_is_refused(capsys):
    with pytest.raises(SystemExit):
        cli.main(["demo", "--limit", "0"])
    assert "must be at least 1" in capsys.readouterr().err


def test_a_port_in_use_is_one_line_on_stderr_and_status_1(capsys):
    with Emulator(backend="hashed") as emulator:
        port = emulator.base_url.split(":")[2].split("/")[0]
        assert cli.main(["serve", "--port", port]) == 1
    error = capsys.readouterr().err
    assert error == (
        f"openrouter-embed: Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Try another `--port`.\n"
    )


def test_the_package_can_be_run_as_a_module():
    command = [sys.executable, "-m", "openrouter_embed", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__


@pytest.mark.slow
def test_serve_says_what_it_is_and_what_to_paste_and_ends_on_an_interrupt():
    code = "from openrouter_embed.commands.cli import main as m; raise SystemExit(m())"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--verbose"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stderr=pipe, stdout=pipe, text=True) as process:
        assert "NOT OpenRouter" in process.stderr.readline()
        assert "vectors" in process.stderr.readline()
        base, key = (process.stdout.readline().strip() for _ in range(2))
        assert key == "export OPENROUTER_API_KEY=emulated"
        url = base.removeprefix("export OPENROUTER_API_BASE=")
        with EmbeddingClient("qwen/qwen3-embedding-8b", api_key="emulated", base_url=url) as client:
            assert client.embed("a text").vectors.shape == (1, 4096)
        process.send_signal(2)
        assert process.wait(timeout=20) == 0
        assert '"POST /api/v1/embeddings HTTP/1.1" 200' in process.stderr.read()


@pytest.mark.parametrize(("backend", "words"), [("hashed", "hashes"), ("wordllama", "real model")])
def test_serve_says_which_vectors_it_serves(backend, words, capsys):
    runner._announce("http://127.0.0.1:1/api/v1", backend)
    assert words in capsys.readouterr().err.splitlines()[1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("compair texts.txt", "compare"),
        ("embed texts.txt", "batch"),
        ("batch sumbit", "submit"),
        ("--verson", "--version"),
        ("models --imgs", "--images"),
        ("compare texts.txt --models a", "--model"),
        ("batch submit texts.txt --model a --save-to job.json", "--job"),
        ("batch fetch job.json --outptu x", "--output"),
        ("compare texts.txt --model a --column=body", "--field"),
    ],
)
def test_what_is_mistyped_leads_to_what_was_meant(typed, meant, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(typed.split())
    assert caught.value.code == 2
    assert f"did you mean `{meant}`?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed", ["models -x", "cache stats x.sqlite", "batch status", "models a b"]
)
def test_no_hint_is_given_where_there_is_none(typed, capsys):
    with pytest.raises(SystemExit):
        cli.main(typed.split())
    assert "did you mean" not in capsys.readouterr().err


def test_messages_call_options_as_the_command_line_does(tmp_path, monkeypatch, capsys):
    texts = tmp_path / "texts.txt"
    texts.write_text("bread\n")
    assert cli.main(["compare", str(texts), "--model", "baai/bge-m3"]) == 1
    assert "pass `--queries`" in capsys.readouterr().err
    monkeypatch.setenv("OPENROUTER_API_BASE", "127.0.0.1:8787")
    assert cli.main(["models"]) == 1
    assert "`OPENROUTER_API_BASE` must be an http(s) URL" in capsys.readouterr().err
