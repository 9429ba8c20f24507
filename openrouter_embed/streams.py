"""A stream's inputs in parts: what may be streamed, and how it is cut.

Rules of this file:
- Nothing is read before it is wanted, and no more than one part at a time.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import AsyncIterable
from numbers import Real
from typing import TYPE_CHECKING, Final

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import a_kind_of
from openrouter_embed.listed import why_no_list

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from openrouter_embed.errors import EmbeddingError
    from openrouter_embed.inputs import Input

STREAM_INPUTS: Final = 4096
"""Inputs that a stream holds at a time: enough to fill 64 requests of 64 inputs each."""


def at_start(error: EmbeddingError, start: int) -> None:
    """Tell an error's result at which position of the stream it begins."""
    if error.result is not None:
        error.result = dataclasses.replace(error.result, start=start)


def check_stream(iterable: object, *, asynchronous: bool = False) -> None:
    """Refuse what would be taken apart into letters, keys or the names of columns.

    Raises:
        ConfigurationError: This is no ordered iterable of inputs.
    """
    if asynchronous and isinstance(iterable, AsyncIterable):
        return
    advice = why_no_list(iterable)
    if advice:
        raise ConfigurationError(
            f"`stream` takes an iterable of inputs, not {a_kind_of(iterable)}: {advice}. For one "
            "input use `embed`."
        )


def check_part(part: Sequence[Input], start: int) -> None:
    """Refuse a stream's part that `embed` would take for one input.

    Raises:
        ConfigurationError: It begins with a number.
    """
    first: object = part[0]
    if isinstance(first, Real):
        raise ConfigurationError(
            f"Input {start} is {a_kind_of(first)}: a stream's inputs are whole, token ids as lists."
        )


def parts_of(iterable: Iterable[Input]) -> Iterator[list[Input]]:
    """Yield lists of at most `STREAM_INPUTS` items of an iterable."""
    source = iter(iterable)
    while part := list(itertools.islice(source, STREAM_INPUTS)):
        yield part


async def aparts_of(
    iterable: Iterable[Input] | AsyncIterable[Input],
) -> AsyncIterator[list[Input]]:
    """Do the same for an iterable that may be asynchronous."""
    part: list[Input] = []
    if not isinstance(iterable, AsyncIterable):
        for part in parts_of(iterable):
            yield part
        return
    async for item in iterable:
        part.append(item)
        if len(part) == STREAM_INPUTS:
            yield part
            part = []
    if part:
        yield part
