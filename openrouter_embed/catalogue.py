"""The catalogue: what models there are, what they cost, and what a key has left.

Rules of this file:
- Plain data, read from the API's answers; a field that is missing or absurd is `None`, not a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

from openrouter_embed import display
from openrouter_embed.core.bill import Prices
from openrouter_embed.options.models import MODALITIES, ModelProfile, find_profile

MEDIA: Final = MODALITIES[1:]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """One model of `GET /embeddings/models`.

    Attributes:
        id: What to pass as `model`.
        name: Its name for people.
        context_length: Tokens one input may have: what is listed for the model or for its first
            host, whichever is less; `None` where neither says.
        price: USD per token of input.
        image_price: USD per token of an image; `None` where images cost what texts do.
        audio_price: The same for audio.
        video_price: The same for video.
        file_price: The same for files.
        modalities: What an input may hold.
        alias_target: For an alias (`~author/name`) the model that it stands for now.
        description: A few sentences by OpenRouter.
    """

    id: str
    name: str = ""
    context_length: int | None = None
    price: float | None = None
    image_price: float | None = None
    audio_price: float | None = None
    video_price: float | None = None
    file_price: float | None = None
    modalities: tuple[str, ...] = ()
    alias_target: str = ""
    description: str = ""

    @property
    def profile(self) -> ModelProfile:
        """What this package does for the model: roles, limits, width."""
        return find_profile(self.alias_target or self.id)

    @property
    def batch(self) -> bool:
        """Whether it is the variant for the Batch API, at the price that this has."""
        return self.id.endswith(BATCH)

    @property
    def prices(self) -> Prices | None:
        """USD per token, by medium; `None` where the catalogue has no price."""
        if self.price is None:
            return None
        own = {kind: getattr(self, f"{kind}_price") for kind in MEDIA}
        return Prices(self.price, {kind: usd for kind, usd in own.items() if usd is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What `GET /key` says of a key.

    Attributes:
        label: The key's masked label.
        usage: USD spent with it.
        limit: USD it may spend; `None` for no limit.
        limit_remaining: USD left of that.
        effective_budget: USD left of the tightest budget that the account's owner has set.
        free_requests_remaining: Requests to free models left today.
        is_free_tier: Whether the account has never bought credit.
    """

    label: str = ""
    usage: float | None = None
    limit: float | None = None
    limit_remaining: float | None = None
    effective_budget: float | None = None
    free_requests_remaining: int | None = None
    is_free_tier: bool | None = None

    @property
    def remaining(self) -> float | None:
        """USD that may still be spent: the smallest of what limits it; `None` for no limit."""
        left = (self.limit_remaining, self.effective_budget)
        return min((usd for usd in left if usd is not None), default=None)

    def __str__(self) -> str:
        return display.lines(display.facts_of_key(self))

    _repr_pretty_ = display.as_printed

    def _repr_html_(self) -> str:
        return display.table(display.facts_of_key(self), "KeyInfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call should take, worked out before anything is paid.

    Attributes:
        tokens: Tokens, each distinct input once, role prefixes and special tokens included; media
            by the rule of the model's profile, or a flat sum where it has none.
        cost: USD; `None` where the catalogue has no price for the model, or nobody can tell how
            many tokens some medium takes.
        inputs: Distinct inputs.
    """

    tokens: int
    cost: float | None
    inputs: int

    def __str__(self) -> str:
        facts = dict(display.facts_of_estimate(self))
        return f"{facts['inputs']} inputs, {facts['tokens']} tokens, {facts['cost']}"

    _repr_pretty_ = display.as_printed

    def _repr_html_(self) -> str:
        return display.table(display.facts_of_estimate(self), "Estimate")


BATCH: Final = ":batch"
"""What ends the id of a model's variant for the Batch API."""


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
    lengths = (row.get("context_length"), _table(row.get("top_provider")).get("context_length"))
    return ModelInfo(
        id=row["id"],
        name=_text(row.get("name")),
        context_length=min(filter(None, map(_count, lengths)), default=None),
        price=_number(pricing.get("prompt")),
        image_price=_number(pricing.get("image")),
        audio_price=_number(pricing.get("audio")),
        video_price=_number(pricing.get("video")),
        file_price=_number(pricing.get("file")),
        modalities=tuple(str(name) for name in named),
        alias_target=_target(row.get("alias_target")),
        description=_text(row.get("description")),
    )


def _target(value: object) -> str:
    """Read what an alias stands for, told as an id or as a table that holds one."""
    table = _table(value)
    return _text(value) or _text(table.get("id")) or _text(table.get("slug"))


def _count(value: object) -> int | None:
    """Read a number of things; OpenRouter lists -1 for what it does not know."""
    return value if isinstance(value, int) and value is not True and value > 0 else None


class Pages:
    """The catalogue, which the API hands out page by page: what to ask for, and what has come.

    Only the place within the list is taken from an answer; where to ask never is.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.models: list[ModelInfo] = []
        self.next: str | None = path
        """What to fetch next; `None` at the end."""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take in a page; one that brings nothing new is the last."""
        known = {model.id for model in self.models}
        fresh = [model for model in read_models(answer) if model.id not in known]
        self.models += fresh
        following = _text(_table(answer.get("links")).get("next"))
        place = dict(parse_qsl(urlsplit(following).query)) if fresh else {}
        kept = {name: place[name] for name in _PLACE if place.get(name, "").isdecimal()}
        self.next = f"{self._path}?{urlencode(kept)}" if "offset" in kept else None


_PLACE: Final = ("offset", "limit")


def read_key_info(answer: Mapping[str, Any]) -> KeyInfo:
    """Read what is said of a key out of an answer."""
    data = _table(answer.get("data"))
    free = data.get("is_free_tier")
    return KeyInfo(
        label=_text(data.get("label")),
        usage=_number(data.get("usage")),
        limit=_number(data.get("limit")),
        limit_remaining=_number(data.get("limit_remaining")),
        effective_budget=_budget(data.get("effective_budget")),
        free_requests_remaining=_left(data.get("free_model_daily_requests")),
        is_free_tier=free if isinstance(free, bool) else None,
    )


def _budget(value: object) -> float | None:
    """Read what a budget has left, told as a number or as a table that says so."""
    table = _table(value)
    told = (value, *(table.get(name) for name in ("remaining", "limit_remaining", "remaining_usd")))
    return next((usd for usd in map(_number, told) if usd is not None), None)


def _left(value: object) -> int | None:
    """Read how many requests are left, told as such or as a limit and what is used of it."""
    table = _table(value)
    left, limit, used = (_number(table.get(name)) for name in ("remaining", "limit", "used"))
    if left is None and limit is not None and used is not None:
        left = max(0.0, limit - used)
    return None if left is None else int(left)


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
