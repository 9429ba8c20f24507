"""`embed_column`: a dataset in, a lazy dataset with a column of vectors out.

Rules of this file:
- Whatever can be checked without buying anything is checked here, in the driver.
- What is allowed in flight is divided: workers that know nothing of each other stay within it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeVar

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import guarded
from openrouter_embed.options.checks import AUTO, check_count, check_maybe_dollars
from openrouter_embed.options.keywords import Options
from openrouter_embed.options.plain import plain
from openrouter_embed.options.signatures import spelled_out
from openrouter_embed.ray import cluster
from openrouter_embed.ray.bill import Bill
from openrouter_embed.ray.embedder import Embedder, travelling

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from openrouter_embed.options.models import Role
    from openrouter_embed.ray.embedder import OnError

D = TypeVar("D")


@spelled_out(Options)
@guarded
def embed_column(
    ds: D,
    model: str,
    *,
    column: str = "text",
    output: str = "embedding",
    role: Role | None = "document",
    input_type: str | None = AUTO,
    on_error: OnError = "raise",
    id_column: str | None = None,
    actors: int = 2,
    in_flight: int = 64,
    batch_size: int = 4096,
    num_cpus: float = 0.25,
    bill: Bill | None = None,
    **options: Unpack[Options],
) -> D:
    """Return a lazy dataset with a column of vectors, and one that says where there is none why.

    Nothing is bought until the dataset is looked at, and every look buys anew: write it out, or
    `materialize()` it first. Rows whose text is null or empty get no vector and cost nothing.

    Args:
        ds: A `ray.data.Dataset`.
        model: Model id as OpenRouter lists it.
        column: The column of texts.
        output: What the column of vectors is to be called: float32, a fixed-size list. The reasons
            are in `output` with `_error` after it.
        role: What texts are embedded as; `None` as they are.
        input_type: As for `EmbeddingClient.embed`.
        on_error: `return` gives refused rows no vector instead of ending the job. What every other
            row would meet as well ends it in any case; see `Embedder`.
        id_column: The column that names rows in messages; without one, `id` if there is one.
        actors: Workers. One or two fill most limits.
        in_flight: Most requests in flight, of all workers together.
        batch_size: Rows that a worker takes at a time.
        num_cpus: Share of a CPU that Ray sets aside for a worker.
        bill: Sums what workers use, and may hold one `max_cost` for all.
        options: Every other option of `EmbeddingClient`; `api_key` only as a callable.

    Returns:
        The same kind of dataset, with two more columns.

    Raises:
        ConfigurationError: An option is unknown or wrong or is a key, or Ray is not installed.
    """
    if options.get("max_concurrency") is not None:
        raise ConfigurationError("`max_concurrency` is `in_flight` divided by `actors`: set these.")
    bill = _bill(bill, options)
    names: dict[str, Any] = {
        "column": column,
        "output": output,
        "role": role,
        "input_type": input_type,
        "on_error": on_error,
        "id_column": id_column,
        "bill": bill,
    }
    told: dict[str, Any] = {
        **travelling(options, bill),
        "model": model,
        "max_concurrency": share(in_flight, actors),
    }
    told.pop("max_cost", None)  # the bill knows it
    checked: dict[str, Any] = {**told, **names, "cache": _store(told)}
    Embedder(**checked)  # for what it refuses
    return cluster.mapped(
        ds,
        Embedder,
        {**told, **names},
        actors=actors,
        batch_size=check_count(1)("batch_size", batch_size),
        num_cpus=_check_cpus(num_cpus),
    )


def share(in_flight: object, actors: object) -> int:
    """Return how many requests each worker may have in flight.

    Raises:
        ConfigurationError: There is not one for each.
    """
    workers = check_count(1)("actors", actors)
    allowed = check_count(1)("in_flight", in_flight)
    if allowed < workers:
        raise ConfigurationError(
            f"`in_flight` of {allowed} does not suffice for {workers} actors: each needs one."
        )
    return allowed // workers


def _bill(bill: object, options: Options) -> Bill | None:
    """Return the bill; one limit for several workers needs one."""
    if bill is not None and not isinstance(bill, Bill):
        raise ConfigurationError("`bill` must be an `openrouter_embed.ray.Bill`.")
    limit = check_maybe_dollars("max_cost", options.get("max_cost"))
    if bill is None and limit is not None:
        options.pop("max_cost")
        return Bill(max_cost=limit)
    return bill


def _store(told: dict[str, Any]) -> Any:
    """Return a cache that can be checked here: a path is one of the nodes'."""
    cache = told.get("cache")
    return None if isinstance(cache, (str, os.PathLike)) else cache


def _check_cpus(value: object) -> float:
    number = plain(value)
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e6:
        raise ConfigurationError("`num_cpus` must be a number of CPUs from 0 up.")
    return float(number)
