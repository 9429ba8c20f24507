"""The catalogue as a table: every embedding model, and what this package does for it.

Rules of this file:
- The live catalogue is public, so it is asked without a key; the table of profiles says the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed.client import EmbeddingClient

if TYPE_CHECKING:
    from openrouter_embed.catalogue import ModelInfo
    from openrouter_embed.options.models import ModelProfile

_HEAD = ("model", "USD / M tokens", "context", "width", "query", "document")


def model_table() -> str:
    """Fetch the catalogue and return it as aligned text.

    Raises:
        EmbeddingError: The catalogue could not be fetched.
    """
    with EmbeddingClient.without_key("*") as client:
        rows = [_HEAD, *(_row(model) for model in client.models())]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    padded = ((cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _row(model: ModelInfo) -> tuple[str, ...]:
    profile = model.profile
    price = "?" if model.price is None else f"{model.price * 1e6:g}"
    return (
        model.id,
        price,
        f"{model.context_length:,}" if model.context_length else "?",
        str(profile.dimensions or "?"),
        describe_role(profile, "query"),
        describe_role(profile, "document"),
    )


def describe_role(profile: ModelProfile, role: str) -> str:
    """Say in a few words what a profile does for a role."""
    sent = profile.query_input_type if role == "query" else profile.document_input_type
    prefix = profile.query_prefix if role == "query" else profile.document_prefix
    if sent:
        return f"input_type={sent}"
    return f"prefix {prefix!r}" if prefix else "as it is"
