"""`compare`: embeds one's own texts with several models and scores what they find.

Rules of this file:
- What will be sent, and what that should cost, is said before anything is.
- One client per model, one model after the other: their times do not disturb each other.
- A model that fails is a row that says why; the others are compared all the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed import tables
from openrouter_embed.client import EmbeddingClient
from openrouter_embed.comparison import measures
from openrouter_embed.comparison.report import BEHIND, BEST, SAME, Comparison, ModelScore
from openrouter_embed.comparison.task import Task, make_tasks
from openrouter_embed.errors import ConfigurationError, EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from openrouter_embed import Options
    from openrouter_embed.result import EmbeddingResult

TIMED: Final = 11
"""Queries that are sent alone to time them; the median of so many is steady enough to choose by."""


@dataclass(slots=True)
class _Run:
    """One model's client and what it gave."""

    model: str
    client: EmbeddingClient
    estimate_tokens: int = 0
    estimate_cost: float | None = 0.0
    document_cost: float | None = None
    seconds: float | None = None
    tokens: int = 0
    width: int | None = None
    query_seconds: float | None = None
    found: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, Any])
    error: str = ""


def compare(
    models: Sequence[str],
    documents: Sequence[str],
    queries: Sequence[str] | None = None,
    *,
    relevant: Mapping[int, Collection[int]] | Sequence[Collection[int]] | None = None,
    k: int = 10,
    say: Callable[[str], object] | None = print,
    **client_options: Unpack[Options],
) -> Comparison:
    """Compare embedding models on texts of one's own.

    With `relevant`, quality is nDCG, recall and MRR of an exact cosine search. Without it, a
    retrieval test is made of the texts themselves (a first sentence should find what followed it),
    and `queries`, if given, show how far the models agree.

    Args:
        models: Ids as OpenRouter lists them, at least one.
        documents: Texts to search.
        queries: Questions to ask of them.
        relevant: Query index → indexes of the documents it should find.
        k: How many of the first documents count.
        say: Told what will be sent and what it should cost, before anything is; `None` for silence.
        client_options: As for `EmbeddingClient`; with `cache` nothing is bought twice.

    Returns:
        The models, best first, with figures, cost and times.

    Raises:
        ConfigurationError: An argument is wrong; nothing was sent.
        EmbeddingError: No model could be embedded with.
    """
    names = _names(models)
    if type(k) is not int or k < 1:
        raise ConfigurationError("`k` must be a whole number of at least 1.")
    tasks = make_tasks(documents, queries, relevant)
    runs = [_Run(name, EmbeddingClient(name, **client_options)) for name in names]
    try:
        for run in runs:
            _attempt(run, lambda run: _estimate(run, tasks))
        _announce(runs, tasks, say)
        for run in runs:
            _attempt(run, lambda run: _embed(run, tasks, k))
        _raise_if_none(runs)
        return _report(runs, tasks, k)
    finally:
        for run in runs:
            run.client.close()


def _names(models: object) -> list[str]:
    single = isinstance(models, str)
    names = [] if single else list(dict.fromkeys(cast("Sequence[object]", models)))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError("`models` must be a list of model ids, at least one.")
    return cast("list[str]", names)


def _attempt(run: _Run, step: Callable[[_Run], None]) -> None:
    if run.error:
        return
    try:
        step(run)
    except ConfigurationError:
        raise
    except EmbeddingError as error:
        run.error = str(error)


def _estimate(run: _Run, tasks: Sequence[Task]) -> None:
    """Work out what the whole comparison takes, timing included."""
    for task in tasks:
        alone = task.queries[:TIMED] if task is tasks[0] else ()
        documents = run.client.estimate(task.documents, role="document")
        asked = run.client.estimate([*task.queries], role="query")
        timed = run.client.estimate([*alone], role="query") if alone else None
        for part in filter(None, (documents, asked, timed)):
            run.estimate_tokens += part.tokens
            run.estimate_cost = _sum(run.estimate_cost, part.cost)
        if task is tasks[-1]:
            # The price of the model, whatever a cache holds.
            whole = run.client.estimate(task.documents, role="document", refresh=True)
            run.document_cost = whole.cost


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _announce(
    runs: Sequence[_Run], tasks: Sequence[Task], say: Callable[[str], object] | None
) -> None:
    if say is None:
        return
    documents = tables.count(sum(len(task.documents) for task in tasks), "document")
    queries = tables.count(sum(len(task.queries) for task in tasks), "query")
    going = [run for run in runs if not run.error]
    total: float | None = 0.0
    for run in going:
        total = _sum(total, run.estimate_cost)
    rows = [
        [run.model, f"{run.estimate_tokens:,}", tables.money(run.estimate_cost)] for run in going
    ]
    say(
        f"{documents} and {queries} go to {tables.count(len(going), 'model')}, for about "
        f"{tables.money(total)}:\n{tables.text_table(['model', 'tokens', 'about'], rows)}\n"
    )


def _embed(run: _Run, tasks: Sequence[Task], k: int) -> None:
    for task in tasks:
        begin = time.perf_counter()
        documents = run.client.embed(task.documents, role="document")
        passed = time.perf_counter() - begin
        if task is tasks[0]:  # before they are in a cache
            run.query_seconds = _time_queries(run.client, task.queries[:TIMED])
        queries = run.client.embed(task.queries, role="query")
        wanted = task.relevant if task.kind != "agreement" else None
        run.found[task.kind] = measures.rank(queries.vectors, documents.vectors, k, wanted)
        _note(run, documents, passed)


def _note(run: _Run, documents: EmbeddingResult, passed: float) -> None:
    usage = documents.usage
    run.width = documents.vectors.shape[1]
    run.seconds = None if usage.cache_hits else passed
    run.tokens = usage.total_tokens
    if usage.billed and not usage.cache_hits:
        run.document_cost = usage.billed


def _time_queries(client: EmbeddingClient, queries: Sequence[str]) -> float | None:
    times: list[float] = []
    for query in queries:
        begin = time.perf_counter()
        found = client.embed([query], role="query")
        if not found.usage.cache_hits:
            times.append(time.perf_counter() - begin)
    return statistics.median(times) if times else None


def _raise_if_none(runs: Sequence[_Run]) -> None:
    if all(run.error for run in runs):
        reasons = "; ".join(f"{run.model}: {run.error}" for run in runs)
        raise EmbeddingError(f"No model could be compared. {reasons}")


def _report(runs: Sequence[_Run], tasks: Sequence[Task], k: int) -> Comparison:
    task = tasks[-1]  # labelled, or made of the texts where it could be
    rows = [_row(run, task) for run in runs]
    if task.kind != "agreement":
        good = [(run, row) for run, row in zip(runs, rows, strict=True) if not run.error]
        scored = _judge([run for run, _ in good], [row for _, row in good], task, k)
        rows = scored + [row for row in rows if row.error]
    return Comparison(
        rows=rows,
        kind=task.kind,
        documents=len(task.documents),
        queries=len(task.queries),
        k=k,
        agreement=_agreement(runs, tasks),
    )


def _row(run: _Run, task: Task) -> ModelScore:
    if run.error:
        return ModelScore(model=run.model, error=run.error)
    price = None if run.document_cost is None else run.document_cost / len(task.documents) * 1e6
    return ModelScore(
        model=run.model,
        dimensions=run.width,
        cost_per_million=price,
        cost=run.client.usage.billed,
        seconds=run.seconds,
        tokens=run.tokens,
        query_seconds=run.query_seconds,
    )


def _judge(
    runs: Sequence[_Run], rows: Sequence[ModelScore], task: Task, k: int
) -> list[ModelScore]:
    """Score the rankings, order the models, and say what the queries can tell apart."""
    scores = [measures.score(run.found[task.kind], task.relevant, k) for run in runs]
    order = sorted(range(len(rows)), key=lambda at: -scores[at].ndcg.mean())
    best = scores[order[0]].ndcg
    judged: list[ModelScore] = []
    for at in order:
        found = scores[at]
        behind = measures.interval(measures.resample(best - found.ndcg))
        judged.append(
            dataclasses.replace(
                rows[at],
                ndcg=float(found.ndcg.mean()),
                recall_1=float(found.recall_1.mean()),
                recall=float(found.recall.mean()),
                mrr=float(found.mrr.mean()),
                interval=measures.interval(measures.resample(found.ndcg)),
                behind=behind,
                verdict=BEHIND if behind[0] > 0 else SAME,
            )
        )
    judged[0] = dataclasses.replace(judged[0], verdict=BEST)
    return judged


def _agreement(runs: Sequence[_Run], tasks: Sequence[Task]) -> dict[tuple[str, str], float]:
    if tasks[0].kind != "agreement":
        return {}
    good = [run for run in runs if not run.error]
    return {
        (one.model, other.model): measures.agreement(
            one.found["agreement"], other.found["agreement"]
        )
        for one, other in itertools.combinations(good, 2)
    }
