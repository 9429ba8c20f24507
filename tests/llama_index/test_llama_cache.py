"""`embeddings_cache`: the right vector for role, model and options, bought once, never aliased."""

from __future__ import annotations

import asyncio
import logging
from io import BytesIO

import numpy as np
import pytest
from llama_doubles import (
    GEMINI,
    KEY,
    PIXEL,
    SMALL,
    CountingLimiter,
    Fake,
    FakeImages,
    FalsyStore,
    every_text,
)
from llama_index.core.storage.kvstore import SimpleKVStore

from openrouter_embed import ConfigurationError, ImageInput, ServerError

COLLECTION = "openrouter_embed"


class SlowStore(SimpleKVStore):
    """Counts how many of its asynchronous calls are under way at a time."""

    def __init__(self):
        super().__init__()
        self.under_way = self.peak = 0

    async def _wait(self):
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1

    async def aget(self, key, collection="data"):
        await self._wait()
        return super().get(key, collection)

    async def aput(self, key, val, collection="data"):
        await self._wait()
        super().put(key, val, collection)


class BulkStore(SimpleKVStore):
    def __init__(self):
        super().__init__()
        self.batches = []

    def put_all(self, kv_pairs, collection="data", batch_size=1):
        self.batches.append(len(kv_pairs))
        for key, value in kv_pairs:
            self.put(key, value, collection)

    async def aput_all(self, kv_pairs, collection="data", batch_size=1):
        self.put_all(kv_pairs, collection, batch_size)


class ReadOnlyStore(SimpleKVStore):
    def put(self, key, val, collection="data"):
        raise OSError("disk full")


async def test_a_second_call_is_answered_from_the_cache(make, emulator):
    embedding = make(embeddings_cache=SimpleKVStore())
    first = embedding.get_text_embedding_batch(["a", "b"])
    assert embedding.get_text_embedding_batch(["b", "a"]) == first[::-1]
    assert await embedding.aget_text_embedding("a") == first[0]
    assert emulator.stats.requests == 1
    await embedding.aclose()


@pytest.mark.parametrize(
    "change",
    [
        {"dimensions": 32},
        {"model_name": "openai/text-embedding-3-large"},
        {"normalize": True},
        {"query_prefix": "q: ", "document_prefix": "d: "},
        {"document_input_type": "classification"},
        {"provider": {"only": ["OpenAI"]}},
        {"extra_body": {"truncate": "END"}},
    ],
)
def test_what_changes_vectors_has_entries_of_its_own(make, emulator, change):
    store = SimpleKVStore()
    embedding = make(embeddings_cache=store)
    embedding.get_text_embedding("x")
    changed = embedding.model_copy(update=change)
    changed.get_text_embedding("x")
    changed.close()
    assert emulator.stats.requests == 2
    assert len(store.get_all(COLLECTION)) == 2


def test_another_origin_has_entries_of_its_own(make, emulator, emulate):
    store = SimpleKVStore()
    make(embeddings_cache=store).get_text_embedding("x")
    make(server=emulate(), embeddings_cache=store).get_text_embedding("x")
    assert len(store.get_all(COLLECTION)) == 2


def test_what_changes_no_vector_shares_entries(make, emulator):
    store = SimpleKVStore()
    make(embeddings_cache=store).get_text_embedding("x")
    make(
        embeddings_cache=store, api_key="another", num_workers=2, timeout=5.0, user="me"
    ).get_text_embedding("x")
    assert emulator.stats.requests == 1


def test_keys_are_hashes_and_values_plain_json(make, tmp_path):
    store = SimpleKVStore()
    embedding = make(embeddings_cache=store)
    vector = embedding.get_text_embedding("a long secret text")
    entries = store.get_all(COLLECTION)
    (key, value) = next(iter(entries.items()))
    assert len(key) == 64
    assert value == {"embedding": vector}
    assert "secret" not in repr(entries)
    assert KEY not in repr(entries)
    store.persist(str(tmp_path / "kv.json"))
    again = SimpleKVStore.from_persist_path(str(tmp_path / "kv.json"))
    assert make(embeddings_cache=again).get_text_embedding("a long secret text") == vector


def test_only_what_is_missing_is_bought_and_order_is_kept(make, emulator):
    embedding = make(embeddings_cache=SimpleKVStore())
    embedding.get_text_embedding_batch(["a", "c"])
    vectors = embedding.get_text_embedding_batch(["a", "b", "c", "b"])
    assert every_text(emulator) == ["a", "c", "b"]
    plain = make().get_text_embedding_batch(["a", "b", "c", "b"])
    assert np.allclose(vectors, plain)


async def test_a_store_that_writes_in_bulk_is_given_bulk(make):
    store = BulkStore()
    embedding = make(embeddings_cache=store)
    embedding.get_text_embedding_batch([str(i) for i in range(300)])
    await embedding.aget_text_embedding_batch(["x", "y"])
    assert store.batches == [256, 44, 2]
    await embedding.aclose()


async def test_what_arrived_before_a_failure_is_in_the_cache_and_in_the_error(make, emulate):
    down = [True]

    def faults(number, body):
        return (500, {}, b"{}") if down[0] and "bad" in body["input"] else None

    server = emulate(faults=faults)
    embedding = make(
        server=server, embeddings_cache=SimpleKVStore(), embed_batch_size=1, num_workers=1
    )
    embedding.get_text_embedding("known")
    for call in (
        embedding.get_text_embedding_batch,
        lambda texts: asyncio.run(embedding.aget_text_embedding_batch(texts)),
    ):
        with pytest.raises(ServerError, match="not in the cache") as caught:
            await asyncio.to_thread(call, ["bad", "known", "good", "bad"])
        result = caught.value.result
        assert list(result.failures) == [0, 2, 3]
        assert result.ok.tolist() == [False, True, False, False]
    with pytest.raises(ServerError) as caught:
        embedding.get_text_embedding_batch(["known", "good", "bad"])
    assert caught.value.result.ok.tolist() == [True, True, False]
    bought = server.stats.inputs
    down[0] = False
    embedding.get_text_embedding_batch(["known", "good", "bad"])
    assert server.stats.inputs == bought + 1
    await embedding.aclose()


def test_a_cache_hit_costs_the_limiter_nothing(make):
    limiter = CountingLimiter()
    embedding = make(embeddings_cache=SimpleKVStore(), rate_limiter=limiter)
    embedding.get_text_embedding("x")
    embedding.get_text_embedding("x")
    assert len(limiter.asked) == 1


def test_images_are_cached_by_content_and_remote_ones_not_at_all(make, emulator):
    store = SimpleKVStore()
    embedding = make(GEMINI, embeddings_cache=store)
    inline = ImageInput.from_bytes(PIXEL).url
    for _ in range(2):
        embedding.get_image_embedding(inline)
        embedding.get_image_embedding("https://example.invalid/cat.png")
        embedding.get_multimodal_embedding(["a cat", ImageInput.from_url(inline)])
    assert emulator.stats.requests == 4
    assert len(store.get_all(COLLECTION)) == 2


@pytest.mark.parametrize(
    "rubbish", [{}, {"embedding": [1.0]}, {"embedding": [float("nan")] * 64}, {"embedding": "x"}]
)
def test_an_entry_that_cannot_be_right_is_bought_again(make, rubbish):
    store = SimpleKVStore()
    embedding = make(embeddings_cache=store)
    vector = embedding.get_text_embedding("x")
    (key,) = store.get_all(COLLECTION)
    store.put(key, rubbish, COLLECTION)
    assert embedding.get_text_embedding("x") == vector
    assert store.get(key, COLLECTION) == {"embedding": vector}


async def test_a_store_that_cannot_write_costs_a_log_line_and_no_vector(make, caplog):
    embedding = make(embeddings_cache=ReadOnlyStore())
    with caplog.at_level(logging.WARNING):
        assert len(embedding.get_text_embedding("secret")) == 64
        assert len(await embedding.aget_text_embedding("secret")) == 64
    assert caplog.text.count("did not take new vectors (OSError)") == 2
    assert "secret" not in caplog.text
    await embedding.aclose()


def test_an_empty_text_beside_cached_ones_has_their_width(make):
    embedding = make(embeddings_cache=SimpleKVStore(), empty="zeros", dimensions=None)
    embedding.get_text_embedding("a")
    vectors = embedding.get_text_embedding_batch(["a", ""])
    assert [len(vector) for vector in vectors] == [1536, 1536]
    assert set(vectors[1]) == {0.0}


def test_only_a_key_value_store_is_taken():
    from llama_index_openrouter_embed import OpenRouterEmbedding

    with pytest.raises(ConfigurationError, match="key-value stores"):
        OpenRouterEmbedding(SMALL, api_key=KEY, embeddings_cache={})


# ---------------------------------------------------------------------- the client's own cache


async def test_the_clients_own_cache_serves_every_method(make, emulator, tmp_path):
    path = tmp_path / "embeddings.sqlite"
    first, second = make(cache=path), make(cache=path)
    vectors = first.get_text_embedding_batch(["a", "b"])
    emulator.reset()
    assert second.get_text_embedding_batch(["a", "b"]) == vectors
    assert await second.aget_text_embedding("a") == vectors[0]
    assert emulator.stats.requests == 0
    assert second.usage.cache_hits == 3
    await second.aclose()


def test_both_caches_together_are_right(make, emulator, tmp_path):
    store = SimpleKVStore()
    both = make(cache=tmp_path / "embeddings.sqlite", embeddings_cache=store)
    vector = both.get_text_embedding("a")
    emulator.reset()
    assert both.get_text_embedding("a") == vector
    assert make(cache=tmp_path / "embeddings.sqlite").get_text_embedding("a") == vector
    assert emulator.stats.requests == 0


# ---------------------------------------------------------------------- the base class's bugs


@pytest.mark.parametrize(("model", "entries"), [(GEMINI, 2), (SMALL, 1)])
def test_bug_cache_mixes_queries_and_documents(make, emulator, model, entries):
    """A model that embeds both alike has one entry for both, which is then right."""
    fake = Fake(embeddings_cache=SimpleKVStore())
    assert fake.get_text_embedding("x") == fake.get_query_embedding("x")  # it is one, there

    store = SimpleKVStore()
    embedding = make(model, embeddings_cache=store)
    document, query = embedding.get_text_embedding("x"), embedding.get_query_embedding("x")
    assert emulator.stats.requests == len(store.get_all(COLLECTION)) == entries
    plain = make(model)
    assert document == plain.get_text_embedding("x")
    assert query == plain.get_query_embedding("x")


async def test_bug_cache_mixes_queries_and_documents_asynchronously(make):
    fake = Fake(embeddings_cache=SimpleKVStore())
    assert await fake.aget_text_embedding("x") == await fake.aget_query_embedding("x")

    embedding = make(GEMINI, embeddings_cache=SimpleKVStore())
    assert await embedding.aget_text_embedding("x") != await embedding.aget_query_embedding("x")
    await embedding.aclose()


def test_bug_cache_mixes_models_and_widths(make):
    store = SimpleKVStore()
    Fake(embeddings_cache=store).get_text_embedding("x")
    other = Fake(embeddings_cache=store, dim=6, model_name="other")
    assert len(other.get_text_embedding("x")) == 4  # the first model's vector

    store = SimpleKVStore()
    make(embeddings_cache=store).get_text_embedding("x")
    assert len(make(embeddings_cache=store, dimensions=6).get_text_embedding("x")) == 6


def test_bug_empty_falsy_cache_is_never_used(make, emulator):
    store = FalsyStore()
    Fake(embeddings_cache=store).get_text_embedding("x")
    assert len(store) == 0

    embedding = make(embeddings_cache=store)
    embedding.get_text_embedding("x")
    embedding.get_text_embedding("x")
    assert len(store) == 1
    assert emulator.stats.requests == 1


def test_bug_returned_vector_is_the_caches_own(make):
    fake = Fake(embeddings_cache=SimpleKVStore())
    fake.get_text_embedding("x")[0] = 99.0
    assert fake.get_text_embedding("x")[0] == 99.0

    embedding = make(embeddings_cache=SimpleKVStore())
    for _ in range(2):  # bought, then read
        embedding.get_text_embedding("x")[0] = 99.0
    assert embedding.get_text_embedding("x")[0] != 99.0
    one, other = embedding.get_text_embedding_batch(["x", "x"])
    assert one is not other


def test_bug_equal_texts_are_all_paid_for(make, emulator):
    fake = Fake()
    fake.get_text_embedding_batch(["same"] * 5)
    assert fake._bought == ["same"] * 5

    make().get_text_embedding_batch(["same"] * 5)
    make(embeddings_cache=SimpleKVStore()).get_text_embedding_batch(["same"] * 5)
    assert emulator.stats.inputs == 2


async def test_bug_async_cache_is_read_one_by_one(make):
    texts = [str(i) for i in range(40)]
    slow = SlowStore()
    await Fake(embeddings_cache=slow, embed_batch_size=40).aget_text_embedding_batch(texts)
    assert slow.peak <= 1  # the oldest cores do not read it in such a batch at all

    slow = SlowStore()
    embedding = make(embeddings_cache=slow)
    await embedding.aget_text_embedding_batch(texts)
    assert slow.peak == 40
    await embedding.aclose()


def test_bug_images_are_not_cached(make, emulator):
    store = SimpleKVStore()
    FakeImages(embeddings_cache=store).get_image_embedding(BytesIO(PIXEL))
    assert store.to_dict() == {}

    embedding = make(GEMINI, embeddings_cache=store)
    first = embedding.get_image_embedding(BytesIO(PIXEL))
    assert embedding.get_image_embedding(BytesIO(PIXEL)) == first
    assert emulator.stats.requests == 1
