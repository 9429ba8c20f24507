"""Clients live, are shared, copied, forked and closed without surprises."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from api_faces import SMALL

from openrouter_embed import (
    AsyncEmbeddingClient,
    ClientClosedError,
    ConfigurationError,
    EmbeddingClient,
    EmbeddingError,
    Progress,
)


@pytest.fixture
def options(em):
    return {"api_key": "sk-secret-key-1", "base_url": em.base_url, "dimensions": 8}


# ------------------------------------------------------------------ closing


def test_closing_twice_is_harmless(make):
    client = make()
    client.embed(["a"])
    synchronous = isinstance(client.client, EmbeddingClient)
    close = client.client.close if synchronous else client.aclose
    close()
    close()


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.embed(["a"]),
        lambda client: client.embed_query("a"),
        lambda client: client.embed_documents(["a"]),
        lambda client: list(client.stream(["a"])),
        lambda client: client.models(),
        lambda client: client.check(),
    ],
    ids=["embed", "embed_query", "embed_documents", "stream", "models", "check"],
)
def test_a_closed_client_says_so(make, em, use):
    client = make()
    client.client._engine.close()
    with pytest.raises(ClientClosedError, match="closed"):
        use(client)
    assert em.stats.requests == 0


def test_a_client_that_leaves_its_context_is_closed(options):
    with EmbeddingClient(SMALL, **options) as client:
        client.embed(["a"])
    with pytest.raises(ClientClosedError):
        client.embed(["a"])


async def test_an_asynchronous_client_that_leaves_its_context_is_closed(options):
    async with AsyncEmbeddingClient(SMALL, **options) as client:
        await client.embed(["a"])
    await client.aclose()
    with pytest.raises(ClientClosedError):
        await client.embed(["a"])


def test_closing_ends_the_calls_in_flight(emulate):
    arrived = threading.Event()

    async def never(*_):
        arrived.set()
        await asyncio.sleep(60)

    em = emulate(faults=never)
    client = EmbeddingClient(SMALL, api_key="k", base_url=em.base_url)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.embed, ["a"])
        assert arrived.wait(10)
        client.close()
        with pytest.raises(ClientClosedError, match="during the call"):
            call.result(10)


# ------------------------------------------------------------------ loops and threads


def test_one_asynchronous_client_serves_one_loop_after_another(options, em):
    client = AsyncEmbeddingClient(SMALL, **options)

    async def use(text):
        return await client.embed([text])

    rows = [asyncio.run(use("same text")).vectors for _ in range(3)]
    assert all(np.array_equal(rows[0], row) for row in rows)
    asyncio.run(client.aclose())
    assert em.stats.requests == 3


def test_one_asynchronous_client_serves_several_loops_at_once(options):
    client = AsyncEmbeddingClient(SMALL, **options)

    def use(number):
        return asyncio.run(client.embed([f"text {number}"]))

    with ThreadPoolExecutor(4) as pool:
        assert all(len(result) == 1 for result in pool.map(use, range(8)))
    asyncio.run(client.aclose())


def test_thirty_two_threads_share_one_client(options, em):
    with EmbeddingClient(SMALL, **options) as client, ThreadPoolExecutor(32) as pool:
        start = threading.Barrier(32)

        def use(number):
            start.wait(10)
            return [client.embed([f"{number} {turn}"]).vectors[0] for turn in range(3)]

        rows = list(pool.map(use, range(32)))
        for number in (0, 15, 31):
            assert np.allclose(rows[number][2], client.embed([f"{number} 2"]).vectors[0])
        assert client.usage.requests == em.stats.requests == 32 * 3 + 3
        assert client.usage.total_tokens == em.stats.tokens
        assert client.usage.cost == pytest.approx(em.stats.cost)


async def test_the_synchronous_client_works_inside_a_running_loop(options):
    with EmbeddingClient(SMALL, **options) as client:
        assert client.embed(["a", "b"]).vectors.shape == (2, 8)
        assert len(list(client.stream(["a"]))) == 1


async def test_many_asynchronous_calls_at_once(options, em):
    async with AsyncEmbeddingClient(SMALL, **options) as client:
        results = await asyncio.gather(*(client.embed([f"text {at}"]) for at in range(50)))
        assert len({result.vectors.tobytes() for result in results}) == 50
        assert client.usage.inputs == 50


# ------------------------------------------------------------------ two faces


async def test_the_asynchronous_face_shares_settings_and_usage(options, em):
    with EmbeddingClient(SMALL, user="u", **options) as client:
        awaited = client.as_async()
        client.embed(["a"])
        await awaited.embed(["b"])
        assert awaited.settings is client.settings
        assert client.usage == awaited.usage
        assert client.usage.requests == 2
        assert {request.body["user"] for request in em.requests} == {"u"}
        await awaited.aclose()


async def test_closing_the_asynchronous_face_leaves_the_client_open(options):
    with EmbeddingClient(SMALL, **options) as client:
        async with client.as_async() as awaited:
            await awaited.embed(["a"])
        assert len(client.embed(["b"])) == 1
        assert len(await awaited.embed(["c"])) == 1
        await awaited.aclose()


async def test_closing_the_client_closes_its_asynchronous_face(options):
    client = EmbeddingClient(SMALL, **options)
    awaited = client.as_async()
    await awaited.embed(["a"])
    await awaited.aclose()
    client.close()
    with pytest.raises(ClientClosedError):
        await awaited.embed(["b"])


async def test_both_faces_learn_of_a_host_that_fails_on_base64(emulate):
    def fail_on_base64(_, body):
        if body["encoding_format"] == "base64":
            return 200, {}, b'{"error":{"message":"No successful provider responses.","code":404}}'
        return None

    em = emulate(faults=fail_on_base64)
    with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_retries=0) as client:
        client.embed(["a"])
        async with client.as_async() as awaited:
            await awaited.embed(["a"])
    assert [r.body["encoding_format"] for r in em.requests] == ["base64", "float", "float"]


# ------------------------------------------------------------------ copies


def copies(client):
    return {
        "copy": copy.copy(client),
        "deepcopy": copy.deepcopy(client),
        "pickle": pickle.loads(pickle.dumps(client)),
    }


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_a_copy_works_and_counts_for_itself(face, options, monkeypatch, way):
    monkeypatch.setenv("OPENROUTER_API_KEY", "from-env")
    original = face.make(**options)
    original.embed(["a"])
    copied = face(copies(original.client)[way])
    assert copied.usage.requests == 0
    assert len(copied.embed(["b"])) == 1
    assert original.usage.requests == 1
    original.close()
    assert len(copied.embed(["c"])) == 1
    copied.close()


def test_copies_within_the_process_keep_the_key_and_pickles_hold_none(options):
    with EmbeddingClient(SMALL, **options) as client:
        assert len(copy.deepcopy(client).embed(["a"])) == 1
        stored = pickle.dumps(client)
        assert b"sk-secret" not in stored
        with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
            pickle.loads(stored).embed(["a"])


def test_neither_repr_nor_settings_show_the_key(options):
    with EmbeddingClient(SMALL, **options) as client:
        assert repr(client).startswith(f"EmbeddingClient(model={SMALL!r}")
        assert "sk-secret" not in repr(client) + repr(client.settings) + str(vars(client))


def test_results_and_errors_survive_pickling(options):
    with EmbeddingClient(SMALL, **options) as client:
        result = client.embed(["a"])
        again = pickle.loads(pickle.dumps(result))
        assert np.array_equal(again.vectors, result.vectors)
        assert again.usage == result.usage
        with pytest.raises(EmbeddingError) as caught:
            client.embed(["a", "b"], model="some/unknown-model")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (type(error), str(error), error.status) == (
        type(caught.value), str(caught.value), caught.value.status,
    )  # fmt: skip
    assert error.result.ok.tolist() == [False, False]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_embeds_and_leaves_the_parents_connections_alone(options):
    with EmbeddingClient(SMALL, **options) as client:
        expected = client.embed(["a"]).vectors
        child = os.fork()
        if child == 0:
            try:
                good = np.array_equal(client.embed(["a"]).vectors, expected)
            except BaseException:  # noqa: BLE001 - whatever it is, the parent must hear of it
                good = False
            finally:
                sys.stdout.flush()
                os._exit(0 if good else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert np.array_equal(client.embed(["a"]).vectors, expected)


# ------------------------------------------------------------------ progress


def test_progress_is_told_request_by_request_up_to_the_end(make):
    told = []
    make(max_batch_inputs=10, on_progress=told.append).embed([f"text {at}" for at in range(30)])
    assert all(isinstance(one, Progress) for one in told)
    assert [one.done for one in told] == [10, 20, 30]
    assert {one.total for one in told} == {30}
    assert told[-1].usage.requests == 3


def test_a_progress_bar_is_shown_on_request(make, capsys):
    make().embed(["a", "b"], progress=True)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "1 request" in shown  # beside the rate: tokens, cost so far and requests


def test_a_progress_bar_counts_what_was_tried_again(make, emulate, capsys, monkeypatch):
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.0)

    def busy_once(number, _):
        return (503, {}, b"busy") if number == 1 else None

    server = emulate(faults=busy_once)
    make(base_url=server.base_url).embed(["a", "b"], progress=True)
    assert "1 retried" in capsys.readouterr().err
