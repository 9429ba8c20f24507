"""Texts out of a table of pyarrow, vectors into one.

Rules of this file:
- A matrix becomes a column as it lies in memory; rows are copied only where some have no vector.
- pyarrow has no types and need not be installed: here it is `Any`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

NULL: Final = "null: there is no text"
EMPTY: Final = "empty: the text has no characters"
NO_VECTORS: Final = np.zeros((0, 0), np.float32)


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        pass
    raise ConfigurationError("Tables need pyarrow: pip install 'openrouter-embed[ray]'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The texts of a column.

    Attributes:
        count: Rows of the table.
        values: The texts that can be sent.
        at: Their rows.
        missing: Row → why it has none.
    """

    count: int
    values: list[str]
    at: Sequence[int]
    missing: Mapping[int, str]


def read_texts(table: Any, column: str, *, empty_too: bool) -> Texts:
    """Read a column of strings.

    Args:
        table: A table or record batch of pyarrow.
        column: The column's name.
        empty_too: Whether empty texts can be sent as well.

    Raises:
        ConfigurationError: There is no such column, or it holds something else.
    """
    found = find_column(table, column)
    if not _is_text(found.type):
        raise ConfigurationError(
            f"Column `{column}` holds {printable(str(found.type), 80)}: texts are strings."
        )
    values: list[str | None] = found.to_pylist()
    missing = {at: NULL for at, text in enumerate(values) if text is None}
    if not empty_too:
        missing |= {at: EMPTY for at, text in enumerate(values) if text == ""}
    sent: Sequence[int] = range(len(values))
    if missing:
        sent = [at for at in sent if at not in missing]
    texts = [text for text in values if text is not None and (text or empty_too)]
    return Texts(count=len(values), values=texts, at=sent, missing=missing)


def read_names(table: Any, column: str | None, rows: Sequence[int]) -> list[str] | None:
    """Return what rows are called in messages; `None` if nothing names them.

    Args:
        table: A table or record batch of pyarrow.
        column: The column that names them; without one, `id` if there is such a column.
        rows: Those that are asked for.

    Raises:
        ConfigurationError: There is no such column.
    """
    if column is None and "id" not in table.schema.names:
        return None
    found = find_column(table, column or "id")
    return [printable(str(found[at].as_py()), 80) for at in rows]


def find_column(table: Any, name: str) -> Any:
    """Return a column by its name.

    Raises:
        ConfigurationError: There is no such column; lists those that are.
    """
    names: list[str] = table.schema.names
    if name in names:
        return table.column(names.index(name))
    shown = ", ".join(f"`{printable(each, 40)}`" for each in names[:20]) or "none"
    raise ConfigurationError(f"There is no column `{printable(name, 40)}`; there are: {shown}.")


def _is_text(kind: Any) -> bool:
    types = _pyarrow().types
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    names = ("is_string", "is_large_string", "is_string_view", "is_null")
    return any(hasattr(types, name) and getattr(types, name)(kind) for name in names)


def vector_column(
    texts: Texts, vectors: NDArray[np.float32], lost: Sequence[int], width: int
) -> Any:
    """Return a column of float32 vectors of one width, null where there is none.

    Args:
        texts: What was read.
        vectors: float32 `(len(texts.values), d)`; `d` may be 0 if none arrived.
        lost: Rows of the table whose text was sent in vain.
        width: The width where no vector tells it; 0 where nobody knows, which gives nulls alone.
    """
    pa = _pyarrow()
    if not len(vectors) or not vectors.shape[1]:
        return pa.nulls(texts.count, pa.list_(pa.float32(), width) if width else pa.null())
    gone = [*texts.missing, *lost]
    if not gone:
        return _fixed(np.ascontiguousarray(vectors), None)
    rows = np.zeros((texts.count, vectors.shape[1]), np.float32)
    rows[np.asarray(texts.at, np.intp)] = vectors
    rows[gone] = 0.0
    mask = np.zeros(texts.count, np.bool_)
    mask[gone] = True
    return _fixed(rows, mask)


def _fixed(rows: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> Any:
    pa = _pyarrow()
    nulls = None if mask is None else pa.array(mask)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1], mask=nulls)


def reason_column(count: int, reasons: Mapping[int, str]) -> Any:
    """Return a column of sentences, null where nothing is wrong."""
    pa = _pyarrow()
    if not reasons:
        return pa.nulls(count, pa.string())
    return pa.array([reasons.get(at) for at in range(count)], pa.string())


def check_new(table: Any, names: Sequence[str]) -> None:
    """Refuse names of columns that are taken.

    Raises:
        ConfigurationError: One of them is.
    """
    for name in names:
        if name in table.schema.names:
            raise ConfigurationError(
                f"There is a column `{printable(name, 40)}` already: choose another `output`, or "
                "drop it first."
            )


def with_columns(table: Any, columns: Mapping[str, Any]) -> Any:
    """Return a table with more columns."""
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table
