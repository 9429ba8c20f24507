"""The embeddings in real vector stores, and under LangChain's indexing API.

Every store goes through the same tests; `SHOPS` says how each is opened and counted. The stores are
the extra `stores`; without one its tests are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import struct
import threading
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import langchain_postgres_server as postgres_server
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import InMemoryVectorStore
from passages import PAIRS

from openrouter_embed import EmbeddingError, InvalidResponseError
from openrouter_embed.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable

VOYAGE = "voyageai/voyage-4"
VISION = "voyageai/voyage-multimodal-3.5"
WIDTH = 1024  # of both

DOCUMENTS = [Document(text, metadata={"at": at}) for at, text in enumerate(PAIRS.values())]
MORE = [Document(f"Note {at} about something else entirely.") for at in range(150)]


@dataclass(frozen=True)
class Shop:
    """A kind of store.

    Attributes:
        kind: Its class.
        options: Makes the keywords of its `from_*` methods.
        count: How many documents one of them holds.
    """

    kind: Any
    options: Callable[[], dict[str, Any]]
    count: Callable[[Any], int]

    def open(self, documents, embeddings):
        return self.kind.from_documents(documents, embeddings, **self.options())

    async def aopen(self, documents, embeddings):
        return await self.kind.afrom_documents(documents, embeddings, **self.options())


@contextlib.contextmanager
def memory_shop(request):
    yield Shop(InMemoryVectorStore, dict, lambda store: len(store.store))


@contextlib.contextmanager
def faiss_shop(request):
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    community = pytest.importorskip(
        "langchain_community.vectorstores", reason="langchain-community is not installed"
    )
    yield Shop(community.FAISS, dict, lambda store: store.index.ntotal)


@contextlib.contextmanager
def chroma_shop(request):
    chroma = pytest.importorskip("langchain_chroma", reason="langchain-chroma is not installed")
    import chromadb

    client = chromadb.EphemeralClient(chromadb.Settings(anonymized_telemetry=False))
    # Clients in memory share their collections.
    yield Shop(
        chroma.Chroma,
        lambda: {"client": client, "collection_name": f"test-{uuid.uuid4().hex}"},
        lambda store: store._collection.count(),
    )


@contextlib.contextmanager
def qdrant_shop(request):
    qdrant = pytest.importorskip("langchain_qdrant", reason="langchain-qdrant is not installed")
    yield Shop(
        qdrant.QdrantVectorStore,
        lambda: {"location": ":memory:"},
        lambda store: store.client.count(store.collection_name).count,
    )


@contextlib.contextmanager
def pgvector_shop(request):
    database = request.getfixturevalue("database")
    postgres = pytest.importorskip("langchain_postgres")
    import sqlalchemy

    # Its `afrom_documents` takes URLs alone; without a pool no engine is left to be disposed of.
    options = {"connection": database.url, "engine_args": {"poolclass": sqlalchemy.NullPool}}
    table = "langchain_pg_embedding"
    yield Shop(postgres.PGVector, lambda: options, lambda _: database.rows(table))


@contextlib.contextmanager
def pgvectorstore_shop(request):
    database = request.getfixturevalue("database")
    postgres = pytest.importorskip("langchain_postgres")
    import sqlalchemy

    database.run("CREATE EXTENSION vector")
    engine = postgres.PGEngine.from_connection_string(database.url, poolclass=sqlalchemy.NullPool)
    engine.init_vectorstore_table("texts", WIDTH)
    options = {"engine": engine, "table_name": "texts"}
    yield Shop(postgres.PGVectorStore, lambda: options, lambda _: database.rows("texts"))


SHOPS = {
    "InMemoryVectorStore": memory_shop,
    "FAISS": faiss_shop,
    "Chroma": chroma_shop,
    "Qdrant": qdrant_shop,
    "PGVector": pgvector_shop,
    "PGVectorStore": pgvectorstore_shop,
}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL database, by SQLAlchemy's URL for it and by a way to ask it."""

    url: str
    run: Callable[[str], Any]

    def rows(self, table):
        return self.run(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.fixture(scope="module")
def postgres():
    """The folder of a running server's socket."""
    installation = postgres_server.find_installation()
    if installation is None:
        pytest.skip(f"no PostgreSQL with pgvector: {postgres_server.PACKAGE} is not installed")
    with postgres_server.running(installation) as folder:
        yield folder


@pytest.fixture
def database(postgres):
    """An empty database of the test's own."""
    pytest.importorskip("langchain_postgres", reason="langchain-postgres is not installed")
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    place = {"host": str(postgres), "user": "postgres", "autocommit": True}
    with psycopg.connect(**place, dbname="postgres") as server:
        server.execute(f"CREATE DATABASE {name}")
    with psycopg.connect(**place, dbname=name) as connection:
        yield Database(f"postgresql+psycopg://postgres@/{name}?host={postgres}", connection.execute)


@pytest.fixture(params=SHOPS)
def shop(request):
    with SHOPS[request.param](request) as opened:
        yield opened


@pytest.mark.slow
def test_a_real_store_finds_the_right_answers_first(shop, make):
    store = shop.open(DOCUMENTS, make(model=VOYAGE))
    assert shop.count(store) == len(DOCUMENTS)
    for at, (question, text) in enumerate(PAIRS.items()):
        (found,) = store.similarity_search(question, k=1)
        assert (found.page_content, found.metadata["at"]) == (text, at)


@pytest.mark.slow
async def test_a_real_store_finds_the_right_answers_first_asynchronously(shop, make):
    store = await shop.aopen(DOCUMENTS, make(model=VOYAGE))
    assert shop.count(store) == len(DOCUMENTS)
    for question, text in PAIRS.items():
        (found,) = await store.asimilarity_search(question, k=1)
        assert found.page_content == text


@pytest.mark.slow
def test_a_real_store_of_plain_texts_grows_and_retrieves(shop, make):
    first, *others = PAIRS.values()
    store = shop.kind.from_texts([first], make(model=VOYAGE), **shop.options())
    store.add_texts(others)
    assert shop.count(store) == len(PAIRS)
    retriever = store.as_retriever(search_kwargs={"k": 1})
    assert [retriever.invoke(question)[0].page_content for question in PAIRS] == [*PAIRS.values()]


@pytest.mark.slow
async def test_a_real_store_of_plain_texts_grows_and_retrieves_asynchronously(shop, make):
    first, *others = PAIRS.values()
    store = await shop.kind.afrom_texts([first], make(model=VOYAGE), **shop.options())
    await store.aadd_texts(others)
    assert shop.count(store) == len(PAIRS)
    retriever = store.as_retriever(search_kwargs={"k": 1})
    for question, text in PAIRS.items():
        assert (await retriever.ainvoke(question))[0].page_content == text


@pytest.mark.slow
async def test_a_real_store_embeds_documents_and_queries_by_their_roles(shop, make, emulator):
    embeddings = make(model=VOYAGE)
    store = shop.open(DOCUMENTS, embeddings)
    assert {request.body["input_type"] for request in emulator.requests} == {"document"}
    emulator.reset()
    store.similarity_search("bicycle chain?")
    assert [request.body["input_type"] for request in emulator.requests] == ["query"]
    store = await shop.aopen(DOCUMENTS, embeddings)
    emulator.reset()
    await store.asimilarity_search("bicycle chain?")
    assert [request.body["input_type"] for request in emulator.requests] == ["query"]


@pytest.fixture
def faulty():
    """An emulator that, once its `short` is set, leaves out a vector of every answer."""
    short = threading.Event()

    def fault(number, body):
        if not short.is_set():
            return None
        data = [{"index": at, "embedding": [1.0] * WIDTH} for at in range(len(body["input"]) - 1)]
        answer = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    with Emulator(backend="hashed", faults=fault) as running:
        running.short = short
        yield running


@pytest.mark.slow
def test_a_short_answer_never_becomes_a_shorter_real_store(shop, make, faulty):
    store = shop.open(DOCUMENTS[:2], make(model=VOYAGE, base_url=faulty.base_url, max_retries=0))
    faulty.short.set()
    with pytest.raises(InvalidResponseError):
        store.add_documents(MORE)
    assert shop.count(store) == 2


@pytest.mark.slow
async def test_a_short_answer_never_becomes_a_shorter_real_store_asynchronously(shop, make, faulty):
    embeddings = make(model=VOYAGE, base_url=faulty.base_url, max_retries=0)
    store = await shop.aopen(DOCUMENTS[:2], embeddings)
    faulty.short.set()
    with pytest.raises(InvalidResponseError):
        await store.aadd_documents(MORE)
    assert shop.count(store) == 2


# ------------------------------------------------------------------ images


def png(shade):
    """A picture of one grey pixel."""
    blocks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes([0, shade]))),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in blocks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def pictures(tmp_path):
    """Paths of different images."""
    for shade in range(6):
        (tmp_path / f"{shade}.png").write_bytes(png(shade))
    return [str(tmp_path / f"{shade}.png") for shade in range(6)]


@pytest.fixture
def image_shop(request):
    """The one among these stores that knows images."""
    with chroma_shop(request) as opened:
        yield opened


@pytest.mark.slow
def test_chroma_finds_images_by_image(image_shop, make, pictures):
    store = image_shop.kind(embedding_function=make(model=VISION), **image_shop.options())
    store.add_images(pictures, metadatas=[{"path": path} for path in pictures])
    assert image_shop.count(store) == len(pictures)
    for path in pictures:
        (found,) = store.similarity_search_by_image(path, k=1)
        assert found.metadata["path"] == path
        assert base64.b64decode(found.page_content) == pathlib.Path(path).read_bytes()


@pytest.mark.slow
def test_chroma_holds_texts_and_images_together(image_shop, make, pictures):
    store = image_shop.open(DOCUMENTS, make(model=VISION))
    store.add_images(pictures)
    assert image_shop.count(store) == len(DOCUMENTS) + len(pictures)
    question, text = next(iter(PAIRS.items()))
    assert store.similarity_search(question, k=1)[0].page_content == text


@pytest.mark.slow
def test_a_short_answer_never_stores_fewer_images(image_shop, make, pictures, faulty):
    store = image_shop.kind(
        embedding_function=make(model=VISION, base_url=faulty.base_url, max_retries=0),
        **image_shop.options(),
    )
    faulty.short.set()
    with pytest.raises(InvalidResponseError):
        store.add_images(pictures)
    assert image_shop.count(store) == 0


# ------------------------------------------------------------------ indexing


@pytest.fixture
def records():
    manager = InMemoryRecordManager(namespace="test")
    manager.create_schema()
    return manager


def test_indexing_again_embeds_only_what_has_changed(make, records, emulator):
    store = InMemoryVectorStore(make(model=VOYAGE))
    options = {"cleanup": "full", "key_encoder": "sha256"}
    assert index(MORE, records, store, **options)["num_added"] == len(MORE)
    assert emulator.stats.inputs == len(store.store) == len(MORE)
    assert index(MORE, records, store, **options)["num_skipped"] == len(MORE)
    assert emulator.stats.inputs == len(MORE)
    done = index([*MORE[1:], *DOCUMENTS], records, store, **options)
    assert (done["num_added"], done["num_deleted"]) == (len(DOCUMENTS), 1)
    assert emulator.stats.inputs == len(MORE) + len(DOCUMENTS)
    assert len(store.store) == len(MORE) - 1 + len(DOCUMENTS)


async def test_indexing_again_embeds_only_what_has_changed_asynchronously(make, records, emulator):
    store = InMemoryVectorStore(make(model=VOYAGE))
    options = {"cleanup": "full", "key_encoder": "sha256"}
    assert (await aindex(MORE, records, store, **options))["num_added"] == len(MORE)
    assert (await aindex(MORE, records, store, **options))["num_skipped"] == len(MORE)
    assert emulator.stats.inputs == len(store.store) == len(MORE)


def test_what_was_not_embedded_is_not_recorded_as_indexed(make, records, faulty):
    store = InMemoryVectorStore(make(model=VOYAGE, base_url=faulty.base_url, max_retries=0))
    faulty.short.set()
    with pytest.raises(EmbeddingError):
        index(DOCUMENTS, records, store, key_encoder="sha256")
    assert records.list_keys() == []
    assert store.store == {}
    faulty.short.clear()
    assert index(DOCUMENTS, records, store, key_encoder="sha256")["num_added"] == len(DOCUMENTS)
    assert len(store.store) == len(DOCUMENTS)


async def test_what_was_not_embedded_is_not_recorded_as_indexed_asynchronously(
    make, records, faulty
):
    store = InMemoryVectorStore(make(model=VOYAGE, base_url=faulty.base_url, max_retries=0))
    faulty.short.set()
    with pytest.raises(EmbeddingError):
        await aindex(DOCUMENTS, records, store, key_encoder="sha256")
    assert await records.alist_keys() == []
    assert store.store == {}


@pytest.mark.slow
def test_indexing_fills_a_real_store(shop, make, records):
    store = shop.open(DOCUMENTS[:1], make(model=VOYAGE))
    index(DOCUMENTS[1:], records, store, key_encoder=lambda _: str(uuid.uuid4()))
    assert shop.count(store) == len(DOCUMENTS)
    for question, text in PAIRS.items():
        assert store.similarity_search(question, k=1)[0].page_content == text
