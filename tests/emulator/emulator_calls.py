"""A client that speaks plain HTTP to an emulator."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

SMALL = "openai/text-embedding-3-small"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        return self.json["error"]["message"]

    @property
    def vectors(self) -> list[list[float]]:
        return [item["embedding"] for item in self.json["data"]]


def call(emulator, method, path, body=None, *, key="any", prefix="/api/v1"):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=30)
    try:
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        connection.request(method, prefix + path, raw, headers)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    finally:
        connection.close()


def post(emulator, body=None, *, key="any", **fields):
    """An embeddings request; without a body a small one with these fields."""
    if body is None:
        body = {"model": SMALL, "input": "some text", **fields}
    return call(emulator, "POST", "/embeddings", body, key=key)
