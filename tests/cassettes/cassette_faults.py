"""Answers that an emulator is told to give where the live service cannot be made to.

Rules of this file:
- Bodies have the form of OpenRouter's documented or published errors.
- They leak an account id on purpose, as live ones do, so that scrubbing has something to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

ACCOUNT = "user_2emulated00000000000000000"

Reply = tuple[int, Mapping[str, str], bytes]
Faults = Callable[[int, Any], Reply | None]


def first(*replies: Reply | None) -> Faults:
    """Give these answers one after the other (`None` passes a request on), then be well again."""

    def faults(number: int, _: Any) -> Reply | None:
        return replies[number - 1] if number <= len(replies) else None

    return faults


def refusal(
    status: int,
    message: str,
    metadata: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An error in the API's form."""
    error: dict[str, Any] = {"code": status, "message": message}
    if metadata is not None:
        error["metadata"] = dict(metadata)
    return status, dict(headers or {}), _json({"error": error, "user_id": ACCOUNT})


def page(status: int, title: str) -> Reply:
    """An error of whatever stands before the API: markup, with a ray and an address in it."""
    text = f"<html><h1>{title}</h1><p>Ray ID: 9ab3cdef01234567 Your IP: 203.0.113.9</p></html>"
    return status, {"Content-Type": "text/html; charset=UTF-8"}, text.encode()


def no_provider() -> Reply:
    """The failure that travels inside HTTP 200, behind the white space that came first."""
    error = {"error": {"message": "No successful provider responses.", "code": 404}}
    return 200, {"Content-Type": "application/json"}, b"\n         \n" + _json(error)


def refuse_inputs(bad: Callable[[str], bool], error_type: str) -> Faults:
    """Refuse every request that holds a bad text."""
    reply = refusal(400, "The input was refused.", {"error_type": error_type})

    def faults(_: int, body: Any) -> Reply | None:
        return reply if any(map(bad, body["input"])) else None

    return faults


def answer(width: int) -> Faults:
    """Stand in for a model the emulator does not have: every input gets a unit vector."""

    def faults(number: int, body: Any) -> Reply | None:
        unit = [1.0] + [0.0] * (width - 1)
        data = [
            {"object": "embedding", "embedding": unit, "index": at}
            for at, _ in enumerate(body["input"])
        ]
        tail = {
            "model": body["model"],
            "usage": {"prompt_tokens": 9, "total_tokens": 9, "cost": 1e-07},
            "provider": "Acme",
            "id": f"gen-emb-1700000000-{number:020d}",
        }
        return 200, {}, _json({"object": "list", "data": data, **tail})

    return faults


def _json(tree: object) -> bytes:
    return json.dumps(tree, separators=(",", ":")).encode()
