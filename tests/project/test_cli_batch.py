"""`openrouter-embed batch submit | status | fetch`, on files as people have them."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from openrouter_embed import EmbeddingClient, EmbeddingResult
from openrouter_embed.commands import cli
from openrouter_embed.emulator import BatchItem, Emulator

MODEL = "openai/text-embedding-3-small"
TEXTS = [f"The {animal} lives near the harbour." for animal in ("heron", "otter", "badger")]
TYPED = [sys.executable, "-m", "openrouter_embed", "batch"]


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    """An emulator whose batches take an hour, that the environment points at."""
    monkeypatch.chdir(tmp_path)
    with Emulator(backend="hashed", batch_seconds=3600, batch_items=item) as running:
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-fake")
        monkeypatch.setenv("OPENROUTER_API_BASE", running.base_url)
        pathlib.Path("texts.txt").write_text("\n".join(TEXTS))
        yield running


def item(custom_id, body):
    del custom_id
    error = {"message": "not this text", "type": "invalid_request", "param": None}
    return BatchItem(error=error) if "unlucky" in str(body) else None


def submit(*arguments, file="texts.txt", job="job.json", model=MODEL):
    return cli.main(["batch", "submit", file, "--model", model, "--job", job, *arguments])


def right(texts=TEXTS, **options):
    with EmbeddingClient(MODEL, **options) as client:
        return client.embed(texts, role="document").vectors


def test_a_file_is_handed_in_looked_at_and_fetched(emulator, capsys):
    assert submit() == 0
    handed_in = capsys.readouterr().out
    assert cli.main(["batch", "status", "job.json"]) == 0
    running = capsys.readouterr().out
    emulator.batches.advance(3600)
    assert cli.main(["batch", "status", "job.json"]) == 0
    finished = capsys.readouterr().out
    assert cli.main(["batch", "fetch", "job.json"]) == 0
    fetched = capsys.readouterr().out

    assert "3 texts, about 24 tokens to be bought, about <$0.000001.\n" in handed_in
    assert "\nHow far: openrouter-embed batch status job.json\n" in handed_in
    assert running.startswith("validating: 0 of 3 texts done, 0 failed.\n")
    assert finished.startswith("completed: 3 of 3 texts done, 0 failed.\n")
    assert "\nVectors: openrouter-embed batch fetch job.json\n" in finished
    assert fetched.startswith("3 vectors of 1,536 components in job.npz\nBought: ")
    np.testing.assert_allclose(EmbeddingResult.load("job.npz").vectors, right(), atol=1e-6)


def test_with_a_cache_the_vectors_go_there_and_nothing_is_bought_afterwards(emulator, capsys):
    assert submit("--cache", "c.sqlite") == 0
    assert "fetch job.json --cache c.sqlite\n" in capsys.readouterr().out
    emulator.batches.advance(3600)
    assert cli.main(["batch", "fetch", "job.json", "--cache", "c.sqlite"]) == 0

    assert "3 vectors in the cache c.sqlite" in capsys.readouterr().out
    assert not pathlib.Path("job.npz").exists()
    right(cache="c.sqlite")
    assert emulator.stats.requests == 0


def test_what_is_in_the_cache_is_not_handed_in(emulator, capsys):
    right(cache="c.sqlite")
    assert submit("--cache", "c.sqlite") == 0

    assert "Everything is in the cache already: nothing was handed in." in capsys.readouterr().out
    assert emulator.batches.ids == []
    fetch = ["batch", "fetch", "job.json", "--cache", "c.sqlite", "--output", "v.npz"]
    assert cli.main(fetch) == 0
    np.testing.assert_allclose(EmbeddingResult.load("v.npz").vectors, right(), atol=1e-6)


def test_without_the_cache_that_it_hangs_on_a_job_is_no_vectors(emulator, capsys):
    right(cache="c.sqlite")
    submit("--cache", "c.sqlite")

    assert cli.main(["batch", "fetch", "job.json"]) == 1
    assert "Failed: row 1 and 2 more: It was in the cache" in capsys.readouterr().err
    assert not pathlib.Path("job.npz").exists()


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
def test_a_field_of_a_table_is_read(emulator, name):
    import pandas as pd

    table = pd.DataFrame({"id": range(3), "body": TEXTS})
    {
        "t.jsonl": lambda: table.to_json(name, orient="records", lines=True),
        "t.csv": lambda: table.to_csv(name, index=False),
        "t.parquet": lambda: table.to_parquet(name),
    }[name]()
    assert submit("--field", "body", file=name) == 0

    (batch,) = emulator.batches.ids
    assert [request.body["input"] for request in emulator.batches.requests(batch)] == TEXTS


@pytest.mark.parametrize(("role", "prefix"), [("query", True), ("document", False)])
def test_a_role_that_is_a_prefix_is_applied(emulator, role, prefix):
    assert submit("--role", role, model="qwen/qwen3-embedding-8b") == 0

    (batch,) = emulator.batches.ids
    sent = emulator.batches.requests(batch)[0].body["input"]
    assert sent.endswith(TEXTS[0])
    assert sent.startswith("Instruct: ") == prefix


def test_a_role_that_batches_do_not_take_can_be_left_out(emulator, capsys):
    assert submit(model="voyageai/voyage-4") == 1
    assert "Batches take no `input_type`" in capsys.readouterr().err
    assert not pathlib.Path("job.json").exists()
    assert submit("--role", "none", model="voyageai/voyage-4") == 0


def test_what_costs_more_than_was_allowed_is_not_handed_in(emulator, capsys):
    assert submit("--max-cost", "1e-9") == 1
    assert "`--max-cost`" in capsys.readouterr().err
    assert emulator.batches.ids == []
    assert not pathlib.Path("job.json").exists()


def test_a_job_that_is_there_is_not_replaced(emulator, capsys):
    submit()
    before = pathlib.Path("job.json").read_bytes()

    assert submit() == 1
    assert "`--job` names job.json, the file of a job that was handed in" in capsys.readouterr().err
    assert pathlib.Path("job.json").read_bytes() == before
    assert len(emulator.batches.ids) == 1


def test_a_refused_submission_leaves_no_file(emulator, capsys):
    emulator.fail(402, on="batches", method="POST", times=None)

    assert submit() == 1
    assert "Insufficient credits" in capsys.readouterr().err
    assert not pathlib.Path("job.json").exists()


def test_a_job_that_is_not_finished_has_nothing_to_fetch(emulator, capsys):
    submit()

    assert cli.main(["batch", "fetch", "job.json"]) == 1
    assert "The job is not finished: validating." in capsys.readouterr().err


def test_fetching_can_wait(emulator, capsys):
    submit()
    emulator.batches.advance(3600)

    assert cli.main(["batch", "fetch", "job.json", "--wait", "--output", "v.npz"]) == 0
    assert "3 vectors of 1,536 components in v.npz" in capsys.readouterr().out


def test_failures_are_told_and_the_rest_is_kept(emulator, capsys):
    pathlib.Path("mixed.txt").write_text("fine\nunlucky\nfine as well\nunlucky too\n")
    submit(file="mixed.txt")
    emulator.batches.advance(3600)

    assert cli.main(["batch", "fetch", "job.json"]) == 1
    seen = capsys.readouterr()
    assert "2 vectors of 1,536 components in job.npz" in seen.out
    assert "Failed: row 2 and 1 more: " in seen.err
    assert "unlucky" not in seen.err
    assert EmbeddingResult.load("job.npz").ok.tolist() == [True, False, True, False]


def test_a_batch_that_failed_says_why(emulator, capsys):
    submit()
    emulator.batches.put(emulator.batches.ids[0], "failed", error="The provider is gone.")
    capsys.readouterr()

    assert cli.main(["batch", "status", "job.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("failed: ")
    assert "The provider is gone." in out


def test_the_state_is_told_as_json(emulator, capsys):
    submit()
    capsys.readouterr()

    assert cli.main(["batch", "status", "job.json", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["done"]) == ("validating", False)
    assert told["counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert [batch["id"] for batch in told["batches"]] == emulator.batches.ids


def test_without_a_network_the_last_state_is_told_and_said_to_be_old(emulator, capsys, monkeypatch):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)
    submit()
    capsys.readouterr()
    emulator.stop()

    assert cli.main(["batch", "status", "job.json"]) == 1
    seen = capsys.readouterr()
    assert seen.out.startswith("validating: 0 of 3 texts done")
    assert "This is how the job was last seen." in " ".join(seen.err.split())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_line_fits(emulator, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    submit()
    for command in (["status"], ["fetch", "--wait"]):
        emulator.batches.advance(1800)
        cli.main(["batch", command[0], "job.json", *command[1:]])
    emulator.batches.put(emulator.batches.ids[0], "failed", error="A long sentence. " * 20)
    cli.main(["batch", "status", "job.json"])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= width


@pytest.mark.parametrize("command", ["submit", "status", "fetch"])
def test_help_fits(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        cli.main(["batch", command, "--help"])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        ("", [], "holds no texts"),
        ("a text", ["--dimensions", "0"], "dimensions"),
        (None, [], "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_handed_in(
    emulator, capsys, content, arguments, told
):
    if content is not None:
        pathlib.Path("wrong.txt").write_text(content)

    assert submit(*arguments, file="wrong.txt") == 1
    assert told in capsys.readouterr().err
    assert emulator.batches.ids == []


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"model": 1}'])
def test_what_is_no_job_is_said(emulator, capsys, content):
    if content is not None:
        pathlib.Path("job.json").write_text(content)

    assert cli.main(["batch", "status", "job.json"]) == 1
    assert "job" in capsys.readouterr().err


def killed(emulator, kind, number):
    """Ends `submit` by a signal while its answer is not there."""
    failure = emulator.fail(kind, on="batches", method="POST", times=None)
    command = [*TYPED, "submit", "texts.txt", "--model", MODEL, "--job", "job.json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 30
        while not failure.count and time.monotonic() < limit:
            time.sleep(0.02)
        process.send_signal(number)
        error = process.communicate(timeout=20)[1]
    failure.end()
    return process.returncode, error


def test_a_submission_that_was_killed_is_found_again(emulator, capsys):
    assert killed(emulator, "lost", signal.SIGKILL)[0] == -signal.SIGKILL
    (batch,) = emulator.batches.ids

    assert cli.main(["batch", "status", "job.json"]) == 0
    assert batch in capsys.readouterr().out


def test_an_interrupted_submission_says_where_to_look_and_what_came_of_it(
    emulator, capsys, monkeypatch
):
    monkeypatch.setattr("openrouter_embed.batch.submitting.LOOKS", (0.001,))
    status, error = killed(emulator, "stall", signal.SIGINT)
    assert status == 130
    assert "How far: openrouter-embed batch status job.json\n" in error

    assert cli.main(["batch", "status", "job.json"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("unsent: ")
    assert "Nothing was accepted: remove job.json, and submit again." in out
    assert emulator.batches.ids == []


def test_an_interrupt_while_waiting_says_that_the_job_goes_on(emulator):
    submit()
    look = emulator.fail("stall", on="batches", method="GET")
    process = subprocess.Popen(
        [*TYPED, "fetch", "job.json", "--wait"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        limit = time.monotonic() + 30
        while not look.count and time.monotonic() < limit:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=20)

    assert process.returncode == 130
    assert out == ""
    assert error.splitlines()[-2:] == [
        "The job goes on.",
        "How far: openrouter-embed batch status job.json",
    ]


def test_a_reader_that_has_seen_enough_ends_it_quietly(emulator):
    submit()
    process = subprocess.Popen(
        [*TYPED, "status", "job.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )
    process.stdout.close()
    assert process.wait(30) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_ending_that_promises_another_form_is_refused(emulator, capsys):
    assert submit() == 0
    assert cli.main(["batch", "fetch", "job.json", "--output", "vectors.csv"]) == 1
    assert "end in `.npz`" in capsys.readouterr().err
