"""`openrouter-embed models`: the catalogue as a table, and what this package does for each model.

Rules of this file:
- The live catalogue is public, so it is asked without a key; the table of profiles says the rest.
- Without a network the catalogue that the emulator carries is shown, and it is said that it is old.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from openrouter_embed import tables
from openrouter_embed.catalogue import ModelInfo, read_models
from openrouter_embed.client import EmbeddingClient
from openrouter_embed.commands.colours import paint
from openrouter_embed.commands.prose import columns, wrapped
from openrouter_embed.display import price_of
from openrouter_embed.errors import ConfigurationError, TransportError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from openrouter_embed.commands.parsers import Commands
    from openrouter_embed.options.models import ModelProfile

STORED: Final = "October 2026"
"""When the emulator's catalogue was written down."""
_ORDERS: Final[dict[str, Callable[[ModelInfo], Any]]] = {
    "name": lambda model: model.id,
    "price": lambda model: (model.price is None, model.price, model.id),
    "context": lambda model: (-(model.context_length or 0), model.id),
    "width": lambda model: (-(model.profile.dimensions or 0), model.id),
}
_HEAD: Final = ("model", "$/M", "width", "takes", "context", "query", "document")
_SPARE: Final = ("document", "query", "context", "takes")
"""Columns in the order in which a narrow table does without them."""

_LEGEND: Final = "$/M: USD for a million tokens. `--json` tells all of it."


def add_models(commands: Commands) -> None:
    """Describe the command to the parser."""
    parser = commands.add_parser("models", help="list embedding models and what is done for each")
    parser.add_argument(
        "pattern", nargs="?", default="", help="a part of the id, or a pattern such as 'qwen/*'"
    )
    parser.add_argument(
        "--sort",
        choices=sorted(_ORDERS),
        metavar="BY",
        default="name",
        help=f"order: {', '.join(_ORDERS)} (default: %(default)s)",
    )
    parser.add_argument("--images", action="store_true", help="only models that take images")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    models = [
        model
        for model in sorted(_catalogue(), key=_ORDERS[options.sort])
        if _matches(model.id, options.pattern) and (not options.images or "image" in _takes(model))
    ]
    if not models:
        raise ConfigurationError("No model fits: try a shorter part of its name.")
    if options.json:
        print(json.dumps([_record(model) for model in models], indent=2, ensure_ascii=False))
    else:
        print(model_table(models, columns()))
    return 0


def _catalogue() -> list[ModelInfo]:
    try:
        with EmbeddingClient.without_key("*", max_retries=1) as client:
            return client.models()
    except TransportError as error:
        reason = error.message
    print(
        paint(wrapped(f"{reason} This is the catalogue of {STORED}, as far as it was known."),
              "yellow", stream=sys.stderr),
        file=sys.stderr,
    )  # fmt: skip
    from openrouter_embed.emulator.answers import embedding_models  # noqa: PLC0415 - seldom used

    return read_models({"data": embedding_models()})


def _matches(model: str, pattern: str) -> bool:
    wanted = pattern.lower()
    return fnmatchcase(model, wanted) if "*" in wanted else wanted in model


def _takes(model: ModelInfo) -> tuple[str, ...]:
    return model.modalities or tuple(sorted(model.profile.modalities, key="text".__ne__))


def _media(kinds: tuple[str, ...]) -> str:
    """Say in a word what may stand beside text."""
    others = [kind for kind in kinds if kind != "text"]
    if not others:
        return "text"
    return "+ images" if others == ["image"] else "+ media"


def model_table(models: list[ModelInfo], width: int = 80) -> str:
    """Return models as a table of at most `width` characters a line."""
    head: list[str] = list(_HEAD)
    rows = [_row(model) for model in models]
    for spare in _SPARE:
        if tables.width_of(head, rows) <= width:
            break
        at = head.index(spare)
        head, rows = _without(head, at), [_without(row, at) for row in rows]
    lines = tables.text_table(head, rows, width).splitlines()
    return "\n".join([paint(lines[0], "bold"), *lines[1:], "", _LEGEND])


def _without(cells: list[str], at: int) -> list[str]:
    return cells[:at] + cells[at + 1 :]


def _row(model: ModelInfo) -> list[str]:
    profile = model.profile
    return [
        model.id,
        price_of(model.price),
        str(profile.dimensions or "?"),
        _media(_takes(model)),
        f"{model.context_length:,}" if model.context_length else "?",
        describe_role(profile, "query"),
        describe_role(profile, "document"),
    ]


def _record(model: ModelInfo) -> dict[str, Any]:
    profile = model.profile
    return {
        "id": model.id,
        "usd_per_million_tokens": None if model.price is None else round(model.price * 1e6, 9),
        "context_length": model.context_length,
        "dimensions": profile.dimensions,
        "modalities": list(_takes(model)),
        "query": describe_role(profile, "query"),
        "document": describe_role(profile, "document"),
    }


def describe_role(profile: ModelProfile, role: str) -> str:
    """Say in a few words what a profile does for a role."""
    sent = profile.query_input_type if role == "query" else profile.document_input_type
    prefix = profile.query_prefix if role == "query" else profile.document_prefix
    if sent:
        return f"input_type={sent}"
    return f"prefix {prefix!r}" if prefix else "as it is"
