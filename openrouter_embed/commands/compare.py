"""`openrouter-embed compare`: models compared on the texts of a file.

Rules of this file:
- It reads files and prints; the comparison is made elsewhere.
- With `--json` nothing but JSON goes to standard output; what is said before goes beside it.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from openrouter_embed.commands.prose import columns, wrapped
from openrouter_embed.commands.texts import FIELD, read_rows, read_texts
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.key import KEY_VARIABLE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Mapping, Sequence

    from openrouter_embed.commands.parsers import Commands


def add_compare(commands: Commands) -> None:
    """Describe the command to the parser."""
    parser = commands.add_parser(
        "compare", help="compare models on texts of your own: quality, cost, time"
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="texts: lines, .jsonl, .csv, .tsv or .parquet "
        "(default: the standard library's documentation, with questions made by hand)",
    )
    parser.add_argument(
        "--model", action="append", required=True, metavar="ID", help="a model id; give several"
    )
    parser.add_argument(
        "--queries",
        metavar="FILE",
        help="questions, as FILE; a field `relevant` names the rows they should find",
    )
    parser.add_argument("--field", default=FIELD, help="field of the texts (default: %(default)s)")
    parser.add_argument("--limit", type=int, metavar="N", help="compare on the first N texts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.limit is not None and options.limit < 1:
        raise ConfigurationError("`--limit` must be at least 1.")
    if options.file is None and options.queries is None:
        return compare_on_corpus(options.model, options.limit or 1500, [], as_json=options.json)
    if options.file is None:
        raise ConfigurationError("`--queries` asks of the texts in FILE: name it.")
    documents = read_texts(options.file, options.field)[: options.limit]
    queries, relevant = None, None
    if options.queries is not None:
        queries, relevant = _questions(options.queries, options.field, len(documents))
    return _compare(options.model, documents, queries, relevant, as_json=options.json)


def compare_on_corpus(
    models: Sequence[str], limit: int, questions: Sequence[str], *, as_json: bool = False
) -> int:
    """Compare models on the standard library's documentation, by questions made by hand."""
    from openrouter_embed.commands.corpus import labelled, read_corpus  # noqa: PLC0415 - slow

    docs = read_corpus(limit)
    queries, relevant = (list(questions), None) if questions else labelled(docs)
    return _compare(models, [doc.text for doc in docs], queries, relevant, as_json=as_json)


def _compare(
    models: Sequence[str],
    documents: Sequence[str],
    queries: Sequence[str] | None,
    relevant: Mapping[int, set[int]] | None,
    *,
    as_json: bool,
) -> int:
    from openrouter_embed.comparison import compare  # noqa: PLC0415 - loads numpy

    say = _aside if as_json else _tell
    with server(os.environ.get(KEY_VARIABLE), say) as where:
        seen = compare(models, documents, queries, relevant=relevant, say=say, **where)
    print(seen.to_json() if as_json else seen.text(columns()))
    return 0


def _questions(
    path: str, field: str, documents: int
) -> tuple[list[str], dict[int, set[int]] | None]:
    rows = list(read_rows(path))
    wanted = {at: row["relevant"] for at, row in enumerate(rows) if "relevant" in row}
    kept = {
        at: {index for index in _indexes(path, at, value) if index < documents}
        for at, value in wanted.items()
    }
    return read_texts(path, field), kept or None


def _indexes(path: str, row: int, value: object) -> Sequence[int]:
    """Read row numbers, from 0; a CSV has them as text."""
    parts: Sequence[Any] = value.split() if isinstance(value, str) else value  # type: ignore[assignment]
    try:
        return [int(part) for part in parts]
    except (TypeError, ValueError):
        message = f"`{path}`, row {row + 1}: `relevant` lists row numbers of the texts, from 0."
    raise ConfigurationError(message)


@contextmanager
def server(key: str | None, say: Any) -> Generator[dict[str, Any]]:
    """Use the API if there is a key, else a local emulator, and say so."""
    if key is not None:
        yield {}
        return
    from openrouter_embed.emulator import Emulator  # noqa: PLC0415 - only without a key

    say(
        f"No {KEY_VARIABLE} is set, so a local emulator answers: its vectors are not the models', "
        "and nothing is paid."
    )
    with Emulator() as emulator:
        yield {"api_key": "emulated", "base_url": emulator.base_url}


def _tell(text: str) -> None:
    print(wrapped(text), flush=True)


def _aside(text: str) -> None:
    print(wrapped(text), file=sys.stderr, flush=True)
