"""What a call costs by the catalogue, and whether its model is in there at all.

Rules of this file:
- A function of the catalogue and a plan: nothing is fetched, and nothing remembered.
- Where nobody can tell, it says so: no price is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed.catalogue import BATCH, Estimate
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import printable
from openrouter_embed.options.names import near_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openrouter_embed.catalogue import ModelInfo
    from openrouter_embed.core.bill import Prices
    from openrouter_embed.core.plan import Plan


def prices_for_limit(
    model: str, models: Sequence[ModelInfo], plan: Plan, *, batch: bool = False
) -> Prices:
    """Return USD per token for a call that has a spending limit.

    Raises:
        ConfigurationError: Nobody can tell what the call will cost.
    """
    prices = _listed(model, models, batch=batch)
    if prices is None:
        doubt_model(model, models)
        raise ConfigurationError(
            f"`max_cost` needs a price, and the catalogue has none for `{model}`: check the "
            "model's id, or leave `max_cost` out."
        )
    guessed = plan.without_rule(prices)
    if guessed:
        raise ConfigurationError(
            f"`max_cost` needs to know what {' and '.join(guessed)} will cost, and how many "
            f"tokens `{model}` bills for it is not known: leave `max_cost` out for such inputs."
        )
    return prices


def estimate(
    model: str,
    models: Sequence[ModelInfo],
    plan: Plan,
    missing: Sequence[int],
    *,
    batch: bool = False,
) -> Estimate:
    """Work out what buying some units of a plan should take."""
    tokens = sum(plan.tokens[unit] for unit in missing)
    prices = _listed(model, models, batch=batch)
    told = prices is not None and not plan.without_rule(prices)
    cost = plan.cost(missing, prices) if told and prices else None
    return Estimate(tokens=tokens, cost=cost, inputs=len(missing))


def doubt_model(model: str, models: Sequence[ModelInfo]) -> None:
    """Refuse a model that is not in the catalogue where one of nearly that name is.

    Raises:
        ConfigurationError: Names those that may be meant.
    """
    ids = [known.id for known in models]
    if not ids or model in ids or model.partition(":")[0] in ids:
        return
    near = ", ".join(f"`{name}`" for name in near_models(model, ids))
    if near:
        raise ConfigurationError(
            f"The catalogue has no model `{printable(model, 80)}`. Did you mean {near}?"
        )


def _listed(model: str, models: Sequence[ModelInfo], *, batch: bool) -> Prices | None:
    """Return what the catalogue says; a batch costs half where it lists the variant for batches."""
    known = {each.id: each.prices for each in models}
    cheaper = known.get(model + BATCH) if batch else None
    return known.get(model) if cheaper is None else cheaper
