"""The command line does what its help says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from openrouter_embed import __version__
from openrouter_embed.commands import cli
from openrouter_embed.emulator import Emulator


@pytest.fixture
def no_key(monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.delenv("OPENROUTER_API_BASE", raising=False)


def test_demo_without_a_key_says_so_and_finds_the_right_answers_in_both_frameworks(no_key, capsys):
    assert cli.main(["demo", "--limit", "400"]) == 0
    out = capsys.readouterr().out
    assert "a local emulator answers" in out
    blocks = out.split("\n? ")[1:]
    rights = ["textwrap", "difflib", "statistics.median", "smtplib.SMTP"]
    for block, right in zip(blocks, rights, strict=True):
        langchain = "".join(line[2:48] for line in block.splitlines()[2:5])
        llama_index = "".join(line[48:] for line in block.splitlines()[2:5])
        assert right in langchain
        assert right in llama_index


def test_demo_answers_a_question_of_ones_own_with_another_model(no_key, capsys):
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
    out = capsys.readouterr().out
    assert "It will be sent 20 texts, twice: about" in out
    assert out.index("It will be sent") < out.index("Ctrl-C to stop") < out.index("LangChain, In")
    said = next(line for line in out.splitlines() if "It will be sent" in line)
    assert "$" in said
    assert origin in said
    assert "openrouter.ai" not in out


def test_models_lists_every_model_with_what_is_done_for_it(monkeypatch, capsys):
    with Emulator(backend="hashed") as emulator:
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
        assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 34
    voyage = next(line for line in lines if line.startswith("voyageai/voyage-4 "))
    assert "input_type=query" in voyage
    assert "input_type=document" in voyage


def test_a_failure_is_one_line_on_stderr_and_status_1(monkeypatch, capsys):
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/api/v1")
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    assert cli.main(["models"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("openrouter-embed: No connection to 127.0.0.1:9")
    assert error.count("\n") == 1


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
    assert error == f"openrouter-embed: Cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_the_package_can_be_run_as_a_module():
    command = [sys.executable, "-m", "openrouter_embed", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__


def test_serve_says_that_it_is_an_emulator_and_ends_on_an_interrupt():
    call = "raise SystemExit(main(['serve', '--port', '0']))"
    code = f"from openrouter_embed.commands.cli import main; {call}"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    with process:
        assert "NOT OpenRouter" in process.stderr.readline()
        process.send_signal(2)
        assert process.wait(timeout=20) == 0
