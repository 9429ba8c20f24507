"""What an answer says it cost: tokens, USD, and who bills them.

Rules of this file:
- What is missing or absurd counts as not reported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST: Final = 1e15
CACHE_STATUS: Final = "x-openrouter-cache-status"
"""The header that tells whether OpenRouter's own response cache answered."""


def read_billed(raw: Mapping[str, Any] | None, inputs: int) -> Usage:
    """Read one request's usage object; what is missing or absurd counts as not reported."""
    table = raw or {}
    prompt = _number(table.get("prompt_tokens")) or 0
    total = _number(table.get("total_tokens"))
    return Usage(
        prompt_tokens=int(prompt),
        total_tokens=int(prompt if total is None else total),
        cost=_number(table.get("cost")),
        byok_cost=0.0 if table.get("is_byok") is False else _byok_cost(table),
        requests=1,
        inputs=inputs,
    )


def _byok_cost(table: Mapping[str, Any]) -> float:
    """Return what the host bills by itself, to a key of the user's own."""
    if table.get("is_byok") is not True and table.get("cost") != 0:
        return 0.0  # then the cost that is told includes what the host asks
    details = table.get("cost_details")
    if not isinstance(details, dict):
        return 0.0
    return _number(cast("dict[str, Any]", details).get("upstream_inference_cost")) or 0.0


def from_router_cache(usage: Usage) -> Usage:
    """Count an answer out of OpenRouter's own cache: it costs nothing, told or not."""
    return replace(usage, cost=usage.cost or 0.0, router_cache_hits=1)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Nothing is counted in numbers that large, and they fit no float.
    return value if 0 <= value < LARGEST else None
