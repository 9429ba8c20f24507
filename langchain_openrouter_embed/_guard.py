"""The transport's guard for coroutines, typed as the coroutine function that it is.

Tools that record local variables with a traceback must find neither texts nor keys in our frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from openrouter_embed import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import CoroutineType

P = ParamSpec("P")
R = TypeVar("R")


def aguarded(call: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, CoroutineType[Any, Any, R]]:
    """Let errors of ours leave without frames that hold inputs or the key."""
    # `asyncio.run` and LangChain's base class ask for a coroutine, not for any awaitable.
    return cast("Callable[P, CoroutineType[Any, Any, R]]", errors.aguarded(call))
