"""What models are compared on: queries, documents, and which of them belong together.

Rules of this file:
- Inputs are checked before anything is sent, in the words of `compare`.
- Where nobody says what is relevant, a test is made of the texts themselves, and is called that: a
  text's first sentence is the query, what follows it the document to be found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from openrouter_embed.errors import ConfigurationError

SHORTEST: Final = 20
"""Characters that a sentence, and what follows it, must have to make a test of a text."""
MOST_MADE: Final = 500
"""Texts that a self-made test is made of at most: more say little more and cost as much again."""
_SENTENCE: Final = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n\s*\n")  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Task:
    """One retrieval test.

    Attributes:
        kind: `labelled`, `self-made`, or `agreement` where nothing says what is relevant.
        documents: What is searched.
        queries: What is asked.
        relevant: For every query the documents it should find; empty sets for `agreement`.
    """

    kind: str
    documents: tuple[str, ...]
    queries: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]


def make_tasks(documents: object, queries: object, relevant: object) -> list[Task]:
    """Return the tests that the texts allow: one labelled, or what can be made without labels.

    Raises:
        ConfigurationError: A list of texts is none, or `relevant` does not fit it.
    """
    texts = _texts("documents", documents)
    asked = None if queries is None else _texts("queries", queries)
    if relevant is not None:
        if asked is None:
            raise ConfigurationError("`relevant` says what queries should find: pass `queries`.")
        return [_labelled(texts, asked, read_relevant(relevant, len(asked), len(texts)))]
    tasks = [Task("agreement", texts, asked, (frozenset[int](),) * len(asked))] if asked else []
    made = self_made(texts)
    if made is not None:
        tasks.append(made)
    if not tasks:
        raise ConfigurationError(
            "Nothing to compare by: pass `queries`, or documents of which a test can be made, at "
            f"least two that differ, each of two sentences of {SHORTEST} characters and more."
        )
    return tasks


def _texts(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise ConfigurationError(f"`{name}` must be a list of texts.")
    texts = tuple(cast("Sequence[object]", value))
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConfigurationError(f"`{name}` must hold texts, at least one, none of them empty.")
    return cast("tuple[str, ...]", texts)


def read_relevant(value: object, queries: int, documents: int) -> dict[int, frozenset[int]]:
    """Return query index → document indexes.

    Raises:
        ConfigurationError: It is no such table, or names a query or document that is not there.
    """
    table: Mapping[object, object]
    if isinstance(value, Mapping):
        table = cast("Mapping[object, object]", value)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        table = dict(enumerate(cast("Sequence[object]", value)))
    else:
        table = {}
    read = {query: _indexes(wanted) for query, wanted in table.items()}
    good = bool(read) and all(isinstance(query, int) and 0 <= query < queries for query in read)
    if not good or not all(
        wanted is not None and all(0 <= at < documents for at in wanted) for wanted in read.values()
    ):
        raise ConfigurationError(
            f"`relevant` must say which documents each query should find, as "
            f"`{{0: {{3, 7}}, 1: {{2}}}}`: indexes of the {queries} queries and the {documents} "
            "documents."
        )
    return cast("dict[int, frozenset[int]]", read)


def _indexes(value: object) -> frozenset[int] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return frozenset({value})
    if not isinstance(value, Collection) or isinstance(value, (str, bytes)):
        return None
    items = cast("Collection[object]", value)
    numbers = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
    return frozenset(numbers) if len(numbers) == len(items) else None


def _labelled(
    documents: tuple[str, ...], queries: tuple[str, ...], relevant: Mapping[int, frozenset[int]]
) -> Task:
    """Leave out queries without an answer: no model can find what is not there."""
    kept = [at for at in range(len(queries)) if relevant.get(at)]
    if not kept:
        raise ConfigurationError("`relevant` names no document for any query.")
    return Task(
        "labelled",
        documents,
        tuple(queries[at] for at in kept),
        tuple(relevant[at] for at in kept),
    )


def self_made(texts: Sequence[str]) -> Task | None:
    """Return a test made of texts, first sentence against the rest; `None` if too few have both."""
    pairs = [pair for text in dict.fromkeys(texts) if (pair := _divide(text))]
    if len(pairs) < 2:
        return None
    step = max(1.0, len(pairs) / MOST_MADE)
    chosen = [pairs[int(at * step)] for at in range(min(len(pairs), MOST_MADE))]
    return Task(
        "self-made",
        tuple(rest for _, rest in chosen),
        tuple(first for first, _ in chosen),
        tuple(frozenset({at}) for at in range(len(chosen))),
    )


def _divide(text: str) -> tuple[str, str] | None:
    parts = _SENTENCE.split(text.strip(), maxsplit=1)
    if len(parts) < 2 or min(map(len, parts)) < SHORTEST:
        return None
    return parts[0].strip(), parts[1].strip()
