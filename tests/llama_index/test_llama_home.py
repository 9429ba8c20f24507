"""What LlamaIndex's users pass out of habit, through every method that takes texts or images."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from habits import COLUMNS, NO_LISTS, TEXTS, sent
from llama_doubles import E5, GEMINI
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.storage.kvstore import SimpleKVStore
from PIL import Image
from pydantic import BaseModel

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import ConfigurationError


async def _sync(embedding, texts):
    return embedding.get_text_embedding_batch(texts)


async def _async(embedding, texts):
    return await embedding.aget_text_embedding_batch(texts)


async def _private(embedding, texts):
    return embedding._get_text_embeddings(texts)


DOORS = {
    "get_text_embedding_batch": _sync,
    "aget_text_embedding_batch": _async,
    "_get_text_embeddings": _private,
}


@pytest.fixture(params=DOORS)
def door(request):
    return DOORS[request.param]


@pytest.mark.parametrize("form", COLUMNS)
async def test_people_pass_a_column(make, emulator, door, form):
    assert len(await door(make(), COLUMNS[form])) == 2
    assert sent(emulator) == TEXTS


WRONG = {
    **NO_LISTS,
    "a document": (lambda: Document(text="one"), r"pass its `get_content\(\)`"),
    "documents": (lambda: [Document(text="one")], r"Text 0 .* Pass its `get_content\(\)`"),
}


@pytest.mark.parametrize("form", WRONG)
async def test_people_pass_what_is_no_list_of_texts(make, emulator, door, form):
    given, message = WRONG[form]
    with pytest.raises(ConfigurationError, match=message):
        await door(make(), given())
    assert emulator.stats.requests == 0


@pytest.mark.parametrize("text", [TEXTS, pd.Series(TEXTS), None, Document(text="one")])
async def test_people_pass_something_else_than_one_text(make, emulator, text):
    embedding = make()
    for method in (embedding.get_text_embedding, embedding.get_query_embedding):
        with pytest.raises(ConfigurationError, match="must be one string"):
            method(text)
    for method in (embedding.aget_text_embedding, embedding.aget_query_embedding):
        with pytest.raises(ConfigurationError, match="must be one string"):
            await method(text)
    assert emulator.stats.requests == 0


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ("Data: 15 marzo 2024\n…", "Data: 15 marzo 2024\n…"),
        ("data: [DONE]", "data: [DONE]"),
        ("smile \ud83d\ude00", "smile 😀"),
    ],
)
async def test_people_embed_texts_as_they_come(make, emulator, door, given, arrives):
    assert len(await door(make(), [given])) == 1
    assert sent(emulator) == [arrives]


def test_people_index_documents_with_a_field_named_data(make, emulator):
    document = Document(text="a report", metadata={"data": "15 marzo 2024"})
    VectorStoreIndex.from_documents([document], embed_model=make())
    (text,) = sent(emulator)
    assert text.startswith("data: 15 marzo 2024")


@pytest.mark.parametrize("held", ["a path", "the text of a path", "an open image", "bytes"])
async def test_people_embed_an_image_as_they_hold_it(make, emulator, tmp_path, held):
    file = tmp_path / "picture.png"
    Image.new("RGB", (2, 2), "red").save(file)
    image = {
        "a path": lambda: file,
        "the text of a path": lambda: str(file),
        "an open image": lambda: Image.open(file),
        "bytes": file.read_bytes,
    }[held]()
    embedding = make(GEMINI, dimensions=128)
    assert len(embedding.get_image_embedding(image)) == 128
    assert len(await embedding.aget_image_embedding(image)) == 128
    assert len(embedding.get_image_embedding_batch([image])) == 1
    assert len(await embedding.aget_image_embedding_batch([image])) == 1
    if held != "the text of a path":
        assert len(embedding.get_multimodal_embedding(["a caption", image])) == 128
    assert all("data:image/png;base64," in str(content) for content in sent(emulator))


# ---------------------------------------------------------------- the object in other programs


class Pipeline(BaseModel):
    """A model of somebody's that holds one."""

    name: str
    embedding: OpenRouterEmbedding


def test_people_ask_for_the_json_schema_of_a_model_that_holds_one():
    fields = Pipeline.model_json_schema()["$defs"]["OpenRouterEmbedding"]["properties"]
    assert {"model_name", "dimensions", "provider"} <= set(fields)
    assert "api_key" not in fields


def test_people_keep_one_in_a_checkpoint(make, emulator, monkeypatch):
    """LangGraph's serializer tries the constructor, then `model_construct`."""
    kept = make().model_dump()
    with pytest.raises(ConfigurationError, match="API key"):
        OpenRouterEmbedding(**kept)
    with OpenRouterEmbedding.model_construct(**kept) as embedding:
        assert embedding.dimensions == 64
        assert embedding.usage.requests == 0
        with pytest.raises(ConfigurationError, match="API key"):
            embedding.get_query_embedding("a")
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
        assert len(embedding.get_query_embedding("a")) == 64


# ---------------------------------------------------------------- the cache of vectors


def narrow(_, body):
    """Answer with 8 components, whatever our table says of the model."""
    rows = [
        {"object": "embedding", "index": at, "embedding": [0.1] * 8}
        for at in range(len(body["input"]))
    ]
    return 200, {}, json.dumps({"data": rows, "model": body["model"]}).encode()


@pytest.mark.parametrize("door", ["sync", "async"])
async def test_people_cache_a_model_whose_vectors_are_not_as_wide_as_our_table_says(
    make, emulate, door
):
    server = emulate(faults=narrow)
    embedding = make(E5, server=server, embeddings_cache=SimpleKVStore())
    for _ in range(3):
        if door == "sync":
            vectors = embedding.get_text_embedding_batch(TEXTS)
        else:
            vectors = await embedding.aget_text_embedding_batch(TEXTS)
        assert [len(vector) for vector in vectors] == [8, 8]
    assert embedding.usage.requests == 1
