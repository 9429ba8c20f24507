"""The bodies of successful answers, field for field as the live service sends them.

Rules of this file:
- Key order is the live one.
- Vectors are encoded row by row, so that a large answer never holds the interpreter long.
- Numbers carry eight decimals in either encoding: base64 and float decode to equal float32.
"""

from __future__ import annotations

import base64
import secrets
import string
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import msgspec

from openrouter_embed.emulator.catalogue import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    from openrouter_embed.emulator.catalogue import Host, Model
    from openrouter_embed.emulator.planning import Plan

Bill = Literal["plain", "byok", "cached"]
"""Who bills an answer: the router, the host by itself, or nobody."""

_ID_ALPHABET = string.ascii_letters + string.digits
_ID_LENGTH = 20
_LISTED_SINCE = 1_760_000_000
_KEY_LABEL = "sk-or-v1-emu...lator"


def generation_id(now: float, number: int | None) -> str:
    """An id as the live service makes them; numbered where a number is given."""
    tail = (
        "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        if number is None
        else f"{number:0{_ID_LENGTH}d}"
    )
    return f"gen-emb-{int(now)}-{tail}"


def embeddings_body(
    plan: Plan, rows: npt.NDArray[np.float64], answer_id: str, *, bill: Bill
) -> bytes:
    """The JSON of a 200 answer."""
    tail = {
        "model": plan.model.upstream,
        "usage": _usage(plan, bill),
        "provider": plan.host.name,
        "id": answer_id,
    }
    return b'{"object":"list","data":[%b],%b' % (_data(plan, rows), msgspec.json.encode(tail)[1:])


def batch_body(plan: Plan, rows: npt.NDArray[np.float64]) -> bytes:
    """The JSON of one answered request of a batch."""
    tail = {
        "model": plan.model.upstream,
        "usage": {"prompt_tokens": plan.tokens, "total_tokens": plan.tokens},
    }
    return b'{"object":"list","data":[%b],%b' % (_data(plan, rows), msgspec.json.encode(tail)[1:])


def _data(plan: Plan, rows: npt.NDArray[np.float64]) -> bytes:
    return b",".join(
        b'{"object":"embedding","embedding":%b,"index":%d}' % (_vector(row, plan.base64), index)
        for index, row in enumerate(rows)
    )


def _vector(row: npt.NDArray[np.float64], as_base64: bool) -> bytes:
    if as_base64:
        return b'"%b"' % base64.b64encode(row.astype("<f4").tobytes())
    return msgspec.json.encode(row.tolist())


def _usage(plan: Plan, bill: Bill) -> dict[str, object]:
    if bill == "cached":
        # A cached answer counts nothing and costs nothing.
        return {"prompt_tokens": 0, "total_tokens": 0, "cost": 0}
    usage: dict[str, object] = {"prompt_tokens": plan.tokens, "total_tokens": plan.tokens}
    if len(plan.token_counts) > 1:
        usage["prompt_tokens_details"] = {
            f"{kind}_tokens": count for kind, count in plan.token_counts.items()
        }
    cost = plan.cost
    usage["cost"] = 0 if bill == "byok" else cost
    usage["is_byok"] = bill == "byok"
    usage["cost_details"] = {
        "upstream_inference_cost": cost,
        "upstream_inference_prompt_cost": cost,
        "upstream_inference_completions_cost": 0,
    }
    return usage


def embedding_models() -> list[dict[str, object]]:
    """The listing of every embedding model; it tells neither widths nor hosts, as live."""
    return [_listed(model) for model in MODELS.values()]


def chat_models() -> list[dict[str, object]]:
    """One sample of what the general listing holds besides embedding models."""
    return [
        {
            "id": "openai/gpt-4o-mini",
            "canonical_slug": "openai/gpt-4o-mini",
            "hugging_face_id": None,
            "name": "OpenAI: GPT-4o-mini",
            "created": _LISTED_SINCE,
            "description": "A chat model, listed by the emulator but not served.",
            "context_length": 128_000,
            "architecture": _architecture("text+image->text", ["text", "image"], ["text"], "GPT"),
            "pricing": {"prompt": "0.00000015", "completion": "0.0000006"},
            "top_provider": _top_provider(128_000, moderated=True),
            "supported_parameters": ["max_tokens", "temperature", "tools"],
            **_listing_tail("openai/gpt-4o-mini"),
        }
    ]


def _listed(model: Model) -> dict[str, object]:
    inputs: list[str] = list(model.modalities)
    modality = f"{'+'.join(inputs)}->embeddings"
    return {
        "id": model.id,
        "canonical_slug": model.id.removesuffix(":free"),
        "hugging_face_id": model.hugging_face_id,
        "name": model.name,
        "created": _LISTED_SINCE,
        "description": f"{model.name}, emulated: its vectors are not the real model's.",
        "context_length": model.context_length,
        "architecture": _architecture(modality, inputs, ["embeddings"], model.tokenizer),
        "pricing": _pricing(model, model.hosts[0]),
        "top_provider": _top_provider(
            model.served_length or model.context_length, moderated=model.moderated
        ),
        "supported_parameters": [],
        **_listing_tail(model.id),
    }


def _architecture(
    modality: str, inputs: list[str], outputs: list[str], tokenizer: str
) -> dict[str, object]:
    return {
        "modality": modality,
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": tokenizer,
        "instruct_type": None,
    }


def _pricing(model: Model, host: Host) -> dict[str, str]:
    pricing = {"prompt": _per_token(host.usd_per_million), "completion": "0"}
    for kind, usd in model.media_usd_per_million.items():
        pricing[kind] = _per_token(usd)
    return pricing


def _per_token(usd_per_million: str) -> str:
    plain = f"{Decimal(usd_per_million).scaleb(-6):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _top_provider(context_length: int, *, moderated: bool) -> dict[str, object]:
    return {
        "context_length": context_length,
        "max_completion_tokens": None,
        "is_moderated": moderated,
    }


def _listing_tail(model_id: str) -> dict[str, object]:
    return {
        "per_request_limits": None,
        "default_parameters": {},
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{model_id}/endpoints"},
    }


def page(
    path: str, models: list[dict[str, object]], query: Mapping[str, str], size: int
) -> dict[str, object]:
    """One page of a listing; offset and limit as the live listing takes them."""
    offset = _bounded(query.get("offset"), 0, 0, len(models))
    limit = _bounded(query.get("limit"), size, 1, 1000)
    end = offset + limit
    more = end < len(models)
    return {
        "data": models[offset:end],
        "total_count": len(models),
        "links": {"next": f"{path}?offset={end}&limit={limit}" if more else None},
    }


def _bounded(text: str | None, default: int, low: int, high: int) -> int:
    return min(max(int(text), low), high) if text and text.isdecimal() else default


def key_body(usage: float, besides: Mapping[str, object]) -> dict[str, object]:
    """What GET /key tells of the key: spent so far, no limit, and what was set besides."""
    return {
        "data": {
            "label": _KEY_LABEL,
            "usage": usage,
            "limit": None,
            "limit_remaining": None,
            "is_free_tier": False,
            "rate_limit": {"requests": -1, "interval": "10s"},
            **besides,
        }
    }
