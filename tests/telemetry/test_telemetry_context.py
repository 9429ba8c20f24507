"""Whose child a span is, and whose parent: threads, tasks, running loops, HTTP instrumentations."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from telemetry_doors import ASYNC, DOORS, KEY, MODEL, SYNC

from openrouter_embed import EmbeddingClient

TEXTS = ["a private text", "another one"]
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
HTTP = {
    "requests": RequestsInstrumentor,
    "urllib3": URLLib3Instrumentor,
    "aiohttp": AioHttpClientInstrumentor,
}


@contextlib.contextmanager
def instrumented(watch, *kinds):
    made = [HTTP[kind]() for kind in kinds]
    for one in made:
        one.instrument(tracer_provider=watch.tracers)
    try:
        yield
    finally:
        for one in made:
            one.uninstrument()


def http(watch):
    return [s for s in watch.spans if "instrumentation" in s.instrumentation_scope.name]


def is_child(span, parent):
    return (span.parent.span_id, span.context.trace_id) == (
        parent.context.span_id,
        parent.context.trace_id,
    )


@every_door
def test_a_call_is_the_callers_child(watch, emulator, run, door):
    with watch.tracer.start_as_current_span("mine"):
        run(door, TEXTS, base_url=emulator.base_url)
    (ours,) = watch.ours
    (mine,) = [span for span in watch.spans if span.name == "mine"]
    assert is_child(ours, mine)


@pytest.mark.parametrize("kind", ["requests", "urllib3"])
@pytest.mark.parametrize("door", SYNC.values(), ids=SYNC.keys())
def test_requests_made_in_worker_threads_are_children_of_the_call(watch, emulator, door, kind):
    with instrumented(watch, kind), watch.tracer.start_as_current_span("mine"):
        door(TEXTS, base_url=emulator.base_url, max_batch_inputs=1)
    (ours,) = watch.ours
    assert len(http(watch)) == 2
    assert all(is_child(span, ours) for span in http(watch))


@pytest.mark.parametrize("door", ASYNC.values(), ids=ASYNC.keys())
async def test_requests_made_in_tasks_are_children_of_the_call(watch, emulator, door):
    with instrumented(watch, "aiohttp"), watch.tracer.start_as_current_span("mine"):
        await door(TEXTS, base_url=emulator.base_url, max_batch_inputs=1)
    (ours,) = watch.ours
    assert len(http(watch)) == 2
    assert all(is_child(span, ours) for span in http(watch))


async def test_calls_at_once_keep_their_own_children(watch, emulator):
    async def one(name):
        with watch.tracer.start_as_current_span(name):
            await twin.embed([name])

    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        async with made.as_async() as twin:
            with instrumented(watch, "aiohttp"):
                await asyncio.gather(*(one(f"text {n}") for n in range(5)))
    spans = {span.context.span_id: span for span in watch.spans}
    assert len(http(watch)) == 5
    roots = {spans[spans[span.parent.span_id].parent.span_id].name for span in http(watch)}
    assert roots == {f"text {n}" for n in range(5)}


def test_a_thread_of_the_callers_is_a_parent_if_it_has_the_context(watch, emulator):
    with (
        EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made,
        ThreadPoolExecutor(2) as pool,
        watch.tracer.start_as_current_span("mine"),
    ):
        pool.submit(contextvars.copy_context().run, made.embed, TEXTS).result()
        pool.submit(made.embed, TEXTS).result()
    inherited, alone = watch.ours
    assert inherited.parent is not None
    assert alone.parent is None


async def test_a_synchronous_call_in_a_running_loop_is_a_child_and_a_parent(watch, emulator):
    with (
        instrumented(watch, "requests"),
        EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made,
        watch.tracer.start_as_current_span("mine"),
    ):
        made.embed(TEXTS)
    (ours,) = watch.ours
    (mine,) = [span for span in watch.spans if span.name == "mine"]
    assert is_child(ours, mine)
    assert is_child(http(watch)[0], ours)


@every_door
def test_the_callers_span_is_current_again_afterwards(watch, emulator, run, door):
    from opentelemetry import trace

    with watch.tracer.start_as_current_span("mine") as mine:
        run(door, TEXTS, base_url=emulator.base_url)
        assert trace.get_current_span() is mine


def test_retries_are_children_of_the_one_span(watch, emulate):
    down = (503, {}, b"{}")
    server = emulate(faults=lambda number, _: down if number == 1 else None)
    with instrumented(watch, "requests"):
        SYNC["client"](TEXTS, base_url=server.base_url)
    (ours,) = watch.ours
    assert [span.attributes["http.status_code"] for span in http(watch)] == [503, 200]
    assert all(is_child(span, ours) for span in http(watch))
