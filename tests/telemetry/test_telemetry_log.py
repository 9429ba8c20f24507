"""The log as a contract: which logger, which level, which extras, and nothing when all is well."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import threading
import warnings

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from llama_index.core.storage.kvstore import SimpleKVStore
from telemetry_doors import ASYNC, DOORS, KEY, MODEL

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import CacheWarning, EmbeddingClient, EmbeddingError

TEXTS = ["a private text", "another one"]
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


def refusal(status, message="quoting: a private text", **headers):
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return status, headers, body


@pytest.fixture
def lines(caplog):
    """The lines of the package since the beginning, each as level, event and sentence."""
    caplog.set_level(logging.INFO)

    def read():
        mine = [line for line in caplog.records if line.name.partition("_")[0] != "asyncio"]
        mine = [line for line in mine if "openrouter_embed" in line.name]
        for line in mine:
            assert "private" not in str(vars(line))
            assert KEY not in str(vars(line))
        return mine

    return read


def extras(line):
    """What a line carries besides its sentence."""
    mine = {
        name: value for name, value in vars(line).items() if name.startswith("openrouter_embed")
    }
    return {name.removeprefix("openrouter_embed."): value for name, value in mine.items()}


def events(found):
    return [(line.name, line.levelname, extras(line)["event"]) for line in found]


@every_door
def test_a_call_that_goes_well_says_nothing(lines, emulator, run, door):
    run(door, TEXTS, base_url=emulator.base_url)
    assert lines() == []


@every_door
def test_a_retry_is_one_line(lines, emulate, run, door):
    server = emulate(faults=lambda number, _: refusal(503) if number == 1 else None)
    run(door, TEXTS, base_url=server.base_url)
    assert events(lines()) == [("openrouter_embed", "INFO", "retry")]
    assert extras(lines()[0])["kind"] == "503"


@every_door
def test_a_cool_down_is_one_line_besides_the_retry(lines, emulate, run, door, monkeypatch):
    monkeypatch.setattr("openrouter_embed.core.retry.SHORTEST_WAIT", 0.001)
    wait = {"Retry-After-Ms": "5"}
    answer = (429, wait, b'{"error": {"code": 429, "message": "slow down"}}')
    server = emulate(faults=lambda number, _: answer if number == 1 else None)
    run(door, TEXTS, base_url=server.base_url)
    found = lines()
    assert [extras(line)["event"] for line in found] == ["cool_down", "retry"]
    assert found[0].getMessage() == "All requests wait for 0.0 s: The server answered 429."
    assert extras(found[0]) == {
        "event": "cool_down", "model": MODEL, "kind": "429", "count": 0,
        "wait": pytest.approx(0.005, abs=0.02),
    }  # fmt: skip


def picky(_, body):
    """Refuse a request that holds one certain text."""
    bad = any("another" in text for text in body["input"])
    return refusal(400, "invalid input") if bad else None


@every_door
def test_a_split_is_one_line(lines, emulate, run, door):
    server = emulate(faults=picky)
    with pytest.raises(EmbeddingError):
        run(door, TEXTS, base_url=server.base_url)
    (line,) = lines()
    assert events([line]) == [("openrouter_embed", "INFO", "split")]
    said = "A request of 2 inputs goes out in halves: The server answered 400."
    assert line.getMessage() == said
    assert extras(line)["count"] == 2


def test_a_text_that_goes_out_in_parts_is_one_line(lines, emulate):
    def short(_, body):
        long = any(len(text) > 60 for text in body["input"])
        return refusal(400, "maximum context length exceeded") if long else None

    server = emulate(faults=short)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=server.base_url, long_input="split") as made:
        made.embed("one private word after the other, " * 3)
    assert events(lines()) == [("openrouter_embed", "INFO", "parts")]
    assert extras(lines()[0])["count"] == 2


@every_door
def test_a_model_that_fails_on_base64_is_told_once(lines, emulate, run, door):
    def floats_only(_, body):
        base64 = body.get("encoding_format") == "base64"
        return refusal(400, "encoding_format base64 is not supported") if base64 else None

    server = emulate(faults=floats_only)
    run(door, TEXTS, base_url=server.base_url, max_batch_inputs=1)
    (line,) = lines()
    assert events([line]) == [("openrouter_embed", "INFO", "format")]
    assert line.getMessage() == (
        f"`{MODEL}` is asked for floats from now on, base64 failed: The server answered 400."
    )


@every_door
def test_a_caches_trouble_is_one_line_and_a_warning(lines, emulator, run, door, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database, but somebody's notes, which are a private text " * 99)
    with pytest.warns(CacheWarning):
        run(door, TEXTS, base_url=emulator.base_url, cache=str(path))
    assert events(lines()) == [("openrouter_embed", "INFO", "cache")]


def test_a_warning_that_would_end_a_paid_call_is_a_line_instead(lines, emulator, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 99)
    options = {"base_url": emulator.base_url, "cache": str(path)}
    with warnings.catch_warnings(), EmbeddingClient(MODEL, api_key=KEY, **options) as made:
        warnings.simplefilter("error")
        made.embed(TEXTS)
    assert [line.levelname for line in lines()] == ["INFO", "WARNING"]
    assert extras(lines()[1]) == {"event": "warning"}


@pytest.mark.parametrize("door", ASYNC.values(), ids=ASYNC.keys())
def test_a_call_that_fails_for_good_is_raised_and_not_logged(lines, emulate, door):
    server = emulate(faults=lambda *_: refusal(401))
    with pytest.raises(EmbeddingError):
        asyncio.run(door(TEXTS, base_url=server.base_url))
    assert lines() == []


# ---------------------------------------------------------------- the adapters' loggers


class FullStore(SimpleKVStore):
    """A store of LlamaIndex's whose disk is full."""

    def put_all(self, *_, **__):
        raise OSError("a private text")


class Locked:
    """A limiter that cannot leave the process."""

    def __init__(self):
        self.lock = threading.Lock()

    def acquire(self, num_tokens=0):
        """Let everything through."""

    async def async_acquire(self, num_tokens=0):
        """Let everything through."""


def test_a_store_of_llama_indexs_that_is_full_is_one_warning(lines, emulator):
    options = {"api_key": KEY, "api_base": emulator.base_url, "embeddings_cache": FullStore()}
    with OpenRouterEmbedding(MODEL, **options) as made:
        made.get_text_embedding_batch(TEXTS)
    assert events(lines()) == [("llama_index_openrouter_embed", "WARNING", "cache")]
    assert extras(lines()[0])["kind"] == "OSError"


def test_what_cannot_be_pickled_is_one_warning(lines):
    with OpenRouterEmbedding(MODEL, api_key=KEY, rate_limiter=Locked()) as made:
        pickle.dumps(made)
    assert events(lines()) == [("llama_index_openrouter_embed", "WARNING", "pickle")]


def test_a_usage_handler_that_fails_is_one_warning(lines, emulator, monkeypatch):
    def explode(*_, **__):
        raise RuntimeError("a private text")

    with (
        OpenRouterEmbeddings(model=MODEL, api_key=KEY, base_url=emulator.base_url) as made,
        get_usage_metadata_callback(),
    ):
        monkeypatch.setattr(UsageMetadataCallbackHandler, "on_llm_end", explode)
        made.embed_documents(TEXTS)
    assert events(lines()) == [("langchain_openrouter_embed", "WARNING", "usage")]
    assert extras(lines()[0])["kind"] == "RuntimeError"
