"""The text of lists of numbers turned into rows of float32.

A row is what the text means as doubles, rounded once to float32: the same bits by every library.

Rules of this file:
- An optional accelerator may only save time. What it refuses, and what it is known to read more
  freely than JSON, goes to the last library, which alone decides and gives the reason.
- Nothing is imported before the first answer in floats.
"""

from __future__ import annotations

import contextlib
import functools
import re
import struct
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import numpy as np

from openrouter_embed.errors import InvalidResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Texts = Sequence[memoryview]
    Read = Callable[[Texts], list[bytes]]

_FLOAT32_LE: Final = np.dtype("<f4")
_REFUSALS: Final = (ValueError, TypeError, RuntimeError, AttributeError)
"""What an accelerator raises; RuntimeError also for whole numbers that fit no 64 bits, and
AttributeError comes of what is no list."""
_SECOND_LIST: Final = re.compile(rb"\[")
_decode_numbers = msgspec.json.Decoder(list[float]).decode


def read_lists(texts: Texts) -> list[bytes]:
    """Return the numbers of each list, packed as little-endian float32.

    Args:
        texts: JSON lists, their brackets included.

    Raises:
        InvalidResponseError: A list holds something that is not a finite number. (What is too
            large for a float32 becomes infinity.)
    """
    with np.errstate(over="ignore"):
        with contextlib.suppress(*_REFUSALS):
            return fastest()(texts)
        return _read_strictly(texts)


def read_list(text: memoryview, at: int) -> bytes:
    """Do what `read_lists` does for one list, which is item `at` of its answer."""
    with np.errstate(over="ignore"):
        return _read_one(text, at)


@functools.cache
def fastest() -> Read:
    """Return the reader of the fastest library that this machine has."""
    return next(read for load in LIBRARIES.values() if (read := load()) is not None)


def _load_simdjson() -> Read | None:
    """Return a reader that makes no Python objects of numbers; half the time of the next."""
    try:
        from simdjson import Parser  # noqa: PLC0415 - an optional extra, wanted for floats only
    except (ImportError, RuntimeError):  # it raises the latter where its compiled part is missing
        return None
    new_parser = cast("Callable[[], Any]", Parser)

    def read(texts: Texts) -> list[bytes]:
        parser = new_parser()  # of this call alone: a parser is not for two threads
        return [_pack(parser.parse(_flat(text)).as_buffer(of_type="d")) for text in texts]

    with contextlib.suppress(*_REFUSALS):
        if read([memoryview(_PROBE)]) == _read_strictly([memoryview(_PROBE)]):
            return read
    return None  # another package of that name, or another interface


_PROBE: Final = b"[0.1,-2,3e-5]"


def _flat(text: memoryview) -> memoryview:
    """Refuse a list within a list: the numbers of both would be read as one."""
    if _SECOND_LIST.search(text, 1) is not None:
        raise ValueError
    return text


def _load_msgspec() -> Read:
    return _read_strictly


def _read_strictly(texts: Texts) -> list[bytes]:
    return [_read_one(text, at) for at, text in enumerate(texts)]


def _read_one(text: memoryview, at: int) -> bytes:
    try:
        numbers = _decode_numbers(text)
    except (msgspec.DecodeError, RecursionError) as error:
        finite = "out of range" not in str(error)
    else:
        # Packed for numpy, which takes three times as long to read numbers from a list.
        return _pack(struct.pack(f"{len(numbers)}d", *numbers))
    raise InvalidResponseError(
        f"Item {at} of the answer holds something that is not a "
        f"{'number' if finite else 'finite number'}.",
        reason="component" if finite else "not_finite",
        index=at,
    )


def _pack(doubles: Any) -> bytes:
    return np.frombuffer(doubles).astype(_FLOAT32_LE).tobytes()


LIBRARIES: Final[dict[str, Callable[[], Read | None]]] = {
    "simdjson": _load_simdjson,
    "msgspec": _load_msgspec,
}
"""From fast to slow; the first that is there reads an answer, the last one judges what is left."""
