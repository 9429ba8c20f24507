"""How a cassette looks on disk: YAML with JSON bodies parsed, so that a person can review it.

Rules of this file:
- What is read back is byte for byte what was written: a body that compact JSON cannot reproduce
  exactly is stored as text.
- Only the layout lives here; what may be stored at all is decided in `cassette_scrub`.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from cassette_scrub import Scrubber

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).resolve().parents[2] / "cassettes"
WIDTH = 100
_BANNER = "# Written by `python -m tests.record`, see cassettes/README.md. Do not edit by hand.\n"
_JSON_SPACE = " \t\r\n"
_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def path_of(name: str, folder: Path = FOLDER) -> Path:
    """The file of a cassette."""
    return folder / f"{name}.yaml"


def compact(tree: object) -> str:
    """JSON as both shells send it: keys in the order given, no white space, UTF-8 unescaped."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


# ---------------------------------------------------------------- bodies


def store_body(raw: str | bytes | None) -> dict[str, Any]:
    """A body as fields of the YAML; none for an empty one."""
    if not raw:
        return {}
    if isinstance(raw, bytes):
        return {"base64": base64.b64encode(raw).decode()}
    bare = raw.lstrip(_JSON_SPACE)
    try:
        tree = json.loads(bare)
    except ValueError:
        return {"text": raw}
    if compact(tree) != bare:
        return {"text": raw}
    lead = raw[: len(raw) - len(bare)]
    return {**({"white_space": lead} if lead else {}), "json": tree}


def load_body(fields: Mapping[str, Any]) -> str | bytes:
    """The inverse of `store_body`."""
    if "json" in fields:
        return fields.get("white_space", "") + compact(fields["json"])
    if "base64" in fields:
        return base64.b64decode(fields["base64"])
    return fields.get("text", "")


def load_answer(fields: Mapping[str, Any]) -> Any:
    """The JSON of a stored answer; an empty object if it is no JSON."""
    return fields.get("json", {})


# ---------------------------------------------------------------- YAML


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _numbers_in_rows(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    plain = bool(data) and all(type(item) in {int, float} for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


def _visible_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    style = '"' if "\n" in data or data != data.strip() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(list, _numbers_in_rows)
_Dumper.add_representer(str, _visible_text)


def dump(tree: Mapping[str, Any]) -> str:
    """YAML for people: own key order, vectors in rows, wrapped lines."""
    text: str = yaml.dump(
        dict(tree),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        default_flow_style=False,
    )
    return _BANNER + text


def load(text: str) -> dict[str, Any]:
    """The tree of a cassette's text."""
    tree: dict[str, Any] = yaml.load(text, Loader=_FastLoader)  # a safe loader, C or not
    return tree


def read(path: Path) -> dict[str, Any]:
    """The tree of a cassette's file."""
    return load(path.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- vcrpy


@dataclass
class CassetteSerializer:
    """What vcrpy calls to turn its interactions into text and back.

    Attributes:
        head: Fields that stand before the interactions, such as `recorded_from`.
        scrubber: Removes what may not be stored and settles what would differ next time.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    scrubber: Scrubber = field(default_factory=Scrubber)

    def serialize(self, tape: Mapping[str, Any]) -> str:
        """Called by vcrpy with everything that was recorded."""
        clean = [self.scrubber.interaction(item) for item in tape["interactions"]]
        text = dump({**self.head, "interactions": [_store(item) for item in clean]})
        self.scrubber.refuse_secrets(text)
        return text

    def deserialize(self, text: str) -> dict[str, Any]:
        """Called by vcrpy with the text of a cassette."""
        return {"version": 1, "interactions": [_restore(item) for item in load(text)[_KEY]]}


_KEY = "interactions"


def _store(item: Mapping[str, Any]) -> dict[str, Any]:
    request, response = item["request"], item["response"]
    return {
        "request": {
            "method": request["method"],
            "uri": request["uri"],
            "headers": {name: _single(value) for name, value in request["headers"].items()},
            **store_body(request["body"]),
        },
        "response": {
            "status": response["status"]["code"],
            "reason": response["status"]["message"] or "",
            "headers": {name: _single(value) for name, value in response["headers"].items()},
            **store_body(response["body"]["string"]),
        },
    }


def _single(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _restore(item: Mapping[str, Any]) -> dict[str, Any]:
    request, response = item["request"], item["response"]
    return {
        "request": {
            "method": request["method"],
            "uri": request["uri"],
            "body": load_body(request),
            "headers": {name: [value] for name, value in request["headers"].items()},
        },
        "response": {
            "status": {"code": response["status"], "message": response["reason"]},
            "headers": {name: [value] for name, value in response["headers"].items()},
            "body": {"string": load_body(response)},
        },
    }
