"""Embedding tokens in LangChain's own usage callback."""

from __future__ import annotations

import asyncio
import logging

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler, get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import InMemoryVectorStore

from openrouter_embed import InsufficientCreditsError
from openrouter_embed.emulator import Emulator

SMALL = "openai/text-embedding-3-small"


def counted(handler, model=SMALL):
    usage = handler.usage_metadata[model]
    assert usage["input_tokens"] == usage["total_tokens"]
    assert usage["output_tokens"] == 0
    return usage["total_tokens"]


async def test_the_callback_counts_every_method(make, emulator):
    embeddings = make(model=SMALL)
    with get_usage_metadata_callback() as handler:
        embeddings.embed_documents(["some text", "more text"])
        embeddings.embed_query("some text")
        embeddings.embed_documents_array(["some text"])
        await embeddings.aembed_documents(["some text"])
        await embeddings.aembed_query("some text")
        await embeddings.aembed_documents_array(["some text"])
    assert emulator.stats.requests == 6
    assert counted(handler) == emulator.stats.tokens == embeddings.usage.total_tokens
    embeddings.embed_query("not counted any more")
    assert counted(handler) < embeddings.usage.total_tokens


def test_the_callback_counts_per_model(make):
    mini = make()
    with get_usage_metadata_callback() as handler:
        mini.embed_query("text")
        mini.embed_query("text", model=SMALL)
    assert set(handler.usage_metadata) == {mini.model, SMALL}


def test_the_callback_counts_calls_that_langchain_moves_to_a_thread(make, emulator):
    embeddings = make(model=SMALL)

    async def ask():
        with get_usage_metadata_callback() as handler:
            await run_in_executor(None, embeddings.embed_query, "some text")
        return counted(handler)

    assert asyncio.run(ask()) == emulator.stats.tokens


async def test_concurrent_tasks_count_their_own(make):
    embeddings = make(model=SMALL)

    async def ask(words):
        with get_usage_metadata_callback() as handler:
            await embeddings.aembed_query("word " * words)
        return counted(handler)

    few, many = await asyncio.gather(ask(2), ask(50))
    assert few < many
    assert few + many == embeddings.usage.total_tokens


async def test_a_chains_own_callbacks_count_its_retriever(make, emulator):
    store = InMemoryVectorStore.from_documents([Document("text")], make(model=SMALL))
    emulator.reset()
    chain = RunnableLambda(lambda question: question) | store.as_retriever()
    handler = UsageMetadataCallbackHandler()
    chain.invoke("some question", config={"callbacks": [handler]})
    await chain.ainvoke("some question", config={"callbacks": [handler]})
    assert counted(handler) == emulator.stats.tokens


def test_the_part_of_a_failed_call_that_was_paid_for_counts(make):
    def fault(number, body):
        bad = "bad" in body["input"]
        return (402, {}, b'{"error":{"code":402,"message":"no"}}') if bad else None

    options = {"model": SMALL, "chunk_size": 1, "max_concurrency": 1}
    with Emulator(backend="hashed", faults=fault) as broken:
        embeddings = make(base_url=broken.base_url, **options)
        with get_usage_metadata_callback() as handler:
            with pytest.raises(InsufficientCreditsError):
                embeddings.embed_documents(["good text", "bad"])
            with pytest.raises(InsufficientCreditsError):
                asyncio.run(embeddings.aembed_documents(["good text", "bad"]))
        assert counted(handler) == broken.stats.tokens > 0


@pytest.mark.parametrize("byok", [False, True])
def test_the_message_that_handlers_get_says_what_is_billed_by_whomever(make, byok):
    told = []

    class Listener(UsageMetadataCallbackHandler):
        def on_llm_end(self, response, **_):
            told.append(response.generations[0][0].message.response_metadata)

    with Emulator(backend="hashed", byok=byok) as emulator:
        embeddings = make(model=SMALL, base_url=emulator.base_url)
        chain = RunnableLambda(embeddings.embed_query)
        chain.invoke("some question", config={"callbacks": [Listener()]})
        assert told == [{"model_name": SMALL, "cost": pytest.approx(emulator.stats.cost)}]
    assert emulator.stats.cost > 0


async def test_a_handler_that_fails_fails_alone(make, monkeypatch, caplog):
    def explode(self, response, **_):
        raise RuntimeError("secret text")

    embeddings = make(model=SMALL)
    with get_usage_metadata_callback() as handler:
        monkeypatch.setattr(UsageMetadataCallbackHandler, "on_llm_end", explode)
        assert len(embeddings.embed_query("secret text")) == 1536
        assert len(await embeddings.aembed_query("secret text")) == 1536
    assert handler.usage_metadata == {}
    records = [r for r in caplog.records if r.name.startswith("langchain_openrouter_embed")]
    assert [r.levelno for r in records] == [logging.WARNING] * 2
    assert "secret text" not in caplog.text


def test_a_broken_callback_configuration_breaks_no_call(make, monkeypatch, caplog):
    monkeypatch.setenv("LANGCHAIN_HANDLER", "x")  # LangChain refuses its old tracing switch
    with get_usage_metadata_callback():
        assert len(make().embed_query("secret text")) == 384
    assert "Usage could not be reported: RuntimeError." in caplog.text
