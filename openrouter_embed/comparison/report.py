"""What a comparison found, and how it is shown: text, notebook, JSON, picture.

Rules of this file:
- Plain data and its display; nothing is embedded or measured here.
- A difference that chance could have made is called that in words.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed import tables
from openrouter_embed.display import as_printed
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Column = tuple[str, Callable[["ModelScore"], str]]

FEW: Final = 30
"""Queries below which figures are called rough."""
BEST: Final = "best"
SAME: Final = "same"
BEHIND: Final = "behind"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelScore:
    """What one model did.

    Attributes:
        model: The id that was asked for.
        dimensions: Width of its vectors.
        cost_per_million: USD for a million such documents; `None` where no price is known.
        cost: USD that this comparison paid for it, queries and timing included.
        seconds: To embed the documents; `None` where a cache held some of them.
        tokens: Tokens of the documents, as billed.
        ndcg: Mean nDCG of the first k, the main figure; `None` where nothing says what is relevant.
        recall_1: Mean share of a query's relevant documents that came first.
        recall: The same among the first k.
        mrr: Mean of one over the rank of the first relevant document.
        interval: 95 % interval of `ndcg`, by resampling the queries.
        behind: 95 % interval of how much lower `ndcg` is than the best model's, paired by query.
        verdict: `best`; `same` where the queries cannot tell it from the best; or `behind`.
        query_seconds: Median time of one query, sent alone; `None` where a cache held them all.
        error: Why there are no figures, for a model that failed.
    """

    model: str
    dimensions: int | None = None
    cost_per_million: float | None = None
    cost: float | None = None
    seconds: float | None = None
    tokens: int = 0
    ndcg: float | None = None
    recall_1: float | None = None
    recall: float | None = None
    mrr: float | None = None
    interval: tuple[float, float] | None = None
    behind: tuple[float, float] | None = None
    verdict: str = ""
    query_seconds: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Models side by side, best first.

    Attributes:
        rows: One `ModelScore` per model.
        kind: `labelled`; `self-made`, a test made of the texts themselves; or `agreement`, where
            nothing says what is relevant.
        documents: Documents searched.
        queries: Queries that the quality figures stand on.
        k: How many of the first documents count.
        agreement: Two models → the share of their first k documents that is the same, for the
            queries without labels.
    """

    rows: list[ModelScore]
    kind: str
    documents: int
    queries: int
    k: int = 10
    agreement: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    @property
    def conclusion(self) -> str:
        """One or two sentences: which model finds best, and whether that is more than chance."""
        return " ".join(filter(None, [self._winners(), self._caution()]))

    def _winners(self) -> str:
        first = [row.model for row in self.rows if row.verdict in (BEST, SAME)]
        if not first or len(self.rows) == 1:
            return ""
        if len(first) == 1:
            return f"{first[0]} finds best, by more than chance would give."
        listed = ", ".join(first[:-1]) + f" and {first[-1]}"
        return f"No difference that {tables.count(self.queries, 'query')} can tell: {listed}."

    def _caution(self) -> str:
        made = self.kind == "self-made"
        return " ".join(
            text
            for text, said in (
                ("The test was made of your own texts: first sentence against the rest.", made),
                ("So few queries give rough figures.", bool(self.queries) and self.queries < FEW),
            )
            if said
        )

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int = 80) -> str:
        """Return the table for a terminal of `width` characters, and what it says.

        Where the table would be wider, the columns that say least are left out.
        """
        columns = self._columns
        head, rows = self._cells(columns)
        for spare in _SPARE:
            if tables.width_of(head, rows) <= width:
                break
            columns = [column for column in columns if column[0] != spare]
            head, rows = self._cells(columns)
        notes = (textwrap.fill(line, width) for line in self._legend())
        return "\n".join([tables.text_table(head, rows, width), "", *notes])

    def _legend(self) -> list[str]:
        about = (
            f"{tables.count(self.documents, 'document')}, {tables.count(self.queries, 'question')}"
            f" ({self.kind}); $/M: USD for a million such documents; ±: 95 % interval."
        )
        pairs = [
            f"{one} and {other} find the same {share:.0%} of the first {self.k}."
            for (one, other), share in self.agreement.items()
        ]
        failed = [f"{row.model}: {row.error}" for row in self.rows if row.error]
        return [about, *filter(None, [self.conclusion]), *pairs, *failed]

    @property
    def _columns(self) -> list[Column]:
        told = self.kind != "agreement"
        return [column for column in _COLUMNS if told or column[0] not in _QUALITY]

    def _cells(self, columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
        head = [name.format(k=self.k) for name, _ in columns]
        rows = [[cell(row) for _, cell in columns] for row in self.rows]
        short = [row.model.rpartition("/")[2] for row in self.rows]
        if len(set(short)) == len(short):  # what tells models apart stands after their maker
            rows = [[name, *row[1:]] for name, row in zip(short, rows, strict=True)]
        return head, rows

    _repr_pretty_ = as_printed

    def _repr_html_(self) -> str:
        head, rows = self._cells(self._columns)
        notes = "".join(f"<p>{tables.escaped(line)}</p>" for line in self._legend())
        return tables.html_table(head, rows) + notes

    def to_json(self) -> str:
        """Return everything as JSON."""
        table = dataclasses.asdict(dataclasses.replace(self, agreement={}))
        table["agreement"] = [
            {"models": list(pair), "share": share} for pair, share in self.agreement.items()
        ]
        table["conclusion"] = self.conclusion
        return json.dumps(table, ensure_ascii=False, indent=2)

    def plot(self, ax: Any = None) -> Any:
        """Draw quality against price with matplotlib, and return the axes.

        Args:
            ax: Axes to draw on; a new figure's by default.

        Raises:
            ConfigurationError: matplotlib is not installed, or there is no quality to draw.
        """
        rows = [row for row in self.rows if row.ndcg is not None]
        if not rows:
            raise ConfigurationError("There is no quality to draw: pass `queries` and `relevant`.")
        return _draw(_axes(ax), rows, self)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _half(row: ModelScore) -> str:
    return "" if row.interval is None else f"{(row.interval[1] - row.interval[0]) / 2:.3f}"


_QUALITY: Final = frozenset({"nDCG@{k}", "±", "R@1", "R@{k}", "MRR", "verdict"})
_SPARE: Final = ("MRR", "R@1", "width", "R@{k}", "±", "docs")
"""Columns in the order in which a narrow table does without them."""
_COLUMNS: Final[Sequence[Column]] = (
    ("model", lambda row: row.model),
    ("width", lambda row: "-" if row.dimensions is None else str(row.dimensions)),
    ("$/M", lambda row: tables.money(row.cost_per_million)),
    ("docs", lambda row: tables.seconds(row.seconds)),
    ("query", lambda row: tables.seconds(row.query_seconds)),
    ("nDCG@{k}", lambda row: _ratio(row.ndcg)),
    ("±", _half),
    ("R@1", lambda row: _ratio(row.recall_1)),
    ("R@{k}", lambda row: _ratio(row.recall)),
    ("MRR", lambda row: _ratio(row.mrr)),
    ("verdict", lambda row: "failed" if row.error else row.verdict),
)


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    subplots: Any = None
    with contextlib.suppress(ModuleNotFoundError):
        from matplotlib.pyplot import subplots  # noqa: PLC0415 - an extra, and slow to import
    if subplots is None:
        raise ConfigurationError("`plot` needs matplotlib: pip install 'openrouter-embed[plot]'.")
    return subplots(figsize=(7, 4), layout="constrained")[1]


def _scale(ax: Any) -> None:
    """Set the price's scale: logarithmic, in plain dollars."""
    from matplotlib import ticker  # noqa: PLC0415 - an extra; axes are there, so it is, too

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(ticker.StrMethodFormatter("${x:g}"))
    ax.xaxis.set_minor_locator(ticker.NullLocator())


def _draw(ax: Any, rows: Sequence[ModelScore], comparison: Comparison) -> Any:
    """Put every model at its price and quality, with its interval; free ones stand at the left."""
    prices = [row.cost_per_million or 0.0 for row in rows]
    least = min((price for price in prices if price > 0), default=1.0)
    for row, price in zip(rows, prices, strict=True):
        low, high = row.interval or (row.ndcg, row.ndcg)
        quality = row.ndcg or 0.0
        error = [[max(0.0, quality - (low or 0.0))], [max(0.0, (high or 0.0) - quality)]]
        ax.errorbar([max(price, least / 3)], [quality], yerr=error, fmt="o", capsize=3)
        ax.annotate(
            row.model.rpartition("/")[2],
            (max(price, least / 3), quality),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=8,
        )
    _scale(ax)
    ax.margins(x=0.25)
    ax.set_xlabel("USD per million documents" + (" (left edge: free)" if 0.0 in prices else ""))
    ax.set_ylabel(f"nDCG@{comparison.k}")
    ax.set_title(f"{comparison.queries:,} questions, {comparison.documents:,} documents")
    return ax
