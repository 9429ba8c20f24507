"""The demo: one real corpus, searched through LangChain and through LlamaIndex, side by side.

Rules of this file:
- With a key it says what it will send and what that should cost before it sends anything; without
  one it starts the emulator and says so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from langchain_openrouter_embed import OpenRouterEmbeddings
from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import tables
from openrouter_embed.client import EmbeddingClient
from openrouter_embed.commands.colours import paint
from openrouter_embed.commands.compare import server
from openrouter_embed.commands.corpus import Doc, read_corpus
from openrouter_embed.commands.prose import columns, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.result import Usage

QUESTIONS: Final = (
    "How do I wrap a long line of text to a given width?",
    "Find how similar two sequences or strings are",
    "What is the median of a list of numbers?",
    "Send an email message through a mail server",
)
ANSWERS: Final = 3
WIDEST: Final = 100
"""Characters of a line that answers take at most, however wide the terminal is."""
INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Answers:
    """What one framework found.

    Attributes:
        found: For every question, (score, name) from best to worst.
        seconds: To build the index, and per question.
    """

    found: list[list[tuple[float, str]]]
    build_seconds: float
    query_seconds: float
    usage: Usage


def run(model: str, limit: int, questions: Sequence[str], key: str | None) -> int:
    """Embed the corpus through both frameworks, ask, and print the answers."""
    docs = read_corpus(limit)
    asked = list(questions) or list(QUESTIONS)
    with server(key, _quiet) as options:
        _announce(model, docs, options, live=key is not None)
        left = _langchain(model, docs, asked, options)
        right = _llama_index(model, docs, asked, options)
    for number, question in enumerate(asked):
        _show(question, left.found[number], right.found[number])
    _summary(left, right)
    return 0


def _quiet(_: str) -> None:
    """Leave it to the announcement, which says more."""


def _announce(model: str, docs: Sequence[Doc], options: dict[str, Any], *, live: bool) -> None:
    with EmbeddingClient(model, **options) as client:
        origin = urlsplit(client.settings.base_url).netloc
        estimate = client.estimate([doc.text for doc in docs])
    cost = "of unknown price" if estimate.cost is None else f"about ${2 * estimate.cost:.4f}"
    what = f"{len(docs)} texts, twice: about {2 * estimate.tokens:,} tokens, {cost}"
    if live:
        said = f"Using the API at {origin} with {model}. It will be sent {what}.\nCtrl-C to stop."
    else:
        said = (
            f"No OPENROUTER_API_KEY is set, so a local emulator answers for {model}: its vectors "
            f"are not the model's, and nothing is paid.\nLive, this would be {what}."
        )
    print(wrapped(said), flush=True)


def _langchain(
    model: str, docs: Sequence[Doc], questions: Sequence[str], options: dict[str, Any]
) -> Answers:
    print("\nLangChain, InMemoryVectorStore:")
    with OpenRouterEmbeddings(model=model, show_progress_bar=True, **options) as embeddings:
        begin = time.perf_counter()
        store = InMemoryVectorStore.from_texts(
            [doc.text for doc in docs], embeddings, [{"name": doc.name} for doc in docs]
        )
        built = time.perf_counter()
        hits = [store.similarity_search_with_score(question, ANSWERS) for question in questions]
        asked = time.perf_counter()
        found = [[(score, doc.metadata["name"]) for doc, score in part] for part in hits]
        return Answers(found, built - begin, (asked - built) / len(questions), embeddings.usage)


def _llama_index(
    model: str, docs: Sequence[Doc], questions: Sequence[str], options: dict[str, Any]
) -> Answers:
    print(wrapped("LlamaIndex, VectorStoreIndex (2,048 nodes at a time, a bar for each part):"))
    nodes = [TextNode(text=doc.text, id_=doc.name) for doc in docs]
    unique = list({node.node_id: node for node in nodes}.values())
    with OpenRouterEmbedding(model_name=model, **options) as embedding:
        begin = time.perf_counter()
        index = VectorStoreIndex(unique, embed_model=embedding, show_progress=True)
        built = time.perf_counter()
        retriever = index.as_retriever(similarity_top_k=ANSWERS)
        hits = [retriever.retrieve(question) for question in questions]
        asked = time.perf_counter()
        found = [[(hit.score or 0.0, hit.node.node_id) for hit in part] for part in hits]
        return Answers(found, built - begin, (asked - built) / len(questions), embedding.usage)


def _show(
    question: str, left: Sequence[tuple[float, str]], right: Sequence[tuple[float, str]]
) -> None:
    """Print what was found: once where both frameworks found the same, else side by side."""
    print("\n" + paint(wrapped(f"? {question}"), "bold"))
    width = min(columns(), WIDEST) - len(INDENT)
    half = width // 2
    same = [name for _, name in left] == [name for _, name in right]
    if not same:
        print(f"{INDENT}{'LangChain':<{half}}LlamaIndex")
    for one, other in zip(left, right, strict=True):
        told = _cell(one, width) if same else f"{_cell(one, half):<{half}}{_cell(other, half)}"
        print(INDENT + told.rstrip())


def _cell(hit: tuple[float, str], room: int) -> str:
    score, name = hit
    return f"{score:.3f} {_short(name, room - _FIGURES)}"


_FIGURES: Final = len("0.000 ") + len("  ")
"""Characters of a cell that are no part of a name: the score, and what parts two cells."""


def _short(name: str, room: int) -> str:
    """Drop the first parts of a dotted name until it fits; a part is broken where one is all."""
    if len(name) <= room:
        return name
    parts = name.split(".")
    while len(parts) > 1 and len(".".join(parts)) + len("….") > room:
        parts = parts[1:]
    return tables.cut("….", room) + tables.cut(".".join(parts), max(1, room - len("….")))


def _summary(left: Answers, right: Answers) -> None:
    head = ("", "index", "question*", "requests", "tokens", "cost")
    rows = [_figures("LangChain", left), _figures("LlamaIndex", right)]
    print(f"\n{tables.text_table(head, rows, columns())}\n* the search included")


def _figures(name: str, answers: Answers) -> list[str]:
    usage = answers.usage
    return [
        name,
        f"{answers.build_seconds:.2f} s",
        f"{1000 * answers.query_seconds:.0f} ms",
        str(usage.requests),
        f"{usage.total_tokens:,}",
        "?" if usage.billed is None else f"${usage.billed:.4f}",
    ]
