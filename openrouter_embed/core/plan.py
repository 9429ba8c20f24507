"""Inputs into units and bodies: the role applied, duplicates dropped; and rows back into order.

Rules of this file:
- An input is known by its position; a unit is a distinct input, sent once however often it occurs.
- A body is written from units as they are; nothing is decided about which go together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from openrouter_embed.core.bill import KINDS, Counting, without_rule
from openrouter_embed.core.codec import encode
from openrouter_embed.core.tokens import estimate_tokens
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.inputs import Item
from openrouter_embed.options.models import CAREFUL_INPUTS, MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openrouter_embed.core.bill import Prices
    from openrouter_embed.errors import EmbeddingError
    from openrouter_embed.inputs import Refused
    from openrouter_embed.options.models import ModelProfile, Role
    from openrouter_embed.options.settings import Settings

MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
"""Bytes of inputs per request; one larger input still goes alone."""


class Estimates(dict[int, int]):
    """Unit → its estimated tokens, made when first asked for: most runs again need none.

    Args:
        units: As they are sent; parts of those that are too long are added to it later.
        counting: How tokens are estimated for the model.
    """

    def __init__(self, units: Sequence[str | Item], counting: Counting) -> None:
        super().__init__()
        self._units = units
        self._counting = counting

    def __missing__(self, unit: int) -> int:
        sent, counting = self._units[unit], self._counting
        if isinstance(sent, str):
            tokens = estimate_tokens(sent) + counting.special
        else:
            tokens = _item_tokens(sent, counting)
        self[unit] = tokens
        return tokens


@dataclass(frozen=True, slots=True)
class Plan:
    """The distinct inputs of a call, and where each came from.

    Attributes:
        count: Inputs of the call.
        units: The distinct inputs to send, role applied, in order of first appearance.
        tokens: Estimated tokens of each unit.
        rows: Input position → unit; `None` where every input is its own unit.
        empty: Positions of empty inputs that get zeros without being sent.
        refused: Position → why this input is not sent.
        media: Of the units that hold media, the tokens of those by kind.
        counting: How tokens are estimated for the model.
    """

    count: int
    units: list[str | Item] = field(repr=False)
    tokens: Mapping[int, int] = field(repr=False)
    rows: list[int] | None = field(default=None, repr=False)
    empty: tuple[int, ...] = ()
    refused: Mapping[int, EmbeddingError] = field(
        default_factory=dict[int, "EmbeddingError"], repr=False
    )
    media: dict[int, dict[str, int]] = field(default_factory=dict[int, dict[str, int]])
    counting: Counting = field(default_factory=Counting)

    def cost(self, units: Iterable[int], prices: Prices) -> float:
        """Return what units should cost, in USD."""
        return sum(prices.cost(self.tokens[unit], self.media.get(unit, {})) for unit in units)

    def without_rule(self, prices: Prices) -> list[str]:
        """Return the media whose cost nobody can tell in advance."""
        kinds = {kind for media in self.media.values() for kind in media}
        return without_rule(kinds, self.counting, prices)

    def positions(self) -> list[list[int]]:
        """Return, for every unit, the input positions that it stands for."""
        if self.rows is None:
            return [[at] for at in range(self.count)]
        table: list[list[int]] = [[] for _ in self.units]
        for position, unit in enumerate(self.rows):
            if unit >= 0:
                table[unit].append(position)
        return table


def make_plan(
    items: Sequence[str | Item],
    prefix: str,
    *,
    zeros_for_empty: bool,
    refused: Refused | None = None,
    counting: Counting | None = None,
) -> Plan:
    """Apply the prefix, set empty inputs aside and drop duplicates.

    Args:
        items: The call's inputs.
        prefix: Text that the role puts before each.
        zeros_for_empty: Whether an empty input gets a zero vector.
        refused: If given, inputs that are not sent are listed there instead of raising an error;
            those listed already have "" in their place.
        counting: How tokens are estimated for the model.

    Raises:
        ConfigurationError: An input is empty, or a prefix is to go before token ids.
    """
    unsent = [
        at for at, item in enumerate(items) if not (item if isinstance(item, str) else item.value)
    ]
    empty = tuple(at for at in unsent if at not in (refused or ()))
    if empty and not zeros_for_empty:
        if refused is None:
            raise _all_empty(empty, len(items))
        refused.update((at, _one_empty(at)) for at in empty)
        empty = ()
    units = list(dict.fromkeys(items) if not unsent else _distinct(items, unsent))
    rows = None
    if len(units) < len(items):
        number = {unit: at for at, unit in enumerate(units)}
        rows = [number.get(item, -1) for item in items]
    sent = [_with_prefix(unit, prefix) for unit in units] if prefix else units
    counting = counting or Counting()
    plain = all(issubclass(kind, str) for kind in set(map(type, sent)))
    media = {} if plain else _media(sent, counting)
    return Plan(
        len(items),
        sent,
        Estimates(sent, counting),
        rows,
        empty,
        dict(refused or {}),
        media=media,
        counting=counting,
    )


def check_media(plan: Plan, profile: ModelProfile, model: str) -> None:
    """Refuse media that the model does not take.

    Raises:
        ConfigurationError: An input holds one; names it by the position of the first such input.
    """
    for unit, media in plan.media.items():
        wrong = next((kind for kind in media if not profile.takes(kind)), None)
        if wrong is not None:
            takes = ", ".join(kind for kind in MODALITIES if kind in profile.modalities)
            raise ConfigurationError(
                f"Input {plan.positions()[unit][0]} holds {wrong}, and `{model}` takes {takes} "
                "alone: `openrouter-embed models` lists what each takes. If it takes more by now, "
                "say so with `register_profile`."
            )


def _media(units: Sequence[str | Item], counting: Counting) -> dict[int, dict[str, int]]:
    found = {
        at: counting.of_media(unit_kinds(unit))
        for at, unit in enumerate(units)
        if not isinstance(unit, str) and unit.kind == "content"
    }
    return {at: media for at, media in found.items() if media}


def _all_empty(empty: Sequence[int], count: int) -> ConfigurationError:
    shown = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
    return ConfigurationError(
        f"{len(empty)} of {count} inputs are empty (index {shown}): remove them, or pass "
        "`empty='zeros'` to give them zero vectors."
    )


def _one_empty(at: int) -> ConfigurationError:
    return ConfigurationError(f"Input {at} is empty: `empty='zeros'` gives it a zero vector.")


def _distinct(items: Sequence[str | Item], unsent: Sequence[int]) -> Iterable[str | Item]:
    distinct = dict.fromkeys(items)
    for at in unsent:
        distinct.pop(items[at], None)
    return distinct


def _with_prefix(unit: str | Item, prefix: str) -> str | Item:
    if isinstance(unit, str):
        return prefix + unit
    if unit.kind == "tokens":
        raise ConfigurationError(
            "This model wants a text prefix for the role, which cannot be put before token ids: "
            "pass texts, or `query_prefix=None, document_prefix=None`."
        )
    content = _read_content(unit)
    for part in content["content"]:
        if part.get("type") == "text":
            part["text"] = prefix + str(part.get("text", ""))
            break
    return Item("content", encode(content))


def _item_tokens(unit: Item, counting: Counting) -> int:
    if unit.kind == "tokens":
        return len(unit.value) + counting.special
    texts = unit_texts(unit)
    special = counting.special if texts else 0
    media = sum(counting.of_media(unit_kinds(unit)).values())
    return sum(map(estimate_tokens, texts)) + special + media


def unit_kinds(unit: str | Item) -> list[str]:
    """Return the kinds of the media that a unit holds; a part of a newer kind counts as a file."""
    if isinstance(unit, str) or unit.kind == "tokens":
        return []
    types = [str(part["type"]) for part in _read_content(unit)["content"]]
    return [KINDS.get(name, "file") for name in types if name != "text"]


def _read_content(unit: Item) -> dict[str, list[dict[str, Any]]]:
    content: dict[str, list[dict[str, Any]]] = msgspec.json.decode(cast(bytes, unit.value))
    return content


def unit_texts(unit: str | Item) -> list[str]:
    """Return the texts of a unit; token ids and media have none."""
    if isinstance(unit, str):
        return [unit]
    if unit.kind == "tokens":
        return []
    return [str(part["text"]) for part in _read_content(unit)["content"] if "text" in part]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold.

    Attributes:
        inputs: Inputs, on the careful side.
        tokens: Estimated tokens.
        size: Bytes of inputs.
        most: Inputs that are tried once the careful number was borne; not above it where a limit
            is known.
    """

    inputs: int
    tokens: int
    size: int = MAX_REQUEST_BYTES
    most: int = 0


MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Bytes of floats an answer should stay below; what is larger hurts when it is lost."""
_FLOAT_TEXT: Final = 22


def make_limits(settings: Settings) -> Limits:
    """Return what the user set, else what the model's profile knows."""
    profile = settings.profile
    width = settings.dimensions or profile.dimensions or 4096
    answerable = max(1, MAX_ANSWER_BYTES // (_FLOAT_TEXT * width))
    known = settings.max_batch_inputs or profile.max_batch_inputs != CAREFUL_INPUTS
    return Limits(
        settings.max_batch_inputs or min(profile.max_batch_inputs, answerable),
        settings.max_batch_tokens or profile.max_batch_tokens,
        most=0 if known else min(2 * CAREFUL_INPUTS, answerable),
    )


class BodyMaker:
    """Writes request bodies: keys in one order, nothing as null, equal requests as equal bytes."""

    def __init__(self, settings: Settings, role: Role | None, input_type: str | None) -> None:
        send_type, self.prefix = settings.role_text(role, input_type)
        self._model = settings.model
        fields: dict[str, Any] = {
            "dimensions": settings.dimensions,
            "user": settings.user,
            "provider": settings.provider.to_wire() or None,
            "input_type": send_type,
            "session_id": settings.session_id,
            "trace": dict(settings.trace) or None,
            **settings.extra_body,
        }
        self._rest = {name: value for name, value in fields.items() if value is not None}
        self.headers = _cache_headers(settings)
        """What goes out beside the bodies."""
        self.route = f"{settings.model} {encode(fields['provider']).decode()}"
        """What decides who may serve: hosts are remembered under it."""

    def make(
        self, units: Sequence[str | Item], encoding_format: str, host: str | None = None
    ) -> bytes:
        """Return the body of a request for these units, for one host alone if one is named."""
        rest = self._rest
        if host is not None:
            rest = {**rest, "provider": pin(rest.get("provider", {}), host)}
        return encode(
            {
                "model": self._model,
                "input": [unit if isinstance(unit, str) else _plain(unit) for unit in units],
                "encoding_format": encoding_format,
                **rest,
            }
        )


_CACHE_HEADER: Final = "X-OpenRouter-Cache"


def _cache_headers(settings: Settings) -> tuple[tuple[str, str], ...]:
    wish = settings.router_cache
    if wish is False:
        return ()
    if any(name.lower().startswith(_CACHE_HEADER.lower()) for name in settings.default_headers):
        raise ConfigurationError(
            "`router_cache` and `default_headers` both speak of OpenRouter's cache: leave the "
            f"`{_CACHE_HEADER}` headers out."
        )
    seconds = () if wish is True else ((f"{_CACHE_HEADER}-TTL", f"{wish:.0f}"),)
    return ((_CACHE_HEADER, "true"), *seconds)


def pin(preferences: dict[str, Any], host: str) -> dict[str, Any]:
    """Narrow preferences to one host, never beyond the hosts the user allows.

    The user may have named an endpoint (`deepinfra/bf16`) where an answer names its host
    (`DeepInfra`): then the user's own name stays, because it says more.
    """
    allowed: list[str] = preferences.get("only", [])
    named = [name for name in allowed if _slug(name.split("/", 1)[0]) == _slug(host)]
    only = named or allowed or [host]
    return {**preferences, "only": only, "allow_fallbacks": False}


def _slug(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _plain(unit: Item) -> Any:
    return msgspec.Raw(unit.value) if isinstance(unit.value, bytes) else unit.value
