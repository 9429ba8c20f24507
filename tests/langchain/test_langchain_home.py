"""What LangChain's users pass out of habit, through every method that takes texts or images."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from habits import COLUMNS, NO_LISTS, TEXTS, sent
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from PIL import Image
from pydantic import BaseModel

from langchain_openrouter_embed import OpenRouterEmbeddings
from openrouter_embed import ConfigurationError

GEMINI = "google/gemini-embedding-2"


async def _array(embeddings, texts):
    return (await embeddings.aembed_documents_array(texts)).tolist()


async def _sync_array(embeddings, texts):
    return embeddings.embed_documents_array(texts).tolist()


async def _sync(embeddings, texts):
    return embeddings.embed_documents(texts)


async def _async(embeddings, texts):
    return await embeddings.aembed_documents(texts)


DOORS = {
    "embed_documents": _sync,
    "aembed_documents": _async,
    "embed_documents_array": _sync_array,
    "aembed_documents_array": _array,
}


@pytest.fixture(params=DOORS)
def door(request):
    return DOORS[request.param]


FORMS = [*COLUMNS, "a generator"]


@pytest.mark.parametrize("form", FORMS)
async def test_people_pass_a_column(make, emulator, door, form):
    column = (text for text in TEXTS) if form == "a generator" else COLUMNS[form]
    assert len(await door(make(), column)) == 2
    assert sent(emulator) == TEXTS


WRONG = {
    **NO_LISTS,
    "a document": (lambda: Document(page_content="one"), "pass its `page_content`"),
    "documents": (lambda: [Document(page_content="one")], "Text 0 .* Pass its `page_content`"),
}


@pytest.mark.parametrize("form", WRONG)
async def test_people_pass_what_is_no_list_of_texts(make, emulator, door, form):
    given, message = WRONG[form]
    with pytest.raises(ConfigurationError, match=message):
        await door(make(), given())
    assert emulator.stats.requests == 0


@pytest.mark.parametrize("query", [TEXTS, pd.Series(TEXTS), None, Document(page_content="one")])
async def test_people_pass_something_else_than_one_query(make, emulator, query):
    with pytest.raises(ConfigurationError, match="`text` must be one string"):
        make().embed_query(query)
    with pytest.raises(ConfigurationError, match="`text` must be one string"):
        await make().aembed_query(query)
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
    embeddings = make(model=GEMINI, dimensions=128)
    assert len(embeddings.embed_image([image])) == 1
    assert len(await embeddings.aembed_image([image])) == 1
    assert all("data:image/png;base64," in str(content) for content in sent(emulator))


# ---------------------------------------------------------------- the object in other programs


class Pipeline(BaseModel):
    """A model of somebody's that holds one."""

    name: str
    embeddings: OpenRouterEmbeddings


def test_people_ask_for_the_json_schema_of_a_model_that_holds_one():
    schema = Pipeline.model_json_schema()
    fields = schema["$defs"]["OpenRouterEmbeddings"]["properties"]
    assert {"model", "dimensions", "openrouter_provider"} <= set(fields)
    assert fields["openrouter_api_key"]["anyOf"][0]["format"] == "password"


def test_people_keep_one_in_a_checkpoint(make, adopt, emulator, monkeypatch):
    """LangGraph's serializer tries the constructor, then `model_construct`."""
    kept = make(dimensions=None, timeout=7.0).model_dump()
    with pytest.raises(ConfigurationError, match="API key"):
        OpenRouterEmbeddings(**kept)
    embeddings = adopt(OpenRouterEmbeddings.model_construct(**kept))
    assert embeddings.request_timeout == 7.0
    assert embeddings.usage.requests == 0
    with pytest.raises(ConfigurationError, match="API key"):
        embeddings.embed_query("a")
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-test")
    assert len(embeddings.embed_query("a")) == 384


def test_people_construct_one_with_a_key_of_its_own(adopt, emulator):
    embeddings = adopt(
        OpenRouterEmbeddings.model_construct(
            model="sentence-transformers/all-minilm-l6-v2",
            api_key="sk-test",
            base_url=emulator.base_url,
        )
    )
    assert len(embeddings.embed_query("a")) == 384


async def test_people_hand_a_chain_s_dict_to_a_retriever(make, emulator):
    retriever = InMemoryVectorStore(make()).as_retriever()
    with pytest.raises(ConfigurationError, match=r"`itemgetter\('question'\) \| retriever`"):
        retriever.invoke({"question": "one"})
    with pytest.raises(ConfigurationError, match=r"such as `d\['question'\]`"):
        await make().aembed_query({"question": "one"})
    assert emulator.stats.requests == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"one", "`data.decode()`"),
        (5, "`str(value)`"),
        ({"text": "one"}, "`d['text']`"),
        (["one"], "one flat list"),
    ],
)
def test_what_is_no_text_is_told_how_to_become_one(make, text, said):
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        make().embed_documents([text])
