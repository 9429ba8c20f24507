"""The one place that decides what a cassette may hold.

Rules of this file:
- Request headers are all kept, for a new one is a change on the wire; but the value of one that is
  not on the list is hidden, and a test then asks to put it on the list.
- Of answers only headers on the list are kept.
- What would differ at the next recording without meaning anything is settled: ids are numbered,
  vectors rounded, and a vector that moved by less than the tolerance keeps its stored numbers.
- Cleaning what is clean changes nothing.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vcr.request import Request

from openrouter_embed.core.inflate import decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

API = "https://openrouter.ai/api/v1"
REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "content-type",
        "http-referer",
        "user-agent",
        "x-openrouter-categories",
        "x-openrouter-embed-attempt",
        "x-openrouter-title",
        "x-team",  # a user's own header, set by one scenario
    }
)
ANSWER_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-should-retry",
    }
)
# Each library writes these itself, and vcrpy sees them for one library only.
_FRAMING_HEADERS = frozenset({"connection", "content-length", "host", "transfer-encoding"})

HIDDEN = "scrubbed"
SECRETS: Mapping[str, re.Pattern[str]] = {
    "an API key": re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9][\w-]{8,}"),
    "a bearer token": re.compile(rf"Bearer (?!{HIDDEN}\b)\S+", re.IGNORECASE),
    "an account id": re.compile(rf"\buser_(?!{HIDDEN}|id\b)\w+"),
    "a cookie": re.compile(r"__cf_bm|set-cookie|\bcookie:", re.IGNORECASE),
    "a Cloudflare ray": re.compile(r"\bcf-ray\b|Ray ID: (?!scrubbed)", re.IGNORECASE),
    "an address": re.compile(r"\b(?!0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}\b"),
    "a host other than OpenRouter's": re.compile(r"https?://(?:localhost|127\.|\[::1)"),
}
"""What no cassette may hold; the hygiene test looks for these."""

DECIMALS = 4
KEPT_MODELS = (
    "openai/text-embedding-3-small",
    "google/gemini-embedding-2",
    "qwen/qwen3-embedding-8b",
)
_ID = re.compile(r"\bgen-(?:emb-)?\d{6,}-\w{6,}")
_TEXT_RULES = (
    (re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9][\w-]{8,}"), HIDDEN),
    (re.compile(r"\buser_(?!id\b)\w+"), f"user_{HIDDEN}"),
    (re.compile(r"(Ray ID: )\S+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "0.0.0.0"),
)


class SecretError(AssertionError):
    """Something that must not be stored was about to be."""


# ---------------------------------------------------------------- requests


def clean_request(request: Request) -> Request:
    """A request as it is stored and compared: wherever it went and whoever sent it."""
    body = request.body
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    kept = {name: _clean_header(name, headers[name]) for name in sorted(headers)}
    return Request(
        request.method,
        re.sub(r"^https?://(?:localhost|127\.0\.0\.1):\d+/api/v1", API, request.uri),
        body.encode() if isinstance(body, str) else bytes(body or b""),
        {name: value for name, value in kept.items() if name not in _FRAMING_HEADERS},
    )


def _clean_header(name: str, value: str) -> str:
    if name == "authorization":
        return f"Bearer {HIDDEN}" if re.fullmatch(r"Bearer \S+", value) else f"{HIDDEN}: no bearer"
    if name == "user-agent":  # a new version of ours is no change on the wire
        return re.sub(r"(?<=openrouter-embed/)[\w.+]+", "*", value)
    return value if name in REQUEST_HEADERS else HIDDEN


# ---------------------------------------------------------------- answers


@dataclass
class Scrubber:
    """Cleans the interactions of one cassette, in order.

    Attributes:
        stored: The interactions the cassette held before, if any, in the form of `clean_answer`.
        tolerance: How far a component may move from a stored one and count as the same.
        secrets: Exact strings that must not be written, such as the key in use.
    """

    stored: Sequence[Mapping[str, Any]] = ()
    tolerance: float = 0.0
    secrets: Sequence[str] = ()
    _ids: dict[str, str] = field(default_factory=dict)
    _at: int = 0

    def interaction(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """One interaction as it may be stored."""
        before = self.stored[self._at] if self._at < len(self.stored) else {}
        self._at += 1
        response = item["response"]
        headers = {name.lower(): value for name, value in response["headers"].items()}
        body = _unpacked(response["body"].get("string") or "", headers)
        return {
            "request": item["request"],
            "response": {
                "status": response["status"],
                "headers": {n: headers[n] for n in sorted(headers) if n in ANSWER_HEADERS},
                "body": {"string": self._body(body, item["request"]["uri"], before)},
            },
        }

    def refuse_secrets(self, text: str) -> None:
        """Look once more at what is about to be written.

        Raises:
            SecretError: It holds a secret.
        """
        for secret in self.secrets:
            if secret in text:
                raise SecretError("A secret in use would have been written into a cassette.")
        for what, pattern in SECRETS.items():
            if pattern.search(text):
                raise SecretError(f"The cassette would hold {what}: teach `cassette_scrub` to.")

    def _body(self, body: str, uri: str, before: Mapping[str, Any]) -> str:
        bare = body.lstrip()
        try:
            tree = json.loads(bare)
        except ValueError:
            return self._text(body)
        trim = _TRIMS.get(uri.removeprefix(API))
        tree = self._walk(tree if trim is None else trim(tree))
        _settle_vectors(tree, before, self.tolerance)
        lead = body[: len(body) - len(bare)]
        return lead + json.dumps(tree, ensure_ascii=False, separators=(",", ":"))

    def _walk(self, tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: self._walk(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self._walk(item) for item in tree]
        return self._text(tree) if isinstance(tree, str) else tree

    def _text(self, text: str) -> str:
        for pattern, instead in _TEXT_RULES:
            text = pattern.sub(instead, text)
        return _ID.sub(self._numbered, text)

    def _numbered(self, found: re.Match[str]) -> str:
        number = len(self._ids) + 1
        return self._ids.setdefault(found[0], f"gen-emb-1700000000-{number:020d}")


def _unpacked(body: str | bytes, headers: Mapping[str, Any]) -> str:
    encoding = headers.get("content-encoding", [""])
    name = encoding[0] if isinstance(encoding, list) else encoding
    raw = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
    return decompress(raw, name, 64 * 1024 * 1024).decode("utf-8", "replace")


def _trim_models(tree: dict[str, Any]) -> dict[str, Any]:
    if "data" not in tree:
        return tree
    kept = [row for row in tree["data"] if row.get("id") in KEPT_MODELS]
    for row in kept:
        row["description"] = row.get("description", "")[:90]
    counts = {"total_count": len(kept)} if "total_count" in tree else {}
    return {**tree, "data": kept, **counts}


def _trim_key(tree: dict[str, Any]) -> dict[str, Any]:
    """Of an account keep the form, not the figures."""
    if "data" not in tree:
        return tree
    data = tree["data"]
    figures: dict[str, Any] = {"label": "sk-or-...", "usage": 0.25, "limit": 10.0}
    figures |= {"limit_remaining": 9.75, "is_free_tier": False}
    return {"data": {name: value for name, value in figures.items() if name in data}}


_TRIMS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/embeddings/models": _trim_models,
    "/key": _trim_key,
}


# ---------------------------------------------------------------- vectors


def _settle_vectors(tree: Any, before: Mapping[str, Any], tolerance: float) -> None:
    old_items = _items(before)
    for at, item in enumerate(_items(tree)):
        old = old_items[at].get("embedding") if at < len(old_items) else None
        item["embedding"] = _settled(item.get("embedding"), old, tolerance)


def _items(tree: Any) -> list[dict[str, Any]]:
    rows = tree.get("data") if isinstance(tree, dict) else None
    rows = rows if isinstance(rows, list) else []
    return [row for row in rows if isinstance(row, dict) and "embedding" in row]


def _settled(new: Any, old: Any, tolerance: float) -> Any:
    numbers = read_vector(new)
    if numbers is None:
        return new
    known = read_vector(old) if type(old) is type(new) else None
    if known is not None and len(known) == len(numbers):
        moved = max((abs(a - b) for a, b in zip(known, numbers, strict=True)), default=0.0)
        if moved <= tolerance:
            return old
    rounded = [round(number, DECIMALS) + 0.0 for number in numbers]  # + 0.0 turns -0.0 into 0.0
    if isinstance(new, str):
        return base64.b64encode(struct.pack(f"<{len(rounded)}f", *rounded)).decode()
    return rounded


def read_vector(value: Any) -> list[float] | None:
    """The numbers of a vector in either encoding; `None` if it is none.

    Independent of the package's own decoder, so that one can be checked against the other.
    """
    if isinstance(value, list):
        return [float(number) for number in value]
    if not isinstance(value, str):
        return None
    raw = base64.b64decode(value)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))
