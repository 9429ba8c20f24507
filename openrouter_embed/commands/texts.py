"""Texts read from a file: lines, JSON lines, a column of CSV or Parquet.

Rules of this file:
- The ending of the name decides; what is wrong is told with the line it stands in.
- Empty lines of a text file are no texts; an empty field of a table is an error.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import json
import pathlib
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FIELD: Final = "text"
"""The field or column that is read unless another is named."""


def read_texts(path: str, field: str = FIELD) -> list[str]:
    """Return the texts of a file.

    Args:
        path: Its name; `.jsonl`, `.csv`, `.tsv` and `.parquet` are tables, all else is lines.
        field: The field or column that holds the text.

    Raises:
        ConfigurationError: The file cannot be read, or a row has no text.
    """
    return list(_checked(path, field, (row.get(field) for row in read_rows(path))))


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file; a line of a text file is a row whose only field is `text`.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    reader = _READERS.get(pathlib.PurePath(path).suffix.lower(), _lines)
    try:
        yield from reader(path)
    except (OSError, UnicodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        message = f"`{path}` cannot be read: {reason}."
    else:
        return
    raise ConfigurationError(message)


def _checked(path: str, field: str, values: Iterable[object]) -> Iterator[str]:
    for number, value in enumerate(values, 1):
        if not isinstance(value, str) or not value.strip():
            raise ConfigurationError(
                f"`{path}`, row {number}, has no text in `{field}`: name the field with `--field`."
            )
        yield value


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - a path as it was typed
        for line in file:
            if line.strip():
                yield {FIELD: line.strip()}


def _json_lines(path: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8-sig") as file:  # noqa: PTH123 - a path as it was typed
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _json_row(path, number, line)


def _json_row(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        row: object = json.loads(line)
    except ValueError:
        row = None
    if isinstance(row, str):
        return {FIELD: row}
    if not isinstance(row, dict):
        raise ConfigurationError(f"`{path}`, line {number}, is no JSON object.")
    return cast("dict[str, Any]", row)


def _table(delimiter: str) -> Callable[[str], Iterator[dict[str, Any]]]:
    def read(path: str) -> Iterator[dict[str, Any]]:
        with open(path, encoding="utf-8-sig", newline="") as file:  # noqa: PTH123 - as above
            yield from csv.DictReader(file, delimiter=delimiter)

    return read


def _parquet(path: str) -> Iterator[dict[str, Any]]:
    parquet: Any = None
    with contextlib.suppress(ModuleNotFoundError):
        parquet = importlib.import_module("pyarrow.parquet")  # only for such files
    if parquet is None:
        raise ConfigurationError(f"`{path}` is Parquet, which needs pyarrow: pip install pyarrow.")
    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


_READERS: Final[dict[str, Callable[[str], Iterator[dict[str, Any]]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".parquet": _parquet,
}
