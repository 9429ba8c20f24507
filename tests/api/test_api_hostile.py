"""What a hostile server, listener or limiter could do, and does not: no leak, no storm, no hang."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.server
import json
import threading
import time
import traceback
import weakref

import numpy as np
import pytest
from api_faces import SMALL

from openrouter_embed import (
    AsyncEmbeddingClient,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    EmbeddingClient,
    EmbeddingError,
    InvalidResponseError,
    RateLimitError,
)

UNKNOWN = "nobody/knows-this-model"


def reply(data, status=200, **headers):
    return status, {"Content-Type": "application/json", **headers}, json.dumps(data).encode()


def vectors(body, width=3, **extra):
    texts = body["input"]
    rows = [{"embedding": [1.0 + at] * width, "index": at} for at in range(len(texts))]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts), "cost": 0.001}
    return reply({"data": rows, "model": "m", "usage": usage, **extra})


def error(message, status=400, **more):
    return reply({"error": {"code": status, "message": message, **more}}, status)


@pytest.fixture
def unavailable():
    """A server that answers 503 to everything: what it was asked, and its URL."""
    hits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_error(503)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield hits, f"http://127.0.0.1:{server.server_port}/api/v1"
        server.shutdown()
        thread.join()


class TestPlacesAndMoney:
    def test_a_request_that_cannot_be_written_gives_its_place_back(self, make, em, monkeypatch):
        def fail(*_):
            raise MemoryError

        client = make(max_concurrency=1)
        monkeypatch.setattr("openrouter_embed.core.bodies.BodyMaker.make", fail)
        with pytest.raises(MemoryError):
            client.embed("a")
        monkeypatch.undo()
        assert len(client.embed("a", deadline=5)) == 1

    @pytest.mark.parametrize(
        "options",
        [
            {"input_type": "\udcff"},
            {"input_type": np.str_("query")},
            {"extra_body": {"tag": object()}},
            {"extra_body": {"tag": float("nan")}},
            {"extra_body": {"x": {(1, 2): 1}}},
        ],
    )
    def test_options_that_json_cannot_carry_are_refused_before_anything_is_sent(
        self, make, em, options
    ):
        client = make()
        with pytest.raises(ConfigurationError):
            client.embed("a", **options)
        assert em.stats.requests == 0

    def test_names_from_numpy_are_plain_names_on_the_wire(self, make, em):
        make(provider={"only": [np.str_("OpenAI")]}).embed("a")
        assert em.requests[0].body["provider"] == {"only": ["OpenAI"]}

    def test_what_a_refused_answer_cost_is_counted(self, make, emulate):
        bad = reply({"data": [{"embedding": [1.0], "index": 5}], "usage": {"cost": 0.5}})
        client = make(base_url=emulate(faults=lambda *_: bad).base_url)
        with pytest.raises(InvalidResponseError):
            client.embed("a")
        assert client.usage.cost == 0.5

    def test_a_number_too_large_for_any_float_counts_as_not_reported(self, make, emulate):
        def fault(_, body):
            status, headers, data = vectors(body)
            return (
                status,
                headers,
                data.replace(b'"prompt_tokens": 1', b'"prompt_tokens": 1' + b"0" * 400),
            )

        client = make(base_url=emulate(faults=fault).base_url)
        assert client.embed("a").usage.prompt_tokens == 0


class TestStorms:
    def test_a_retry_after_of_zero_does_not_switch_back_off_off(self, make, emulate, monkeypatch):
        waits = []
        from openrouter_embed.core import retry

        real = retry.backoff
        monkeypatch.setattr(retry, "backoff", lambda *a: waits.append(real(*a)) or 0.0)
        slow_down = lambda *_: (429, {"Retry-After": "0"}, b"{}")  # noqa: E731
        client = make(base_url=emulate(faults=slow_down).base_url, max_retries=3)
        with pytest.raises(RateLimitError):
            client.embed("a")
        assert len(waits) == 3

    def test_a_refusal_for_another_reason_is_not_taken_for_length(self, make, emulate):
        em = emulate(faults=lambda *_: error("You exceeded your current quota"))
        with pytest.raises(BadRequestError):
            make(base_url=em.base_url, long_input="split").embed("word " * 600)
        assert em.stats.requests == 1

    def test_a_text_that_is_too_long_however_short_is_not_cut_for_ever(self, make, emulate):
        em = emulate(faults=lambda *_: error("This model's maximum context length exceeded"))
        with pytest.raises(BadRequestError):
            make(UNKNOWN, base_url=em.base_url, long_input="split").embed("word " * 600)
        assert em.stats.requests <= 1 + 2 + 4 + 8

    def test_a_text_of_white_space_cannot_be_cut(self, make, emulate):
        em = emulate(faults=lambda *_: error("This model's maximum context length exceeded"))
        with pytest.raises(BadRequestError):
            make(base_url=em.base_url, long_input="split").embed("\u3000" * 60)
        assert em.stats.requests == 1

    def test_parts_of_an_input_that_has_failed_are_not_bought(self, make, emulate):
        def fault(number, body):
            if number == 1:
                return error("maximum context length", metadata={"error_type": "string_too_long"})
            return error("content refused", metadata={"error_type": "refusal"})

        em = emulate(faults=fault)
        client = make(base_url=em.base_url, long_input="split", max_concurrency=1)
        with pytest.raises(BadRequestError):
            client.embed("word " * 60_000)
        assert em.stats.requests == 2


class TestHosts:
    def test_pinning_never_widens_what_the_user_allows(self, make, emulate):
        em = emulate(faults=lambda _, body: vectors(body, provider="DeepInfra"))
        client = make(
            base_url=em.base_url, pin_provider=True, provider={"only": ["deepinfra/bf16"]}
        )
        client.embed("a")
        client.embed("b")
        assert em.requests[1].body["provider"]["only"] == ["deepinfra/bf16"]

    def test_a_pinned_host_does_not_override_the_preferences_of_one_call(self, make, emulate):
        em = emulate(faults=lambda _, body: vectors(body, provider="DeepInfra"))
        client = make(base_url=em.base_url, pin_provider=True, max_retries=0)
        client.embed("a")
        client.embed("c", provider={"only": ["Nebius"], "zdr": True})
        assert em.requests[1].body["provider"]["only"] == ["Nebius"]

    def test_vectors_of_another_width_than_before_are_refused(self, make, emulate):
        em = emulate(faults=lambda number, body: vectors(body, width=2 if number == 1 else 3))
        client = make(UNKNOWN, base_url=em.base_url)
        client.embed("a")
        with pytest.raises(InvalidResponseError, match="3 components instead of 2"):
            client.embed("b")

    def test_empty_inputs_alone_get_zeros_only_of_a_known_width(self, make, emulate):
        client = make(UNKNOWN, base_url=emulate(faults=lambda _, b: vectors(b)).base_url)
        with pytest.raises(ConfigurationError, match="dimensions="):
            client.embed([""], empty="zeros")
        client.embed("a")
        assert client.embed([""], empty="zeros").vectors.tolist() == [[0.0, 0.0, 0.0]]


class TestSecrets:
    def test_a_key_that_the_server_echoes_stands_nowhere_in_the_error(self, make, emulate):
        key = "acme-secret-token-0001"
        echo = error(f"bad key {key}", 401, metadata={"raw": f"Bearer {key}", "provider_name": key})
        client = make(base_url=emulate(faults=lambda *_: echo).base_url, api_key=key)
        with pytest.raises(AuthenticationError) as caught:
            client.embed("a")
        assert key not in str(caught.value) + repr(vars(caught.value))

    def test_a_text_of_a_joint_input_is_not_quoted_either(self, make, emulate):
        text = "a very private sentence about somebody"
        em = emulate(faults=lambda *_: error(f"bad input: {text}"))
        joint = {"content": [{"type": "text", "text": text}]}
        with pytest.raises(BadRequestError) as caught:
            make(base_url=em.base_url).embed([joint])
        assert text not in str(caught.value)

    def test_listed_failures_hold_no_frames_and_reading_them_adds_none(self, make, emulate):
        bad = reply({"data": [{"embedding": [], "index": 0}]})
        client = make(base_url=emulate(faults=lambda *_: bad).base_url)
        result = client.embed(["a secret text"], on_error="return")
        for _ in range(3):
            with pytest.raises(InvalidResponseError):
                result[0]
        assert result.failures[0].__traceback__ is None

    def test_a_failed_job_is_not_kept_alive_by_its_error(self, emulate):
        bad = reply({"data": [{"embedding": [], "index": 0}]})
        gc.collect()
        gc.disable()
        try:
            with EmbeddingClient(
                SMALL, api_key="k", base_url=emulate(faults=lambda *_: bad).base_url
            ) as c:
                seen = weakref.ref(c.embed(["a"], on_error="return").vectors)
                assert seen() is None
        finally:
            gc.enable()


class TestHangs:
    def test_a_listener_may_call_the_client_again(self, emulate):
        em = emulate(latency=0.05)
        with EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_concurrency=2) as client:
            inner = []

            def listen(progress):
                if not inner:
                    inner.append(client.embed("inner", deadline=10, on_progress=None))

            client.embed([f"t{n}" for n in range(100)], on_progress=listen, deadline=20)
            assert len(inner) == 1

    def test_a_listener_that_raises_loses_no_vector(self, make, em):
        def listen(progress):
            raise RuntimeError

        with pytest.warns(UserWarning, match="`on_progress` raised RuntimeError"):
            assert len(make(on_progress=listen).embed(["a", "b"])) == 2

    def test_a_limiter_that_cancels_does_not_hang_the_call(self, em):
        class Cancels:
            def acquire(self, tokens):
                raise AssertionError

            async def aacquire(self, tokens):
                raise asyncio.CancelledError

        async def go():
            async with AsyncEmbeddingClient(
                SMALL, api_key="k", base_url=em.base_url, limiter=Cancels(), max_retries=0
            ) as client:
                await client.embed("a")

        with pytest.raises(EmbeddingError, match="cancelled from outside"):
            asyncio.run(asyncio.wait_for(go(), 10))

    @pytest.mark.slow
    def test_a_limiter_that_swallows_its_cancellation_does_not_hold_the_deadline_up(self, em):
        class Stubborn:
            def acquire(self, tokens):
                raise AssertionError

            async def aacquire(self, tokens):
                end = time.monotonic() + 4
                while time.monotonic() < end:
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.1)

        async def go():
            client = AsyncEmbeddingClient(
                SMALL, api_key="k", base_url=em.base_url, limiter=Stubborn(), deadline=0.2
            )
            begin = time.monotonic()
            with pytest.raises(EmbeddingError):
                await client.embed("a")
            took = time.monotonic() - begin
            await client.aclose()
            return took

        assert asyncio.run(go()) < 3

    def test_what_costs_nothing_passes_no_limiter(self, make, em):
        asked = []

        class Limiter:
            def acquire(self, tokens):
                asked.append(tokens)

            async def aacquire(self, tokens):
                asked.append(tokens)

        client = make(limiter=Limiter())
        client.models()
        assert asked == []
        client.embed("a")
        assert len(asked) == 1

    def test_closing_ends_a_fetch_at_once_and_sends_nothing_more(self, unavailable, monkeypatch):
        # Long pauses: else chance may make the few attempts of a fetch end before it is closed.
        monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 7.0)
        hits, url = unavailable
        client = EmbeddingClient(SMALL, api_key="k", base_url=url, max_retries=50)
        closer = threading.Timer(0.3, client.close)
        closer.start()
        with pytest.raises(ClientClosedError):
            client.models()
        seen = len(hits)
        closer.join()
        assert len(hits) == seen >= 1

    def test_a_call_that_blocks_the_loop_does_not_wait_for_money_the_loop_would_free(self, emulate):
        em = emulate(latency=0.3)

        async def go():
            client = EmbeddingClient(SMALL, api_key="k", base_url=em.base_url, max_cost=5e-6)
            client.models()
            slow = asyncio.create_task(client.as_async().embed("word " * 80))
            await asyncio.sleep(0.1)
            with pytest.raises(BudgetExceededError):
                client.embed("word " * 80)
            await slow
            await client.aclose()

        asyncio.run(asyncio.wait_for(go(), 10))


def test_normalizing_keeps_the_largest_and_the_smallest_numbers(make, emulate):
    for value in (1e20, 1e-30):
        rows = reply({"data": [{"embedding": [value, value], "index": 0}]})
        client = make(UNKNOWN, base_url=emulate(faults=lambda *_, rows=rows: rows).base_url)
        got = client.embed("a", normalize=True).vectors
        assert np.allclose(got, 0.5**0.5)


def test_lists_and_matrix_of_one_result_cannot_differ(make, em):
    result = make().embed(["a", "b"], lists=True)
    with pytest.raises(ValueError, match="read-only"):
        result.vectors /= 2
    assert np.allclose(result.tolist(), result.vectors)


def test_an_index_written_as_a_float_is_refused(make, emulate):
    for index in (0.0, 1.5):
        bad = reply({"data": [{"embedding": [1.0], "index": index}]})
        with pytest.raises(InvalidResponseError) as caught:
            make(base_url=emulate(faults=lambda *_, bad=bad: bad).base_url).embed("a")
        assert caught.value.reason == "index"
        assert len(traceback.extract_tb(caught.value.__traceback__)) <= 6
