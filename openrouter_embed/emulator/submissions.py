"""A submitted batch, checked: its frame at once, its requests one by one.

Rules of this file:
- What comes before ``requests`` has to: the service reads the body as a stream.
- Batches of other endpoints are not emulated.
- What OpenRouter's documentation calls unsupported is refused; what it does not mention passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openrouter_embed.emulator.batches import BatchRequest
from openrouter_embed.emulator.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDPOINT: Final = "/v1/embeddings"
_FIRST: Final = ("endpoint", "model")
_UNSUPPORTED: Final = ("input_type", "provider")
_PREFERENCES: Final = frozenset({"only", "allow_fallbacks"})
_FIELDS: Final = frozenset(
    {"endpoint", "model", "requests", "completion_window", "callback_url", "provider"}
)


def parse_submission(
    body: object, limit: int
) -> tuple[str, Mapping[str, object], list[BatchRequest]]:
    """The model, the preferences and the requests of a submission.

    Raises:
        ApiError: 400, with the first fault that was found; 413 for too many requests.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "Invalid JSON in request body")
    fields = cast("dict[str, object]", body)
    _check_order(list(fields))
    if fields["endpoint"] != ENDPOINT:
        raise ApiError(400, f"endpoint: only {ENDPOINT} is emulated")
    model = fields["model"]
    if not isinstance(model, str):
        raise ApiError(400, "model: Invalid input: expected string")
    if fields.get("completion_window", "24h") != "24h":
        raise ApiError(400, 'completion_window: Invalid input: expected "24h"')
    callback = fields.get("callback_url", "https://")
    if not isinstance(callback, str) or not callback.startswith("https://"):
        raise ApiError(400, "callback_url: Invalid input: expected an https URL")
    return model, _preferences(fields.get("provider")), _requests(fields["requests"], model, limit)


def _check_order(names: list[str]) -> None:
    for name in (*_FIRST, "requests"):
        if name not in names:
            raise ApiError(400, f"{name}: Invalid input: expected it, received undefined")
    if names[-1] != "requests":
        late = next(name for name in names[names.index("requests") + 1 :])
        raise ApiError(400, f"`{late}` must appear before `requests` in the request body")
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        raise ApiError(400, f'Unrecognized key: "{unknown[0]}"')


def _preferences(provider: object) -> Mapping[str, object]:
    if provider is None:
        return {}
    if not isinstance(provider, dict):
        raise ApiError(400, "provider: Invalid input: expected object")
    wishes = cast("dict[str, object]", provider)
    for name in wishes:
        if name not in _PREFERENCES:
            raise ApiError(400, f"provider.{name} is not supported for batches")
    return wishes


def _requests(value: object, model: str, limit: int) -> list[BatchRequest]:
    if not isinstance(value, list) or not value:
        raise ApiError(400, "requests: Invalid input: expected array with >=1 items")
    items = cast("list[object]", value)
    if len(items) > limit:
        raise ApiError(413, f"requests: at most {limit} requests can be in one batch")
    requests = [_request(item, number, model) for number, item in enumerate(items)]
    names = [request.custom_id for request in requests]
    if len(set(names)) < len(names):
        raise ApiError(400, "requests: every custom_id must be unique")
    return requests


def _request(item: object, number: int, model: str) -> BatchRequest:
    path = f"requests.{number}"
    fields = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    name, body = fields.get("custom_id"), fields.get("body")
    if not isinstance(name, str) or not name:
        raise ApiError(400, f"{path}.custom_id: Invalid input: expected string")
    if not isinstance(body, dict):
        raise ApiError(400, f"{path}.body: Invalid input: expected object")
    request = cast("dict[str, object]", body)
    if request.get("model", model) != model:
        raise ApiError(400, f"{path}.body.model: must equal the model of the batch")
    for key in _UNSUPPORTED:
        if key in request:
            raise ApiError(400, f"{path}.body.{key}: not supported in batches")
    if not _is_text(request.get("input")):
        raise ApiError(400, f"{path}.body.input: expected strings or token arrays")
    return BatchRequest(custom_id=name, body=request)


def _is_text(value: object) -> bool:
    """Whether an input is none of content parts; the request itself is checked when it is run."""
    if isinstance(value, list):
        return not any(isinstance(element, dict) for element in cast("list[object]", value))
    return isinstance(value, str)
