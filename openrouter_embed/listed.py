"""One check for every door: whether this is a list of inputs, and what to write instead of it.

Rules of this file:
- What would come apart into something else than its inputs (letters, keys, the names of columns),
  or in no order, is refused; the message shows what gives the list.
- Nothing is imported to recognise a foreign object: its shape tells.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Iterable, KeysView, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import a_kind_of

_FLAT: Final = "a list, even for one"


def as_list(values: object, name: str) -> list[Any]:
    """Return what an ordered collection holds, as a list.

    Args:
        values: Anything that holds inputs in an order: a list, a column, a generator.
        name: What the argument is called, for the message.

    Raises:
        ConfigurationError: It is no ordered collection.
    """
    advice = why_no_list(values)
    if advice:
        raise ConfigurationError(f"`{name}` must be a list, not {a_kind_of(values)}: {advice}.")
    return elements(values)


def as_texts(texts: object, name: str = "texts") -> list[str]:
    """Return texts as a list.

    Args:
        texts: Any ordered collection of strings.
        name: What the argument is called, for the message.

    Raises:
        ConfigurationError: It is none; one that holds something else is named by its index.
    """
    found = as_list(texts, name)
    for at, text in enumerate(found):
        if not isinstance(text, str):
            flat = " Pass one flat list." if _is_several(text) else ""
            raise ConfigurationError(
                f"Text {at} is {a_kind_of(text)}; texts are strings.{flat or text_hint(text)}"
            )
    return cast("list[str]", found)


def as_text(text: object, name: str) -> str:
    """Return one text.

    Args:
        text: A string.
        name: What the argument is called, for the message.

    Raises:
        ConfigurationError: It is no string.
    """
    if isinstance(text, str):
        return text
    more = " Pass one at a time." if _is_several(text) else text_hint(text)
    raise ConfigurationError(f"`{name}` must be one string, not {a_kind_of(text)}.{more}")


def _is_several(value: object) -> bool:
    return isinstance(value, (list, tuple))


def one_query(text: Any) -> Any:
    """Return one query, unless it is several.

    Raises:
        ConfigurationError: It is a list or an array of texts.
    """
    values: object = text.tolist() if hasattr(text, "tolist") else text
    several = cast("list[object]", values) if isinstance(values, (list, tuple)) else [None]
    if all(isinstance(one, str) for one in several):
        raise ConfigurationError(
            "`embed_query` takes one text: for several use `embed(texts, role='query')`."
        )
    return text


def text_hint(value: object) -> str:
    """Return a sentence on where the text of this object is, if it is known to have one."""
    holder = _holder(value)
    if holder:
        return f" Pass {holder}."
    return next((says for kind, says in _OF_KINDS if isinstance(value, kind)), "")


def _holder(value: object) -> str:
    return next((says for sign, says in _HOLDERS if hasattr(value, sign)), "")


_HOLDERS: Final = (
    ("page_content", "its `page_content`"),
    ("get_content", "its `get_content()`"),
    ("read_text", "its `read_text()`"),
)
"""An attribute that tells what an object is, and what holds its text."""


_OF_KINDS: Final = (
    (Mapping, " Pass the text in it, such as `d['text']`."),
    ((bytes, bytearray), " Pass `data.decode()`."),
    (int, " If it is meant as a text, pass `str(value)`."),
)
"""What is no text and may hold one, and how to get at it."""


def elements(values: object) -> list[Any]:
    """Return a collection's members; a column of pyarrow as plain Python objects."""
    convert: Callable[[], list[Any]] | None = getattr(values, "to_pylist", None)
    return list(cast("Iterable[Any]", values)) if convert is None else convert()


def why_no_list(values: object) -> str:
    """Return what to pass instead of something that is no ordered collection; else nothing."""
    if isinstance(values, (list, tuple)):
        return ""
    return next((advise(values) for applies, advise in _NO_LISTS if applies(values)), "")


def _is_table(values: object) -> bool:
    return hasattr(type(values), "columns")  # asking the object itself may cost a query


def _column(table: object) -> str:
    kind = type(table)
    for sign, shown in _COLUMNS:
        if hasattr(kind, sign):
            return f"one of its columns, such as `{shown}`"
    return "one of its columns"


_COLUMNS: Final = (
    ("to_pylist", 'table["text"].to_pylist()'),
    ("to_dicts", 'df["text"].to_list()'),
    ("collect", 'df.collect()["text"].to_list()'),
    ("loc", 'df["text"].tolist()'),
)
"""A method that tells whose table it is, and what makes a list of its column."""


def _is_nested_array(values: object) -> bool:
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    return isinstance(kind, str) and kind in "USOT" and getattr(values, "ndim", 1) > 1


def _is_set(values: object) -> bool:
    return isinstance(values, AbstractSet) and not isinstance(values, KeysView)


def _is_record(values: object) -> bool:
    return hasattr(type(values), "model_fields")  # pydantic's models iterate as their fields


def _is_asynchronous(values: object) -> bool:
    return isinstance(values, AsyncIterable) and not isinstance(values, Iterable)


def _says(text: str) -> Callable[[object], str]:
    return lambda _: text


_NO_LISTS: Final[tuple[tuple[Callable[[object], bool], Callable[[object], str]], ...]] = (
    (lambda v: isinstance(v, (str, bytes, bytearray, memoryview)), _says(f"pass {_FLAT}")),
    (lambda v: isinstance(v, Mapping), _says("pass `list(d.values())`")),
    (_is_set, _says("it has no order; pass a list, such as `sorted(texts)`")),
    (_is_table, lambda v: f"pass {_column(v)}"),
    (lambda v: getattr(v, "ndim", 1) == 0, _says("pass `[array.item()]`")),
    (_is_nested_array, _says("pass a flat list, such as `array.ravel().tolist()`")),
    (_is_record, lambda v: f"pass {_holder(v) or 'the texts that it holds'}"),
    (inspect.isawaitable, _says("it must be awaited first")),
    (_is_asynchronous, _says("collect it first: `[text async for text in texts]`")),
    (lambda v: not isinstance(v, Iterable), _says("pass a list of strings")),
)
"""What is no ordered collection of inputs, and what to write instead; the first that applies."""
