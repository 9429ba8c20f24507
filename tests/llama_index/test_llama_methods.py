"""Every method that LlamaIndex calls: right vectors, right role, one call of the client."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from llama_doubles import E5, GEMINI, PIXEL, SMALL, every_text, words
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.schema import TextNode

import llama_index_openrouter_embed
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import ConfigurationError, ImageInput, ServerError

TEXTS = ["cats purr", "dogs bark", "fish swim"]


def nodes_of(texts):
    return [TextNode(text=text) for text in texts]


def agg(vectors):
    return [float(len(vectors)), *vectors[0][:1]]


CALLS = {
    "text": (lambda m: m.get_text_embedding("t"), lambda m: m.aget_text_embedding("t"), "document"),
    "query": (
        lambda m: m.get_query_embedding("t"),
        lambda m: m.aget_query_embedding("t"),
        "query",
    ),
    "batch": (
        lambda m: m.get_text_embedding_batch(["t", "u"]),
        lambda m: m.aget_text_embedding_batch(["t", "u"]),
        "document",
    ),
    "agg": (
        lambda m: m.get_agg_embedding_from_queries(["t", "u"]),
        lambda m: m.aget_agg_embedding_from_queries(["t", "u"]),
        "query",
    ),
    "agg of one": (
        lambda m: m.get_agg_embedding_from_queries(["t"]),
        lambda m: m.aget_agg_embedding_from_queries(["t"]),
        "query",
    ),
    "private text": (
        lambda m: m._get_text_embedding("t"),
        lambda m: m._aget_text_embedding("t"),
        "document",
    ),
    "private query": (
        lambda m: m._get_query_embedding("t"),
        lambda m: m._aget_query_embedding("t"),
        "query",
    ),
    "private texts": (
        lambda m: m._get_text_embeddings(["t", "u"]),
        lambda m: m._aget_text_embeddings(["t", "u"]),
        "document",
    ),
    "transform": (
        lambda m: [n.embedding for n in m(nodes_of("tu"))],
        lambda m: _embeddings_of(m.acall(nodes_of("tu"))),
        "document",
    ),
    "image": (
        lambda m: m.get_image_embedding(BytesIO(PIXEL)),
        lambda m: m.aget_image_embedding(BytesIO(PIXEL)),
        "query",
    ),
    "images": (
        lambda m: m.get_image_embedding_batch([BytesIO(PIXEL)]),
        lambda m: m.aget_image_embedding_batch([BytesIO(PIXEL)]),
        "document",
    ),
    "private image": (
        lambda m: m._get_image_embedding(BytesIO(PIXEL)),
        lambda m: m._aget_image_embedding(BytesIO(PIXEL)),
        "query",
    ),
    "private images": (
        lambda m: m._get_image_embeddings([BytesIO(PIXEL)]),
        lambda m: m._aget_image_embeddings([BytesIO(PIXEL)]),
        "document",
    ),
    "multimodal": (
        lambda m: m.get_multimodal_embedding(["a cat", BytesIO(PIXEL)]),
        lambda m: m.aget_multimodal_embedding(["a cat", BytesIO(PIXEL)]),
        "document",
    ),
}


async def _embeddings_of(nodes):
    return [node.embedding for node in await nodes]


def test_it_is_what_llama_index_asks_for():
    assert issubclass(OpenRouterEmbedding, MultiModalEmbedding)
    assert BaseEmbedding.__name__ in [base.__name__ for base in OpenRouterEmbedding.__mro__]
    assert OpenRouterEmbedding.class_name() == "OpenRouterEmbedding"
    assert llama_index_openrouter_embed.__all__ == ["OpenRouterEmbedding"]


@pytest.mark.parametrize("name", CALLS)
async def test_sync_and_async_agree_and_embed_in_the_right_role(make, emulator, name):
    call, acall, role = CALLS[name]
    embedding = make(GEMINI)
    sync = call(embedding)
    awaited = await acall(embedding)
    assert np.allclose(sync, awaited)
    assert {request.body["input_type"] for request in emulator.requests} == {f"search_{role}"}
    assert emulator.stats.requests == 2
    await embedding.aclose()


def test_a_role_given_by_prefix_reaches_the_wire(make, emulator):
    embedding = make(E5)
    embedding.get_query_embedding("cats")
    embedding.get_text_embedding("cats")
    assert every_text(emulator) == ["query: cats", "passage: cats"]


@pytest.mark.parametrize("call", ["get_image_embedding", "get_image_embedding_batch"])
@pytest.mark.parametrize("role", ["query", "document"])
def test_an_image_can_be_embedded_in_either_role(make, emulator, call, role):
    image = BytesIO(PIXEL)
    getattr(make(GEMINI), call)([image] if call.endswith("batch") else image, role=role)
    assert emulator.requests[0].body["input_type"] == f"search_{role}"


def test_vectors_are_lists_of_floats_in_input_order(make):
    embedding = make()
    vectors = embedding.get_text_embedding_batch([*TEXTS, TEXTS[0]])
    assert type(vectors) is list
    assert type(vectors[0]) is list
    assert type(vectors[0][0]) is float
    assert vectors[0] == vectors[3]
    assert vectors[0] is not vectors[3]
    for text, vector in zip(TEXTS, vectors[:3], strict=True):
        assert np.allclose(embedding.get_text_embedding(text), vector)


def test_equal_texts_are_bought_once(make, emulator):
    make().get_text_embedding_batch(["same"] * 5)
    assert emulator.stats.inputs == 1


@pytest.mark.parametrize("queries", [["a"], ["a", "b", "c"]])
def test_several_queries_are_one_request_and_their_mean(make, emulator, queries):
    embedding = make()
    mean = embedding.get_agg_embedding_from_queries(queries)
    assert emulator.stats.requests == 1
    each = [embedding.get_query_embedding(query) for query in queries]
    assert np.allclose(mean, np.mean(each, axis=0))


async def test_the_callers_own_aggregation_is_used(make):
    embedding = make()
    assert embedding.get_agg_embedding_from_queries(["a", "b"], agg)[0] == 2.0
    assert (await embedding.aget_agg_embedding_from_queries(["a", "b"], agg))[0] == 2.0
    await embedding.aclose()


async def test_no_texts_give_no_vectors_and_no_request(make, emulator):
    embedding = make()
    assert embedding.get_text_embedding_batch([]) == []
    assert await embedding.aget_text_embedding_batch([]) == []
    assert embedding.get_image_embedding_batch([]) == []
    assert embedding([]) == []
    with pytest.raises(ValueError, match="No embeddings to aggregate"):
        embedding.get_agg_embedding_from_queries([], agg_fn=_mean)
    assert emulator.stats.requests == 0


def _mean(vectors):
    if not vectors:
        raise ValueError("No embeddings to aggregate")
    return vectors[0]


def test_similarity_is_inherited(make):
    assert make().similarity([1.0, 0.0], [1.0, 0.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("abc", "`texts` must be a list"),
        (["a", None], "Text 1 is a NoneType"),
        ([["a"]], "Text 0 is a list"),
    ],
)
def test_what_is_no_text_is_refused_before_anything_is_sent(make, emulator, texts, message):
    with pytest.raises(ConfigurationError, match=message):
        make().get_text_embedding_batch(texts)
    assert emulator.stats.requests == 0


def test_empty_texts_are_refused_by_position_unless_zeros_are_asked_for(make):
    with pytest.raises(ConfigurationError, match="index 1"):
        make().get_text_embedding_batch(["a", ""])
    vectors = make(empty="zeros").get_text_embedding_batch(["a", ""])
    assert vectors[1] == [0.0] * 64


# ---------------------------------------------------------------------- concurrency


def test_one_plain_sync_batch_keeps_many_requests_in_flight(make, emulate):
    server = emulate(latency=0.2)
    embedding = make(server=server, embed_batch_size=10)
    embedding.get_text_embedding_batch([f"text {i}" for i in range(160)])
    assert server.stats.requests == 16
    assert server.stats.peak_in_flight >= 8


@pytest.mark.parametrize("workers", [1, 3])
async def test_num_workers_caps_the_requests_in_flight_of_both_sides(make, emulate, workers):
    server = emulate(latency=0.05)
    embedding = make(server=server, num_workers=workers, embed_batch_size=2)
    texts = [f"text {i}" for i in range(12)]
    await asyncio.to_thread(embedding.get_text_embedding_batch, texts)
    await embedding.aget_text_embedding_batch(texts)
    assert server.stats.peak_in_flight == workers
    await embedding.aclose()


def test_a_batch_size_that_was_given_bounds_the_requests(make, emulator):
    make(embed_batch_size=4).get_text_embedding_batch([str(i) for i in range(10)])
    assert max(len(words(request.body)) for request in emulator.requests) <= 4


def test_private_methods_split_any_number_of_texts(make, emulator):
    vectors = make(max_batch_inputs=50, dimensions=8)._get_text_embeddings(
        [f"sentence {i}" for i in range(500)]
    )
    assert len(vectors) == 500
    assert emulator.stats.requests >= 10


def test_one_object_serves_several_event_loops_in_turn(make):
    embedding = make()
    first = [asyncio.run(embedding.aget_text_embedding("x")) for _ in range(3)]
    assert first[0] == first[1] == first[2]


async def test_sync_calls_work_inside_a_running_loop(make):
    embedding = make()
    assert embedding.get_text_embedding("x") == await embedding.aget_text_embedding("x")
    await embedding.aclose()


def test_one_object_serves_32_threads(make):
    embedding = make()
    want = {str(i): embedding.get_text_embedding(str(i)) for i in range(32)}
    barrier = threading.Barrier(32)

    def work(i):
        barrier.wait()
        return embedding.get_text_embedding(str(i))

    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(work, range(32)))
    assert all(np.allclose(want[str(i)], vector) for i, vector in enumerate(got))
    assert embedding.usage.requests == 64


async def test_usage_is_shared_by_sync_and_async(make):
    embedding = make()
    embedding.get_text_embedding("x")
    await embedding.aget_text_embedding("y")
    assert embedding.usage.requests == 2
    assert embedding.usage.inputs == 2
    assert embedding.usage.cost > 0
    await embedding.aclose()


# ---------------------------------------------------------------------- images


def test_an_image_comes_as_path_buffer_or_url(make, emulator, tmp_path):
    path = tmp_path / "pixel.png"
    path.write_bytes(PIXEL)
    embedding = make(GEMINI)
    data = ImageInput.from_bytes(PIXEL).url
    images = [str(path), path, BytesIO(PIXEL), data, ImageInput.from_bytes(PIXEL)]
    vectors = embedding.get_image_embedding_batch(images)
    assert all(vector == vectors[0] for vector in vectors)
    sent = emulator.requests[0].body["input"]
    assert sent == [{"content": [{"type": "image_url", "image_url": {"url": data}}]}]


def test_an_https_image_is_not_fetched_here(make, emulator):
    make(GEMINI).get_image_embedding("https://example.invalid/cat.png")
    part = emulator.requests[0].body["input"][0]["content"][0]
    assert part["image_url"]["url"] == "https://example.invalid/cat.png"


def test_a_buffer_is_read_whole_wherever_it_stands(make):
    embedding = make(GEMINI)
    read = BytesIO(PIXEL)
    read.read()
    assert embedding.get_image_embedding(read) == embedding.get_image_embedding(BytesIO(PIXEL))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("file:///etc/passwd", "`file:` URLs are not opened"),
        ("FILE:/etc/passwd", "`file:` URLs are not opened"),
        ("http://example.invalid/cat.png", "https://"),
        ("/no/such/image.png", "cannot be read"),
        (BytesIO(b"no image"), "no PNG"),
        (12, "A int is no image"),
    ],
)
async def test_what_is_no_usable_image_is_refused(make, emulator, image, message):
    embedding = make(GEMINI)
    with pytest.raises(ConfigurationError, match=message):
        embedding.get_image_embedding(image)
    with pytest.raises(ConfigurationError, match="Image 1: .*" + message):
        await embedding.aget_image_embedding_batch([BytesIO(PIXEL), image])
    assert emulator.stats.requests == 0


def test_one_image_where_a_list_belongs_is_refused_and_an_iterator_is_not(make):
    embedding = make(GEMINI)
    for image in ("a.png", BytesIO(PIXEL), PIXEL):
        with pytest.raises(ConfigurationError, match="`images` must be a list"):
            embedding.get_image_embedding_batch(image)
    assert len(embedding.get_image_embedding_batch(BytesIO(PIXEL) for _ in range(2))) == 2


def test_an_iterator_of_texts_or_nodes_loses_nothing(make):
    embedding = make()
    assert len(embedding.get_text_embedding_batch(iter(TEXTS))) == 3
    nodes = embedding(iter(nodes_of(TEXTS)))
    assert all(node.embedding for node in nodes)


def test_texts_and_images_make_one_joint_vector(make, emulator):
    embedding = make(GEMINI)
    vector = embedding.get_multimodal_embedding(["a cat", BytesIO(PIXEL)], role="query")
    assert len(vector) == 3072
    content = emulator.requests[0].body["input"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    with pytest.raises(ConfigurationError, match="`parts` must be a list"):
        embedding.get_multimodal_embedding("a cat")


# ---------------------------------------------------------------------- life


def test_a_closed_object_refuses_and_closing_again_is_harmless(make):
    embedding = make()
    with embedding as entered:
        entered.get_text_embedding("x")
    embedding.close()
    with pytest.raises(llama_error("ClientClosedError")):
        embedding.get_text_embedding("x")


async def test_an_async_context_closes_too(make):
    async with make() as embedding:
        await embedding.aget_text_embedding("x")
    with pytest.raises(llama_error("ClientClosedError")):
        await embedding.aget_text_embedding("x")


def llama_error(name):
    import openrouter_embed

    return getattr(openrouter_embed, name)


def test_progress_counts_texts_and_tells_the_users_listener_as_well(make, capsys):
    heard = []
    embedding = make(on_progress=heard.append, embed_batch_size=5)
    embedding.get_text_embedding_batch([str(i) for i in range(20)], show_progress=True)
    shown = capsys.readouterr().err
    assert "Generating embeddings" in shown
    assert "20/20" in shown
    assert len(heard) == 4


async def test_progress_is_shown_by_async_calls_too(make, capsys):
    embedding = make()
    await embedding.aget_text_embedding_batch(["a", "b"], show_progress=True)
    assert "2/2" in capsys.readouterr().err
    await embedding.aclose()


def test_the_bar_moves_while_the_call_is_under_way(make, monkeypatch):
    import tqdm.auto

    moves = []

    class Bar(tqdm.auto.tqdm):
        def update(self, n=1):
            moves.append(n)
            return super().update(n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    make(embed_batch_size=5).get_text_embedding_batch(
        [str(i) for i in range(20)], show_progress=True
    )
    assert moves == [5, 5, 5, 5, 0]


def test_a_failure_carries_what_arrived(make, emulate):
    def faults(number, body):
        return (500, {}, b"{}") if "bad" in body["input"] else None

    server = emulate(faults=faults)
    embedding = make(server=server, embed_batch_size=1, num_workers=1)
    with pytest.raises(ServerError) as caught:
        embedding.get_text_embedding_batch(["good", "bad", "never"])
    assert caught.value.result.ok.tolist() == [True, False, False]


def test_the_default_model_name_is_required():
    with pytest.raises(ConfigurationError):
        OpenRouterEmbedding(api_key="x")
    assert OpenRouterEmbedding(model=SMALL, api_key="x").model_name == SMALL


# ---------------------------------------------------------------------- on the wire


def test_texts_are_sent_as_they_are(make, emulator):
    text = " two lines\nand a tab\t, spaces at both ends "
    make().get_text_embedding(text)
    assert every_text(emulator) == [text]


def test_vectors_go_where_their_index_says(make, emulate):
    def shuffled(number, body):
        data = [
            {"object": "embedding", "embedding": [float(at + 1)] * 64, "index": at}
            for at in reversed(range(len(body["input"])))
        ]
        answer = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1}}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    vectors = make(server=emulate(faults=shuffled)).get_text_embedding_batch(TEXTS)
    assert [vector[0] for vector in vectors] == [1.0, 2.0, 3.0]


def test_requests_are_bounded_by_tokens(make, emulator):
    texts = [f"{number} " + "several words more " * 10 for number in range(20)]
    make(max_batch_tokens=200).get_text_embedding_batch(texts)
    assert emulator.stats.requests >= 4  # one, without the limit
    assert emulator.stats.inputs == 20


def test_a_failing_server_gets_the_retries_asked_for_and_no_more(make, emulate):
    server = emulate(faults=lambda *_: (500, {"Retry-After": "0"}, b"{}"))
    with pytest.raises(ServerError) as caught:
        make(server=server, max_retries=2).get_text_embedding("x")
    assert server.stats.requests == caught.value.attempts == 3


async def test_both_sides_ask_for_the_same_width(make, emulator):
    embedding = make(dimensions=32)
    embedding.get_query_embedding("x")
    await embedding.aget_query_embedding("y")
    await embedding.aget_text_embedding_batch(["z"])
    assert [request.body["dimensions"] for request in emulator.requests] == [32, 32, 32]
    await embedding.aclose()


@pytest.mark.parametrize("option", ["dimensions", "input_type", "role", "query_prefix"])
async def test_what_would_change_vectors_is_not_ignored_in_a_call(make, emulator, option):
    with pytest.raises(ConfigurationError, match=f"`{option}` is no option of a call"):
        make().get_text_embedding_batch(["a"], **{option: 4})
    with pytest.raises(ConfigurationError, match=f"`{option}` is no option of a call"):
        await make().aget_text_embedding_batch(["a"], **{option: 4})
    assert emulator.stats.requests == 0


def test_what_indexes_and_pipelines_hand_on_is_ignored_in_a_call(make):
    assert len(make().get_text_embedding_batch(["a"], callback_manager=None, in_place=True)) == 1
