"""No line of the command line is wider than the terminal."""

from __future__ import annotations

import numpy as np
import pytest

from openrouter_embed import SQLiteCache
from openrouter_embed.commands import cli
from openrouter_embed.emulator import Emulator

WIDTHS = [60, 80, 120]
MODELS = ["openai/text-embedding-3-small", "sentence-transformers/multi-qa-mpnet-base-dot-v1"]
COMMANDS = ["demo", "serve", "models", "compare", "batch", "cache", "completion"]


@pytest.fixture
def printed(monkeypatch, capsys):
    """Runs a command on a terminal of a width, and returns the lines that it prints."""

    def run(width, *arguments):
        monkeypatch.setenv("COLUMNS", str(width))
        try:
            status = cli.main(arguments)
        except SystemExit as end:  # `--help` ends so
            status = end.code
        assert status == 0
        return capsys.readouterr().out.splitlines()

    return run


def widest(lines):
    return max(map(len, lines))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits(printed, width, command):
    assert widest(printed(width, command, "--help")) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_demo_fits(printed, width):
    lines = printed(width, "demo", "--limit", "40", f"where is {'a word ' * 20}?", "heap")

    assert widest(lines) <= width
    assert sum(line.startswith("? ") for line in lines) == 2


def test_answers_side_by_side_fit(printed, monkeypatch, capsys):
    from openrouter_embed.commands.demo import _show

    long = "asyncio.base_events." + "a" * 60
    for width in (40, *WIDTHS):
        monkeypatch.setenv("COLUMNS", str(width))
        _show("what?", [(0.5, long)], [(0.4, "asyncio.base_events.BaseEventLoop.set_debug")])
        assert widest(capsys.readouterr().out.splitlines()) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_fits(printed, tmp_path, width):
    texts = tmp_path / "texts.txt"
    texts.write_text("The heron lives near the harbour.\nThe otter lives near the orchard.")
    models = [part for model in MODELS for part in ("--model", model)]

    lines = printed(width, "compare", str(texts), "--queries", str(texts), *models)

    assert widest(lines) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_in_a_cache_fits(printed, tmp_path, width):
    with SQLiteCache(tmp_path / "cache.sqlite") as cache:
        cache.put([b"k" * 32], np.ones((1, 8), np.float32))

    assert widest(printed(width, "cache", str(tmp_path / "cache.sqlite"))) <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_the_list_of_models_fits(printed, monkeypatch, width):
    with Emulator(backend="hashed") as emulator:
        monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)

        assert widest(printed(width, "models")) <= width
