"""Whatever a caller passes, the bodies on the wire are valid under the published schema."""

from __future__ import annotations

import http.client
import json
import math

import pytest
from api_faces import GEMINI, SMALL, AsyncFace, SyncFace
from api_schema import REQUEST, RESPONSE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from properties import examples

from openrouter_embed import ImageInput
from openrouter_embed.emulator import Emulator
from openrouter_embed.options.provider import PERCENTILES, QUANTIZATIONS, SORTS

KEYS = [
    "model", "input", "encoding_format", "dimensions", "user", "provider", "input_type",
    "session_id", "trace",
]  # fmt: skip
VALID = Draft202012Validator(REQUEST)

characters = st.characters(codec="utf-8")
texts = st.text(characters, min_size=1, max_size=20).filter(lambda t: t[:5].lower() != "data:")
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=10)
token_ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=5)
images = st.binary(min_size=1, max_size=9).map(
    lambda data: ImageInput.from_bytes(b"\x89PNG\r\n\x1a\n" + data)
) | words.map(lambda word: ImageInput.from_url(f"https://example.org/{word}.png"))
joint = st.tuples(texts, images).map(list)
media = st.sampled_from(["input_audio", "input_video", "input_file"]).flatmap(
    lambda kind: words.map(lambda data: {"content": [{"type": kind, kind: {"data": data}}]})
)
items = st.one_of(texts, images, joint, token_ids, media)
inputs = st.one_of(texts, images, media, token_ids, st.lists(items, max_size=8))

prices = st.floats(0, 1000, allow_subnormal=False) | st.integers(0, 1000)
numbers = st.floats(0, 1e6)
names = st.lists(st.sampled_from(["OpenAI", "deepinfra/turbo", "Nebius"]) | words, min_size=1)
cutoffs = numbers | st.dictionaries(st.sampled_from(sorted(PERCENTILES)), numbers, min_size=1)
providers = st.fixed_dictionaries(
    {},
    optional={
        "order": names,
        "only": names,
        "ignore": names,
        "allow_fallbacks": st.booleans(),
        "require_parameters": st.booleans(),
        "zdr": st.booleans(),
        "enforce_distillable_text": st.booleans(),
        "data_collection": st.sampled_from(["allow", "deny"]),
        "quantizations": st.lists(st.sampled_from(sorted(QUANTIZATIONS)), min_size=1),
        "sort": st.sampled_from(sorted(SORTS))
        | st.fixed_dictionaries(
            {"by": st.sampled_from(sorted(SORTS))},
            optional={"partition": st.sampled_from(["model", None])},
        ),
        "max_price": st.dictionaries(
            st.sampled_from(["prompt", "completion", "image", "audio", "request"]), prices
        ),
        "preferred_min_throughput": cutoffs,
        "preferred_max_latency": cutoffs,
        "options": st.dictionaries(words, st.dictionaries(words, numbers), max_size=2),
    },
)
options = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["query", "document", None]),
        "input_type": st.sampled_from(["auto", None, "classification"]),
        "model": st.sampled_from([GEMINI, "some/new-model"]),  # which take any medium
        "dimensions": st.integers(1, 16) | st.none(),
        "encoding_format": st.sampled_from(["auto", "float", "base64"]),
        "user": words | st.none(),
        "session_id": words,
        "trace": st.dictionaries(words, words, max_size=2),
        "provider": providers | st.none(),
    },
)


def say_yes(_, body):
    """Answer any request with as many vectors as it has inputs."""
    width = body.get("dimensions", 3)
    given = body["input"]
    count = 1 if isinstance(given, str) or isinstance(given[0], int) else len(given)
    data = [{"object": "embedding", "embedding": [0.5] * width, "index": i} for i in range(count)]
    answer = {"object": "list", "data": data, "model": "m"}
    return 200, {}, json.dumps(answer).encode()


@pytest.fixture(scope="module")
def yes_man():
    with Emulator(faults=say_yes) as running:
        yield running


@pytest.fixture(scope="module")
def both(yes_man):
    faces = [
        kind.make(GEMINI, api_key="k", base_url=yes_man.base_url) for kind in (SyncFace, AsyncFace)
    ]
    yield faces
    for one in faces:
        one.close()


def bodies(emulator, face, given, chosen):
    emulator.reset()
    face.embed(given, **chosen)
    # Requests of one call travel at once, so their order says nothing.
    return sorted((request.body for request in emulator.requests), key=json.dumps)


def nulls(value):
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(nulls, value)) if isinstance(value, list) else value is None


@settings(
    max_examples=examples(120),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(given=inputs, chosen=options)
def test_any_valid_call_makes_only_bodies_that_the_published_schema_allows(
    both, yes_man, given, chosen
):
    """The same bodies from both clients, nothing null, keys always in one order."""
    sync, awaited = (bodies(yes_man, face, given, chosen) for face in both)
    for body in sync:
        VALID.validate(body)
        assert not nulls(body)
        assert list(body) == [key for key in KEYS if key in body]
    assert sync == awaited
    assert [list(body) for body in sync] == [list(body) for body in awaited]


def test_the_schema_refuses_what_the_live_api_refuses():
    """The check above could not fail if its schema allowed everything."""
    good = {"model": SMALL, "input": ["a"]}
    assert VALID.is_valid(good)
    wrong = (
        {"input": ["a", {"content": []}]},
        {"encoding_format": None},
        {"encoding_format": "hex"},
        {"dimensions": "8"},
        {"dimension": 8},
        {"provider": {"onyl": ["OpenAI"]}},
        {"provider": {"data_collection": "never"}},
        {"provider": {"quantizations": ["fp5"]}},
        {"provider": {"max_price": {"prompt": 1.5}}},
        {"input": [{"content": [{"type": "image_url", "image_url": "https://x"}]}]},
        {"input": [{"content": [{"type": "smell", "smell": {"data": "x"}}]}]},
    )
    for change in wrong:
        assert not VALID.is_valid({**good, **change}), change
    assert not VALID.is_valid({"input": "a"})


def test_equal_calls_are_equal_bodies_whatever_the_order_of_options(make, em):
    """The response cache of the service compares bytes."""
    client = make()
    client.embed(["a"], dimensions=8, user="u", provider={"zdr": True, "only": ["OpenAI"]})
    client.embed(["a"], provider={"only": ["OpenAI"], "zdr": True}, user="u", dimensions=8)
    first, second = (json.dumps(request.body) for request in em.requests)
    assert first == second


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_the_emulator_answers_as_the_published_schema_says(em, encoding):
    """What the other tests learn from the emulator holds for the service it stands in for."""
    connection = http.client.HTTPConnection("127.0.0.1", em.port, timeout=10)
    body = json.dumps({"model": SMALL, "input": ["a", "b"], "encoding_format": encoding})
    connection.request("POST", "/api/v1/embeddings", body, {"Authorization": "Bearer k"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    beyond = {"provider", "is_byok", "cost_details"}  # recorded, but not in the document
    answer.pop("provider")
    answer["usage"] = {k: v for k, v in answer["usage"].items() if k not in beyond}
    Draft202012Validator(RESPONSE).validate(answer)
    assert math.isfinite(answer["usage"]["cost"])
