"""What people see of results and figures: a few lines as text, a small table in a notebook.

Rules of this file:
- No walls of numbers, no input text, no key; money is rounded, equal failures are told once.
- Every thing is shown by its facts, name and value; text and HTML are made of the same ones.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.catalogue import Estimate, KeyInfo, ModelInfo
    from openrouter_embed.result import EmbeddingResult, Usage

    Facts = list[tuple[str, str]]

SHOWN: Final = 3
"""Components of a vector that are shown at its beginning."""
INDEXES: Final = 5
"""Failed inputs that are named by their index."""


def as_printed(thing: object, printer: Any, cycle: bool) -> None:
    """Show a thing in IPython's terminal as `print` does; a class's `_repr_pretty_`."""
    printer.text("…" if cycle else str(thing))


class Vector(list[float]):
    """One vector as a list of Python floats, which shows its first numbers instead of all."""

    __slots__ = ()

    def __repr__(self) -> str:
        first = ", ".join(f"{number:.4f}" for number in self[:SHOWN])
        return f"[{first}{', …' if len(self) > SHOWN else ''}] ({len(self):,} numbers)"

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # elsewhere a list is a list


def lines(facts: Facts) -> str:
    """Return facts as lines, their names aligned."""
    room = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{room}}  {value}" for name, value in facts)


def table(facts: Facts, title: str) -> str:
    """Return facts as a table for a notebook."""
    return tables.html_table([title, ""], facts)


def facts_of_result(result: EmbeddingResult) -> Facts:
    """Return what a person wants to know of a result."""
    rows, width = result.vectors.shape
    model = result.model
    if result.upstream_model and result.upstream_model != model.rpartition("/")[2]:
        model = f"{model} (there called {result.upstream_model})"
    facts = [
        ("vectors", f"{tables.count(rows, 'row')} of {width:,} components"),
        ("model", model),
        ("hosts", ", ".join(result.providers)),
        ("usage", str(result.usage)),
        *((f"flag {name}", _indexes(found)) for name, found in result.flags.items() if found),
        *_failures(result),
    ]
    return [(name, value) for name, value in facts if value]


def _failures(result: EmbeddingResult) -> Facts:
    """Group failures by what befell them, the most frequent first."""
    told = {at: f"{type(error).__name__}: {error}" for at, error in result.failures.items()}
    return [
        ("failed", f"{_indexes([at for at, text in told.items() if text == message])}: {message}")
        for message, _ in Counter(told.values()).most_common(INDEXES)
    ]


def _indexes(found: Sequence[int]) -> str:
    shown = ", ".join(map(str, sorted(found)[:INDEXES]))
    more = ", …" if len(found) > INDEXES else ""
    return f"{tables.count(len(found), 'input')} (index {shown}{more})"


def facts_of_usage(usage: Usage) -> Facts:
    """Return what calls consumed; what did not occur is left out."""
    facts = [
        ("inputs", f"{usage.inputs:,}"),
        ("tokens", f"{usage.total_tokens:,}"),
        ("cost", tables.money(usage.cost)),
        ("billed by hosts", tables.money(usage.byok_cost) if usage.byok_cost else ""),
        ("requests", f"{usage.requests:,}"),
        ("from the cache", f"{usage.cache_hits:,}" if usage.cache_hits else ""),
        ("router cache", f"{usage.router_cache_hits:,}" if usage.router_cache_hits else ""),
    ]
    return [(name, value) for name, value in facts if value]


def facts_of_estimate(estimate: Estimate) -> Facts:
    """Return what a call should take."""
    return [
        ("inputs", f"{estimate.inputs:,}"),
        ("tokens", f"{estimate.tokens:,}"),
        ("cost", f"about {tables.money(estimate.cost)}" if estimate.cost is not None else "?"),
    ]


def facts_of_key(key: KeyInfo) -> Facts:
    """Return what is left on a key; never the key."""
    limit = "none" if key.limit is None else tables.money(key.limit)
    facts = [
        ("key", key.label),
        ("spent", tables.money(key.usage)),
        ("limit", limit),
        ("left", tables.money(key.remaining) if key.remaining is not None else ""),
        ("free requests today", _number(key.free_requests_remaining)),
    ]
    return [(name, value) for name, value in facts if value]


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def price_of(usd: float | None) -> str:
    """Return USD for a million tokens, as the command line shows it."""
    if usd is None:
        return "?"
    return f"{usd * 1e6:g}" if usd else "free"


class ModelList(list["ModelInfo"]):
    """Models as `models()` returns them: a list that a notebook shows as a table."""

    __slots__ = ()

    def __str__(self) -> str:
        return tables.text_table(*self._cells())

    _repr_pretty_ = as_printed

    def _repr_html_(self) -> str:
        return tables.html_table(*self._cells())

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        head = ["model", "$/M tokens", "context", "width", "takes"]
        return head, [
            [
                model.id,
                price_of(model.price),
                f"{model.context_length:,}" if model.context_length else "?",
                str(model.profile.dimensions or "?"),
                ", ".join(model.modalities),
            ]
            for model in self
        ]
