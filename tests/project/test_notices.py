"""What the log says of a call that retries."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from openrouter_embed import EmbeddingClient, TransportError
from openrouter_embed.core.notice import Notice
from openrouter_embed.emulator import Emulator
from openrouter_embed.notices import Herald

SMALL = "openai/text-embedding-3-small"


def notice(now, wait=0.5, *, attempts=1, ends=None):
    return Notice(
        cause="The server is down. (503)", kind="503", attempts=attempts, allowed=9, wait=wait,
        now=now, ends=ends,
    )  # fmt: skip


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="openrouter_embed")
    return caplog


def test_every_retry_is_a_line_at_info_with_structured_extras(log):
    herald = Herald("a/model")
    herald(notice(10.0))
    herald(notice(11.0, attempts=2, ends=20.0))
    lines = [record for record in log.records if record.levelno == logging.INFO]
    assert [line.getMessage() for line in lines] == [
        "Retry in 0.5 s, attempt 2 of 9: The server is down. (503)",
        "Retry in 0.5 s, attempt 3 of 9: The server is down. (503)",
    ]
    extras = {k: v for k, v in vars(lines[1]).items() if k.startswith("openrouter_embed.")}
    assert extras == {
        "openrouter_embed.event": "retry",
        "openrouter_embed.model": "a/model",
        "openrouter_embed.kind": "503",
        "openrouter_embed.attempt": 2,
        "openrouter_embed.attempts_allowed": 9,
        "openrouter_embed.retries": 2,
        "openrouter_embed.wait": 0.5,
        "openrouter_embed.elapsed": 1.0,
        "openrouter_embed.ends_in": 9.0,
    }


def test_a_call_that_retries_for_three_seconds_warns_once(log):
    herald = Herald("a/model")
    for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        herald(notice(now))
    (warning,) = [record for record in log.records if record.levelno == logging.WARNING]
    assert warning.getMessage() == (
        "Still retrying after 4 failures: The server is down. (503) It goes on for up to 9 "
        "attempts per request, without an end in time: `deadline=` sets one."
    )


def test_whoever_waits_for_its_turn_is_told_of_no_number_of_attempts(log):
    """A refusal for load is not counted; what ends the waiting is said instead."""
    herald = Herald("a/model")
    herald(dataclasses.replace(notice(0.0, wait=5.0), allowed=None))
    told, warned = (record.getMessage() for record in log.records)
    assert "attempt 2: " in told
    assert "until its turn comes, or nothing was served for 120 seconds: `deadline=`" in warned
    herald = Herald("a/model")
    herald(dataclasses.replace(notice(0.0, wait=5.0, ends=30.0), allowed=None))
    assert "It goes on for 30 more seconds." in log.records[-1].getMessage()


def test_the_warning_comes_before_a_long_wait_and_says_how_long_it_goes_on(log):
    Herald("a/model")(notice(0.0, wait=7.0, ends=30.0))
    warning = log.records[-1]
    assert warning.levelno == logging.WARNING
    assert "for 30 more seconds" in warning.getMessage()


def test_short_troubles_warn_nobody(log):
    Herald("a/model")(notice(0.0))
    assert {record.levelno for record in log.records} == {logging.INFO}


@pytest.mark.parametrize("call", ["models", "check", "estimate"])
def test_people_forget_to_start_the_server(monkeypatch, log, call):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.01)
    with EmbeddingClient("m", api_key="k", base_url="http://127.0.0.1:9/api/v1") as client:
        arguments = [["a"]] if call == "estimate" else []
        with pytest.raises(TransportError, match=r"Nothing listens at .* tried 2 times") as caught:
            getattr(client, call)(*arguments)
    assert caught.value.kind == "connect"
    assert caught.value.attempts == 2
    assert len(log.records) == 1


def down(times):
    def fault(number, _):
        body = b'{"error": {"code": 503, "message": "quoting: a secret text"}}'
        return (503, {}, body) if number <= times else None

    return fault


def embed(face, url, text="a secret text"):
    with EmbeddingClient(SMALL, api_key="k", base_url=url) as client:
        if face == "sync":
            client.embed(text)
        else:
            asyncio.run(client.as_async().embed(text))


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_call_tells_of_its_retries_without_the_text(monkeypatch, log, face):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.001)
    with Emulator(backend="hashed", faults=down(2)) as emulator:
        embed(face, emulator.base_url)
    lines = [record for record in log.records if record.name == "openrouter_embed"]
    assert [line.levelname for line in lines] == ["INFO", "INFO"]
    assert "attempt 2 of 9: The server answered 503." in lines[0].getMessage()
    assert "secret" not in log.text + str([vars(line) for line in lines])


@pytest.mark.parametrize("face", ["sync", "async"])
def test_people_forget_to_start_the_server_and_embed(monkeypatch, face):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.001)
    with pytest.raises(TransportError, match=r"Nothing listens at .* tried 2 times") as caught:
        embed(face, "http://127.0.0.1:9/api/v1")
    assert caught.value.attempts == 2
