"""Usage where the frameworks look for it: LangChain's runs, LlamaIndex's events."""

from __future__ import annotations

import asyncio
import json
import pickle

import langsmith
import pytest
import requests_mock
from langchain_core.callbacks import AsyncCallbackHandler, get_usage_metadata_callback
from langchain_core.load import dumps
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.base import AsyncBaseTracer, BaseTracer
from langchain_core.tracers.langchain import LangChainTracer
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent
from pydantic import Field
from telemetry_doors import KEY, MODEL

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import ConfigurationError, EmbeddingError

TEXTS = ["a private text", "another one"]
GONE = (404, {}, b'{"error": {"code": 404, "message": "gone"}}')

# ---------------------------------------------------------------- LangChain


class Runs(BaseTracer):
    """LangChain's own tracer, which keeps whole trees."""

    def __init__(self):
        super().__init__()
        self.trees = []

    def _persist_run(self, run):
        self.trees.append(run)


class AsyncRuns(AsyncBaseTracer):
    """The same, for asynchronous calls."""

    def __init__(self):
        super().__init__()
        self.trees = []

    async def _persist_run(self, run):
        self.trees.append(run)


def embeddings(server, **options):
    options = {"trace_runs": True, **options}
    return OpenRouterEmbeddings(model=MODEL, api_key=KEY, base_url=server.base_url, **options)


def under(handler, call):
    """Call beneath a chain that has this handler."""
    return RunnableLambda(lambda _: call()).invoke(None, config={"callbacks": [handler]})


async def aunder(handler, call):
    async def step(_):
        return await call()

    await RunnableLambda(step).ainvoke(None, config={"callbacks": [handler]})


def embedding_run(tracer):
    """The run of the call, beneath the chain's."""
    (tree,) = tracer.trees
    (run,) = tree.child_runs
    assert run.parent_run_id == tree.id
    return run


def check_run(run, server):
    assert (run.run_type, run.name, run.error) == ("embedding", "OpenRouterEmbeddings", None)
    assert run.inputs == {"inputs": 2, "role": "document"}
    tokens = server.stats.tokens
    assert run.outputs == {
        "usage_metadata": {
            "input_tokens": tokens,
            "output_tokens": 0,
            "total_tokens": tokens,
            "total_cost": pytest.approx(server.stats.cost),
        },
        "model": "text-embedding-3-small",
        "providers": ["OpenAI"],
        "requests": 1,
        "cache_hits": 0,
    }
    metadata = run.extra["metadata"]
    assert metadata["ls_provider"] == "openrouter"
    assert metadata["ls_model_name"] == MODEL


def test_a_call_is_a_run_beneath_its_chain(emulator):
    runs = Runs()
    with embeddings(emulator) as made:
        under(runs, lambda: made.embed_documents(TEXTS))
    check_run(embedding_run(runs), emulator)


@pytest.mark.parametrize("tracer", [Runs, AsyncRuns])
async def test_an_asynchronous_call_is_a_run_beneath_its_chain(emulator, tracer):
    runs = tracer()
    async with embeddings(emulator) as made:
        await aunder(runs, lambda: made.aembed_documents(TEXTS))
    check_run(embedding_run(runs), emulator)


def test_nothing_is_a_run_unless_asked_for(emulator):
    runs = Runs()
    with embeddings(emulator, trace_runs=False) as made:
        under(runs, lambda: made.embed_documents(TEXTS))
    assert runs.trees[0].child_runs == []


def test_without_a_listener_a_call_goes_on_as_ever(emulator):
    with embeddings(emulator) as made:
        assert len(made.embed_query("a")) == 1536


def test_a_failed_call_is_a_failed_run(emulate):
    runs = Runs()
    server = emulate(faults=lambda *_: GONE)
    with embeddings(server) as made, pytest.raises(EmbeddingError):
        under(runs, lambda: made.embed_documents(TEXTS))
    assert embedding_run(runs).error.startswith("NotFoundError(")


async def test_a_cancelled_call_is_a_failed_run(emulate):
    runs, sent, loop = Runs(), asyncio.Event(), asyncio.get_running_loop()

    async def stall(*_):
        loop.call_soon_threadsafe(sent.set)
        await asyncio.sleep(60)

    server = emulate(faults=stall)
    async with embeddings(server) as made:
        task = asyncio.ensure_future(aunder(runs, lambda: made.aembed_documents(TEXTS)))
        await asyncio.wait_for(sent.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (tree,) = runs.trees
    assert tree.child_runs[0].error.startswith("CancelledError(")


def test_a_run_holds_no_text_no_vector_and_no_key(emulator):
    runs = Runs()
    with embeddings(emulator) as made:
        (first, _) = under(runs, lambda: made.embed_documents(TEXTS))
    said = str(vars(embedding_run(runs))) + embedding_run(runs).model_dump_json()
    for private in ("private", KEY, str(first[0])):
        assert private not in said


def test_the_usage_callback_counts_once_beside_a_run(emulator):
    with embeddings(emulator) as made, get_usage_metadata_callback() as callback:
        made.embed_documents(TEXTS)
    assert callback.usage_metadata[MODEL]["total_tokens"] == emulator.stats.tokens


class Failing(AsyncCallbackHandler):
    """Fails, and says so."""

    raise_error = True

    async def on_chain_start(self, *_, **__):
        raise RuntimeError("a private text")


async def test_a_handler_that_fails_costs_no_vector_and_is_one_line(emulator, caplog):
    token = var_child_runnable_config.set({"callbacks": [Failing()]})
    async with embeddings(emulator) as made:
        assert len(await made.aembed_documents(TEXTS)) == 2
    var_child_runnable_config.reset(token)
    lines = [line for line in caplog.records if line.name == "langchain_openrouter_embed"]
    assert [line.getMessage() for line in lines] == ["A run could not be reported: RuntimeError."]


def test_langsmiths_own_tracer_sends_the_run(emulator):
    """By LangSmith's own client, to a server that is mocked beneath it."""
    with requests_mock.Mocker(real_http=True) as http, embeddings(emulator) as made:
        http.register_uri(requests_mock.ANY, requests_mock.ANY, real_http=True)
        http.register_uri(requests_mock.ANY, "http://langsmith.example/runs", json={})
        http.register_uri("PATCH", requests_mock.ANY, json={})
        client = langsmith.Client(
            api_url="http://langsmith.example", api_key="k", auto_batch_tracing=False
        )
        under(LangChainTracer(client=client), lambda: made.embed_documents(TEXTS))
        sent = [call for call in http.request_history if "langsmith" in call.url]
    bodies = [json.loads(call.body) for call in sent if call.body]
    kinds = {body["run_type"] for body in bodies if "run_type" in body}
    assert "embedding" in kinds
    usages = [body["outputs"].get("usage_metadata") for body in bodies if body.get("outputs")]
    assert emulator.stats.tokens in [usage["total_tokens"] for usage in usages if usage]


def test_the_switch_travels_and_is_checked(emulator):
    with embeddings(emulator) as made:
        assert pickle.loads(pickle.dumps(made)).trace_runs is True
        assert made.model_copy(update={"trace_runs": False}).trace_runs is False
        written = dumps(made)
    assert '"trace_runs": true' in written
    with pytest.raises(ConfigurationError, match="`trace_runs` must be True or False"):
        embeddings(emulator, trace_runs="yes")


# ---------------------------------------------------------------- LlamaIndex


class Ends(BaseEventHandler):
    """Keeps the ends."""

    seen: list = Field(default_factory=list)

    @classmethod
    def class_name(cls):
        return "Ends"

    def handle(self, event, **_):
        if isinstance(event, EmbeddingEndEvent):
            self.seen.append(event)


@pytest.fixture
def ends():
    handler = Ends(seen=[])
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler.seen
    dispatcher.event_handlers.remove(handler)


def embedding(server, **options):
    options = {"callback_manager": CallbackManager([]), **options}
    return OpenRouterEmbedding(MODEL, api_key=KEY, api_base=server.base_url, **options)


def consumed(server):
    return {
        "gen_ai.request.model": MODEL,
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": server.stats.tokens,
        "gen_ai.usage.cost": pytest.approx(server.stats.cost),
        "openrouter_embed.requests": 1,
        "openrouter_embed.cache_hits": 0,
        "openrouter_embed.providers": ["OpenAI"],
    }


CALLS = {
    "text": (lambda m: m.get_text_embedding("a"), lambda m: m.aget_text_embedding("a")),
    "query": (lambda m: m.get_query_embedding("a"), lambda m: m.aget_query_embedding("a")),
    "batch": (
        lambda m: m.get_text_embedding_batch(TEXTS),
        lambda m: m.aget_text_embedding_batch(TEXTS),
    ),
    "queries": (
        lambda m: m.get_agg_embedding_from_queries(TEXTS),
        lambda m: m.aget_agg_embedding_from_queries(TEXTS),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_last_end_of_a_call_tells_what_it_consumed(ends, emulator, name):
    with embedding(emulator, embed_batch_size=1, max_batch_inputs=2) as made:
        CALLS[name][0](made)
    assert [event.tags for event in ends[:-1]] == [{}] * (len(ends) - 1)
    assert ends[-1].tags == {
        **consumed(emulator),
        "openrouter_embed.requests": emulator.stats.requests,
    }


@pytest.mark.parametrize("name", CALLS)
async def test_so_does_the_last_end_of_an_asynchronous_call(ends, emulator, name):
    made = embedding(emulator, embed_batch_size=1, max_batch_inputs=2)
    await CALLS[name][1](made)
    await made.aclose()
    assert [event.tags for event in ends[:-1]] == [{}] * (len(ends) - 1)
    assert ends[-1].tags == {
        **consumed(emulator),
        "openrouter_embed.requests": emulator.stats.requests,
    }


def test_the_end_of_a_failed_call_tells_what_was_paid(ends, emulate):
    server = emulate(faults=lambda number, _: GONE if number == 2 else None)
    made = embedding(server, max_batch_inputs=1, max_concurrency=1)
    with made, pytest.raises(EmbeddingError):
        made.get_text_embedding_batch(TEXTS)
    assert ends[-1].tags["gen_ai.usage.input_tokens"] == server.stats.tokens > 0
    assert ends[-1].tags["openrouter_embed.requests"] == 2


async def test_calls_at_once_tell_each_its_own(ends, emulator):
    made = embedding(emulator)
    await asyncio.gather(*(made.aget_text_embedding("word " * n) for n in (1, 20)))
    await made.aclose()
    told = sorted(event.tags["gen_ai.usage.input_tokens"] for event in ends)
    assert told[0] < told[1]
    assert sum(told) == emulator.stats.tokens
