"""Signatures and docstrings that name every option, for notebooks and `help`.

Rules of this file:
- Type checkers read `Unpack[…]`; everybody who asks the running program reads what is made here.
- Names, types and sentences come from the keywords and the table, and are written nowhere else.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openrouter_embed.options.table import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class _AsTold:
    """Stands in a signature for what the client was told."""

    def __repr__(self) -> str:
        return "<as the client>"


AS_TOLD: Final = _AsTold()
_REST: Final = re.compile(r"^( +)(?:options|overrides): .*$", re.MULTILINE)


def spelled_out(keywords: type, *, per_call: bool = False) -> Callable[[T], T]:
    """Give a function or class that takes `**options` a signature and docstring with all of them.

    Args:
        keywords: The `TypedDict` of what it takes.
        per_call: Whether an option that is not given is as the client was told.
    """

    def decorate(thing: T) -> T:
        target: Any = thing
        if not inspect.isclass(thing):
            target.__signature__ = _signature(target, keywords, per_call=per_call)
        if target.__doc__:
            target.__doc__ = _REST.sub(lambda found: _lines(found[1], keywords), target.__doc__)
        return thing

    return decorate


def _signature(call: Any, keywords: type, *, per_call: bool) -> inspect.Signature:
    plain = inspect.signature(call)
    own = [p for p in plain.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in own}
    rest = [p for p in _parameters(keywords, per_call=per_call) if p.name not in taken]
    return plain.replace(parameters=[*own, *rest])


def _parameters(keywords: type, *, per_call: bool) -> Iterator[inspect.Parameter]:
    for name, kind in keywords.__annotations__.items():
        row = OPTIONS.get(name)
        default: Any = AS_TOLD if per_call else None if row is None else row.default
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if default is dataclasses.MISSING else default,
            annotation=getattr(kind, "__forward_arg__", kind),
        )


def _lines(indent: str, keywords: type) -> str:
    told = [(name, OPTIONS[name].says) for name in keywords.__annotations__ if name in OPTIONS]
    return "\n".join(f"{indent}{name}: {says}" for name, says in told)
