"""The embeddings in the hands of LangChain: stores, retrievers, caches."""

from __future__ import annotations

import json

import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from langchain_core.vectorstores import InMemoryVectorStore
from passages import PAIRS

from openrouter_embed import EmbeddingError
from openrouter_embed.emulator import Emulator

E5 = "intfloat/e5-base-v2"
VOYAGE = "voyageai/voyage-4"

DOCUMENTS = [Document(passage, metadata={"at": at}) for at, passage in enumerate(PAIRS.values())]


@pytest.mark.parametrize("model", [E5, VOYAGE])
def test_a_store_finds_the_right_answers_first(model, make):
    store = InMemoryVectorStore.from_documents(DOCUMENTS, make(model=model))
    for question, passage in PAIRS.items():
        assert store.similarity_search(question, k=2)[0].page_content == passage


@pytest.mark.parametrize("model", [E5, VOYAGE])
async def test_a_store_finds_the_right_answers_first_asynchronously(model, make):
    store = await InMemoryVectorStore.afrom_documents(DOCUMENTS, make(model=model))
    for question, passage in PAIRS.items():
        found = await store.asimilarity_search(question, k=2)
        assert found[0].page_content == passage


async def test_a_retriever_embeds_queries_as_queries(make, emulator):
    store = InMemoryVectorStore.from_documents(DOCUMENTS, make(model=VOYAGE))
    retriever = store.as_retriever(search_kwargs={"k": 1})
    retriever.invoke("bicycle chain?")
    await retriever.ainvoke("bicycle chain?")
    assert [r.body["input_type"] for r in emulator.requests] == ["document", "query", "query"]


def short_answer(number, body):
    rows = [{"index": at, "embedding": [1.0, 0.0]} for at in range(len(body["input"]) - 1)]
    answer = {"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 1}}
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


async def test_a_short_answer_never_becomes_a_shorter_store(make):
    with Emulator(backend="hashed", faults=short_answer) as broken:
        store = InMemoryVectorStore(make(base_url=broken.base_url, max_retries=0))
        with pytest.raises(EmbeddingError):
            store.add_documents(DOCUMENTS)
        with pytest.raises(EmbeddingError):
            await store.aadd_documents(DOCUMENTS)
        assert store.store == {}


def cache_of(embeddings, store, **options):
    cache = pytest.importorskip("langchain_classic.embeddings.cache")
    return cache.CacheBackedEmbeddings.from_bytes_store(
        embeddings, store, namespace=embeddings.cache_namespace, key_encoder="sha256", **options
    )


@pytest.fixture
def file_store(tmp_path):
    storage = pytest.importorskip("langchain_classic.storage")
    return storage.LocalFileStore(tmp_path)


def test_a_cached_document_is_not_bought_again(make, file_store, emulator):
    texts = ["one", "two", "three"]
    first = cache_of(make(), file_store).embed_documents(texts)
    assert emulator.stats.inputs == 3
    assert cache_of(make(timeout=3.0), file_store).embed_documents(texts) == first
    assert emulator.stats.inputs == 3


async def test_a_cached_document_is_not_bought_again_asynchronously(make, file_store, emulator):
    texts = ["one", "two", "three"]
    first = await cache_of(make(), file_store).aembed_documents(texts)
    assert await cache_of(make(), file_store).aembed_documents(texts) == first
    assert emulator.stats.inputs == 3


async def test_queries_with_a_cache_of_their_own_stay_queries(make, file_store, emulator):
    queries = InMemoryByteStore()
    embeddings = make(model=E5)
    cached = cache_of(embeddings, file_store, query_embedding_cache=queries)
    text = "the very same text"
    (document,) = cached.embed_documents([text])
    query = cached.embed_query(text)
    assert query == embeddings.embed_query(text) != document
    emulator.reset()
    assert cached.embed_query(text) == await cached.aembed_query(text) == query
    assert cached.embed_documents([text]) == [document]
    assert emulator.stats.requests == 0


def test_widths_do_not_meet_in_one_cache(make, file_store):
    small = {"model": "openai/text-embedding-3-small"}
    wide = cache_of(make(**small), file_store).embed_documents(["text"])
    narrow = cache_of(make(**small, dimensions=8), file_store).embed_documents(["text"])
    assert (len(wide[0]), len(narrow[0])) == (1536, 8)


SMALL = "openai/text-embedding-3-small"
SAME = [
    ({}, {"api_key": "sk-other"}),
    ({}, {"timeout": 3.0, "max_retries": 0, "max_concurrency": 1, "deadline": 9.0}),
    ({}, {"chunk_size": 3, "max_batch_tokens": 99, "encoding_format": "float"}),
    ({}, {"app_title": "App", "user": "someone", "default_headers": {"X-A": "b"}}),
    ({}, {"query_prefix": "q: ", "query_input_type": None}),
    ({"model": E5}, {"model": E5, "query_prefix": "q: "}),
    ({"model": E5}, {"model": E5, "document_prefix": "passage: ", "document_input_type": None}),
    ({"model": VOYAGE}, {"model": VOYAGE, "document_input_type": "document"}),
    ({}, {"provider": {"zdr": False, "allow_fallbacks": True, "data_collection": "allow"}}),
    ({"provider": {"only": ["A", "B"]}}, {"provider": {"only": ["B", "A"]}}),
    ({}, {"provider": {}}),
]
DIFFERENT = [
    ({}, {"model": "sentence-transformers/all-minilm-l12-v2"}),
    ({"model": SMALL}, {"model": SMALL, "dimensions": 8}),
    ({"model": SMALL}, {"model": SMALL, "dimensions": 1536}),
    ({}, {"long_input": "split"}),
    ({"base_url": "https://gateway.example/a"}, {"base_url": "https://gateway.example/b"}),
    ({"model": VOYAGE}, {"model": VOYAGE, "document_input_type": None}),
    ({"model": E5}, {"model": E5, "document_prefix": None}),
    ({}, {"document_prefix": "doc: "}),
    ({}, {"provider": {"only": ["A"]}}),
    ({}, {"provider": {"zdr": True}}),
    ({}, {"provider": {"quantizations": ["int8"]}}),
    ({"provider": {"order": ["A", "B"]}}, {"provider": {"order": ["B", "A"]}}),
    ({}, {"model_kwargs": {"truncate": "END"}}),
    ({}, {"normalize": True}),
    ({}, {"base_url": "https://gateway.example/api/v1"}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_interchangeable_vectors_share_a_namespace(one, other, make):
    assert make(**one).cache_namespace == make(**other).cache_namespace


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_vectors_have_another_namespace(one, other, make):
    assert make(**one).cache_namespace != make(**other).cache_namespace


def test_a_namespace_is_the_same_in_every_process_and_fits_a_file_name(make):
    namespace = make(model="nvidia/nemotron-3-embed-1b:free", base_url=None).cache_namespace
    name, _, digest = namespace.rpartition("-")
    assert name == "nvidia_nemotron-3-embed-1b_free"
    assert digest == "2cfe99334bab00dd9a7fa95ae6f951a7"  # another value would empty users' caches
