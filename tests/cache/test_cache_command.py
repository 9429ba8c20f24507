"""`openrouter-embed cache PATH [stats | prune | clear]`."""

from __future__ import annotations

import pytest
from cache_world import fill, names_in, right

from openrouter_embed import SQLiteCache
from openrouter_embed.commands import cli


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "embeddings.sqlite"
    with SQLiteCache(path) as cache:
        fill(cache, range(1500))
    return path


@pytest.mark.parametrize("words", [[], ["stats"]])
def test_stats_tells_what_is_there(path, capsys, words):
    assert cli.main(["cache", str(path), *words]) == 0
    out = capsys.readouterr().out
    assert "1,500" in out
    assert "MB" in out
    assert "last used   within a day" in out
    assert names_in(path.parent) == [path.name]


def test_prune_makes_the_file_smaller(path, capsys):
    before = path.stat().st_size
    assert cli.main(["cache", str(path), "prune", "--max-bytes", "250000"]) == 0
    assert "vectors removed" in capsys.readouterr().out
    assert path.stat().st_size < before / 2
    with SQLiteCache(path) as cache:
        assert 0 < len(right(cache, range(1500))) < 1500


def test_clear_removes_everything(path, capsys):
    assert cli.main(["cache", str(path), "clear"]) == 0
    assert "1,500 vectors removed" in capsys.readouterr().out
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 0


def test_prune_without_a_limit_asks_for_one(path, capsys):
    assert cli.main(["cache", str(path), "prune"]) == 1
    assert "--max-bytes" in capsys.readouterr().err


def test_no_file_is_made(tmp_path, capsys):
    assert cli.main(["cache", str(tmp_path / "none.sqlite")]) == 1
    assert "There is no file" in capsys.readouterr().err
    assert names_in(tmp_path) == []


def test_a_file_of_somebody_else_is_left_alone(tmp_path, capsys):
    path = tmp_path / "notes"
    path.write_text("Dear diary")
    assert cli.main(["cache", str(path), "clear"]) == 1
    assert "left alone" in capsys.readouterr().err
    assert path.read_text() == "Dear diary"
