"""Spans, events and callbacks: the base class's own stream, and no start without its end."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO

import pytest
from llama_doubles import GEMINI, PIXEL, Events, Fake, FakeImages, Tape
from llama_index.core.callbacks import CallbackManager, EventPayload, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent

from llama_index_openrouter_embed import _events
from openrouter_embed import EmbeddingError, ServerError

SEVEN = [f"text {i}" for i in range(7)]
DOWN = (500, {}, b"{}")

SYNC = {
    "text": lambda m: m.get_text_embedding("t"),
    "query": lambda m: m.get_query_embedding("t"),
    "agg of one": lambda m: m.get_agg_embedding_from_queries(["t"]),
    "batch": lambda m: m.get_text_embedding_batch(SEVEN),
    "nothing": lambda m: m.get_text_embedding_batch([]),
}
ASYNC = {
    "text": lambda m: m.aget_text_embedding("t"),
    "query": lambda m: m.aget_query_embedding("t"),
    "agg of one": lambda m: m.aget_agg_embedding_from_queries(["t"]),
    "batch": lambda m: m.aget_text_embedding_batch(SEVEN),
    "nothing": lambda m: m.aget_text_embedding_batch([]),
}


def recorded(model, call):
    tape = Tape()
    model.callback_manager = tape.manager
    with tape.running():
        call(model)
    return tape


async def arecorded(model, call):
    tape = Tape()
    model.callback_manager = tape.manager
    with tape.running():
        await call(model)
    return tape


@pytest.mark.parametrize("name", SYNC)
def test_the_stream_of_a_sync_call_is_the_base_classs_own(make, name):
    ours = recorded(make(embed_batch_size=3), SYNC[name])
    theirs = recorded(Fake(embed_batch_size=3), SYNC[name])
    assert ours.shape() == theirs.shape()


@pytest.mark.parametrize("name", ASYNC)
async def test_the_stream_of_an_async_call_is_the_base_classs_own(make, name):
    embedding = make(embed_batch_size=3)
    ours = await arecorded(embedding, ASYNC[name])
    theirs = await arecorded(Fake(embed_batch_size=3), ASYNC[name])
    assert ours.shape() == theirs.shape()
    await embedding.aclose()


def test_several_queries_tell_of_each_as_the_base_class_does(make):
    def call(model):
        model.get_agg_embedding_from_queries(["a", "b"])

    ours, theirs = recorded(make(), call), recorded(Fake(), call)
    assert ours.kinds(spans=False) == theirs.kinds(spans=False)
    assert ours.of("cb end")[1][EventPayload.CHUNKS] == ["b"]


def test_payloads_hold_chunks_and_vectors_and_nothing_secret(make):
    embedding = make(embed_batch_size=3)
    tape = recorded(embedding, SYNC["batch"])
    start, end = tape.of("cb start")[0], tape.of("cb end")[2]
    assert start[EventPayload.SERIALIZED] == {
        "class_name": "OpenRouterEmbedding",
        "model_name": embedding.model_name,
        "embed_batch_size": 3,
    }
    assert end[EventPayload.CHUNKS] == SEVEN[6:]
    assert len(end[EventPayload.EMBEDDINGS][0]) == 64
    assert tape.of("EmbeddingEndEvent")[0].chunks == SEVEN[:3]


def test_every_start_is_ended_under_its_own_id(make):
    tape = recorded(make(embed_batch_size=2), SYNC["batch"])
    assert tape.ids("cb start") == tape.ids("cb end")
    assert len(set(tape.ids("cb start"))) == 4


def test_events_come_from_the_callers_thread_and_span(make):
    tape = recorded(make(embed_batch_size=2), SYNC["batch"])
    assert tape.threads == {threading.get_ident()}
    events = tape.of("EmbeddingStartEvent") + tape.of("EmbeddingEndEvent")
    assert len({event.span_id for event in events}) == 1
    assert events[0].span_id.startswith("OpenRouterEmbedding.get_text_embedding_batch-")


async def test_async_events_belong_to_the_callers_span(make):
    embedding = make(embed_batch_size=2)
    tape = await arecorded(embedding, ASYNC["batch"])
    assert tape.threads == {threading.get_ident()}
    assert len({event.span_id for event in tape.of("EmbeddingEndEvent")}) == 1
    await embedding.aclose()


def test_the_token_counter_agrees_with_the_base_class(make):
    def count(model):
        handler = TokenCountingHandler(tokenizer=str.split)
        model.callback_manager = CallbackManager([handler])
        model.get_text_embedding_batch(["one two", "three", "three"])
        model.get_query_embedding("four five six")
        return handler.total_embedding_token_count

    assert count(make()) == count(Fake()) == 7


def test_images_are_announced_by_a_string_that_handlers_can_count(make, tmp_path):
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    embedding = make(GEMINI)
    handler = TokenCountingHandler(tokenizer=str.split)
    embedding.callback_manager = CallbackManager([handler])
    embedding.get_image_embedding_batch([BytesIO(PIXEL), str(path)])
    assert [event.prompt for event in handler.embedding_token_counts] == ["<image>", str(path)]


# ---------------------------------------------------------------------- failures


def ends_in_pairs(tape):
    return (
        tape.ids("cb start") == tape.ids("cb end")
        and len(tape.of("EmbeddingStartEvent")) == len(tape.of("EmbeddingEndEvent")) > 0
    )


@pytest.mark.parametrize("name", ["text", "query", "batch", "agg of one"])
async def test_a_failed_call_ends_what_it_started(make, emulate, name):
    embedding = make(server=emulate(faults=lambda *_: DOWN), embed_batch_size=3)

    async def call(model):
        with pytest.raises(ServerError):
            SYNC[name](model)
        with pytest.raises(ServerError):
            await ASYNC[name](model)

    tape = await arecorded(embedding, call)
    assert ends_in_pairs(tape)
    assert all(EventPayload.EXCEPTION in end for end in tape.of("cb end"))
    await embedding.aclose()


async def test_a_cancelled_call_ends_what_it_started(make, emulate):
    server = emulate(latency=30)
    embedding = make(server=server, embed_batch_size=3)
    tape = Tape()
    embedding.callback_manager = tape.manager
    with tape.running():
        task = asyncio.create_task(embedding.aget_text_embedding_batch(SEVEN))
        while server.stats.requests == 0:  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ends_in_pairs(tape)
    assert len(tape.of("cb end")) == 3
    await embedding.aclose()


def test_ctrl_c_ends_what_was_started(make):
    def interrupt(_):
        raise KeyboardInterrupt

    embedding = make(on_progress=interrupt)
    tape = Tape()
    embedding.callback_manager = tape.manager
    with tape.running(), pytest.raises(KeyboardInterrupt):
        embedding.get_text_embedding_batch(SEVEN)
    assert ends_in_pairs(tape)


def test_a_handler_that_fails_leaves_nothing_open(make):
    embedding = make(embed_batch_size=3)
    tape = Tape()
    embedding.callback_manager = tape.manager
    handler = tape.manager.handlers[0]
    original = handler.on_event_start

    def second_fails(*args, **kwargs):
        if len(tape.of("cb start")) == 1:
            tape.note("cb start", {}, kwargs["event_id"])
            raise ValueError("a budget, say")
        return original(*args, **kwargs)

    handler.on_event_start = second_fails
    with tape.running(), pytest.raises(ValueError, match="a budget"):
        embedding.get_text_embedding_batch(SEVEN)
    assert ends_in_pairs(tape)


def test_an_error_that_handlers_keep_has_no_frames_with_texts(make, emulate):
    kept = []
    embedding = make(server=emulate(faults=lambda *_: DOWN))
    tape = Tape()
    handler = tape.manager.handlers[0]
    handler.on_event_end = lambda kind, payload=None, event_id="", **_: kept.append(
        payload[EventPayload.EXCEPTION].__traceback__
    )
    embedding.callback_manager = tape.manager
    with pytest.raises(EmbeddingError):
        embedding.get_text_embedding("secret text")
    assert kept == [None]


# ---------------------------------------------------------------------- the base class's bugs


async def test_bug_async_failure_leaves_events_open(make, emulate):
    async def call(model):
        with pytest.raises((RuntimeError, ServerError)):
            await model.aget_text_embedding_batch(SEVEN)

    theirs = await arecorded(Fake(embed_batch_size=2, fail_at=1), call)
    assert len(theirs.of("cb start")) == 4
    assert theirs.of("cb end") == theirs.of("EmbeddingEndEvent") == []
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    embedding = make(server=emulate(faults=lambda *_: DOWN), embed_batch_size=2)
    ours = await arecorded(embedding, call)
    assert ends_in_pairs(ours)
    assert len(ours.of("cb end")) == 4
    await embedding.aclose()


def test_bug_images_are_unknown_to_instrumentation(make):
    def call(model):
        model.get_image_embedding_batch([BytesIO(PIXEL)])

    theirs, ours = recorded(FakeImages(), call), recorded(make(GEMINI), call)
    assert theirs.kinds(spans=False) == ["cb start", "cb end"]
    assert ends_in_pairs(ours)
    assert ours.kinds()[0] == "span get_image_embedding_batch"


def test_bug_an_image_in_memory_breaks_the_token_counter(make):
    def count(model):
        handler = TokenCountingHandler(tokenizer=str.split)
        model.callback_manager = CallbackManager([handler])
        model.get_image_embedding(BytesIO(PIXEL))
        return handler.total_embedding_token_count

    with pytest.raises(TypeError):
        count(FakeImages())
    assert count(make(GEMINI)) == 1


# ---------------------------------------------------------------- what events cost, and still are


def test_without_a_listener_no_event_is_made_of_the_vectors(make, monkeypatch):
    monkeypatch.setattr(_events, "_end_event", None)
    assert len(make(embed_batch_size=3).get_text_embedding_batch(SEVEN)) == 7


@pytest.mark.parametrize("name", ["root", "llama_index.core.base.embeddings.base"])
def test_a_listener_is_heard_wherever_it_listens(make, monkeypatch, name):
    place, tape = get_dispatcher(name), Tape()
    monkeypatch.setattr(place, "event_handlers", [*place.event_handlers, Events(tape=tape)])
    make(embed_batch_size=3).get_text_embedding_batch(SEVEN)
    assert len(tape.of("EmbeddingEndEvent")) == 3


def test_a_listener_above_a_dispatcher_that_keeps_to_itself_is_not_heard(make, monkeypatch):
    monkeypatch.setattr(get_dispatcher("llama_index.core.base.embeddings.base"), "propagate", False)
    monkeypatch.setattr(_events, "_end_event", None)
    assert recorded(make(), SYNC["batch"]).of("EmbeddingEndEvent") == []


def test_the_last_event_is_the_one_that_validation_makes(make):
    (ours,) = recorded(make(), SYNC["text"]).of("EmbeddingEndEvent")
    theirs = type(ours)(chunks=ours.chunks, embeddings=ours.embeddings, tags=ours.tags)
    same = {"id_": ours.id_, "timestamp": ours.timestamp, "span_id": ours.span_id}
    assert ours.model_dump() == theirs.model_dump() | same
    assert ours.model_fields_set == theirs.model_fields_set
    assert (type(ours.id_), type(ours.timestamp)) == (type(theirs.id_), type(theirs.timestamp))


def test_what_a_listener_does_to_an_event_leaves_the_callers_vectors_alone(make, monkeypatch):
    class Vandal(Events):
        def handle(self, event, **kwargs):
            if isinstance(event, EmbeddingEndEvent):
                event.embeddings[0].clear()
                event.chunks.clear()

    root, texts = get_dispatcher("root"), list(SEVEN)
    monkeypatch.setattr(root, "event_handlers", [Vandal(tape=Tape())])
    assert len(make().get_text_embedding_batch(texts)[0]) == 64
    assert texts == SEVEN
