"""The request body: its shape against the public API description, before any model is asked.

Rules of this file:
- What the API description calls a type is checked as one; ``null`` is never a value, except
  in the provider preferences that the description marks nullable.
- A list of inputs is homogeneous: strings, numbers, lists of numbers or content objects.
- Unknown top-level fields pass unseen, unknown provider preferences are refused.
- Statuses follow the live service; the wording of type errors is invented after its style.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import msgspec

from openrouter_embed.emulator.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openrouter_embed.emulator.catalogue import Modality


@dataclass(frozen=True)
class RawInput:
    """One input as it was sent."""

    text: str = ""
    token_ids: tuple[int, ...] = ()
    media: tuple[tuple[Modality, bytes], ...] = ()  # kind and digest


@dataclass(frozen=True)
class RawRequest:
    """A request body of the right shape."""

    model: str
    inputs: tuple[RawInput, ...]
    dimensions: int | None
    base64: bool
    input_type: str | None
    provider: Mapping[str, object]
    parameters: frozenset[str]  # the optional ones that were sent


def decode_body(raw: bytes) -> object:
    """The parsed JSON of a body, or None if it is not JSON."""
    try:
        return cast(object, msgspec.json.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def parse_request(body: object) -> RawRequest:
    """Check the shape of a parsed body.

    Raises:
        ApiError: 400, with the first fault that was found.
    """
    if body is None:
        raise ApiError(400, "Input must have at least 1 token.", metadata={"provider_name": None})
    if not isinstance(body, dict):
        raise _wrong_type("body", "object", body)
    fields = cast(dict[str, object], body)
    _check_fields(fields, _FIELDS, known_only=False)
    for name in ("model", "input"):
        if name not in fields:
            raise _wrong_type(name, _EXPECTED[name], _MISSING)
    provider = cast(dict[str, object], fields.get("provider", {}))
    _check_provider(provider)
    return RawRequest(
        model=cast(str, fields["model"]),
        inputs=_parse_inputs(fields["input"]),
        dimensions=cast("int | None", fields.get("dimensions")),
        base64=fields.get("encoding_format") == "base64",
        input_type=cast("str | None", fields.get("input_type")),
        provider=provider,
        parameters=frozenset(fields) & {"dimensions", "encoding_format", "input_type"},
    )


class _Missing:
    pass


_MISSING = _Missing()
_KINDS: Mapping[type[object], str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    _Missing: "undefined",
}
_EXPECTED = {"model": "string", "input": "string or array"}
_QUANTIZATIONS = frozenset({"int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32", "unknown"})
_SORTS = frozenset({"price", "throughput", "latency"})
_PRICE_KEYS = frozenset({"prompt", "completion", "image", "audio", "request"})

# Field, what it has to be, and the test for it.
_Rule = tuple[str, "Callable[[object], bool]"]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive_integer(value: object) -> bool:
    return _is_integer(value) and cast(int, value) >= 1


def _is_string(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_switch(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_strings(value: object) -> bool:
    return value is None or (
        isinstance(value, list) and all(map(_is_string, cast(list[object], value)))
    )


def _is_sort(value: object) -> bool:
    return value is None or isinstance(value, dict) or (_is_string(value) and value in _SORTS)


def _is_prices(value: object) -> bool:
    return isinstance(value, dict) and _PRICE_KEYS.issuperset(cast(dict[str, object], value))


def _is_cutoff(value: object) -> bool:
    return value is None or isinstance(value, (int, float, dict))


def _is_quantizations(value: object) -> bool:
    return _is_strings(value) and _QUANTIZATIONS.issuperset(cast("list[str] | None", value) or [])


_ANY_INPUT: _Rule = ("string or array", lambda value: isinstance(value, (str, list)))
_STRING: _Rule = ("string", _is_string)
_SWITCH: _Rule = ("boolean", _is_switch)
_NAMES: _Rule = ("array of strings", _is_strings)
_CUTOFF: _Rule = ("number or object", _is_cutoff)

_FIELDS: Mapping[str, _Rule] = {
    "model": _STRING,
    "input": _ANY_INPUT,
    "encoding_format": ('one of "float"|"base64"', lambda value: value in ("float", "base64")),
    "dimensions": ("integer of at least 1", _is_positive_integer),
    "user": _STRING,
    "input_type": _STRING,
    "session_id": _STRING,
    "provider": ("object", _is_object),
}

_PROVIDER_FIELDS: Mapping[str, _Rule] = {
    "allow_fallbacks": _SWITCH,
    "require_parameters": _SWITCH,
    "data_collection": ('one of "deny"|"allow"', lambda value: value in ("deny", "allow")),
    "zdr": _SWITCH,
    "enforce_distillable_text": _SWITCH,
    "order": _NAMES,
    "only": _NAMES,
    "ignore": _NAMES,
    "quantizations": ("array of quantization levels", _is_quantizations),
    "sort": ('one of "price"|"throughput"|"latency", or object', _is_sort),
    "max_price": ("object of prices", _is_prices),
    "preferred_min_throughput": _CUTOFF,
    "preferred_max_latency": _CUTOFF,
}


def _check_provider(provider: Mapping[str, object]) -> None:
    _check_fields(provider, _PROVIDER_FIELDS, known_only=True, inside="provider.")


def _check_fields(
    fields: Mapping[str, object],
    rules: Mapping[str, _Rule],
    *,
    known_only: bool,
    inside: str = "",
) -> None:
    unknown = [name for name in fields if name not in rules]
    if unknown and known_only:
        raise ApiError(400, f'{inside[:-1]}: Unrecognized key: "{unknown[0]}"')
    for name, (expected, accepts) in rules.items():
        if name in fields and not accepts(fields[name]):
            raise _wrong_type(inside + name, expected, fields[name])


def _wrong_type(path: str, expected: str, value: object) -> ApiError:
    received = _KINDS.get(type(value), "unknown")
    if received in expected or (received == "number" and "integer" in expected):
        return ApiError(400, f"{path}: Invalid value: expected {expected}")
    return ApiError(400, f"{path}: Invalid input: expected {expected}, received {received}")


def _parse_inputs(value: object) -> tuple[RawInput, ...]:
    if isinstance(value, str):
        return (RawInput(text=_text(value, "input")),)
    elements = cast(list[object], value)
    if not elements:
        raise ApiError(400, "input: Too small: expected array to have >=1 items")
    if all(map(_is_string, elements)):
        return tuple(
            RawInput(text=_text(cast(str, element), f"input.{index}"))
            for index, element in enumerate(elements)
        )
    if all(isinstance(element, (int, float)) for element in elements):
        return (RawInput(token_ids=_token_ids(elements, "input")),)
    if all(isinstance(element, list) for element in elements):
        return tuple(
            RawInput(token_ids=_token_ids(cast(list[object], element), f"input.{index}"))
            for index, element in enumerate(elements)
        )
    if all(map(_is_object, elements)):
        return tuple(
            _content(cast(dict[str, object], element), f"input.{index}")
            for index, element in enumerate(elements)
        )
    raise ApiError(400, "input: Invalid input: expected all items to be of one kind")


def _text(value: str, path: str) -> str:
    if not value:
        raise ApiError(400, f"{path}: Too small: expected string to have >=1 characters")
    return value


def _token_ids(values: list[object], path: str) -> tuple[int, ...]:
    if not values:
        raise ApiError(400, f"{path}: Too small: expected array to have >=1 items")
    for value in values:
        if not _is_integer(value) or cast(int, value) < 0:
            raise _wrong_type(path, "array of token ids", value)
    return tuple(cast(list[int], values))


def _content(element: Mapping[str, object], path: str) -> RawInput:
    parts = element.get("content", _MISSING)
    if not isinstance(parts, list):
        raise _wrong_type(f"{path}.content", "array", parts)
    if not parts:
        raise ApiError(400, f"{path}.content: Too small: expected array to have >=1 items")
    texts: list[str] = []
    media: list[tuple[Modality, bytes]] = []
    for number, part in enumerate(cast(list[object], parts)):
        _read_part(part, f"{path}.content.{number}", texts, media)
    return RawInput(text="\n".join(texts), media=tuple(media))


# Part type: the modality, and the payload's field.
_MEDIA_PARTS: Mapping[str, tuple[Modality, str]] = {
    "image_url": ("image", "url"),
    "input_audio": ("audio", "data"),
    "input_video": ("video", "data"),
    "input_file": ("file", "data"),
}


def _read_part(
    part: object, path: str, texts: list[str], media: list[tuple[Modality, bytes]]
) -> None:
    if not isinstance(part, dict):
        raise _wrong_type(path, "object", part)
    fields = cast(dict[str, object], part)
    kind = fields.get("type", _MISSING)
    if kind == "text":
        text = fields.get("text", _MISSING)
        if not isinstance(text, str):
            raise _wrong_type(f"{path}.text", "string", text)
        texts.append(_text(text, f"{path}.text"))
    elif isinstance(kind, str) and kind in _MEDIA_PARTS:
        modality, key = _MEDIA_PARTS[kind]
        media.append((modality, _media_digest(fields.get(kind, _MISSING), key, f"{path}.{kind}")))
    else:
        raise ApiError(400, f"{path}.type: Invalid discriminator value")


def _media_digest(payload: object, key: str, path: str) -> bytes:
    if not isinstance(payload, dict):
        raise _wrong_type(path, "object", payload)
    source = cast(dict[str, object], payload).get(key, _MISSING)
    if not isinstance(source, str):
        raise _wrong_type(f"{path}.{key}", "string", source)
    return hashlib.sha256(_media_bytes(source, key)).digest()


def _media_bytes(source: str, key: str) -> bytes:
    """The bytes of inline media; for a remote image its address, since nothing is fetched."""
    if key == "url" and source.startswith(("https://", "http://")):
        return source.encode()
    head, _, encoded = source.rpartition(",")
    # An image comes as a data: URL; other media come as bare base64 or as a data: URL.
    inline = head.startswith("data:") or (key == "data" and not head)
    try:
        data = base64.b64decode(encoded, validate=True) if inline else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ApiError(400, "Invalid image URL or data.", metadata={"error_type": "invalid_image"})
    return data
