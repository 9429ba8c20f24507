"""The key and the texts appear nowhere that somebody else may look."""

from __future__ import annotations

import copy
import logging
import pickle
import pprint
import traceback

import pytest
from langchain_core.load import dumps
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from langchain_openrouter_embed import OpenRouterEmbeddings
from openrouter_embed import EmbeddingError
from openrouter_embed.emulator import Emulator

KEY = "sk-or-canary-7f3a"
TEXT = "the secret text of canary 91c"


class Outer(BaseModel):
    embeddings: OpenRouterEmbeddings
    number: int = 0


def everything(error):
    """What an error shows, with the locals of every frame that is not the test's."""
    parts = [repr(error), str(error), pprint.pformat(vars(error))]
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename != __file__:
                parts += [f"{name}={value!r}" for name, value in frame.f_locals.items()]
        parts.append(repr(error))
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


@pytest.mark.parametrize("key", [KEY, SecretStr(KEY), lambda: KEY])
def test_no_view_of_the_object_shows_the_key(key, make):
    embeddings = make(api_key=key)
    views = [
        repr(embeddings),
        str(embeddings),
        pprint.pformat(vars(embeddings)),
        repr(embeddings.model_dump()),
        embeddings.model_dump_json(),
        repr(embeddings.__repr_args__()),
        repr(embeddings.to_json()),
        dumps(embeddings),
        embeddings.cache_namespace,
    ]
    assert not [view for view in views if KEY in view]
    assert KEY.encode() not in pickle.dumps(embeddings)
    assert KEY.encode() not in pickle.dumps(embeddings.model_dump())
    assert KEY.encode() not in pickle.dumps(copy.deepcopy(embeddings))


BAD = [
    {"dimensions": -1},
    {"dimension": 3},
    {"timeout": "x"},
    {"provider": {"x": 1}},
    {"openrouter_api_key": "sk-2"},
]


@pytest.mark.parametrize("wrong", BAD)
def test_no_construction_error_shows_the_key(wrong):
    with pytest.raises(EmbeddingError) as caught:
        OpenRouterEmbeddings(model="m", api_key=KEY, **wrong)
    assert KEY not in everything(caught.value)


@pytest.mark.parametrize("wrong", BAD)
@pytest.mark.parametrize(
    "construct",
    [
        OpenRouterEmbeddings.model_validate,
        TypeAdapter(OpenRouterEmbeddings).validate_python,
        lambda data: Outer(embeddings=data),
        lambda data: Outer(embeddings=data, number="x"),
    ],
)
def test_pydantics_own_ways_in_never_show_the_key(construct, wrong):
    with pytest.raises(ValidationError) as caught:
        construct({"model": "m", "api_key": KEY, **wrong})
    assert KEY not in repr(caught.value.errors())
    assert KEY not in str(caught.value)


def test_pydantics_own_ways_in_work():
    data = {"model": "m", "api_key": KEY, "timeout": 3}
    assert OpenRouterEmbeddings.model_validate(data).request_timeout == 3
    outer = Outer(embeddings=data)
    assert outer.embeddings.request_timeout == 3
    assert Outer(embeddings=outer.embeddings).embeddings is outer.embeddings
    assert KEY not in repr(outer)


def test_assigning_a_key_shows_it_to_nobody(make):
    with pytest.raises(EmbeddingError) as caught:
        make().openrouter_api_key = KEY
    assert KEY not in everything(caught.value)


def refuse(status):
    return lambda number, body: (status, {}, b'{"error":{"message":"no","code":%d}}' % status)


CALLS = {
    "embed_documents": lambda e: e.embed_documents([TEXT]),
    "embed_query": lambda e: e.embed_query(TEXT),
    "embed_documents_array": lambda e: e.embed_documents_array([TEXT]),
    "embed_image": lambda e: e.embed_image([TEXT]),
    "texts": lambda e: e.embed_documents([TEXT, 3]),
    "override": lambda e: e.embed_documents([TEXT], dimension=3),
}
ACALLS = {
    "aembed_documents": lambda e: e.aembed_documents([TEXT]),
    "aembed_query": lambda e: e.aembed_query(TEXT),
    "aembed_documents_array": lambda e: e.aembed_documents_array([TEXT]),
    "aembed_image": lambda e: e.aembed_image([TEXT]),
}


@pytest.fixture(scope="module")
def refusing():
    with Emulator(backend="hashed", faults=refuse(401)) as running:
        yield running


@pytest.mark.parametrize("call", CALLS)
def test_no_error_of_a_call_shows_key_or_text(call, make, refusing, caplog):
    caplog.set_level(logging.DEBUG)
    embeddings = make(api_key=KEY, base_url=refusing.base_url)
    with pytest.raises(EmbeddingError) as caught:
        CALLS[call](embeddings)
    shown = everything(caught.value) + caplog.text
    assert KEY not in shown
    assert TEXT not in shown
    data = pickle.dumps(caught.value)
    assert KEY.encode() not in data
    assert TEXT.encode() not in data


@pytest.mark.parametrize("call", ACALLS)
async def test_no_error_of_an_async_call_shows_key_or_text(call, make, refusing, caplog):
    caplog.set_level(logging.DEBUG)
    embeddings = make(api_key=KEY, base_url=refusing.base_url)
    with pytest.raises(EmbeddingError) as caught:
        await ACALLS[call](embeddings)
    shown = everything(caught.value) + caplog.text
    assert KEY not in shown
    assert TEXT not in shown
