"""`aguarded` with the type that LlamaIndex's base classes demand: coroutines stay coroutines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from openrouter_embed import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

F = TypeVar("F", bound="Callable[..., Coroutine[Any, Any, Any]]")


def aguarded(call: F) -> F:
    """Let errors of ours leave a coroutine without frames that hold inputs or the key."""
    return cast("F", errors.aguarded(call))
