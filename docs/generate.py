"""Write the tables of the documentation from the code that they describe.

    python docs/generate.py           # write them
    python docs/generate.py --check   # fail if one is out of date

Rules of this file:
- Every table is one row of `TABLES`: its file, the name of its markers, what makes its lines.
- A table stands between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; nothing else changes.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Final

DOCS: Final = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS.parent / "tests" / "contract"), str(DOCS)]

import fault_rows  # noqa: E402 - see below
import home  # noqa: E402 - beside this file, as are the next two
import mistakes as likely  # noqa: E402
import questions as asked  # noqa: E402

from openrouter_embed.catalogue import ModelInfo, read_models  # noqa: E402 - see below
from openrouter_embed.commands.listing import STORED, describe_role  # noqa: E402 - the tree may not be installed
from openrouter_embed.core.verdict import Retry, Rule, rule_rows  # noqa: E402
from openrouter_embed.display import price_of  # noqa: E402
from openrouter_embed.emulator.answers import embedding_models  # noqa: E402
from openrouter_embed.options.keywords import Options  # noqa: E402
from openrouter_embed.options.models import MODALITIES, PROFILES, ModelProfile  # noqa: E402
from openrouter_embed.options.settings import Settings  # noqa: E402
from openrouter_embed.options.table import OPTIONS, Option  # noqa: E402
from openrouter_embed.telemetry.names import AT_END, AT_START, METRICS, Metric  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Lines = Callable[[], Iterable[str]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return [f"| {' | '.join(line)} |" for line in lines]


# ------------------------------------------------------------------ models.md


def profiles() -> list[str]:
    """Return the table of model profiles, the first match first."""
    head = (
        "model", "query", "document", "width", "`dimensions`", "per request", "reads",
        "special tokens", "base64", "inputs", "unit length", "source", "confidence",
    )  # fmt: skip
    return table(head, map(_profile, PROFILES))


def _profile(row: ModelProfile) -> tuple[str, ...]:
    return (
        f"`{row.pattern}`",
        _role(row, "query"),
        _role(row, "document"),
        f"{row.dimensions:,}" if row.dimensions else "?",
        _widths(row),
        f"{row.max_batch_inputs:,} inputs, {row.max_batch_tokens:,} tokens",
        f"{row.max_input_tokens:,} tokens" if row.max_input_tokens else "?",
        str(row.special_tokens),
        "yes" if row.base64 else "no",
        ", ".join(_medium(row, kind) for kind in MODALITIES if kind in row.modalities),
        {True: "yes", False: "no", None: "?"}[row.normalized],
        row.source,
        row.confidence,
    )


def _medium(row: ModelProfile, kind: str) -> str:
    tokens = row.media_tokens.get(kind)
    return kind if tokens is None else f"{kind} ({tokens} tokens)"


def _role(row: ModelProfile, role: str) -> str:
    said = describe_role(row, role)
    if said.startswith("input_type="):
        return f"`{said}`"
    return said if said == "as it is" else f"prefix `{said.removeprefix('prefix ')}`"


def _widths(row: ModelProfile) -> str:
    allowed = row.allowed_dimensions
    if allowed is None:
        return "?"
    if isinstance(allowed, range):
        return f"{allowed.start:,} to {allowed.stop - 1:,}"
    return ", ".join(f"{width:,}" for width in sorted(allowed)) or "no"


# ------------------------------------------------------------------ choosing.md


def catalogue() -> list[str]:
    """Return the stored catalogue by price: model, USD, width, context, media."""
    models = read_models({"data": embedding_models()})
    models.sort(key=lambda model: (model.price or 0.0, model.id))
    head = (f"model, in {STORED}", "USD per million tokens", "width", "reads", "takes")
    return table(head, map(_offer, models))


def _offer(model: ModelInfo) -> tuple[str, ...]:
    width, length = model.profile.dimensions, model.context_length
    return (
        f"`{model.id}`",
        price_of(model.price),
        f"{width:,}" if width else "?",
        f"{length:,} tokens" if length else "?",
        ", ".join(sorted(model.modalities, key=MODALITIES.index)),
    )


# ------------------------------------------------------------------ options.md

_UNSET: Final = {"provider": "none", "api_key": "the environment's", "app_categories": "none"}
"""Defaults that are not shown as they are kept."""


def options() -> list[str]:
    """Return the table of options, with defaults, meanings and which a call may set."""
    head = ("option", "type", "default", "per call", "meaning")
    return table(head, (_option(name, row) for name, row in OPTIONS.items() if name != "model"))


def _option(name: str, row: Option) -> tuple[str, ...]:
    kind = Options.__annotations__[name]
    written = getattr(kind, "__forward_arg__", None) or str(kind)
    return f"`{name}`", f"`{written}`", _default(name), _yes(row.per_call), row.says


def _default(name: str) -> str:
    field = next(field for field in dataclasses.fields(Settings) if field.name == name)
    if name in _UNSET or field.default is dataclasses.MISSING:
        return _UNSET.get(name, "none")
    return f"`{field.default!r}`"


def _yes(value: object) -> str:
    return "yes" if value else ""


# ------------------------------------------------------------------ reliability.md

_RETRIED: Final = {
    Retry.NEVER: "no", Retry.ONCE: "once", Retry.FEW: "up to 3 times", Retry.ALWAYS: "yes",
}  # fmt: skip


def verdicts() -> list[str]:
    """Return the table of outcomes and what is done about them."""
    head = ("outcome", "meaning", "retried", "load", "when final", "all wait")
    return table(head, (_verdict(name, rule) for name, rule in rule_rows()))


def _verdict(name: str, rule: Rule) -> tuple[str, ...]:
    return (
        name.replace("*", "anything else").replace("_", " "),
        rule.when,
        _RETRIED[rule.retry],
        rule.signal.value,
        rule.scope.value,
        "yes" if rule.cool else "",
    )


def faults() -> list[str]:
    """Return the rows of the fault register that no server in the tests can show."""
    clock = {row: f"{text} (simulated clock)" for row, text in fault_rows.SIMULATED.items()}
    rows = {**clock, **fault_rows.NOT_APPLIED}
    return table(
        ("row", "why"), sorted(rows.items(), key=lambda pair: (pair[0][0], int(pair[0][1:])))
    )


def different() -> list[str]:
    """Return the cases in which the synchronous client differs from the asynchronous one."""
    return table(("case", "synchronous client"), sorted(fault_rows.DIFFERENT.items()))


# ------------------------------------------------------------------ observability.md


def attributes() -> list[str]:
    """Return the table of the span's attributes."""
    start = ((f"`{row.name}`", "start", row.says) for row in AT_START)
    end = ((f"`{row.name}`", "end", row.says) for row in AT_END)
    return table(("attribute", "set at", "what it says"), (*start, *end))


def histograms() -> list[str]:
    """Return the table of histograms."""
    return table(("histogram", "unit", "what it says"), map(_histogram, METRICS))


def _histogram(row: Metric) -> tuple[str, ...]:
    return f"`{row.name}`", f"`{row.unit}`", row.says


# ------------------------------------------------------------------ writing and checking

TABLES: Final[tuple[tuple[str, str, Lines], ...]] = (
    ("choosing.md", "catalogue", catalogue),
    ("faq.md", "questions", asked.questions),
    ("index.md", "home", home.lines),
    ("mistakes.md", "mistakes", likely.mistakes),
    ("models.md", "profiles", profiles),
    ("options.md", "options", options),
    ("observability.md", "attributes", attributes),
    ("observability.md", "histograms", histograms),
    ("reliability.md", "verdicts", verdicts),
    ("reliability.md", "different", different),
    ("reliability.md", "faults", faults),
)
"""File, name of the markers, lines."""


def filled(text: str, name: str, lines: Iterable[str]) -> str:
    """Return a page with one table replaced.

    Raises:
        ValueError: The page lacks the table's markers.
    """
    start, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"The markers of `{name}` are missing.")
    return "".join([before, start, "\n", *(f"{line}\n" for line in lines), "\n", end, after])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check every table; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the documentation's tables.")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    check = parser.parse_args(arguments).check
    stale = 0
    for file, name, lines in TABLES:
        page = DOCS / file
        old = page.read_text(encoding="utf-8")
        new = filled(old, name, lines())
        if new == old:
            continue
        stale += 1
        if check:
            print(f"docs/{file}: table `{name}` is out of date: run `python docs/generate.py`")
        else:
            page.write_text(new, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    raise SystemExit(main())
