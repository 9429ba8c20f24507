"""Tracing by OpenTelemetry: every call works, its span is seen, and belongs to the caller's."""

from __future__ import annotations

import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tools_faces import ASYNC, KEY, MODEL, SYNC

from openrouter_embed import EmbeddingClient

INSTRUMENTORS = {"requests": RequestsInstrumentor, "urllib3": URLLib3Instrumentor}


class Traces:
    """A provider whose spans are kept."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("program")

    def http(self):
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if span.instrumentation_scope.name != "program"]


@pytest.fixture
def traces():
    made = Traces()
    yield made
    made.provider.shutdown()


@pytest.fixture
def instrumented(request, traces):
    made = [INSTRUMENTORS[name]() for name in request.param.split(" and ")]
    for one in made:
        one.instrument(tracer_provider=traces.provider)
    yield request.param
    for one in made:
        one.uninstrument()


every = pytest.mark.parametrize(
    "instrumented", ["requests", "urllib3", "requests and urllib3"], indirect=True
)


@every
@pytest.mark.parametrize("embed", SYNC.values(), ids=SYNC.keys())
def test_a_synchronous_call_is_seen_as_part_of_the_callers_span(
    instrumented, traces, embed, openrouter_emulator
):
    with traces.tracer.start_as_current_span("mine") as mine:
        assert len(embed("a question")) == 1536
    assert openrouter_emulator.stats.requests == 1
    http = traces.http()
    assert {span.context.trace_id for span in http} == {mine.get_span_context().trace_id}
    outermost = [span for span in http if span.parent.span_id == mine.get_span_context().span_id]
    assert len(outermost) == 1
    assert outermost[0].attributes["http.method"] == "POST"
    assert outermost[0].attributes["http.status_code"] == 200
    assert len(http) == 1


@every
def test_the_spans_of_a_large_call_are_all_children_of_the_callers(
    instrumented, traces, openrouter_emulator
):
    with EmbeddingClient(MODEL, max_batch_inputs=1, max_concurrency=4) as client:
        with traces.tracer.start_as_current_span("mine") as mine:
            client.embed_documents([f"text {n}" for n in range(8)])
        mine = mine.get_span_context()
    assert {span.context.trace_id for span in traces.http()} == {mine.trace_id}
    assert len([s for s in traces.http() if s.parent.span_id == mine.span_id]) == 8


@pytest.mark.parametrize("name", INSTRUMENTORS)
def test_tracing_that_begins_in_the_life_of_a_client_sees_its_next_call(
    name, traces, openrouter_emulator
):
    with EmbeddingClient(MODEL) as client:
        client.embed_query("before")
        instrumentor = INSTRUMENTORS[name]()
        instrumentor.instrument(tracer_provider=traces.provider)
        try:
            client.embed_query("while")
        finally:
            instrumentor.uninstrument()
        client.embed_query("after")
    assert len(traces.http()) == 1


@pytest.mark.parametrize("embed", ASYNC.values(), ids=ASYNC.keys())
def test_an_asynchronous_call_is_seen_as_part_of_the_callers_span(
    traces, embed, openrouter_emulator
):
    instrumentor = AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=traces.provider)
    try:
        with traces.tracer.start_as_current_span("mine") as mine:
            assert len(embed("a question")) == 1536
    finally:
        instrumentor.uninstrument()
    (span,) = traces.http()
    assert span.parent.span_id == mine.get_span_context().span_id


def test_neither_key_nor_text_is_in_a_span(traces, openrouter_emulator):
    instrumentors = [kind() for kind in INSTRUMENTORS.values()]
    for one in instrumentors:
        one.instrument(tracer_provider=traces.provider)
    try:
        SYNC["client"]("a private question", api_key=KEY)
    finally:
        for one in instrumentors:
            one.uninstrument()
    said = "".join(span.to_json() for span in traces.http())
    assert "private" not in said
    assert KEY not in said


def test_a_tool_that_reads_the_answer_first_leaves_it_to_us(traces, openrouter_emulator):
    """A hook of the instrumentor may look at `response.content`."""
    sizes = []
    instrumentor = RequestsInstrumentor()
    instrumentor.instrument(
        tracer_provider=traces.provider,
        response_hook=lambda span, request, response: sizes.append(len(response.content)),
    )
    try:
        assert len(SYNC["client"]("a question")) == 1536
    finally:
        instrumentor.uninstrument()
    assert sizes[0] > 1000
