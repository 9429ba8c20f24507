"""What ends a job, what is one row's fault, and how either is told far away.

Rules of this file:
- A batch of which nothing arrived is no success, however patient the caller: a job that goes on
  would write nulls to its end.
- Vectors do not travel with an error, and positions within a batch mean nothing elsewhere: rows are
  named.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Final

from openrouter_embed.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CacheMissError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingError,
    InsufficientCreditsError,
    NotFoundError,
    PermissionDeniedError,
)
from openrouter_embed.guard import bare, restate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALWAYS: Final = (
    AuthenticationError,
    BudgetExceededError,
    ClientClosedError,
    DeadlineExceededError,
    InsufficientCreditsError,
    NotFoundError,
)
"""What every other row will meet as well."""
UNSENT: Final = (ConfigurationError, CacheMissError)
"""What was found out here, without asking anybody."""
REFUSALS: Final = (BadRequestError, PermissionDeniedError)
"""What can be one text's own fault."""


def fatal(failures: Mapping[int, EmbeddingError], count: int) -> EmbeddingError | None:
    """Return the failure that must end the job, if there is one.

    Args:
        failures: Position → what befell it.
        count: How many texts there were.
    """
    every = list(failures.values())
    always = next((error for error in every if isinstance(error, ALWAYS)), None)
    sent = [error for error in every if not isinstance(error, UNSENT)]
    if always is not None or not sent or len(every) < count:
        return always
    alone = len(sent) == 1 and isinstance(sent[0], REFUSALS)
    return None if alone else sent[0]


def for_driver(error: EmbeddingError, names: Sequence[str] | None) -> EmbeddingError:
    """Return an error as it should reach the driver: rows named, all said in the message.

    Args:
        error: As the client raised it.
        names: What the texts of the call are called; `None` if nothing names them.
    """
    told = copy.copy(error)
    told.result = None
    restate(told, renamed(error.message, names) + _figures(error))
    return bare(told)


def reason(error: EmbeddingError, names: Sequence[str] | None) -> str:
    """Return why a row has no vector, as one sentence that begins with the error's name."""
    return f"{type(error).__name__}: {renamed(error.message, names)}{_figures(error)}"


def _figures(error: EmbeddingError) -> str:
    """Say what travels as an attribute elsewhere."""
    status = f"status {error.status}" if isinstance(error, APIError) else ""
    sent = f"{error.attempts} attempt{'s' * (error.attempts != 1)}" if error.attempts else ""
    after = "" if error.retry_after is None else f"retry after {error.retry_after:g} s"
    said = ", ".join(filter(None, (status, sent, after)))
    return f" ({said})" if said else ""


_INPUT: Final = re.compile(r"\bInput (\d+)\b")
_INDEX: Final = re.compile(r"\(index (\d+(?:, \d+)*)(, …)?\)")


def renamed(message: str, names: Sequence[str] | None) -> str:
    """Name rows instead of positions within a batch."""

    def name(position: str) -> str:
        at = int(position)
        return position if names is None or at >= len(names) else names[at]

    where = " of the batch" if names is None else ""
    message = _INPUT.sub(lambda found: f"Row {name(found[1])}{where}", message)
    return _INDEX.sub(
        lambda found: f"(rows {', '.join(map(name, found[1].split(', ')))}{found[2] or ''}{where})",
        message,
    )
