"""Inputs into units: the role applied, duplicates dropped, tokens estimated.

Rules of this file:
- An input is known by its position; a unit is a distinct input, sent once however often it occurs.
- Nothing is decided about which units go together, nor how they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec

from openrouter_embed.core.bill import KINDS, Counting, without_rule
from openrouter_embed.core.codec import encode
from openrouter_embed.core.tokens import estimate_tokens
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.inputs import Item
from openrouter_embed.options.models import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openrouter_embed.core.bill import Prices
    from openrouter_embed.errors import EmbeddingError
    from openrouter_embed.inputs import Refused
    from openrouter_embed.options.models import ModelProfile


class Estimates(dict[int, int]):
    """Unit → its estimated tokens, made when first asked for: what is in a cache needs none.

    Args:
        units: The plan's own list: parts of texts that are too long join it later.
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
    plain = all(issubclass(kind, str) for kind in set(map(type, items)))
    unsent = [] if plain and all(items) else [*_without_content(items)]
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


def _without_content(items: Iterable[str | Item]) -> Iterator[int]:
    for at, item in enumerate(items):
        if not (item if isinstance(item, str) else item.value):
            yield at


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
