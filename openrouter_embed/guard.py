"""What leaves the package: errors without frames, foreign text fit for a message.

Rules of this file:
- Nothing here knows what went wrong; it only sees to it that no input and no key goes along.
"""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, cast

from openrouter_embed.errors import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping
    from types import CoroutineType

P = ParamSpec("P")
R = TypeVar("R")

MESSAGE_LIMIT: Final = 300
"""Characters of foreign text that may enter a message."""


def printable(text: object, limit: int = MESSAGE_LIMIT) -> str:
    """Return foreign text as at most `limit` printable characters on one line."""
    if not isinstance(text, str):
        text = _shown(text) if text is not None else ""
    if len(text) <= limit and text.isprintable() and "  " not in text:
        return text.strip()
    clean = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except RecursionError:  # as deep as its reader could bear, and deeper in the caller's stack
        return "…"


def kind_of(value: object) -> str:
    """Return the name of a value's type, with a remark if it stands for a missing value."""
    hint = (
        " (a missing value in a table? drop it, as `dropna()` does)" if _is_missing(value) else ""
    )
    return f"{type(value).__name__}{hint}"


def a_kind_of(value: object) -> str:
    """Return the same with its article."""
    kind = kind_of(value)
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def _is_missing(value: object) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - NaN and NaT alone differ from themselves
    except (TypeError, ValueError):
        return not hasattr(value, "__len__")  # pandas' NA will not even say; an array has a length


def bare(error: EmbeddingError) -> EmbeddingError:
    """Cut the frames and the chain: their locals hold texts, headers and settings."""
    error.__cause__ = None
    error.__context__ = None
    return error.with_traceback(None)


def restate(error: EmbeddingError, message: str) -> None:
    """Let an error say something else, to those who print it and to those who read `message`."""
    error.message = message
    error.args = (message,)


_NAMED: Final = re.compile(r"(?<=`)[a-z_]+(?=[`=.\[])")


@contextmanager
def speaking(names: Mapping[str, str]) -> Generator[None]:
    """Let errors name options as the door that was used calls them.

    Args:
        names: The client's name of an option → the name it has there.
    """
    try:
        yield
    except EmbeddingError as error:
        said = _NAMED.sub(lambda found: names.get(found[0], found[0]), error.message)
        restate(error, said)
        raise


def guarded(call: Callable[P, R]) -> Callable[P, R]:
    """Let errors of ours leave a public function without frames that hold inputs or the key.

    Tools that record local variables with a traceback would otherwise send both to a third party.
    """

    @functools.wraps(call)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return call(*args, **kwargs)
        except EmbeddingError as error:
            caught = error
        # Outside the handler: an exception raised within it would chain to the stripped one.
        del args, kwargs
        raise bare(caught)

    return wrapper


def aguarded(call: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, CoroutineType[Any, Any, R]]:
    """Do for coroutines what `guarded` does for functions."""

    @functools.wraps(call)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except EmbeddingError as error:
            caught = error
        del args, kwargs
        raise bare(caught)

    # asyncio.run and frameworks ask for a coroutine, not for any awaitable.
    return cast("Callable[P, CoroutineType[Any, Any, R]]", wrapper)
