"""LlamaIndex's own parts, driven by the adapter: indexes, retrievers, pipelines, parsers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from io import BytesIO
from typing import ClassVar

import numpy as np
import pytest
from llama_doubles import GEMINI, KEY, PIXEL, SMALL, Fake, every_text, words
from llama_index.core import Document, PropertyGraphIndex, Settings, VectorStoreIndex
from llama_index.core.async_utils import run_async_tasks
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.embeddings.utils import resolve_embed_model
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.indices.property_graph import ImplicitPathExtractor
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SemanticSplitterNodeParser, SentenceSplitter
from llama_index.core.postprocessor import SentenceEmbeddingOptimizer
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import ImageNode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from pydantic import PrivateAttr

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import InvalidResponseError, ServerError

FACTS = {
    "the capital of France is Paris": "what is the capital of France",
    "whales are the largest animals of the sea": "largest animals of the sea",
    "bread is baked from flour and water": "what is bread baked from",
    "python is a language for programmers": "a language for programmers",
}


def documents():
    return [Document(text=text) for text in FACTS]


@pytest.mark.parametrize("model", [SMALL, GEMINI])
async def test_an_index_finds_the_right_answers_first(make, emulator, model):
    embedding = make(model)
    index = await asyncio.to_thread(
        VectorStoreIndex.from_documents, documents(), embed_model=embedding
    )
    assert emulator.stats.requests == 1
    retriever = index.as_retriever(similarity_top_k=2)
    for text, question in FACTS.items():
        assert (await asyncio.to_thread(retriever.retrieve, question))[0].text == text
        assert (await retriever.aretrieve(question))[0].text == text
    await embedding.aclose()


def test_an_index_can_be_built_asynchronously_and_asked_from_other_loops(make):
    embedding = make()
    index = VectorStoreIndex.from_documents(documents(), embed_model=embedding, use_async=True)
    index.insert(Document(text="tea is made from leaves"))
    retriever = index.as_retriever(similarity_top_k=1)
    for _ in range(3):
        found = asyncio.run(retriever.aretrieve("what is tea made from"))
        assert found[0].text == "tea is made from leaves"


def test_a_plain_sync_index_is_built_concurrently(make, emulate):
    server = emulate(latency=0.2)
    embedding = make(server=server, embed_batch_size=10)
    nodes = [TextNode(text=f"node {i}") for i in range(150)]
    VectorStoreIndex(nodes, embed_model=embedding)
    assert server.stats.requests == 15
    assert server.stats.peak_in_flight >= 8


def test_settings_may_put_their_callbacks_into_it(make, monkeypatch):
    embedding = make(callback_manager=CallbackManager([]))
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = embedding
    assert Settings.embed_model is embedding
    manager = CallbackManager([])
    assert resolve_embed_model(embedding, manager) is embedding
    assert embedding.callback_manager is manager


def test_an_index_uses_the_model_of_the_settings(make, monkeypatch, emulator):
    monkeypatch.setattr(Settings, "_embed_model", None)
    Settings.embed_model = make()
    index = VectorStoreIndex.from_documents(documents())
    question, text = "what is bread baked from", "bread is baked from flour and water"
    assert index.as_retriever(similarity_top_k=1).retrieve(question)[0].text == text
    assert emulator.stats.inputs == len(FACTS) + 1


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score", "simple"])
async def test_query_fusion_retrieves_with_the_llms_queries_too(make, emulator, mode):
    """The model of the test repeats its prompt: the question, three times, another beside it."""
    embedding = make()
    index = await asyncio.to_thread(
        VectorStoreIndex.from_documents, documents(), embed_model=embedding
    )
    retriever = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2)],
        llm=MockLLM(),
        mode=mode,
        num_queries=3,
        similarity_top_k=1,
        query_gen_prompt="{query}, please\n{query}, number {num_queries}",
    )
    for text, question in FACTS.items():
        assert (await asyncio.to_thread(retriever.retrieve, question))[0].text == text
        assert (await retriever.aretrieve(question))[0].text == text
    asked = every_text(emulator)[len(FACTS) :]
    assert len(asked) == 2 * 3 * len(FACTS)
    assert asked.count("what is bread baked from, please") == 2
    await embedding.aclose()


def test_bug_a_callback_manager_of_ones_own_is_replaced(make):
    """LlamaIndex's doing; usage does not depend on it."""
    own = CallbackManager([])
    embedding = make(callback_manager=own)
    VectorStoreIndex.from_documents(documents(), embed_model=embedding)
    assert embedding.callback_manager is not own
    assert embedding.usage.inputs == len(FACTS)


async def test_a_multi_modal_index_takes_images_in_memory(make, emulator):
    embedding = make(GEMINI)
    nodes = [
        ImageNode(text="a cat", image=_base64(PIXEL), id_="picture"),
        TextNode(text="a text", id_="text"),
    ]
    index = await asyncio.to_thread(
        MultiModalVectorStoreIndex, nodes, embed_model=embedding, image_embed_model=embedding
    )
    retriever = index.as_retriever(similarity_top_k=1, image_similarity_top_k=1)
    found = await asyncio.to_thread(retriever.image_to_image_retrieve, _data_url(PIXEL))
    assert found[0].node.node_id == "picture"
    assert found[0].score == pytest.approx(1.0, abs=0.5)
    kinds = [r.body["input_type"] for r in emulator.requests if words(r.body) == ["<content>"]]
    assert kinds == ["search_document", "search_query"]
    found = await retriever.aimage_to_image_retrieve(_data_url(PIXEL))
    assert found[0].node.node_id == "picture"
    await embedding.aclose()


def _base64(data):
    import base64

    return base64.b64encode(data).decode()


def _data_url(data):
    return "data:image/png;base64," + _base64(data)


def test_the_sentence_optimizer_embeds_any_number_of_sentences(make, emulator):
    embedding = make(max_batch_inputs=64, dimensions=16)
    sentences = [f"sentence number {i}" for i in range(300)]
    optimizer = SentenceEmbeddingOptimizer(
        embed_model=embedding, percentile_cutoff=0.01, tokenizer_fn=lambda _: sentences
    )
    node = NodeWithScore(node=TextNode(text=" ".join(sentences)))
    kept = optimizer.postprocess_nodes([node], QueryBundle("sentence number 7"))
    assert "sentence number 7" in kept[0].node.get_content()
    assert emulator.stats.inputs == 301


def test_the_semantic_splitter_works(make, emulator):
    parser = SemanticSplitterNodeParser(
        embed_model=make(), sentence_splitter=lambda text: text.split("|"), buffer_size=1
    )
    nodes = parser.get_nodes_from_documents([Document(text="cats purr|cats meow|stocks fell")])
    assert nodes
    assert emulator.stats.requests == 1


def test_a_property_graph_is_embedded(make):
    """It embeds chunks and entities from two event loops."""
    embedding = make()
    index = PropertyGraphIndex.from_documents(
        documents(),
        embed_model=embedding,
        llm=MockLLM(),
        kg_extractors=[ImplicitPathExtractor()],
        embed_kg_nodes=True,
    )
    nodes = index.property_graph_store.graph.nodes.values()
    assert {node.text for node in nodes if node.embedding} >= set(FACTS)


# ---------------------------------------------------------------------- pipelines


def pipeline(embedding, cache):
    return IngestionPipeline(transformations=[embedding], cache=cache, disable_cache=False)


def test_a_pipelines_cache_outlives_key_and_concurrency_but_not_dimensions(make, emulator):
    cache = IngestionCache()
    nodes = [TextNode(text="a", id_="1"), TextNode(text="b", id_="2")]

    def run(**options):
        return pipeline(make(**options), cache).run(nodes=nodes)

    run()
    run(api_key="rotated", num_workers=2, embed_batch_size=1, timeout=5.0)
    assert emulator.stats.requests == 1
    assert len(run(dimensions=8)[0].embedding) == 8
    assert emulator.stats.requests == 2


def ingest(embedding, store, *, cache=None, splitters=(), **options):
    """Run a pipeline that remembers documents in `store`; return the texts it embedded."""
    docs = [Document(text=text, id_=str(at)) for at, text in enumerate(FACTS)]
    pipe = IngestionPipeline(
        transformations=[*splitters, embedding],
        docstore=store,
        cache=cache or IngestionCache(),
        vector_store=SimpleVectorStore(stores_text=False),
    )
    return [node.text for node in pipe.run(documents=docs, **options)]


@pytest.mark.parametrize("splitters", [(), (SentenceSplitter(),)])
def test_a_rerun_with_a_docstore_buys_nothing(make, emulator, splitters):
    store = SimpleDocumentStore()
    assert ingest(make(), store, splitters=splitters) == list(FACTS)
    bought = emulator.stats
    assert ingest(make(api_key="rotated"), store, splitters=splitters) == []
    assert emulator.stats == bought


def test_a_rerun_with_a_cache_buys_nothing_saved_and_loaded_too(make, emulator, tmp_path):
    path = str(tmp_path / "cache.json")
    cache = IngestionCache()
    assert ingest(make(), SimpleDocumentStore(), cache=cache) == list(FACTS)
    bought = emulator.stats
    cache.persist(path)
    for again in (cache, IngestionCache.from_persist_path(path)):
        embedding = make(api_key="rotated", num_workers=2, embed_batch_size=1)
        assert ingest(embedding, SimpleDocumentStore(), cache=again) == list(FACTS)
    assert emulator.stats == bought


async def test_a_pipeline_runs_asynchronously(make):
    embedding = make()
    nodes = await pipeline(embedding, IngestionCache()).arun(documents=documents())
    assert all(len(node.embedding) == 64 for node in nodes)
    await embedding.aclose()


@pytest.mark.slow
@pytest.mark.parametrize("awaited", [False, True])
def test_a_pipeline_runs_in_other_processes(make, emulator, monkeypatch, awaited):
    """The key comes from the environment there, spawned and forked."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("LlamaIndex wants as many processors as workers")
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    embedding = make()
    want = embedding.get_text_embedding_batch(list(FACTS))
    pipe = IngestionPipeline(transformations=[embedding], disable_cache=True)
    if awaited:
        nodes = asyncio.run(pipe.arun(documents=documents(), num_workers=2))
    else:
        nodes = pipe.run(documents=documents(), num_workers=2)
    assert [node.embedding for node in nodes] == want
    assert emulator.stats.requests == 3


@pytest.mark.slow
def test_a_rerun_in_other_processes_buys_nothing(make, emulator, monkeypatch):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("LlamaIndex wants as many processors as workers")
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    store = SimpleDocumentStore()
    assert sorted(ingest(make(), store, num_workers=2)) == sorted(FACTS)
    assert emulator.stats.requests == 2
    assert ingest(make(), store, num_workers=2) == []
    assert emulator.stats.requests == 2


# ---------------------------------------------------------------------- the base class's bugs


def short(number, body):
    data = [
        {"object": "embedding", "embedding": [1.0] * 64, "index": at}
        for at in range(len(body["input"]) - 1)
    ]
    answer = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}}
    return 200, {}, json.dumps(answer).encode()


class Short(Fake):
    def _many(self, texts):
        return [[float(text)] for text in texts][:-1]


async def test_bug_short_answer_lands_on_the_wrong_node(make, emulate):
    nodes = [TextNode(text=text) for text in ("1", "2", "3")]
    Short(embed_batch_size=2)(nodes)
    assert [node.embedding for node in nodes] == [[1.0], None, None]

    embedding = make(server=emulate(faults=short), encoding_format="float")
    nodes = [TextNode(text=text) for text in ("1", "2", "3")]
    for call in (embedding, lambda n: VectorStoreIndex(n, embed_model=embedding)):
        with pytest.raises(InvalidResponseError):
            call(nodes)
    with pytest.raises(InvalidResponseError):
        await embedding.acall(nodes)
    assert [node.embedding for node in nodes] == [None, None, None]
    await embedding.aclose()


def test_bug_short_answer_of_a_subclass_is_not_zipped(make, emulator):
    class LossyFake(Fake):
        def get_text_embedding_batch(self, texts, show_progress=False, **kwargs):
            return super().get_text_embedding_batch(texts)[:-1]

    nodes = [TextNode(text="1"), TextNode(text="2")]
    LossyFake()(nodes)
    assert [node.embedding is None for node in nodes] == [False, True]

    class Lossy(OpenRouterEmbedding):
        def get_text_embedding_batch(self, texts, show_progress=False, **kwargs):
            return super().get_text_embedding_batch(texts)[:-1]

    nodes = [TextNode(text="1"), TextNode(text="2")]
    with (
        Lossy(SMALL, api_key=KEY, api_base=emulator.base_url) as embedding,
        pytest.raises(InvalidResponseError, match="1 vectors for 2 nodes"),
    ):
        embedding(nodes)
    assert [node.embedding for node in nodes] == [None, None]


class Parallel(Fake):
    """Fails in its first call; tells how many others ran on, and how many at a time."""

    async def _aget_text_embeddings(self, texts):
        counts["now"] += 1
        counts["peak"] = max(counts["peak"], counts["now"])
        await asyncio.sleep(0.01)
        counts["now"] -= 1
        if texts[0] == "0":
            raise RuntimeError("scripted")
        await asyncio.sleep(0.01)
        counts["done"] += 1
        return [[2.0] for _ in texts]


counts = {"now": 0, "peak": 0, "done": 0}


async def test_bug_async_failure_leaves_siblings_running(make, emulate):
    counts.update(now=0, peak=0, done=0)
    texts = [str(i) for i in range(4)]
    with pytest.raises(RuntimeError):
        await Parallel(embed_batch_size=1).aget_text_embedding_batch(texts)
    assert counts["done"] == 0
    siblings = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*siblings, return_exceptions=True)
    assert counts["done"] == 3  # paid for, and lost

    async def faults(number, body):
        if "0" in body["input"]:
            return 500, {}, b"{}"
        await asyncio.sleep(0.05)
        return None

    server = emulate(faults=faults)
    embedding = make(server=server, embed_batch_size=1)
    with pytest.raises(ServerError) as caught:
        await embedding.aget_text_embedding_batch(texts)
    after = server.stats
    assert after.in_flight == 0
    assert caught.value.result.ok.tolist() == [False, True, True, True]
    await embedding.aclose()


async def test_bug_async_concurrency_has_no_limit(make, emulate):
    counts.update(now=0, peak=0, done=0)
    texts = [f"text {i}" for i in range(200)]
    await Parallel(embed_batch_size=1, num_workers=1).aget_text_embedding_batch(texts)
    assert counts["peak"] == 200

    server = emulate(latency=0.05)
    embedding = make(server=server, embed_batch_size=1)
    await embedding.aget_text_embedding_batch(texts)
    assert server.stats.peak_in_flight <= 64
    await embedding.aclose()


class OnlySync(Fake):
    """Leaves the asynchronous method to the base class, as it may."""

    _aget_text_embedding = BaseEmbedding._aget_text_embedding

    def _get_text_embedding(self, text):
        counts["thread"] = threading.get_ident()
        return [2.0]


async def test_bug_default_async_text_embedding_blocks_the_loop(make, emulate):
    await OnlySync().aget_text_embedding("x")
    assert counts["thread"] == threading.get_ident()  # in the loop's own thread

    embedding = make(server=emulate(latency=0.2))
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await embedding.aget_text_embedding("x")
    ticking.cancel()
    assert ticks > 3
    await embedding.aclose()


def test_bug_agg_embedding_sends_queries_one_by_one(make, emulator):
    fake = Fake()
    fake.get_agg_embedding_from_queries(["a", "b", "c"])
    assert fake._calls == 3

    make().get_agg_embedding_from_queries(["a", "b", "c"])
    assert every_text(emulator) == ["a", "b", "c"]
    assert emulator.stats.requests == 1


class Gated(Fake):
    """Keeps something that belongs to its first event loop, as a client or a limit does."""

    _gate: asyncio.Semaphore = PrivateAttr(default_factory=lambda: asyncio.Semaphore(1))

    async def _aget_text_embeddings(self, texts):
        async with self._gate:
            await asyncio.sleep(0)
            return self._many(texts)


def test_bug_a_client_of_one_loop_is_dead_in_the_next(make, emulate):
    """Contended, so that waiting objects of the first loop would be met again."""
    fake = Gated(embed_batch_size=1)
    asyncio.run(fake.aget_text_embedding_batch(["a", "b"]))
    with pytest.raises(RuntimeError, match="different event loop"):
        asyncio.run(fake.aget_text_embedding_batch(["a", "b"]))

    embedding = make(server=emulate(latency=0.02), num_workers=2, embed_batch_size=1)
    for start in range(3):
        texts = [f"{start} {i}" for i in range(8)]
        assert len(asyncio.run(embedding.aget_text_embedding_batch(texts))) == 8


class RunsALoop(Fake):
    """Makes its synchronous side of its asynchronous one, as integrations do."""

    def _get_text_embedding(self, text):
        coroutine = self._aget_text_embedding(text)
        try:
            return asyncio.run(coroutine)
        finally:
            coroutine.close()


async def test_bug_sync_call_fails_inside_a_running_loop(make):
    with pytest.raises(RuntimeError, match="running event loop"):
        RunsALoop().get_text_embedding("x")

    embedding = make()
    assert len(embedding.get_text_embedding("x")) == 64
    index = VectorStoreIndex.from_documents(documents(), embed_model=embedding)
    assert index.as_retriever(similarity_top_k=1).retrieve("baked from flour")


def test_bug_a_progress_bar_patches_the_event_loop(make, monkeypatch):
    """LlamaIndex's helper for concurrent tasks does; nothing of ours comes by it."""
    nest_asyncio = pytest.importorskip("nest_asyncio", reason="this core does without")
    patched = []
    monkeypatch.setattr(nest_asyncio, "apply", lambda *_: patched.append(1))
    run_async_tasks([asyncio.sleep(0)], show_progress=True)
    assert patched == [1]

    embedding = make()
    options = {"embed_model": embedding, "use_async": True, "show_progress": True}
    VectorStoreIndex.from_documents(documents(), **options)
    asyncio.run(embedding.aget_text_embedding_batch(["x"], show_progress=True))
    assert patched == [1]


def test_bug_sync_batch_sends_requests_one_by_one(make, emulate):
    """`num_workers` is not looked at there."""
    texts = [str(i) for i in range(12)]
    Overlapping.now = Overlapping.peak = 0
    Overlapping(embed_batch_size=2, num_workers=3).get_text_embedding_batch(texts)
    assert Overlapping.peak == 1

    server = emulate(latency=0.1)
    make(server=server, embed_batch_size=2, num_workers=3).get_text_embedding_batch(texts)
    assert server.stats.peak_in_flight == 3


class Overlapping(Fake):
    now: ClassVar[int] = 0
    peak: ClassVar[int] = 0

    def _get_text_embeddings(self, texts):
        Overlapping.now += 1
        Overlapping.peak = max(Overlapping.peak, Overlapping.now)
        time.sleep(0.001)
        Overlapping.now -= 1
        return self._many(texts)


def test_images_in_a_loop_come_back_in_order(make):
    embedding = make(GEMINI)
    urls = [f"https://example.invalid/{i}.png" for i in range(5)]
    vectors = embedding.get_image_embedding_batch([*urls, BytesIO(PIXEL)])
    alone = embedding.get_image_embedding(urls[3], role="document")
    assert np.allclose(vectors[3], alone)
    assert not np.allclose(vectors[2], alone)


NOTEBOOK = """
import asyncio, gc, sys
from llama_index.core import Document, VectorStoreIndex
from llama_index_openrouter_embed import OpenRouterEmbedding

async def main():
    options = {"api_key": "any", "api_base": sys.argv[1], "dimensions": 64}
    async with OpenRouterEmbedding("openai/text-embedding-3-small", **options) as embedding:
        VectorStoreIndex.from_documents(
            [Document(text="a")], embed_model=embedding, use_async=True
        )
    gc.collect()

asyncio.run(main())
"""


@pytest.mark.slow
def test_an_asynchronous_build_inside_a_running_loop_leaves_no_connection_open(emulator):
    """As in a notebook: LlamaIndex then builds in another thread, in a loop of its own."""
    command = [sys.executable, "-c", NOTEBOOK, emulator.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
