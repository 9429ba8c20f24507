"""`cache`: what was bought once is not bought again, and nothing that was bought is lost."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from api_faces import GEMINI, SMALL, VOYAGE_IMAGES

from openrouter_embed import (
    AsyncEmbeddingClient,
    CacheMissError,
    CacheWarning,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingClient,
    EmbeddingError,
    Found,
    ImageInput,
    SQLiteCache,
)
from openrouter_embed.cache import keeper

PIXEL = ImageInput.from_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 40)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "embeddings.sqlite"


def texts(count, start=0):
    return [f"text number {at}" for at in range(start, start + count)]


# ---------------------------------------------------------------------- what is bought


def test_a_second_call_buys_nothing_and_gives_the_same_vectors(make, em, path):
    client = make(cache=path)
    first = client.embed(texts(300), role="document")
    em.reset()
    second = client.embed(texts(300), role="document")
    assert em.stats.requests == 0
    assert np.array_equal(first.vectors, second.vectors)
    assert (first.usage.cache_hits, first.usage.inputs) == (0, 300)
    assert (second.usage.cache_hits, second.usage.inputs) == (300, 300)
    assert second.usage.total_tokens == 0
    assert client.usage.cache_hits == 300


def test_only_what_is_missing_is_bought_and_lands_in_its_place(make, em, path):
    client, plain = make(cache=path), make()
    client.embed(texts(50, start=25))
    em.reset()
    mixed = [*texts(100), *texts(10, start=40)]
    result = client.embed(mixed)
    assert em.stats.inputs == 50
    assert result.usage.cache_hits == 50
    assert np.array_equal(result.vectors, plain.embed(mixed).vectors)


def test_another_client_another_process_another_key_share_the_file(make, em, path):
    make(cache=path).embed(texts(20))
    em.reset()
    make(cache=str(path), api_key="another", timeout=3.0, user="me").embed(texts(20))
    with SQLiteCache(path) as cache:
        make(cache=cache).embed(texts(20))
    assert em.stats.requests == 0


def test_lists_come_out_of_the_cache_as_well(make, em, path):
    client = make(cache=path)
    first = client.embed_documents(texts(20))
    em.reset()
    assert client.embed_documents(texts(20)) == first
    assert client.embed(texts(20), lists=True).tolist() == first
    assert em.stats.requests == 0


def test_queries_and_documents_meet_only_where_the_model_embeds_both_alike(make, em, path):
    client = make(GEMINI, cache=path)
    document = client.embed(["x"], role="document").vectors
    query = client.embed(["x"], role="query").vectors
    assert not np.array_equal(document, query)
    alike = make(SMALL, cache=path)
    alike.embed(["x"], role="document")
    em.reset()
    alike.embed(["x"], role="query")
    assert em.stats.requests == 0


def test_the_apis_own_vectors_are_kept_and_scaled_after_reading(make, em, path):
    raw = make("sentence-transformers/all-minilm-l12-v2", cache=path)
    unit = make("sentence-transformers/all-minilm-l12-v2", cache=path, normalize=True)
    first = unit.embed(texts(5)).vectors
    em.reset()
    plain = raw.embed(texts(5)).vectors
    again = unit.embed(texts(5)).vectors
    assert em.stats.requests == 0
    assert np.array_equal(first, again)
    assert np.allclose(np.linalg.norm(again, axis=1), 1, atol=1e-6)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.allclose(plain / lengths, again, atol=1e-6)


def test_the_caller_may_write_into_what_it_gets(make, path):
    client = make(cache=path)
    first = client.embed(texts(5))
    kept = first.vectors.copy()
    first.vectors[:] = 0
    second = client.embed(texts(5))
    assert np.array_equal(second.vectors, kept)
    second.vectors[:] = 0
    assert np.array_equal(client.embed(texts(5)).vectors, kept)


def test_widths_and_models_do_not_meet(make, path):
    client = make(cache=path)
    assert client.embed(["x"], dimensions=64).vectors.shape == (1, 64)
    assert client.embed(["x"]).vectors.shape == (1, 1536)
    assert client.embed(["x"], model=GEMINI).usage.cache_hits == 0


def test_images_are_kept_by_content_and_never_by_url(make, em, path):
    client = make(VOYAGE_IMAGES, cache=path)
    remote = ImageInput.from_url("https://example.com/cat.png")
    client.embed([PIXEL, ["a text", PIXEL], remote, "text"])
    em.reset()
    result = client.embed([PIXEL, ["a text", PIXEL], remote, "text"])
    assert (result.usage.cache_hits, em.stats.inputs) == (3, 1)


def test_empty_texts_are_zeros_beside_what_is_cached(make, em, path):
    client = make(cache=path, empty="zeros")
    first = client.embed(["a", "", "b"])
    em.reset()
    second = client.embed(["a", "", "b"])
    assert em.stats.requests == 0
    assert np.array_equal(first.vectors, second.vectors)
    assert not second.vectors[1].any()


def test_a_stream_is_resumed(make, em, path):
    client = make(cache=path)
    whole = [result.vectors for result in client.stream(iter(texts(50)))]
    em.reset()
    again = [result.vectors for result in client.stream(iter(texts(60)))]
    assert em.stats.inputs == 10
    assert np.array_equal(np.concatenate(whole), np.concatenate(again)[:50])


def test_a_slow_disk_keeps_what_was_bought_whatever_becomes_of_the_result(
    make, em, path, monkeypatch
):
    """The call returns before its vectors are written, and its caller changes the matrix."""

    class Slow(SQLiteCache):
        def put_together(self, parts, **options):
            assert gate.wait(20)
            super().put_together(parts, **options)

    gate = threading.Event()
    wait = keeper.Keeper.wait
    monkeypatch.setattr(
        keeper.Keeper, "wait", lambda self, ticket: wait(self, ticket, timeout=0.05)
    )
    right = make().embed(texts(200)).vectors
    with Slow(path) as cache:
        with pytest.warns(CacheWarning, match="takes long"):
            result = make(cache=cache).embed(texts(200))
        result.vectors[:] = 0
        gate.set()
        keeper.keeper_of(cache).drain(20)
        em.reset()
        assert np.array_equal(make(cache=cache).embed(texts(200)).vectors, right)
    assert em.stats.requests == 0


def test_refresh_buys_anew_and_replaces(make, em, path):
    client = make(cache=path)
    client.embed(texts(10))
    em.reset()
    assert client.embed(texts(10), refresh=True).usage.cache_hits == 0
    assert em.stats.inputs == 10
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 10


def test_cache_only_gives_what_is_there_and_raises_for_what_is_not(make, em, path):
    client = make(cache=path)
    client.embed(texts(3))
    em.reset()
    assert len(client.embed(texts(3), cache_only=True)) == 3
    with pytest.raises(CacheMissError, match=r"1 of 4 .*\(index 3\): It is not in the") as caught:
        client.embed(texts(4), cache_only=True)
    assert caught.value.result.ok.tolist() == [True, True, True, False]
    result = client.embed(texts(4), cache_only=True, on_error="return")
    assert list(result.failures) == [3]
    assert em.stats.requests == 0


def test_cache_only_without_a_cache_is_refused(make, em):
    with pytest.raises(ConfigurationError, match="needs a `cache`"):
        make().embed("x", cache_only=True)
    assert em.stats.requests == 0


def test_an_estimate_counts_what_is_not_there(make, path):
    client = make(cache=path)
    client.embed(texts(10), role="document")
    assert client.estimate(texts(10), role="document").inputs == 0
    some = client.estimate(texts(12), role="document")
    assert some.inputs == 2
    assert 0 < some.tokens < client.estimate(texts(12, start=100)).tokens
    assert client.estimate(texts(10), role="document").cost == 0


def test_an_estimate_with_refresh_counts_everything(make, path):
    """What is to be bought again costs again: by the call, or by the client's own option."""
    make(cache=path).embed(texts(10), role="document")
    known = make(cache=path).estimate(texts(10), role="document", refresh=True)
    assert known.inputs == 10
    assert known == make(cache=path, refresh=True).estimate(texts(10), role="document")


def test_an_average_of_parts_is_kept_apart_from_whole_texts(make, em, path):
    long = "a long text that goes on and on. " * 1500
    client = make(cache=path, long_input="split")
    first = client.embed([long, "short"])
    assert first.flags["split"] == (0,)
    em.reset()
    second = client.embed([long, "short"])
    assert em.stats.requests == 0
    assert second.flags["split"] == (0,)
    assert np.array_equal(first.vectors, second.vectors)
    with pytest.raises(EmbeddingError):
        make(cache=path).embed([long])


def test_an_estimate_knows_averages_of_parts(make, path):
    long = "a long text that goes on and on. " * 1500
    client = make(cache=path, long_input="split")
    before = client.estimate([long, "short"])
    client.embed([long])
    after = client.estimate([long, "short"])
    assert (before.inputs, after.inputs) == (2, 1)
    assert after.tokens == make().estimate(["short"]).tokens
    assert make(cache=path, long_input="truncate").estimate([long]).inputs == 1
    assert make(cache=path).estimate([long]).inputs == 1


def test_hosts_are_told_and_the_first_is_kept_to(make, em, path):
    first = make(cache=path).embed(texts(3))
    second = make(cache=path).embed(texts(3))
    assert second.providers == first.providers
    pinned = make(cache=path, pin_provider=True)
    assert pinned.embed(texts(3)).usage.cache_hits == 3


def test_a_store_of_ones_own_works(make, em):
    class Store:
        def __init__(self):
            self.rows = {}

        def get(self, keys):
            at = [position for position, key in enumerate(keys) if key in self.rows]
            return [Found(at, np.array([self.rows[keys[p]] for p in at]))] if at else []

        def put(self, keys, vectors, *, host="", replace=False):
            self.rows |= dict(zip(keys, vectors, strict=True))

    store = Store()
    client = make(cache=store)
    first = client.embed(texts(5))
    em.reset()
    assert np.array_equal(client.embed(texts(5)).vectors, first.vectors)
    assert em.stats.requests == 0
    assert len(store.rows) == 5


def test_positions_of_a_store_of_ones_own_may_be_any_range(make):
    class Store:
        def __init__(self):
            self.rows = {}

        def get(self, keys):
            at = [position for position, key in enumerate(keys) if key in self.rows]
            step = at[1] - at[0] if len(at) > 1 else 2
            run = range(at[0], at[-1] + 2, step) if at else ()
            return [Found(run, np.array([self.rows[keys[p]] for p in run]))] if at else []

        def put(self, keys, vectors, *, host="", replace=False):
            self.rows |= dict(zip(keys, vectors, strict=True))

    right = make().embed(texts(6)).vectors
    for step in (2, 3, 6):
        client = make(cache=Store())
        client.embed(texts(6)[::step])
        assert np.allclose(client.embed(texts(6)).vectors, right, atol=1e-6)


# ---------------------------------------------------------------------- calls at the same time


async def test_equal_inputs_of_calls_at_the_same_time_are_bought_once(emulate, path):
    em = emulate(latency=0.1)
    async with AsyncEmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client:
        calls = [client.embed(texts(20, start=5 * number)) for number in range(4)]
        results = await asyncio.gather(*calls)
        assert em.stats.inputs == 35
        assert sum(result.usage.cache_hits for result in results) == 45
        alone = await client.embed(texts(35))
    for number, result in enumerate(results):
        assert np.array_equal(result.vectors, alone.vectors[5 * number : 5 * number + 20])


def test_equal_inputs_of_threads_and_clients_are_bought_once(emulate, path):
    em = emulate(latency=0.1)
    found = []

    def work():
        with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client:
            found.append(client.embed(texts(20)).usage.cache_hits)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert em.stats.inputs == 20
    assert sorted(found) == [0, 20, 20, 20]


async def test_if_the_first_is_cancelled_the_second_buys(emulate, path):
    em = emulate(latency=0.3)
    async with AsyncEmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client:
        first = asyncio.create_task(client.embed(texts(5)))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(client.embed(texts(5)))
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        result = await second
    assert result.usage.cache_hits == 0
    assert len(result) == 5


async def test_a_call_that_is_cancelled_reads_no_further(emulate, monkeypatch):
    monkeypatch.setattr(keeper, "AT_ONCE", 10)
    asked, reached, go_on = [], threading.Event(), threading.Event()

    class Store:
        def get(self, keys):
            asked.append(len(keys))
            if len(asked) == 3:
                reached.set()
                assert go_on.wait(10)
            return [Found(range(len(keys)), np.ones((len(keys), 1536), np.float32))]

        def put(self, keys, vectors, *, host="", replace=False):
            raise AssertionError

    em = emulate()
    store = Store()
    async with AsyncEmbeddingClient(
        SMALL, api_key="k", base_url=em.base_url, cache=store
    ) as client:
        call = asyncio.create_task(client.embed(texts(300)))
        assert await asyncio.to_thread(reached.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await asyncio.get_running_loop().shutdown_default_executor()
    assert len(asked) < 8


async def test_if_the_first_fails_the_second_is_not_held_up(emulate, path):
    refusal = (403, {}, b'{"error":{"code":403,"message":"no"}}')
    em = emulate(faults=lambda number, _: refusal if number == 1 else None, latency=0.1)
    async with AsyncEmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client:
        calls = [client.embed(texts(5)) for _ in range(2)]
        first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(one, EmbeddingError) for one in (first, second)) == 1


async def test_a_synchronous_call_within_the_loop_waits_for_nobody_who_needs_the_loop(
    emulate, path
):
    em = emulate(latency=0.1)
    with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client:
        face = client.as_async()
        task = asyncio.create_task(face.embed(texts(5)))
        await asyncio.sleep(0.03)
        assert len(client.embed(texts(5), deadline=5)) == 5
        assert len(await task) == 5
        await face.aclose()


# ---------------------------------------------------------------------- what ends a call


def slow_after(count):
    """Answer some requests at once, and the rest never."""

    async def stall():
        await asyncio.sleep(30)

    return lambda number, _: None if number <= count else stall()


SMALL_REQUESTS = {"max_batch_inputs": 10, "max_concurrency": 4}


def once_thirty_are_there(client, act):
    """Do something to a call, from another thread, when all that will come has come."""

    def watch():
        while client.usage.inputs < 30:
            time.sleep(0.01)
        time.sleep(0.05)  # what is counted is taken in right afterwards
        act()

    threading.Thread(target=watch, daemon=True).start()


def test_what_arrived_before_a_failure_is_kept(make, emulate, path):
    broken = (403, {}, b'{"error":{"code":403,"message":"no more"}}')
    em = emulate(faults=lambda number, _: broken if number > 3 else None)
    client = make(base_url=em.base_url, cache=path, **SMALL_REQUESTS)
    with pytest.raises(EmbeddingError) as caught:
        client.embed(texts(100))
    arrived = int(caught.value.result.ok.sum())
    assert arrived == 30
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == arrived


def test_what_arrived_before_a_deadline_is_kept(make, emulate, path):
    em = emulate(faults=slow_after(3))
    client = make(base_url=em.base_url, cache=path, **SMALL_REQUESTS)
    with pytest.raises(DeadlineExceededError):
        client.embed(texts(100), deadline=0.4)
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 30


def test_what_arrived_before_the_client_was_closed_is_kept(emulate, path):
    em = emulate(faults=slow_after(3))
    client = EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path, **SMALL_REQUESTS)
    once_thirty_are_there(client, client.close)
    with pytest.raises(ClientClosedError):
        client.embed(texts(100))
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 30


async def test_what_arrived_before_a_cancellation_is_kept(emulate, path):
    em = emulate(faults=slow_after(3))
    async with AsyncEmbeddingClient(
        SMALL, api_key="k", base_url=em.base_url, cache=path, **SMALL_REQUESTS
    ) as client:
        task = asyncio.create_task(client.embed(texts(100)))
        loop = asyncio.get_running_loop()
        once_thirty_are_there(client, lambda: loop.call_soon_threadsafe(task.cancel))
        with pytest.raises(asyncio.CancelledError):
            await task
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 30


def test_what_arrived_before_ctrl_c_is_kept(emulate, path):
    em = emulate(faults=slow_after(3))
    with EmbeddingClient(
        SMALL, api_key="k", base_url=em.base_url, cache=path, **SMALL_REQUESTS
    ) as client:
        once_thirty_are_there(client, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            client.embed(texts(100))
    with SQLiteCache(path) as cache:
        assert cache.stats().vectors == 30


# ---------------------------------------------------------------------- troubles


def test_a_file_of_somebody_else_costs_a_warning_and_nothing_more(make, em, path):
    path.write_text("Dear diary " * 100)
    client = make(cache=path)
    with pytest.warns(CacheWarning, match="left alone"):
        first = client.embed(texts(5))
    second = client.embed(texts(5))
    assert np.array_equal(first.vectors, second.vectors)
    assert em.stats.inputs == 10
    assert path.read_text() == "Dear diary " * 100


def test_a_store_that_fails_costs_a_warning_and_nothing_more(make, em):
    class Failing:
        def get(self, keys):
            raise OSError("the text that was asked for")

        def put(self, keys, vectors, host="", replace=False):
            self.get(keys)

    client = make(cache=Failing())
    with pytest.warns(CacheWarning, match=r"failed \(OSError\).*went on without") as seen:
        assert len(client.embed(texts(5))) == 5
    assert len(seen) == 1
    assert "text that" not in str(seen[0].message)
    assert len(client.embed(texts(5))) == 5


def test_the_key_and_the_texts_are_not_in_the_file(make, path):
    client = make(cache=path, api_key="sk-or-v1-fake-canary")
    client.embed(["a text with a canary in it"])
    for entry in path.parent.iterdir():
        assert b"canary" not in entry.read_bytes()


# ---------------------------------------------------------------------- clients


def test_a_pickled_client_has_the_cache(face, em, path, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "k")
    with EmbeddingClient(SMALL, base_url=em.base_url, cache=path) as client:
        client.embed(texts(5))
        em.reset()
        with pickle.loads(pickle.dumps(client)) as twin:
            assert twin.embed(texts(5)).usage.cache_hits == 5


def test_made_in_one_thread_called_in_another_and_closed_in_a_third(make, em, path):
    made = []

    def run(do):
        thread = threading.Thread(target=do)
        thread.start()
        thread.join()

    run(lambda: made.append(EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path)))
    run(lambda: made.append(made[0].embed(texts(5))))
    run(lambda: made.append(made[0].embed(texts(5))))
    run(made[0].close)
    assert made[2].usage.cache_hits == 5


def test_a_closed_client_leaves_a_file_that_is_whole_by_itself(em, path):
    client = EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path)
    client.embed(texts(5))
    client.close()
    until = time.monotonic() + 5
    while time.monotonic() < until and len(list(path.parent.iterdir())) > 1:
        time.sleep(0.02)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_name_of_a_space_is_told(make):
    client = make(GEMINI)
    assert client.vector_space() == client.vector_space("document")
    assert client.vector_space("query") != client.vector_space("document")
    with pytest.raises(ConfigurationError, match="`role`"):
        client.vector_space("passage")


def test_a_result_names_its_space(make):
    client = make(GEMINI)
    assert client.embed(["x"], role="query").space == client.vector_space("query")


def test_a_text_cut_off_is_kept_apart_from_whole_ones(make, em, path):
    long = "a long text that goes on and on. " * 1500
    client = make(cache=path, long_input="truncate")
    first = client.embed([long, "short"])
    assert first.flags["truncated"] == (0,)
    em.reset()
    second = client.embed([long, "short"])
    assert em.stats.requests == 0
    assert second.flags["truncated"] == (0,)
    assert np.array_equal(first.vectors, second.vectors)
    parted = make(cache=path, long_input="split").embed([long])
    assert not np.array_equal(parted.vectors[0], first.vectors[0])


def test_a_store_that_cannot_keep_up_holds_the_buying_back_and_nothing_is_lost(
    make, emulate, monkeypatch
):
    from openrouter_embed.cache import keeper

    monkeypatch.setattr(keeper, "MOST_QUEUED", 50_000)
    longest = []

    class Slow:
        rows: dict = {}  # noqa: RUF012 - one store

        def get(self, keys):
            return []

        def put(self, keys, vectors, *, host="", replace=False):
            longest.append(len(self.rows))
            time.sleep(0.01)
            self.rows.update(zip(keys, vectors, strict=True))

    em = emulate()
    client = make(base_url=em.base_url, cache=Slow(), max_batch_inputs=10, max_concurrency=4)
    result = client.embed(texts(400))
    assert len(result) == 400
    assert len(Slow.rows) == 400


def test_deadlines_hold_while_a_call_waits_for_another(emulate, path):
    em = emulate(faults=slow_after(0))
    failed = []

    def work(deadline):
        with (
            EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, cache=path) as client,
            pytest.raises(DeadlineExceededError),
        ):
            client.embed(["x"], deadline=deadline)
        failed.append(deadline)

    threads = [threading.Thread(target=work, args=(deadline,)) for deadline in (0.5, 0.2)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert failed == [0.2, 0.5]
