"""The embeddings in LlamaIndex's vector stores: found, saved, opened again, never half filled.

Every store goes through the same tests; `SHOPS` says how each is opened, saved and counted. All but
LlamaIndex's own are the extra `stores`; without one its tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from passages import PAIRS

from openrouter_embed import InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

VOYAGE = "voyageai/voyage-4"
WIDTH = 1024

ANSWERS = tuple(PAIRS.values())


@dataclass(frozen=True)
class Shop:
    """A kind of store.

    Attributes:
        open: Makes an empty one.
        aopen: Makes an empty one that is asked asynchronously; the same unless it has a client of
            its own for that.
        count: How many vectors one of them holds.
        reopen: Saves an index and opens it from what was saved, with another embedding object.
        acount: The same as `count` for what `aopen` made, awaited.
    """

    open: Callable[[], Any]
    count: Callable[[Any], int]
    reopen: Callable[[VectorStoreIndex, Any], VectorStoreIndex]
    aopen: Callable[[], Any] | None = None
    acount: Callable[[Any], Any] | None = None

    def build(self, embedding, texts=ANSWERS, **options):
        return self._build(self.open(), embedding, texts, **options)

    async def abuild(self, embedding, texts=ANSWERS):
        """Build as `use_async=True` does: in another thread, in an event loop of its own."""
        store = (self.aopen or self.open)()
        return await asyncio.to_thread(self._build, store, embedding, texts, use_async=True)

    def _build(self, store, embedding, texts, **options):
        context = StorageContext.from_defaults(vector_store=store)
        documents = [Document(text=text) for text in texts]
        return VectorStoreIndex.from_documents(
            documents, storage_context=context, embed_model=embedding, **options
        )

    async def counted(self, store):
        return await self.acount(store) if self.acount else self.count(store)


@contextlib.contextmanager
def simple_shop(folder):
    def reopen(index, embedding):
        index.storage_context.persist(folder)
        context = StorageContext.from_defaults(persist_dir=folder)
        return load_index_from_storage(context, embed_model=embedding)

    yield Shop(SimpleVectorStore, lambda store: len(store.data.embedding_dict), reopen)


@contextlib.contextmanager
def faiss_shop(folder):
    faiss = pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    stores = pytest.importorskip(
        "llama_index.vector_stores.faiss",
        reason="llama-index-vector-stores-faiss is not installed",
    )

    def reopen(index, embedding):
        index.storage_context.persist(folder)
        store = stores.FaissVectorStore.from_persist_dir(folder)
        context = StorageContext.from_defaults(vector_store=store, persist_dir=folder)
        return load_index_from_storage(context, embed_model=embedding)

    yield Shop(
        lambda: stores.FaissVectorStore(faiss_index=faiss.IndexFlatIP(WIDTH)),
        lambda store: store.client.ntotal,
        reopen,
    )


@contextlib.contextmanager
def chroma_shop(folder):
    stores = pytest.importorskip(
        "llama_index.vector_stores.chroma",
        reason="llama-index-vector-stores-chroma is not installed",
    )
    import chromadb

    name = f"test-{uuid.uuid4().hex}"
    settings = chromadb.Settings(anonymized_telemetry=False)

    def start():
        client = closing.enter_context(chromadb.PersistentClient(folder, settings))
        collection = client.get_or_create_collection(name)
        return stores.ChromaVectorStore(chroma_collection=collection)

    def reopen(index, embedding):
        closing.close()
        return VectorStoreIndex.from_vector_store(start(), embed_model=embedding)

    with contextlib.ExitStack() as closing:
        yield Shop(start, lambda store: store.client.count(), reopen)


@contextlib.contextmanager
def qdrant_shop(folder):
    stores = pytest.importorskip(
        "llama_index.vector_stores.qdrant",
        reason="llama-index-vector-stores-qdrant is not installed",
    )
    import qdrant_client

    def start():
        client = closing.enter_context(
            contextlib.closing(qdrant_client.QdrantClient(path=folder + "/sync"))
        )
        return stores.QdrantVectorStore("test", client=client)

    def astart():
        client = qdrant_client.AsyncQdrantClient(path=folder + "/async")
        closing.callback(lambda: asyncio.run(client.close()))
        return stores.QdrantVectorStore("test", aclient=client)

    def reopen(index, embedding):
        closing.close()
        return VectorStoreIndex.from_vector_store(start(), embed_model=embedding)

    async def acount(store):
        return (await store._aclient.count("test")).count

    with contextlib.ExitStack() as closing:
        yield Shop(start, lambda store: store.client.count("test").count, reopen, astart, acount)


LOCAL_QDRANT = pytest.mark.filterwarnings(
    # Its store always asks for an index on one field, and its local mode has none and says so.
    "ignore:Payload indexes have no effect in the local Qdrant:UserWarning"
)
SHOPS = [
    pytest.param(simple_shop, id="simple"),
    pytest.param(faiss_shop, id="FAISS", marks=pytest.mark.slow),
    pytest.param(chroma_shop, id="Chroma", marks=pytest.mark.slow),
    pytest.param(qdrant_shop, id="Qdrant", marks=[pytest.mark.slow, LOCAL_QDRANT]),
]


@pytest.fixture(params=SHOPS)
def shop(request, tmp_path):
    with request.param(str(tmp_path / "shop")) as opened:
        yield opened


@pytest.fixture
def faulty(emulate):
    """An emulator that, once its `short` is set, leaves out a vector of every answer."""
    short = threading.Event()

    def fault(number, body):
        if not short.is_set():
            return None
        data = [{"index": at, "embedding": [1.0] * WIDTH} for at in range(len(body["input"]) - 1)]
        answer = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    running = emulate(faults=fault)
    running.short = short
    return running


def answers(index):
    retriever = index.as_retriever(similarity_top_k=1)
    return {question: retriever.retrieve(question)[0].text for question in PAIRS}


async def aanswers(index):
    retriever = index.as_retriever(similarity_top_k=1)
    return {question: (await retriever.aretrieve(question))[0].text for question in PAIRS}


def test_a_store_finds_the_right_answers_first(shop, make):
    index = shop.build(make(VOYAGE))
    assert shop.count(index.vector_store) == len(PAIRS)
    assert answers(index) == PAIRS


async def test_a_store_finds_the_right_answers_first_asynchronously(shop, make):
    embedding = make(VOYAGE)
    index = await shop.abuild(embedding)
    assert await shop.counted(index.vector_store) == len(PAIRS)
    assert await aanswers(index) == PAIRS
    await embedding.aclose()


def test_a_store_grows(shop, make):
    first, *others = ANSWERS
    index = shop.build(make(VOYAGE), [first])
    index.insert(Document(text=others[0]))
    index.insert_nodes([TextNode(text=text) for text in others[1:]])
    assert shop.count(index.vector_store) == len(PAIRS)
    assert answers(index) == PAIRS


async def test_a_store_grows_asynchronously(shop, make):
    first, *others = ANSWERS
    embedding = make(VOYAGE)
    index = await shop.abuild(embedding, [first])
    await index.ainsert_nodes([TextNode(text=text) for text in others])
    assert await aanswers(index) == PAIRS
    await embedding.aclose()


def test_a_saved_index_is_opened_again_and_nothing_is_bought_twice(shop, make, emulator):
    index = shop.build(make(VOYAGE))
    bought = emulator.stats.inputs
    again = shop.reopen(index, make(VOYAGE))
    assert shop.count(again.vector_store) == len(PAIRS)
    assert emulator.stats.inputs == bought == len(PAIRS)
    assert answers(again) == PAIRS


async def test_a_store_gets_documents_as_documents_and_queries_as_queries(shop, make, emulator):
    embedding = make(VOYAGE)
    index = await shop.abuild(embedding)
    await index.as_retriever().aretrieve("bicycle chain?")
    kinds = [request.body["input_type"] for request in emulator.requests]
    assert kinds == ["document", "query"]
    await embedding.aclose()


def test_a_short_answer_never_becomes_a_shorter_store(shop, make, faulty):
    index = shop.build(make(VOYAGE, server=faulty))
    faulty.short.set()
    with pytest.raises(InvalidResponseError):
        index.insert_nodes([TextNode(text=f"note {at}") for at in range(150)])
    assert shop.count(index.vector_store) == len(PAIRS)


async def test_a_short_answer_never_becomes_a_shorter_store_asynchronously(shop, make, faulty):
    embedding = make(VOYAGE, server=faulty)
    index = await shop.abuild(embedding)
    faulty.short.set()
    with pytest.raises(InvalidResponseError):
        await index.ainsert_nodes([TextNode(text=f"note {at}") for at in range(150)])
    assert await shop.counted(index.vector_store) == len(PAIRS)
    await embedding.aclose()
