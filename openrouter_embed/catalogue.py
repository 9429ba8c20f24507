"""The catalogue: what models there are, what they cost, and what a key has left.

Rules of this file:
- Plain data, read from the API's answers; a field that is missing or absurd is `None`, not a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from openrouter_embed.options.models import ModelProfile, find_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model of `GET /embeddings/models`.

    Attributes:
        id: What to pass as `model`.
        name: Its name for people.
        context_length: Tokens one input may have, as listed.
        price: USD per token of input.
        image_price: USD per image or image token, as listed.
        modalities: What an input may hold.
        description: A few sentences by OpenRouter.
    """

    id: str
    name: str = ""
    context_length: int | None = None
    price: float | None = None
    image_price: float | None = None
    modalities: tuple[str, ...] = ()
    description: str = ""

    @property
    def profile(self) -> ModelProfile:
        """What this package does for the model: roles, limits, width."""
        return find_profile(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What `GET /key` says of a key.

    Attributes:
        label: The key's masked label.
        usage: USD spent with it.
        limit: USD it may spend; `None` for no limit.
        limit_remaining: USD left of that.
        is_free_tier: Whether the account has never bought credit.
    """

    label: str = ""
    usage: float | None = None
    limit: float | None = None
    limit_remaining: float | None = None
    is_free_tier: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call should take, worked out before anything is paid.

    Attributes:
        tokens: Tokens, each distinct input once, role prefixes included.
        cost: USD; `None` where the catalogue has no price for the model.
        inputs: Distinct inputs.
    """

    tokens: int
    cost: float | None
    inputs: int


def read_models(answer: Mapping[str, Any]) -> list[ModelInfo]:
    """Read the models out of an answer, in its order."""
    rows = answer.get("data")
    if not isinstance(rows, list):
        return []
    tables = [_table(row) for row in cast("list[object]", rows)]
    return [_model(row) for row in tables if isinstance(row.get("id"), str)]


def _model(row: Mapping[str, Any]) -> ModelInfo:
    pricing = _table(row.get("pricing"))
    modalities = _table(row.get("architecture")).get("input_modalities")
    named = cast("Sequence[object]", modalities) if isinstance(modalities, list) else ()
    length = row.get("context_length")
    return ModelInfo(
        id=row["id"],
        name=_text(row.get("name")),
        context_length=length if isinstance(length, int) and length is not True else None,
        price=_number(pricing.get("prompt")),
        image_price=_number(pricing.get("image")),
        modalities=tuple(str(name) for name in named),
        description=_text(row.get("description")),
    )


def read_key_info(answer: Mapping[str, Any]) -> KeyInfo:
    """Read what is said of a key out of an answer."""
    data = _table(answer.get("data"))
    free = data.get("is_free_tier")
    return KeyInfo(
        label=_text(data.get("label")),
        usage=_number(data.get("usage")),
        limit=_number(data.get("limit")),
        limit_remaining=_number(data.get("limit_remaining")),
        is_free_tier=free if isinstance(free, bool) else None,
    )


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    # OpenRouter lists -1 for prices that vary.
    return number if math.isfinite(number) and number >= 0 else None
