"""The mistakes that people make most, each as code that makes it, and the table of what it says.

Rules of this file:
- A row is code that somebody might write, and a part of the message that says what to do next.
- The messages in the table are those of real runs against the emulator; none is typed here.
- Code sees every public name, both adapters, and what `_names` puts beside them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openrouter_embed.emulator import Emulator


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        what: What was done wrong, in a few words.
        code: A line that does it.
        advice: A part of the message that says what to do next.
        variables: The environment, where it matters; `None` takes a variable away.
    """

    what: str
    code: str
    advice: str
    variables: Mapping[str, str | None] | None = None


MODEL: Final = "openai/text-embedding-3-small"
PICTURE: Final = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
)
NOWHERE: Final = "http://127.0.0.1:9/api/v1"

MISTAKES: Final = (
    Mistake(
        "no key is set",
        "EmbeddingClient(model)",
        "set the environment variable OPENROUTER_API_KEY",
        {"OPENROUTER_API_KEY": None},
    ),
    Mistake(
        "the key is wrong",
        'EmbeddingClient(model, api_key="sk-or-v1-fake").embed("a text")',
        "check it at https://openrouter.ai/settings/keys",
    ),
    Mistake(
        "the model is misspelt",
        'EmbeddingClient("openai/text-embedding-3-smal").embed("a text")',
        "Did you mean `openai/text-embedding-3-small`",
    ),
    Mistake(
        "the model has no author",
        'EmbeddingClient("text-embedding-3-small").embed("a text")',
        "Did you mean `openai/text-embedding-3-small`",
    ),
    Mistake(
        "the model is for chat",
        'EmbeddingClient("openai/gpt-4o").embed("a text")',
        "`openrouter-embed models` lists",
    ),
    Mistake(
        "the key stands where the model belongs",
        'EmbeddingClient("sk-or-v1-fake")',
        "the key as `api_key=`",
    ),
    Mistake("no model is named", "OpenRouterEmbedding()", "Pass for example `model_name="),
    Mistake(
        "an option is misspelt",
        "EmbeddingClient(model, dimension=256)",
        "Did you mean `dimensions`?",
    ),
    Mistake(
        "an option has another class's name",
        "OpenRouterEmbeddings(model=model, openai_api_key=key)",
        "Did you mean `api_key`?",
    ),
    Mistake(
        "an option of the client is given to a call",
        'client.embed("a text", max_concurrency=8)',
        "pass it where the object is made",
    ),
    Mistake(
        "an option is changed later",
        "client.dimensions = 256",
        "make another client, or pass it to the call",
    ),
    Mistake(
        "a width that the model has not",
        'client.embed("a text", dimensions=4096)',
        "Leave `dimensions` out",
    ),
    Mistake(
        "a role that does not exist",
        'client.embed("a text", role="search")',
        "must be 'query', 'document' or None",
    ),
    Mistake(
        "one text is empty", 'client.embed(["a text", ""])', "remove them, or pass `empty='zeros'`"
    ),
    Mistake("one text is missing", 'client.embed(["a text", None])', "drop it, as `dropna()` does"),
    Mistake(
        "a table instead of its column",
        "client.embed(frame)",
        'pass one of its columns, such as `df["text"].tolist()`',
    ),
    Mistake(
        "a mapping instead of its text",
        'client.embed([{"text": "a text"}])',
        "pass the text itself, such as `d['text']`",
    ),
    Mistake(
        "a chain's dict instead of the question",
        'OpenRouterEmbeddings(model, api_key=key).embed_query({"question": "a text"})',
        "`itemgetter('question') | retriever`",
    ),
    Mistake(
        "several queries instead of one",
        'client.embed_query(["a text", "another"])',
        "use `embed(texts, role='query')`",
    ),
    Mistake("a text is too long", 'client.embed("word " * 9000)', "Pass `long_input='split'`"),
    Mistake("an image as a string", "client.embed(data_url)", "use `ImageInput.from_url(...)`"),
    Mistake(
        "an image for a model of texts",
        'client.embed(ImageInput.from_url("https://a.example/cat.png"))',
        "`openrouter-embed models` lists",
    ),
    Mistake(
        "a preference in the wrong place",
        'EmbeddingClient(model, extra_body={"zdr": True})',
        "pass `provider={'zdr': …}`",
    ),
    Mistake(
        "no host satisfies the preferences",
        'client.embed("a text", provider={"only": ["Nobody"]})',
        "check the `provider` preferences",
    ),
    Mistake(
        "the address lacks its path",
        'EmbeddingClient(model, base_url=origin).embed("a text")',
        "it should end in /api/v1",
    ),
    Mistake(
        "the address lacks its scheme",
        'EmbeddingClient(model, base_url="openrouter.ai/api/v1")',
        "must be an http(s) URL such as",
    ),
    Mistake(
        "the emulator is not running",
        'EmbeddingClient(model).embed("a text")',
        "start the server, or check `base_url`",
        {"OPENROUTER_API_BASE": NOWHERE},
    ),
    Mistake(
        "the client is closed already", 'client.close(); client.embed("a text")', "make a new one"
    ),
    Mistake(
        "the limit of cost is reached",
        'EmbeddingClient(model, max_cost=0.00000001).embed("a text of many words")',
        "raise `max_cost` in a new client",
    ),
    Mistake(
        "only the cache may be used, and there is none",
        'client.embed("a text", cache_only=True)',
        "needs a `cache`",
    ),
)
KEY: Final = "sk-or-v1-fake-right"


def emulator() -> Emulator:
    """Return the emulator that the mistakes are made against, not yet started."""
    from openrouter_embed.emulator import Emulator  # noqa: PLC0415 - heavy, so late

    return Emulator(backend="hashed", api_key=KEY)


def made(mistake: Mistake, base_url: str) -> Exception:
    """Make a mistake and return what is raised.

    Raises:
        AssertionError: Nothing was raised.
    """
    wanted = {"OPENROUTER_API_KEY": KEY, "OPENROUTER_API_BASE": base_url}
    wanted |= dict(mistake.variables or {})
    before = {name: os.environ.get(name) for name in wanted}
    try:
        _set(wanted)
        return _raised(mistake.code, _names(base_url))
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _names(base_url: str) -> dict[str, Any]:
    """Return what the code may use."""
    import pandas as pd  # noqa: PLC0415 - only here

    import openrouter_embed  # noqa: PLC0415 - with the others
    from langchain_openrouter_embed import OpenRouterEmbeddings  # noqa: PLC0415 - heavy
    from llama_index_openrouter_embed import OpenRouterEmbedding  # noqa: PLC0415 - heavy

    return {
        **{name: getattr(openrouter_embed, name) for name in openrouter_embed.__all__},
        "OpenRouterEmbeddings": OpenRouterEmbeddings,
        "OpenRouterEmbedding": OpenRouterEmbedding,
        "frame": pd.DataFrame({"text": ["a text"]}),
        "client": openrouter_embed.EmbeddingClient(MODEL, api_key=KEY, base_url=base_url),
        "model": MODEL,
        "data_url": PICTURE,
        "origin": base_url.removesuffix("/api/v1"),
        "key": KEY,
    }


def _raised(code: str, names: dict[str, Any]) -> Exception:
    try:
        exec(compile(code, "a mistake", "exec"), names)  # noqa: S102 - rows of this file
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    raise AssertionError(f"Nothing was raised by: {code}")


def mistakes() -> Iterable[str]:
    """Return the table: what was done, with the line that does it, and what is raised and said."""
    yield from ("| mistake | what is said |", "| --- | --- |")
    with emulator() as server:
        for row in MISTAKES:
            error = made(row, server.base_url)
            said = str(error).replace("|", "\\|").replace("\n", " ")
            yield f"| {row.what}:<br>`{row.code}` | `{type(error).__name__}`:<br>{said} |"
