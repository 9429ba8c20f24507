"""What a call gives back: vectors, and what they cost.

Rules of this file:
- numpy first: the matrix is the result, Python lists are made only when asked for.
- A row that failed is NaN and listed; reading it as a list is an error, never a silent NaN.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, SupportsIndex, cast

import numpy as np

from openrouter_embed import display
from openrouter_embed.display import Vector
from openrouter_embed.errors import EmbeddingError
from openrouter_embed.lists import empty_lists, write_lists

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray


UNIT_TOLERANCE: Final = 5e-3
"""How far from 1 a length may be: hosts round (up to 0.0003 was seen), others scale (0.986)."""


def is_unit(row: NDArray[np.float32]) -> bool | None:
    """Whether a vector has unit length; `None` for zeros."""
    length = float(np.linalg.norm(row.astype(np.float64)))
    return abs(length - 1) <= UNIT_TOLERANCE if length else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What calls consumed; `+` adds two of them.

    Attributes:
        prompt_tokens: Tokens the API reports.
        total_tokens: Tokens the API bills.
        cost: USD, the sum of what was reported; `None` where something was bought and nothing was
            reported, 0.0 where nothing was bought.
        byok_cost: USD that hosts bill by themselves, where they are reached with a key of your own
            (BYOK): then `cost` is OpenRouter's fee alone.
        requests: HTTP requests sent, retries included.
        inputs: Distinct inputs whose vectors were bought or found in a cache.
        cache_hits: Of those, how many came out of a cache.
        router_cache_hits: Requests that OpenRouter answered out of its own response cache, at no
            cost and with no tokens counted.
    """

    prompt_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = 0.0
    byok_cost: float = 0.0
    requests: int = 0
    inputs: int = 0
    cache_hits: int = 0
    router_cache_hits: int = 0

    @property
    def billed(self) -> float | None:
        """USD in all, whoever bills them; `None` where nothing was reported."""
        return None if self.cost is None else self.cost + self.byok_cost

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cost=_total(self.cost, other.cost),
            byok_cost=self.byok_cost + other.byok_cost,
            requests=self.requests + other.requests,
            inputs=self.inputs + other.inputs,
            cache_hits=self.cache_hits + other.cache_hits,
            router_cache_hits=self.router_cache_hits + other.router_cache_hits,
        )

    def __radd__(self, other: object) -> Usage:
        """Let `sum` begin with its 0."""
        return self if other == 0 else NotImplemented

    def __str__(self) -> str:
        cost = "cost unknown" if self.cost is None else f"${_shown(self.cost)}"
        said = [_many(self.total_tokens, "token"), cost, _many(self.requests, "request")]
        hits = f"{self.cache_hits:,} of {self.inputs:,} inputs from the cache"
        return ", ".join([*said, *([hits] if self.cache_hits else [])])

    _repr_pretty_ = display.as_printed

    def _repr_html_(self) -> str:
        return display.table(display.facts_of_usage(self), "Usage")


def _total(mine: float | None, theirs: float | None) -> float | None:
    """Add what was reported; nothing but nothing and what is not known is not known."""
    told = (mine or 0.0) + (theirs or 0.0)
    return told if told or None not in (mine, theirs) else None


def _shown(dollars: float) -> str:
    """Write USD with four decimals, or with two figures where that would hide all of it."""
    if dollars >= 0.0001 or not dollars:
        return f"{dollars:.4f}"
    return f"{dollars:.{1 - math.floor(math.log10(dollars))}f}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddingResult:
    """The vectors of one call, in input order.

    Attributes:
        vectors: float32 `(n, d)`; rows that failed are NaN; `(0, 0)` for no inputs.
        failures: Input index → the error that befell it.
        usage: Tokens, USD and requests of this call.
        model: The id that was asked for.
        upstream_model: What the host calls the model.
        providers: Hosts that served, in order of first appearance.
        request_ids: The API's ids of the answers.
        flags: Remarks about rows, name → sorted input indexes: `zero` (all components are 0),
            `unindexed` (the answer named no positions, its order was trusted), `split` (the mean of
            its parts), `truncated` (of its beginning alone).
        start: Index of the first input within a stream; 0 for a plain call.
        space: The name of the space that the vectors live in; see `EmbeddingClient.vector_space`.
    """

    vectors: NDArray[np.float32] = field(repr=False)
    failures: Mapping[int, EmbeddingError] = field(default_factory=dict[int, EmbeddingError])
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    upstream_model: str = ""
    providers: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = field(default=(), repr=False)
    flags: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])
    start: int = 0
    space: str = ""
    prepared: list[list[float]] | None = field(default=None, repr=False)
    """The vectors as lists, if asked for with `lists=True`; `tolist` hands them out once."""

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which rows hold a vector: bool `(n,)`."""
        mask = np.ones(len(self.vectors), dtype=np.bool_)
        mask[list(self.failures)] = False
        return mask

    @property
    def unit_length(self) -> bool | None:
        """Whether vectors have unit length, judged by the first; `None` if there is none."""
        rows = (row for at, row in enumerate(self.vectors) if at not in self.failures and row.any())
        return next((is_unit(row) for row in rows), None)

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: int) -> list[float]:
        """Return one vector as Python floats.

        Raises:
            EmbeddingError: The error that befell this input.
            IndexError: There is no such input.
            TypeError: It is no single index.
        """
        if type(index) is not int and not isinstance(cast(object, index), SupportsIndex):
            raise TypeError("One index gives one vector; for several use `.vectors[0:1]`.")
        at = index + len(self) if index < 0 else index
        if at in self.failures:
            raise copy.copy(self.failures[at])  # raising would add frames to the listed one
        return Vector(self.vectors[index].tolist())

    def __iter__(self) -> Iterator[list[float]]:
        return (self[at] for at in range(len(self)))

    def tolist(self) -> list[list[float]]:
        """Return every vector as Python floats, in input order.

        Raises:
            EmbeddingError: The first failed input's error, if any failed.
        """
        if self.failures:
            raise copy.copy(self.failures[min(self.failures)])
        rows = self.prepared
        if rows is None:
            rows = empty_lists(len(self))
            write_lists(self.vectors, rows)
            return rows
        object.__setattr__(self, "prepared", None)  # the next caller gets lists of its own
        return rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result to a `.npz` file of numpy's: vectors, usage, failures and origin.

        Raises:
            OSError: The file cannot be written; what was there before is still there.
        """
        from openrouter_embed.saving import save  # noqa: PLC0415 - few need it

        save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EmbeddingResult:
        """Read a result that `save` wrote; nothing in the file is executed.

        Raises:
            OSError: There is no such file, or it cannot be read.
            ConfigurationError: It holds no saved result, or one of a later version.
        """
        from openrouter_embed.saving import load  # noqa: PLC0415 - few need it

        return load(path)

    def search(self, query: Any, k: int = 5) -> list[tuple[int, float]]:
        """Return the rows most similar to a query, best first, each with its cosine.

        Args:
            query: One vector, or a result of one input.
            k: How many rows.

        Raises:
            ConfigurationError: The query is not one vector of this width, or `k` is no count.
        """
        from openrouter_embed.search import nearest  # noqa: PLC0415 - few need it

        return nearest(self.vectors, query, k)

    def quantize(self, kind: Literal["int8", "binary"]) -> NDArray[Any]:
        """Return the vectors in a quarter (`int8`) or a thirty-second (`binary`) of their bytes.

        `int8` gives int8 `(n, d)`, each row stretched to -127…127, which keeps its direction;
        `binary` the signs, packed to uint8 `(n, ceil(d / 8))`.

        Raises:
            ConfigurationError: The kind is another.
            EmbeddingError: The first failed input's error, if any failed.
        """
        from openrouter_embed.search import quantize  # noqa: PLC0415 - few need it

        if self.failures:
            raise copy.copy(self.failures[min(self.failures)])
        return quantize(self.vectors, kind)

    def __str__(self) -> str:
        return display.lines(display.facts_of_result(self))

    _repr_pretty_ = display.as_printed

    def _repr_html_(self) -> str:
        return display.table(display.facts_of_result(self), "EmbeddingResult")

    def __repr__(self) -> str:
        rows, width = self.vectors.shape
        return (
            f"EmbeddingResult({rows} x {width}, failures={len(self.failures)}, "
            f"model={self.model!r}, usage={self.usage!r})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a call has come.

    Attributes:
        done: Inputs settled, failed ones included.
        total: Inputs of the call; `None` where an iterable has no known length.
        usage: What the call has consumed so far.
    """

    done: int
    total: int | None
    usage: Usage
