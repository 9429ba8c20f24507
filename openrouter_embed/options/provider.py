"""Provider preferences: which of a model's hosts may serve, and under what terms.

Rules of this file:
- One field per field of OpenRouter's specification, checked when the object is made.
- Where the API's own enumerations are open (number formats, orders), an unknown value goes out with
  a warning. What decides where inputs may go is strict: a slip there would lose it without a word.
- Nothing is sent as null: a field that is `None` stays at home.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import printable
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable

QUANTIZATIONS: Final = frozenset(
    {"int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32",
     "unknown"}
)  # fmt: skip
SORTS: Final = frozenset({"price", "throughput", "latency", "exacto"})
PERCENTILES: Final = frozenset({"p50", "p75", "p90", "p99"})
PRICES: Final = frozenset({"prompt", "completion", "image", "audio", "request"})

Percentiles = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPreferences:
    """How OpenRouter may route a request; every field is optional.

    Vectors of one index should come from one host: quantisation and serving code differ between
    hosts. `ProviderPreferences(only=["DeepInfra"], allow_fallbacks=False)` pins one.

    Attributes:
        order: Hosts to try first, in this order.
        only: Hosts that may serve at all.
        ignore: Hosts that may not.
        allow_fallbacks: Whether other hosts may step in when the first choice fails.
        require_parameters: Use only hosts that declare every parameter sent. Embedding hosts
            rarely declare any: expect 404.
        data_collection: `deny` keeps to hosts that do not store inputs.
        zdr: Keep to hosts with zero data retention.
        enforce_distillable_text: Keep to models whose author allows distillation.
        quantizations: Number formats a host may serve the model in.
        sort: `price`, `throughput`, `latency` or `exacto`, or `{"by": …, "partition": …}`.
        max_price: USD per million tokens (`prompt`, `completion`), or per `image`, `audio`,
            `request`, above which a host is not used.
        preferred_min_throughput: Tokens per second, plain or per percentile (`{"p90": 50}`).
        preferred_max_latency: Seconds, plain or per percentile.
        options: For each host by its slug, what that host alone is told, sent as it is.

    A number format or an order that is not known goes out with one warning.

    Raises:
        ConfigurationError: A value is not one the specification knows.
    """

    order: Sequence[str] | None = None
    only: Sequence[str] | None = None
    ignore: Sequence[str] | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: Sequence[str] | None = None
    sort: str | Mapping[str, str | None] | None = None
    max_price: Mapping[str, float | str] | None = None
    preferred_min_throughput: float | Percentiles | None = None
    preferred_max_latency: float | Percentiles | None = None
    options: Mapping[str, Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _CHECKS[field.name](field.name, value))

    @classmethod
    def of(cls, value: ProviderPreferences | Mapping[str, Any] | None) -> ProviderPreferences:
        """Read preferences from an object or a plain mapping.

        Raises:
            ConfigurationError: A key is unknown or a value is not allowed.
        """
        if isinstance(value, ProviderPreferences):
            return value
        if value is None:
            return cls()
        if not isinstance(cast(object, value), Mapping):
            raise ConfigurationError(
                f"`provider` is a {type(value).__name__}; pass a mapping such as "
                "`{'only': ['openai']}`, or `ProviderPreferences`."
            )
        names = [field.name for field in dataclasses.fields(cls)]
        for key in value:
            if key not in names:
                raise ConfigurationError(unknown_name("provider preference", key, names))
        return cls(**value)

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object to send: only fields that were set."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: _plain(value) for name, value in pairs if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: v for k, v in cast(Mapping[str, Any], value).items() if v is not None}
    return list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value


def _names(field: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"`provider.{field}` takes a list of names.")
    names = tuple(cast(Sequence[object], value))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(f"`provider.{field}` takes a list of names, at least one.")
    return tuple(str.__str__(name) for name in cast("tuple[str, ...]", names))


def _flag(field: str, value: object) -> bool:
    flag = plain(value)
    if not isinstance(flag, bool):
        raise ConfigurationError(f"`provider.{field}` is true or false.")
    return flag


def _word(field: str, value: object, allowed: frozenset[str]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise ConfigurationError(f"`provider.{field}` is one of {', '.join(sorted(allowed))}.")
    return value


def _open_word(field: str, value: object, known: frozenset[str]) -> str:
    """Let a word of an open enumeration pass, with a warning if it is not known here."""
    if not isinstance(value, str) or not value:
        raise ConfigurationError(
            f"`provider.{field}` is a word such as {', '.join(sorted(known))}."
        )
    if value not in known:
        _warn_of(field, value, known)
    return str.__str__(value)


@lru_cache(maxsize=256)
def _warn_of(field: str, value: str, known: frozenset[str]) -> None:
    """Warn of an unknown word, once in a process."""
    near = get_close_matches(value, sorted(known), n=1, cutoff=0.0)
    warnings.warn(
        f"`provider.{field}` goes out as {printable(value, 40)!r}, which is not known here; the "
        f"nearest that is known is {near[0]!r}.",
        UserWarning,
        stacklevel=2,
    )


def _data_collection(field: str, value: object) -> str:
    return _word(field, value, frozenset({"allow", "deny"}))


def _quantizations(field: str, value: object) -> tuple[str, ...]:
    return tuple(_open_word(field, name, QUANTIZATIONS) for name in _names(field, value))


def _sort(field: str, value: object) -> str | dict[str, str]:
    if not isinstance(value, Mapping):
        return _open_word(field, value, SORTS)
    table = dict(cast(Mapping[str, Any], value))
    if not set(table) <= {"by", "partition"}:
        raise ConfigurationError(f"`provider.{field}` as a mapping knows `by` and `partition`.")
    _open_word(f"{field}.by", table.get("by"), SORTS)
    return table


def _number(field: str, value: object) -> float:
    number = plain(value)
    good = isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number < 1e12
    if not good:
        raise ConfigurationError(f"`provider.{field}` takes a number from 0 up.")
    return cast(float, number)


def _max_price(field: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not set(cast(Mapping[str, Any], value)) <= PRICES:
        raise ConfigurationError(
            f"`provider.{field}` is a mapping with some of {', '.join(sorted(PRICES))}."
        )
    table: dict[str, str] = {}
    for name, price in cast(Mapping[str, Any], value).items():
        table[name] = _price(f"{field}.{name}", price)
    return table


def _price(field: str, value: object) -> str:
    """Write a price as the specification wants it: a plain decimal string, nothing rounded."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal(-1)
    if isinstance(value, bool) or not number.is_finite():
        number = Decimal(-1)
    _number(field, float(number))
    return format(number, "f")


def _percentiles(field: str, value: object) -> float | dict[str, float]:
    if not isinstance(value, Mapping):
        return _number(field, value)
    table = cast(Mapping[str, Any], value)
    if not set(table) <= PERCENTILES:
        raise ConfigurationError(
            f"`provider.{field}` is a number or a mapping with some of "
            f"{', '.join(sorted(PERCENTILES))}."
        )
    return {name: _number(f"{field}.{name}", v) for name, v in table.items() if v is not None}


def _options(field: str, value: object) -> dict[str, dict[str, Any]]:
    table = cast("Mapping[object, object]", value) if isinstance(value, Mapping) else {"": None}
    if not all(isinstance(k, str) and k and isinstance(v, Mapping) for k, v in table.items()):
        raise ConfigurationError(
            f"`provider.{field}` is a mapping from the slugs of hosts to mappings of options."
        )
    hosts = {str(k): dict(cast("Mapping[str, Any]", v)) for k, v in table.items()}
    try:
        json.dumps(hosts, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    else:
        return copy.deepcopy(hosts)
    raise ConfigurationError(f"`provider.{field}` holds something that JSON cannot carry.")


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "order": _names,
    "only": _names,
    "ignore": _names,
    "allow_fallbacks": _flag,
    "require_parameters": _flag,
    "data_collection": _data_collection,
    "zdr": _flag,
    "enforce_distillable_text": _flag,
    "quantizations": _quantizations,
    "sort": _sort,
    "max_price": _max_price,
    "preferred_min_throughput": _percentiles,
    "preferred_max_latency": _percentiles,
    "options": _options,
}
