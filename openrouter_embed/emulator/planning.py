"""From a well-formed request to a plan: model, host, roles, tokens, price; or a refusal.

Rules of this file:
- The catalogue row decides every model-specific question.
- Host choice is deterministic: the first host that the preferences leave, in the
  catalogue's order (the live service draws by price, so hosts vary there).
- Everything that fails before the live service commits to HTTP 200 fails here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, cast

from openrouter_embed.emulator.catalogue import ROLE_WORDS, find_model
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.roles import assign_role
from openrouter_embed.emulator.tokens import count_tokens
from openrouter_embed.emulator.vectors import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openrouter_embed.emulator.catalogue import Host, Modality, Model
    from openrouter_embed.emulator.schema import RawInput, RawRequest


@dataclass(frozen=True)
class Plan:
    """What the server is going to do for one request."""

    model: Model
    host: Host
    items: tuple[Item, ...]
    width: int
    base64: bool
    fails: bool  # the host gives no answer, which the client learns inside HTTP 200
    token_counts: Mapping[Modality, int]

    @property
    def tokens(self) -> int:
        """All tokens that are billed."""
        return sum(self.token_counts.values())

    @property
    def cost(self) -> float:
        """USD for all tokens, free of binary rounding noise."""
        prices = self.model.media_usd_per_million
        total = sum(
            count * Decimal(prices.get(kind, self.host.usd_per_million))
            for kind, count in self.token_counts.items()
        )
        return float(Decimal(total).scaleb(-6))


def make_plan(request: RawRequest) -> Plan:
    """Decide how a request is served.

    Raises:
        ApiError: The model, a host or a limit stands against it.
    """
    model = find_model(request.model)
    if model is None:
        raise ApiError(400, f"Model {request.model} does not exist")
    host = _choose_host(model, request)
    _check_features(model, host, request)
    counts = [_item_tokens(model, raw) for raw in request.inputs]
    _check_limits(model, host, counts)
    totals: Counter[Modality] = Counter()
    for count in counts:
        totals.update(count)
    return Plan(
        model=model,
        host=host,
        items=tuple(_item(model, raw, request.input_type) for raw in request.inputs),
        width=model.width if request.dimensions is None else request.dimensions,
        base64=request.base64 and model.base64 == "honoured",
        fails=request.base64 and model.base64 == "fails",
        token_counts=totals,
    )


def _choose_host(model: Model, request: RawRequest) -> Host:
    wishes = request.provider
    if model.free and (wishes.get("data_collection") == "deny" or wishes.get("zdr")):
        raise _no_endpoints(
            "No endpoints found matching your data policy (Free model training). "
            "Configure: https://openrouter.ai/settings/privacy",
            "data_policy",
        )
    if wishes.get("require_parameters") and request.parameters:
        # Embedding endpoints declare none of these parameters, so none can satisfy the wish.
        raise _no_endpoints(
            "No endpoints found that can handle the requested parameters.", "parameters"
        )
    hosts = _ordered(_allowed(model.hosts, wishes), wishes)
    if not hosts:
        raise _no_endpoints(f"No endpoints found for {model.id}.", "provider_preferences")
    return hosts[0]


def _no_endpoints(message: str, step: str) -> ApiError:
    return ApiError(404, message, metadata={"failed_routing_step": step}, leaks_user=True)


def _allowed(hosts: Iterable[Host], wishes: Mapping[str, object]) -> list[Host]:
    only = _names(wishes, "only")
    ignored = _names(wishes, "ignore")
    prices = cast("Mapping[str, object]", wishes.get("max_price", {}))
    ceiling = _price(prices.get("prompt"))
    return [
        host
        for host in hosts
        if (not only or _is_named(host, only))
        and not _is_named(host, ignored)
        and (ceiling is None or Decimal(host.usd_per_million) <= ceiling)
    ]


def _ordered(hosts: list[Host], wishes: Mapping[str, object]) -> list[Host]:
    sort = wishes.get("sort")
    by = cast("Mapping[str, object]", sort).get("by") if isinstance(sort, dict) else sort
    if by == "price":
        hosts = sorted(hosts, key=lambda host: host.token_price)
    order = _names(wishes, "order")
    if not order:
        return hosts
    first = [host for name in order for host in hosts if _is_named(host, [name])]
    return first if wishes.get("allow_fallbacks") is False else [*first, *hosts]


def _names(wishes: Mapping[str, object], key: str) -> list[str]:
    return cast("list[str] | None", wishes.get(key)) or []


def _is_named(host: Host, names: Sequence[str]) -> bool:
    """A base slug matches every variant; display names and slugs differ only in punctuation."""
    return any(_plain(name.partition("/")[0]) == _plain(host.name) for name in names)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _price(value: object) -> Decimal | None:
    if value is None:
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        price = Decimal("NaN")
    if price.is_nan():
        raise ApiError(400, "provider.max_price.prompt: Invalid input: expected a price")
    return price


def _check_features(model: Model, host: Host, request: RawRequest) -> None:
    if request.dimensions is not None:
        if model.dimensions is None:
            raise _upstream(host, "This model does not support specifying dimensions.")
        if request.dimensions not in model.dimensions:
            raise _upstream(
                host, f"Invalid value for 'dimensions': {request.dimensions} is not supported."
            )
    word = request.input_type
    if model.roles.strict_words and word is not None and word.lower() not in ROLE_WORDS:
        raise _upstream(host, f"Invalid input_type '{word}': expected 'query' or 'passage'.")
    if not model.token_arrays and any(raw.token_ids for raw in request.inputs):
        raise _upstream(host, "Token array input is not supported for this model.")
    for kind, _ in (part for raw in request.inputs for part in raw.media):
        if kind not in model.modalities:
            raise _no_endpoints(f"No endpoints found that support {kind} input", "modality")


def _item_tokens(model: Model, raw: RawInput) -> Counter[Modality]:
    counts: Counter[Modality] = Counter()
    if raw.text or raw.token_ids:
        counts["text"] = len(raw.token_ids) or count_tokens(raw.text)
    for kind, _ in raw.media:
        counts[kind] += model.media_tokens[kind]
    return counts


def _check_limits(model: Model, host: Host, counts: Sequence[Counter[Modality]]) -> None:
    limits = host.limits
    if len(counts) > limits.inputs:
        message = limits.inputs_message.format(limit=limits.inputs, actual=len(counts))
        raise _upstream(host, message)
    sizes = [sum(count.values()) for count in counts]
    if max(sizes) > model.context_length:
        raise _upstream(
            host,
            f"This model's maximum context length is {model.context_length} tokens, however you "
            f"requested {max(sizes)} tokens. Please reduce the length of the input.",
            "context_length_exceeded",
        )
    if limits.tokens is not None and sum(sizes) > limits.tokens:
        message = limits.tokens_message.format(limit=limits.tokens, actual=sum(sizes))
        raise _upstream(host, message, "token_limit_exceeded")


def _upstream(host: Host, message: str, error_type: str = "invalid_request") -> ApiError:
    """A refusal that comes from the host and leaks through."""
    return ApiError(
        400,
        message,
        metadata={"provider_name": host.name, "raw": message, "error_type": error_type},
        leaks_user=True,
    )


def _item(model: Model, raw: RawInput, input_type: str | None) -> Item:
    # Token ids cannot be turned back into text here, so they are embedded as words of their own.
    text = raw.text or " ".join(f"token{number}" for number in raw.token_ids)
    roled = assign_role(model, text, input_type)
    return Item(
        text=roled.text,
        media=tuple(digest for _, digest in raw.media),
        role=roled.role,
        fidelity=roled.fidelity,
    )
