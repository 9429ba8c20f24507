"""One span per call, through every door, that says what the conventions' table says."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from telemetry_doors import ASYNC, DOORS, KEY, MODEL
from telemetry_table import SPAN

from openrouter_embed import (
    AuthenticationError,
    ConfigurationError,
    EmbeddingClient,
    EmbeddingError,
    streams,
    telemetry,
)
from openrouter_embed.telemetry import names

TEXTS = ["a private text", "another one"]
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


def start_of(emulator):
    return {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.request.model": MODEL,
        "server.address": "127.0.0.1",
        "server.port": urlsplit(emulator.base_url).port,
    }


def whole(emulator, **changes):
    """What a call of two texts says that went well."""
    stats = emulator.stats
    told = {
        **start_of(emulator),
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.usage.input_tokens": stats.tokens,
        "gen_ai.embeddings.dimension.count": 1536,
        "gen_ai.request.encoding_formats": ("base64",),
        "gen_ai.usage.cost": pytest.approx(stats.cost),
        "operation.cost": pytest.approx(stats.cost),
        "openrouter_embed.inputs": 2,
        "openrouter_embed.requests": stats.requests,
        "openrouter_embed.retries": 0,
        "openrouter_embed.cache_hits": 0,
        "openrouter_embed.providers": ("OpenAI",),
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


def failing(status, *numbers):
    """Refuse the requests of these numbers, or all."""
    body = b'{"error": {"code": %d, "message": "quoting: a private text"}}' % status
    return lambda number, _: (status, {}, body) if not numbers or number in numbers else None


def test_the_packages_table_is_the_conventions():
    assert {row.name for row in (*names.AT_START, *names.AT_END)} == set(SPAN)


@every_door
def test_a_call_says_what_was_asked_answered_and_paid(watch, emulator, run, door):
    run(door, TEXTS, base_url=emulator.base_url)
    assert watch.one == whole(emulator)
    assert emulator.stats.tokens > 0


@every_door
def test_a_call_of_many_requests_is_one_span(watch, emulator, run, door):
    run(door, TEXTS, base_url=emulator.base_url, max_batch_inputs=1)
    assert watch.one == whole(emulator)
    assert emulator.stats.requests == 2


@every_door
def test_a_retried_call_counts_its_retries(watch, emulate, run, door):
    server = emulate(faults=failing(503, 1, 2))
    run(door, TEXTS, base_url=server.base_url)
    expected = {"openrouter_embed.retries": 2, "openrouter_embed.requests": 3}
    assert watch.one == whole(server, **expected)


@every_door
def test_a_failing_call_says_of_what(watch, emulate, run, door):
    server = emulate(faults=failing(401))
    with pytest.raises(AuthenticationError):
        run(door, TEXTS, base_url=server.base_url)
    assert watch.one == {
        **start_of(server),
        "error.type": "401",
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.cost": 0.0,
        "operation.cost": 0.0,
        "gen_ai.request.encoding_formats": ("base64",),
        "openrouter_embed.inputs": 2,
        "openrouter_embed.failed_inputs": 2,
        "openrouter_embed.requests": 1,
        "openrouter_embed.retries": 0,
        "openrouter_embed.cache_hits": 0,
    }
    assert watch.ours[0].status.description == "401"


@every_door
def test_a_call_that_fails_halfway_says_what_was_paid(watch, emulate, run, door):
    server = emulate(faults=failing(404, 2))
    options = {"max_batch_inputs": 1, "max_concurrency": 1}
    with pytest.raises(EmbeddingError):
        run(door, TEXTS, base_url=server.base_url, **options)
    expected = {"error.type": "404", "openrouter_embed.failed_inputs": 1}
    assert watch.one == whole(server, **expected)
    assert watch.one["gen_ai.usage.input_tokens"] > 0


@every_door
def test_a_cached_call_costs_nothing_and_says_so(watch, emulator, run, door, tmp_path):
    options = {"base_url": emulator.base_url, "cache": str(tmp_path / "cache.sqlite")}
    run(door, TEXTS, **options)
    run(door, TEXTS, **options)
    bought, found = watch.ours
    assert bought.attributes["openrouter_embed.cache_hits"] == 0
    expected = {
        "gen_ai.usage.input_tokens": 0,
        "gen_ai.usage.cost": 0.0,
        "operation.cost": 0.0,
        "gen_ai.response.model": None,
        "gen_ai.request.encoding_formats": None,
        "openrouter_embed.requests": 0,
        "openrouter_embed.cache_hits": 2,
    }
    assert dict(found.attributes) == whole(emulator, **expected)


@pytest.mark.parametrize("door", ASYNC.values(), ids=ASYNC.keys())
async def test_a_cancelled_call_says_so_and_what_was_paid(watch, emulate, door):
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def stall(number, _):
        if number == 2:
            loop.call_soon_threadsafe(answered.set)
            await asyncio.sleep(60)

    server = emulate(faults=stall)
    options = {"max_batch_inputs": 1, "max_concurrency": 1}
    task = asyncio.ensure_future(door(TEXTS, base_url=server.base_url, **options))
    await asyncio.wait_for(answered.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    told = watch.one
    assert told["error.type"] == "CancelledError"
    assert told["gen_ai.usage.input_tokens"] == server.stats.tokens > 0
    assert told["openrouter_embed.inputs"] == 2


def test_ctrl_c_ends_the_span_of_a_synchronous_call(watch, emulate):
    def interrupt():
        while not server.stats.in_flight:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    server = emulate(latency=30.0)
    thread = threading.Thread(target=interrupt)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=server.base_url) as made:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            made.embed(TEXTS)
        thread.join()
    assert watch.one["error.type"] == "KeyboardInterrupt"


def test_every_part_of_a_stream_has_a_span(watch, emulator, monkeypatch):
    monkeypatch.setattr(streams, "STREAM_INPUTS", 2)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        list(made.stream(["a", "b", "c"]))
    assert [span.attributes["openrouter_embed.inputs"] for span in watch.ours] == [2, 1]


async def test_every_part_of_an_asynchronous_stream_has_a_span(watch, emulator, monkeypatch):
    monkeypatch.setattr(streams, "STREAM_INPUTS", 2)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        async with made.as_async() as twin:
            async for _ in twin.stream(["a", "b", "c"]):
                pass
    assert [span.attributes["openrouter_embed.inputs"] for span in watch.ours] == [2, 1]


def test_no_span_is_current_between_the_parts_of_a_stream(watch, emulator, monkeypatch):
    from opentelemetry import trace

    monkeypatch.setattr(streams, "STREAM_INPUTS", 1)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        for _ in made.stream(["a", "b"]):
            assert not trace.get_current_span().get_span_context().is_valid


def test_what_is_handed_in_as_a_batch_makes_no_span_and_says_its_cost_itself(watch, emulator):
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        job = made.submit(TEXTS).wait()
        assert len(job.result()) == 2
        assert job.usage.total_tokens > 0
    assert (watch.ours, watch.metrics) == ([], {})


def test_a_result_with_failures_is_no_error_but_counts_them(watch, emulate):
    server = emulate(faults=failing(403, 2))
    with EmbeddingClient(MODEL, api_key=KEY, base_url=server.base_url, max_batch_inputs=1,
                         max_concurrency=1) as made:  # fmt: skip
        result = made.embed(TEXTS, on_error="return")
    assert len(result.failures) == watch.one["openrouter_embed.failed_inputs"] == 1
    assert "error.type" not in watch.one


def test_inputs_that_cannot_be_sent_fail_with_their_errors_name(watch, emulator):
    made = EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url)
    with made, pytest.raises(EmbeddingError):
        made.embed([""])
    assert watch.one["error.type"] == "ConfigurationError"


def test_no_inputs_are_a_span_without_a_width(watch, emulator):
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        made.embed([])
    assert watch.one["openrouter_embed.inputs"] == 0
    assert "gen_ai.embeddings.dimension.count" not in watch.one


def test_a_transport_fault_goes_by_its_kind(watch):
    made = EmbeddingClient(MODEL, api_key=KEY, base_url="http://127.0.0.1:9/v1")
    with made, pytest.raises(EmbeddingError):
        made.embed(TEXTS)
    assert watch.one["error.type"] == "connect"


def test_the_model_and_the_format_are_those_of_the_call(watch, emulator):
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        made.embed(TEXTS, model="openai/text-embedding-3-large", encoding_format="float")
    assert watch.one["gen_ai.request.model"] == "openai/text-embedding-3-large"
    assert watch.one["gen_ai.request.encoding_formats"] == ("float",)


def test_what_a_host_bills_by_itself_is_part_of_the_cost(watch, emulate):
    server = emulate(byok=True)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=server.base_url) as made:
        usage = made.embed(TEXTS).usage
    assert usage.byok_cost > 0
    assert watch.one["gen_ai.usage.cost"] == usage.billed


class Picky(Sampler):
    """Sees what a sampler sees, and drops the rest."""

    def __init__(self):
        self.seen = {}

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, *_, **__):
        self.seen = dict(attributes or {})
        return SamplingResult(Decision.DROP)

    def get_description(self):
        return "picky"


def test_samplers_see_model_and_server_and_a_dropped_span_costs_no_call(watch, emulator):
    watch.tracers.sampler = sampler = Picky()
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        made.embed(TEXTS)
    assert sampler.seen == start_of(emulator)
    assert watch.ours == []


# ---------------------------------------------------------------- off


@every_door
def test_a_client_can_be_told_to_be_silent(watch, emulator, run, door):
    run(door, TEXTS, base_url=emulator.base_url, telemetry=False)
    assert (watch.ours, watch.metrics) == ([], {})


@every_door
def test_the_environment_can_silence_every_client(watch, emulator, run, door, monkeypatch):
    monkeypatch.setenv("OPENROUTER_EMBED_OTEL", "false")
    run(door, TEXTS, base_url=emulator.base_url)
    assert watch.ours == []


def test_one_call_can_be_told_to_be_silent(watch, emulator):
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        made.embed(TEXTS, telemetry=False)
        made.embed(TEXTS)
    assert len(watch.ours) == 1


def test_a_block_without_instrumentation_is_silent(watch, emulator):
    made = EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url)
    with made, suppress_instrumentation():
        made.embed(TEXTS)
    assert watch.ours == []


def test_an_sdk_that_is_set_up_in_the_life_of_a_client_sees_its_next_call(
    watch, emulator, monkeypatch
):
    from opentelemetry import trace

    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        with monkeypatch.context() as before:
            before.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
            made.embed(TEXTS)
        assert watch.ours == []
        made.embed(TEXTS)
    assert len(watch.ours) == 1


def test_threads_that_call_first_together_make_the_instruments_once(watch, emulator, caplog):
    with (
        EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made,
        ThreadPoolExecutor(8) as pool,
    ):
        list(pool.map(lambda _: made.embed(TEXTS), range(16)))
    assert len(watch.ours) == 16
    assert caplog.records == []


# ---------------------------------------------------------------- troubles


class Broken:
    """A provider of somebody's that fails."""

    def get_tracer(self, *_, **__):
        raise RuntimeError("a private text")


def test_a_provider_that_fails_costs_no_vector_and_is_told_once(
    watch, emulator, monkeypatch, caplog
):
    from openrouter_embed.telemetry import observation

    observation._complain.cache_clear()
    watch.tracers = Broken()
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        for _ in range(2):
            assert np.isfinite(made.embed(TEXTS).vectors).all()
    watch.tracers = Watchless()
    (line,) = [record for record in caplog.records if record.name == "openrouter_embed"]
    assert line.getMessage() == "OpenTelemetry failed with RuntimeError; calls go on unseen."
    assert line.levelname == "WARNING"


class Hostile:
    """Does what another thing does, but for one method, which fails."""

    def __init__(self, thing, method):
        self._thing, self._method = thing, method

    def __getattr__(self, name):
        if name == self._method:
            raise RuntimeError("a private text")
        found = getattr(self._thing, name)
        if name not in ("start_span", "get_tracer", "get_meter", "create_histogram"):
            return found
        return lambda *given, **named: Hostile(found(*given, **named), self._method)


@pytest.mark.parametrize(
    "method",
    [
        "get_tracer", "get_meter", "create_histogram", "record", "start_span", "is_recording",
        "set_attributes", "set_status", "end",
    ],
)  # fmt: skip
def test_no_method_that_fails_costs_a_vector_or_hides_an_error(watch, emulator, method):
    tracers, meters = watch.tracers, watch.meters
    watch.tracers, watch.meters = Hostile(tracers, method), Hostile(meters, method)
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        assert made.embed(TEXTS).ok.all()
        with pytest.raises(ConfigurationError):
            made.embed(TEXTS, on_error="odd")
    watch.tracers, watch.meters = tracers, meters
    assert not trace.get_current_span().get_span_context().is_valid


class Watchless:
    """Nothing to shut down."""

    def shutdown(self):
        """Do nothing."""


def test_what_nobody_watches_is_one_shared_context():
    from openrouter_embed.options.settings import make_settings

    settings = make_settings({"model": "m"}, {}, key_required=False)
    assert telemetry.observe(settings) is telemetry.UNSEEN
    assert telemetry.observe(settings.replace(telemetry=False)) is telemetry.UNSEEN
