"""What a scenario is, and the checks that scenarios share.

Rules of this file:
- Plain data and plain asserts; the scenarios themselves stand in `cassette_scenarios`.
- What the live service decides (tokens, price, which host) is asserted loosely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cassette_faults import ACCOUNT, Faults, first

QUESTION = "How does a cassette replay an exchange?"
PASSAGE = "A cassette answers a request with what was recorded for it."

WELL = first()
Check = Callable[[Sequence[Any]], None]


@dataclass(frozen=True)
class Call:
    """One method call on the object under test, and the error it must end in, if any."""

    method: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    raises: type[Exception] | None = None


def call(method: str, *args: Any, raises: type[Exception] | None = None, **options: Any) -> Call:
    """A `Call`, written like one."""
    return Call(method, args, options, raises)


@dataclass(frozen=True)
class Scenario:
    """One cassette.

    Attributes:
        name: Folder and file.
        shows: What the cassette is there to show.
        options: What the object under test is made with.
        calls: What is called, in order.
        check: Gets the outcome of every call: its value, or the error it was to raise.
        face: `client`, `langchain` or `llama_index`.
        faults: Answers the emulator is told to give.
        live: Whether the live service can be made to answer so, safely and cheaply.
        right_key: Whether the right key is used.
        rows: For each vector that comes out, its place among those recorded; `None` if what comes
            out is not what was recorded, row by row.
    """

    name: str
    shows: str
    options: Mapping[str, Any]
    calls: tuple[Call, ...]
    check: Check
    face: str = "client"
    faults: Faults = WELL
    live: bool = True
    right_key: bool = True
    rows: Sequence[int] | None = ()

    @property
    def folder(self) -> str:
        """What the cassette is about."""
        return self.name.partition("/")[0]

    @property
    def tokens(self) -> int:
        """At most so many tokens are paid for: a generous bound, images included."""
        sent = repr([(item.args, item.options) for item in self.calls])
        images = sent.count("ImageInput") + sent.count("data:image")
        return 64 * len(self.calls) + len(sent.encode()) + 1000 * images


# ---------------------------------------------------------------- checks


def shaped(*shapes: tuple[int, ...], norm: float | None = 1.0) -> Check:
    """Every call gave finite vectors of this shape, of about this length."""

    def check(outcomes: Sequence[Any]) -> None:
        assert len(outcomes) == len(shapes)
        for outcome, shape in zip(outcomes, shapes, strict=True):
            rows = matrix(outcome)
            assert rows.shape == (shape if len(shape) == 2 else (1, *shape))
            assert np.isfinite(rows).all()
            if norm is not None:
                np.testing.assert_allclose(np.linalg.norm(rows, axis=1), norm, atol=0.02)

    return check


def matrix(outcome: Any) -> np.ndarray[Any, Any]:
    """The vectors of an outcome, whatever shape the method gives them."""
    rows = np.asarray(getattr(outcome, "vectors", outcome), dtype=np.float32)
    return rows if rows.ndim == 2 else rows[None, :]


def refused(status: int, **attributes: Any) -> Check:
    """The one call ended in an API error with these attributes, which tells no secret."""

    def check(outcomes: Sequence[Any]) -> None:
        (error,) = outcomes
        assert error.status == status
        expected = {"http_status": status, "attempts": 1, "retry_after": None, **attributes}
        assert {name: getattr(error, name) for name in expected} == expected
        assert ACCOUNT not in str(error)
        assert PASSAGE not in str(error)

    return check


def both(*checks: Check) -> Check:
    """All of these."""

    def check(outcomes: Sequence[Any]) -> None:
        for one in checks:
            one(outcomes)

    return check
