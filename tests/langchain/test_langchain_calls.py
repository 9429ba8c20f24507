"""What goes on the wire and what comes back, method by method, sync and async."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from openrouter_embed import (
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    ImageInput,
    InsufficientCreditsError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
)
from openrouter_embed.emulator import Emulator

E5 = "intfloat/e5-base-v2"
VOYAGE = "voyageai/voyage-4"
VISION = "voyageai/voyage-multimodal-3.5"
SMALL = "openai/text-embedding-3-small"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DATA_URL = "data:image/png;base64," + base64.b64encode(PNG).decode()

METHODS = {
    "embed_documents": ("document", lambda e, **o: e.embed_documents(texts=["text"], **o)[0]),
    "embed_query": ("query", lambda e, **o: e.embed_query(text="text", **o)),
    "embed_documents_array": (
        "document",
        lambda e, **o: e.embed_documents_array(texts=["text"], **o)[0].tolist(),
    ),
    "aembed_documents": (
        "document",
        lambda e, **o: asyncio.run(e.aembed_documents(texts=["text"], **o))[0],
    ),
    "aembed_query": ("query", lambda e, **o: asyncio.run(e.aembed_query(text="text", **o))),
    "aembed_documents_array": (
        "document",
        lambda e, **o: asyncio.run(e.aembed_documents_array(texts=["text"], **o))[0].tolist(),
    ),
}
every_method = pytest.mark.parametrize(("role", "call"), METHODS.values(), ids=METHODS)


@every_method
def test_models_with_prefixes_get_the_methods_prefix(role, call, make, emulator):
    call(make(model=E5))
    (request,) = emulator.requests
    assert request.body["input"] == [{"query": "query: text", "document": "passage: text"}[role]]
    assert "input_type" not in request.body


@every_method
def test_models_with_input_types_get_the_methods_type(role, call, make, emulator):
    call(make(model=VOYAGE))
    (request,) = emulator.requests
    assert request.body["input_type"] == role
    assert request.body["input"] == ["text"]


@every_method
def test_input_type_can_be_set_for_one_call(role, call, make, emulator):
    embeddings = make(model=VOYAGE)
    call(embeddings, input_type="document" if role == "query" else "query")
    call(embeddings, input_type=None)
    call(embeddings)
    types = [request.body.get("input_type") for request in emulator.requests]
    assert types == ["document" if role == "query" else "query", None, role]


@every_method
def test_options_can_be_set_for_one_call(role, call, make):
    embeddings = make(model=SMALL)
    assert len(call(embeddings, dimensions=8)) == 8
    assert len(call(embeddings)) == 1536


@every_method
def test_aliases_can_be_used_for_one_call(role, call, make, emulator):
    call(
        make(),
        request_timeout=5.0,
        model_kwargs={"newer": {"a": 1}},
        openrouter_provider={"allow_fallbacks": True},
        chunk_size=4,
    )
    (request,) = emulator.requests
    assert request.body["newer"] == {"a": 1}
    assert request.body["provider"] == {"allow_fallbacks": True}


@every_method
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"dimension": 3}, "Did you mean `dimensions`"),
        ({"api_key": "sk-x"}, "where the object is made"),
        ({"role": "query"}, "the method decides"),
        ({"on_error": "return"}, "every vector or raise"),
        ({"timeout": 3.0, "request_timeout": 3.0}, "one option"),
        ({"dimensions": 0}, "dimensions"),
    ],
)
def test_a_wrong_override_is_refused(role, call, override, message, make):
    with pytest.raises(ConfigurationError, match=message):
        call(make(base_url="http://127.0.0.1:9/v1"), **override)


@every_method
def test_vectors_are_lists_of_finite_python_floats(role, call, make):
    vector = call(make())
    assert type(vector) is list
    assert {type(x) for x in vector} == {float}
    assert all(map(math.isfinite, vector))


def test_order_is_kept_and_equal_texts_get_equal_vectors(make):
    embeddings = make(chunk_size=3)
    texts = [f"text number {n % 40}" for n in range(100)]
    rows = embeddings.embed_documents(texts)
    assert len(rows) == 100
    for at in (0, 39, 40, 99):
        assert np.allclose(rows[at], embeddings.embed_documents([texts[at]])[0], atol=1e-6)
    assert rows[3] == rows[43]


async def test_sync_and_async_agree(make):
    embeddings = make()
    texts = ["one", "two"]
    array = embeddings.embed_documents_array(texts)
    assert array.dtype == np.float32
    assert array.shape == (2, 384)
    assert embeddings.embed_documents(texts) == array.tolist()
    assert await embeddings.aembed_documents(texts) == array.tolist()
    assert np.array_equal(await embeddings.aembed_documents_array(texts), array)


async def test_no_texts_give_no_vectors_and_no_request(make, emulator):
    embeddings = make()
    assert embeddings.embed_documents([]) == []
    assert await embeddings.aembed_documents([]) == []
    assert embeddings.embed_documents_array([]).shape == (0, 0)
    assert embeddings.embed_image([]) == []
    assert emulator.stats.requests == 0


class FakeDocument:
    page_content = "text"


@pytest.mark.parametrize(
    "texts", ["text", b"text", None, 3, {"a": 1}, {"a"}, ["a", None], [1, 2], [["a"]], ["a", ""]]
)
async def test_what_is_no_list_of_texts_is_refused_unsent(texts, make, emulator):
    embeddings = make()
    for method in (embeddings.embed_documents, embeddings.embed_documents_array):
        with pytest.raises(ConfigurationError):
            method(texts)
    with pytest.raises(ConfigurationError):
        await embeddings.aembed_documents(texts)
    assert emulator.stats.requests == 0


@pytest.mark.parametrize("text", [None, 3, ["a"], [1, 2], b"a", ""])
async def test_a_query_is_one_string(text, make, emulator):
    embeddings = make()
    with pytest.raises(ConfigurationError):
        embeddings.embed_query(text)
    with pytest.raises(ConfigurationError):
        await embeddings.aembed_query(text)
    assert emulator.stats.requests == 0


def test_a_document_object_is_told_from_its_text(make):
    with pytest.raises(ConfigurationError, match=r"Text 1 is a FakeDocument.*page_content"):
        make().embed_documents(["text", FakeDocument()])


def test_any_ordered_iterable_of_texts_will_do(make):
    embeddings = make()
    rows = embeddings.embed_documents(("a", "b"))
    assert embeddings.embed_documents(text for text in "ab") == rows
    assert embeddings.embed_documents(np.array(["a", "b"])) == rows


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(PNG)
    return path


async def test_images_come_from_paths_and_data_urls(make, image, emulator):
    embeddings = make(model=VISION)
    places = [str(image), image, DATA_URL, ImageInput.from_bytes(PNG)]
    rows = embeddings.embed_image(places)
    assert [len(row) for row in rows] == [1024] * 4
    assert type(rows[0][0]) is float
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert await embeddings.aembed_image(places) == rows
    (part,) = emulator.requests[0].body["input"][0]["content"]
    assert part == {"type": "image_url", "image_url": {"url": DATA_URL}}


async def test_an_https_image_is_left_for_the_host_to_fetch(make, emulator):
    url = "https://images.example/cat.png"
    embeddings = make(model=VISION)
    embeddings.embed_image([url])
    await embeddings.aembed_image([url])
    for request in emulator.requests:
        assert request.body["input"][0]["content"][0]["image_url"]["url"] == url


async def test_images_are_documents_unless_they_are_queries(make, emulator):
    embeddings = make(model=VISION)
    embeddings.embed_image([DATA_URL])
    embeddings.embed_image([DATA_URL], role="query")
    await embeddings.aembed_image([DATA_URL])
    await embeddings.aembed_image([DATA_URL], role="query")
    types = [request.body["input_type"] for request in emulator.requests]
    assert types == ["document", "query"] * 2


@pytest.mark.parametrize(
    ("uris", "message"),
    [
        (["file:///etc/hostname"], "`file:` URLs are not opened"),
        (["FILE:/etc/hostname"], "`file:` URLs are not opened"),
        (["http://images.example/cat.png"], "https://"),
        (["ftp://images.example/cat.png"], "https://"),
        ([DATA_URL, "/nowhere/cat.png"], r"Image 1: .*cannot be read"),
        ([DATA_URL, 3], "Image 1: A int is no image"),
        (["data:text/plain,hello"], "Image 0: "),
        (DATA_URL, "must be a list"),
    ],
)
async def test_what_is_no_image_is_refused_unsent(uris, message, make, emulator):
    embeddings = make(model=VISION)
    with pytest.raises(ConfigurationError, match=message):
        embeddings.embed_image(uris)
    with pytest.raises(ConfigurationError, match=message):
        await embeddings.aembed_image(uris)
    assert emulator.stats.requests == 0


def test_a_text_file_is_not_sent_as_an_image(make, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("private")
    with pytest.raises(ConfigurationError, match="no PNG"):
        make(model=VISION).embed_image([str(path)])


def test_one_object_serves_several_event_loops_in_turn(make):
    embeddings = make()
    rows = [asyncio.run(embeddings.aembed_query("text")) for _ in range(3)]
    assert rows[0] == rows[1] == rows[2]


async def test_sync_methods_work_inside_a_running_loop(make):
    embeddings = make()
    assert len(embeddings.embed_query("text")) == 384
    assert len(embeddings.embed_documents(["a", "b"])) == 2


def test_one_object_serves_many_threads(make):
    embeddings = make()
    barrier = threading.Barrier(32)

    def work(number):
        barrier.wait()
        return embeddings.embed_documents([f"text {number}", "common"])

    with ThreadPoolExecutor(32) as pool:
        rows = list(pool.map(work, range(32)))
    for number in (0, 13, 31):
        alone = embeddings.embed_documents([f"text {number}", "common"])
        assert np.allclose(rows[number], alone, atol=1e-6)


async def test_many_tasks_and_other_loops_share_one_object(make):
    embeddings = make()

    def elsewhere():
        return asyncio.run(embeddings.aembed_query("text"))

    rows = await asyncio.gather(
        *(embeddings.aembed_query("text") for _ in range(16)),
        *(asyncio.to_thread(elsewhere) for _ in range(4)),
    )
    assert all(np.allclose(row, rows[0], atol=1e-6) for row in rows)


def test_one_call_sends_requests_at_once(make):
    with Emulator(backend="hashed", latency=0.2) as slow:
        texts = [f"text {n}" for n in range(8)]
        make(base_url=slow.base_url, chunk_size=1).embed_documents(texts)
        assert slow.stats.peak_in_flight > 2


def test_one_asynchronous_call_sends_requests_at_once(make):
    with Emulator(backend="hashed", latency=0.2) as slow:
        texts = [f"text {n}" for n in range(8)]
        asyncio.run(make(base_url=slow.base_url, chunk_size=1).aembed_documents(texts))
        assert slow.stats.peak_in_flight > 2


def test_max_concurrency_binds_sync_and_async_sides_together(make):
    with Emulator(backend="hashed", latency=0.1) as slow:
        embeddings = make(base_url=slow.base_url, chunk_size=1, max_concurrency=2)
        texts = [f"text {n}" for n in range(6)]
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(embeddings.embed_documents, texts)
            asyncio.run(embeddings.aembed_documents(texts))
            other.result()
        assert slow.stats.peak_in_flight == 2


async def test_usage_adds_up_over_both_sides(make, emulator):
    embeddings = make()
    assert embeddings.usage.requests == 0
    embeddings.embed_query("text")
    await embeddings.aembed_documents(["text", "other"])
    usage = embeddings.usage
    assert (usage.requests, usage.inputs) == (2, 3)
    assert usage.total_tokens == emulator.stats.tokens
    assert usage.cost == pytest.approx(emulator.stats.cost)


def failing(status, times=10**6):
    body = b'{"error":{"code":%d,"message":"no"}}' % status

    def fault(number, _):
        return (status, {}, body) if number <= times else None

    return fault


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (429, RateLimitError),
        (500, ServerError),
    ],
)
def test_a_refusal_is_the_transports_own_error(status, kind, make):
    with Emulator(backend="hashed", faults=failing(status)) as broken:
        embeddings = make(base_url=broken.base_url, max_retries=0)
        with pytest.raises(kind) as caught:
            embeddings.embed_query("text")
        assert caught.value.status == status
        with pytest.raises(kind):
            asyncio.run(embeddings.aembed_query("text"))


def test_a_passing_failure_is_retried(make):
    with Emulator(backend="hashed", faults=failing(503, times=1)) as broken:
        assert len(make(base_url=broken.base_url).embed_query("text")) == 384
        assert broken.stats.requests == 2


def test_a_deadline_can_be_set_for_one_call(make):
    with Emulator(backend="hashed", latency=5.0) as slow:
        embeddings = make(base_url=slow.base_url)
        with pytest.raises(DeadlineExceededError):
            embeddings.embed_query("text", deadline=0.2)
        with pytest.raises(DeadlineExceededError):
            asyncio.run(embeddings.aembed_query("text", deadline=0.2))


def short_answer(number, body):
    """A 200 that holds a vector less than was asked for."""
    rows = [
        {"object": "embedding", "index": at, "embedding": [1.0] * 4}
        for at in range(len(body["input"]) - 1)
    ]
    answer = {"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 1}}
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


async def test_a_short_answer_is_an_error_and_never_fewer_vectors(make):
    with Emulator(backend="hashed", faults=short_answer) as broken:
        embeddings = make(base_url=broken.base_url, max_retries=0)
        for method in (embeddings.embed_documents, embeddings.embed_documents_array):
            with pytest.raises(InvalidResponseError):
                method(["a", "b", "c"])
        with pytest.raises(InvalidResponseError):
            await embeddings.aembed_documents(["a", "b", "c"])


def backward_answer(number, body):
    """A 200 whose vectors come last first, as their `index` says."""
    rows = [
        {"object": "embedding", "index": at, "embedding": [float(text), 1.0]}
        for at, text in reversed([*enumerate(body["input"])])
    ]
    answer = {"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 1}}
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


async def test_vectors_go_where_their_index_says(make):
    with Emulator(backend="hashed", faults=backward_answer) as backward:
        embeddings = make(model="acme/new", base_url=backward.base_url)
        rows = embeddings.embed_documents(["1", "2", "3"])
        assert [row[0] for row in rows] == [1.0, 2.0, 3.0]
        assert await embeddings.aembed_documents(["1", "2", "3"]) == rows
        assert [len(request.body["input"]) for request in backward.requests] == [3, 3]


def test_what_was_paid_for_is_in_the_error(make):
    def fault(number, body):
        bad = "bad" in body["input"]
        return (402, {}, b'{"error":{"code":402,"message":"no"}}') if bad else None

    with Emulator(backend="hashed", faults=fault) as broken:
        embeddings = make(base_url=broken.base_url, chunk_size=1, max_concurrency=1)
        with pytest.raises(InsufficientCreditsError) as caught:
            embeddings.embed_documents(["good", "bad", "never"])
        assert caught.value.result.ok.tolist() == [True, False, False]


def test_closing_twice_is_harmless_and_ends_the_object(make):
    embeddings = make()
    embeddings.embed_query("text")
    embeddings.close()
    embeddings.close()
    with pytest.raises(ClientClosedError):
        embeddings.embed_query("text")


async def test_closing_asynchronously_closes_both_sides(make):
    embeddings = make()
    embeddings.embed_query("text")
    await embeddings.aembed_query("text")
    await embeddings.aclose()
    await embeddings.aclose()
    with pytest.raises(ClientClosedError):
        await embeddings.aembed_query("text")
    with pytest.raises(ClientClosedError):
        embeddings.embed_query("text")


async def test_closing_ends_the_calls_in_flight(make):
    arrived = threading.Event()

    async def stall(number, body):
        arrived.set()
        await asyncio.sleep(30)

    with Emulator(backend="hashed", faults=stall) as slow:
        embeddings = make(base_url=slow.base_url)
        task = asyncio.create_task(embeddings.aembed_query("text"))
        assert await asyncio.to_thread(arrived.wait, 10)
        await embeddings.aclose()
        with pytest.raises(ClientClosedError):
            await task


async def test_with_blocks_close(make):
    with make() as embeddings:
        embeddings.embed_query("text")
    async with make() as other:
        await other.aembed_query("text")
    for closed in (embeddings, other):
        with pytest.raises(ClientClosedError):
            closed.embed_query("text")


def test_a_progress_bar_appears_only_where_wanted(make, capsys):
    quiet, loud = make(), make(show_progress_bar=True)
    quiet.embed_documents(["a"])
    loud.embed_documents(["a"], show_progress_bar=False)
    assert capsys.readouterr().err == ""
    loud.embed_documents(["a", "b"])
    assert "2/2" in capsys.readouterr().err
    asyncio.run(quiet.aembed_documents(["a", "b", "c"], show_progress_bar=True))
    assert "3/3" in capsys.readouterr().err


def test_every_error_is_one_family(make):
    with pytest.raises(EmbeddingError):
        make().embed_documents("text")
    assert issubclass(ConfigurationError, ValueError)
