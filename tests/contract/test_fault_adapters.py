"""The rows about answers, credit, cancelling and secrets, through each adapter's own methods."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
import time
import traceback
from contextlib import redirect_stderr

import pytest

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import EmbeddingError, InsufficientCreditsError, InvalidResponseError
from openrouter_embed.emulator import Emulator

MODEL = "nobody/knows-this-model"
KEY = "sk-canary-key-that-must-not-show"
TEXTS = [f"canary text number {n} that must not show" for n in range(3)]


class LangChain:
    def __init__(self, url, **options):
        self.model = OpenRouterEmbeddings(model=MODEL, api_key=KEY, base_url=url, **options)

    def embed(self, texts):
        return self.model.embed_documents(texts)

    async def aembed(self, texts):
        return await self.model.aembed_documents(texts)

    def close(self):
        self.model.close()


class LlamaIndex:
    def __init__(self, url, **options):
        self.model = OpenRouterEmbedding(model_name=MODEL, api_key=KEY, api_base=url, **options)

    def embed(self, texts):
        return self.model.get_text_embedding_batch(texts)

    async def aembed(self, texts):
        return await self.model.aget_text_embedding_batch(texts)

    def close(self):
        self.model.close()


def items(*pairs):
    return [{"embedding": row, "index": index} for index, row in pairs]


GOOD = [(0, [1.0, 0.0]), (1, [2.0, 0.0]), (2, [3.0, 0.0])]
ROWS = {
    "C7 fewer": (items(*GOOD[:2]), "count"),
    "C7 more": (items(*GOOD, (3, [4.0, 0.0])), "count"),
    "C9 twice": (items(GOOD[0], GOOD[1], GOOD[1]), "index"),
    "C9 negative": (items((-1, [1.0, 0.0]), *GOOD[1:]), "index"),
    "C9 string": (items(("0", [1.0, 0.0]), *GOOD[1:]), "index"),
    "C11 not a number": (items((0, [float("nan"), 0.0]), *GOOD[1:]), "not_finite"),
    "C11 overflow": (items((0, [1e39, 0.0]), *GOOD[1:]), "not_finite"),
    "C12 not the width asked for": (items((0, [1.0]), (1, [2.0]), (2, [3.0])), "dimension"),
    "C13 unequal": (items(*GOOD[:2], (2, [3.0])), "dimension"),
}
IN_ORDER = {
    "C8 shuffled": items(GOOD[2], GOOD[0], GOOD[1]),
    "C10 no index": [{"embedding": row} for _, row in GOOD],
}


def answer(data):
    return 200, {"Content-Type": "application/json"}, json.dumps({"data": data}).encode()


@pytest.fixture(params=[LangChain, LlamaIndex])
def adapter(request):
    """Make adapters against an emulator with scripted faults; everything ends with the test."""
    made = []

    def make(fault, **options):
        emulator = Emulator(backend="hashed", faults=fault).start()
        one = request.param(emulator.base_url, **options)
        made.append((one, emulator))
        return one, emulator

    yield make
    for one, emulator in made:
        one.close()
        emulator.stop()


def run(adapter, texts, *, native):
    return asyncio.run(adapter.aembed(texts)) if native else adapter.embed(texts)


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("row", ROWS)
def test_an_answer_that_cannot_be_trusted_is_an_error_by_its_reason(adapter, row, native):
    data, reason = ROWS[row]
    model, emulator = adapter(lambda *_: answer(data), dimensions=2, max_retries=0)
    with pytest.raises(InvalidResponseError) as caught:
        run(model, TEXTS, native=native)
    assert caught.value.reason == reason
    assert emulator.stats.requests == 1


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("row", IN_ORDER)
def test_vectors_stand_in_input_order(adapter, row, native):
    model, _ = adapter(lambda *_: answer(IN_ORDER[row]), dimensions=2)
    assert run(model, TEXTS, native=native) == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]


@pytest.mark.parametrize("native", [False, True], ids=["sync", "async"])
def test_d3_no_credit_ends_the_call_and_the_rest_is_not_sent(adapter, native):
    refusal = b'{"error":{"code":402,"message":"no credit"}}'
    model, emulator = adapter(lambda *_: (402, {}, refusal), max_batch_inputs=1, max_concurrency=2)
    with pytest.raises(InsufficientCreditsError):
        run(model, [f"text {n}" for n in range(50)], native=native)
    assert emulator.stats.requests <= 2


def test_e3_cancelling_is_immediate_and_leaves_the_adapter_usable(adapter):
    waiting = []

    async def slow(number, body):
        if number == 1:
            waiting.append(number)
            await asyncio.sleep(30)
        return answer(items(*GOOD))

    async def go(model):
        task = asyncio.create_task(model.aembed(TEXTS))
        while not waiting:  # noqa: ASYNC110 - the emulator runs in a thread of its own
            await asyncio.sleep(0.01)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begin < 1.0
        assert len(asyncio.all_tasks()) == 1
        assert len(await model.aembed(TEXTS)) == 3

    model, _ = adapter(slow, max_concurrency=1)
    asyncio.run(go(model))


def test_f3_neither_key_nor_text_shows_when_a_call_fails(adapter, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    refusal = json.dumps({"error": {"code": 400, "message": f"no: {TEXTS[0]} {KEY}"}}).encode()
    model, _ = adapter(lambda *_: (400, {}, refusal))
    printed = io.StringIO()
    with redirect_stderr(printed), pytest.raises(EmbeddingError) as caught:
        model.embed(TEXTS[:1])
    error = caught.value
    ours = [
        repr(value)
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if "openrouter_embed" in frame.f_code.co_filename
        and "tests" not in frame.f_code.co_filename
        for value in frame.f_locals.values()
    ]
    places = [str(error), repr(error), repr(error.args), caplog.text, printed.getvalue(), *ours]
    places.append(pickle.dumps(error).decode("latin-1"))
    places += [repr(model.model), str(model.model)]
    for place in places:
        assert KEY not in place
        assert "canary text" not in place
