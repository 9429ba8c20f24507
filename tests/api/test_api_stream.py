"""Streams: any length, in order, in bounded memory, no further ahead than they are read."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import aclosing, closing

import numpy as np
import psutil
import pytest
from api_faces import AsyncFace

from openrouter_embed import BadRequestError, ConfigurationError, EmbeddingResult
from openrouter_embed.streams import STREAM_INPUTS

TOTAL = 2 * STREAM_INPUTS + 10


def numbered(count=TOTAL, read=None):
    """Texts that say their position; notes how many were read."""
    for at in range(count):
        if read is not None:
            read.append(at)
        yield str(at)


async def anumbered(count=TOTAL, read=None):
    for text in numbered(count, read):
        await asyncio.sleep(0)
        yield text


def positions(_, body):
    """Answer a number for each text that is one; refuse the text `bad`."""
    if "bad" in body["input"]:
        error = {"code": 400, "message": "No.", "metadata": {"error_type": "invalid_prompt"}}
        return 400, {}, json.dumps({"error": error}).encode()
    data = [{"embedding": [float(t), 1.0], "index": i} for i, t in enumerate(body["input"])]
    return 200, {}, json.dumps({"data": data, "model": "m"}).encode()


@pytest.fixture
def client(face, emulate):
    em = emulate(faults=positions)
    one = face.make(api_key="k", base_url=em.base_url)
    one.em = em
    yield one
    one.close()


every_source = pytest.mark.parametrize(
    ("face", "source"),
    [("sync", numbered), ("async", numbered), ("async", anumbered)],
    ids=["sync", "async", "async from an async iterable"],
    indirect=["face"],
)


@every_source
def test_every_input_comes_back_once_and_in_order(client, source):
    results = list(client.stream(source()))
    assert all(isinstance(result, EmbeddingResult) for result in results)
    assert np.concatenate([r.vectors[:, 0] for r in results]).tolist() == list(range(TOTAL))


@every_source
def test_every_result_says_where_it_starts(client, source):
    results = list(client.stream(source()))
    assert [result.start for result in results] == [0, STREAM_INPUTS, 2 * STREAM_INPUTS]
    assert [result.vectors[0, 0] for result in results] == [0, STREAM_INPUTS, 2 * STREAM_INPUTS]


@every_source
def test_the_source_is_read_no_further_than_results_are_taken(client, source):
    read = []
    results = client.stream(source(read=read))
    assert read == []
    for taken in (1, 2):
        next(results)
        assert len(read) == taken * STREAM_INPUTS
    results.close()
    assert len(read) == 2 * STREAM_INPUTS


def test_an_empty_source_gives_nothing(client):
    assert list(client.stream(iter(()))) == []
    assert client.em.stats.requests == 0


def test_a_list_is_streamed_as_well(client):
    (result,) = client.stream(["3", "4"])
    assert result.vectors[:, 0].tolist() == [3, 4]


def test_roles_and_options_apply_to_every_part(client):
    for _ in client.stream(
        numbered(STREAM_INPUTS + 1), role="query", input_type="x", user="u", dimensions=2
    ):
        pass
    for request in client.em.requests:
        assert (request.body["input_type"], request.body["user"]) == ("x", "u")


def test_options_are_checked_before_the_source_is_read(client):
    read = []
    for wrong in ({"role": "both"}, {"on_error": "skip"}, {"dimension": 5}, {"api_key": "k"}):
        with pytest.raises(ConfigurationError):
            client.client.stream(numbered(read=read), **wrong)
    assert read == []


def test_an_error_says_which_part_it_befell_and_what_had_arrived(client):
    texts = [str(at) for at in range(STREAM_INPUTS + 20)]
    texts[STREAM_INPUTS + 7] = "bad"
    results = client.stream(iter(texts))
    assert next(results).start == 0
    with pytest.raises(BadRequestError) as caught:
        next(results)
    result = caught.value.result
    assert result.start == STREAM_INPUTS
    assert list(result.failures) == [7]
    assert result.vectors[8, 0] == STREAM_INPUTS + 8


def test_a_stream_goes_on_past_failures_where_that_was_asked_for(client):
    texts = ["0", "bad", *map(str, range(2, STREAM_INPUTS + 5))]
    first, second = client.stream(iter(texts), on_error="return")
    assert list(first.failures) == [1]
    assert len(second) == 5


def test_an_input_that_cannot_be_embedded_ends_the_stream_when_it_is_read(client):
    results = client.stream(iter([*map(str, range(STREAM_INPUTS)), None]))
    assert len(next(results)) == STREAM_INPUTS
    with pytest.raises(ConfigurationError, match="Input 0 is a NoneType"):
        next(results)


async def test_a_stream_that_is_left_early_reads_no_further(emulate):
    em = emulate(faults=positions)
    read = []
    client = AsyncFace.make(api_key="k", base_url=em.base_url)
    client.loop.close()
    async with client.client as one, aclosing(one.stream(anumbered(read=read))) as results:
        async for _ in results:
            break
    assert len(read) == STREAM_INPUTS


def resident():
    return psutil.Process().memory_info().rss


def million(count):
    for at in range(count):
        yield f"a short text {at}"


FLOATS = b"1.0,2.0,3.0,4.0,5.0,6.0,7.0,8.0"


def fast(_, body):
    rows = b",".join(
        b'{"embedding":[%b],"index":%d}' % (FLOATS, at) for at in range(len(body["input"]))
    )
    return 200, {}, b'{"data":[%b],"model":"m"}' % rows


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_texts_stream_through_bounded_memory(face, emulate):
    """Peak growth stays below 150 MB: the emulator's own share, in this process, included."""
    em = emulate(faults=fast, log_size=1)
    client = face.make(api_key="k", base_url=em.base_url, dimensions=8, max_concurrency=8)
    with closing(client):
        for _ in client.stream(million(2 * STREAM_INPUTS)):
            pass
        before, peak, rows = resident(), 0, 0
        done = threading.Event()

        def watch():
            nonlocal peak
            while not done.wait(0.02):
                peak = max(peak, resident())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for result in client.stream(million(1_000_000)):
                assert result.start == rows
                rows += len(result)
        finally:
            done.set()
            watcher.join()
    assert rows == 1_000_000
    assert peak - before < 150e6
