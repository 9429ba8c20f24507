"""What a span and a metric may say, by the conventions' table, and a check of it field by field.

Rules of this file:
- Written by hand from the semantic conventions for generative AI, version 1.41, and never from the
  tables of the package: the two are compared.
"""

from __future__ import annotations

REQUIRED, RECOMMENDED, ON_ERROR, OURS = "required", "recommended", "on error", "ours"

SPAN = {
    "gen_ai.operation.name": (REQUIRED, str),
    "gen_ai.provider.name": (REQUIRED, str),
    "gen_ai.request.model": (REQUIRED, str),
    "server.address": (RECOMMENDED, str),
    "server.port": (RECOMMENDED, int),
    "error.type": (ON_ERROR, str),
    "gen_ai.response.model": (RECOMMENDED, str),
    "gen_ai.usage.input_tokens": (RECOMMENDED, int),
    "gen_ai.embeddings.dimension.count": (RECOMMENDED, int),
    "gen_ai.request.encoding_formats": (RECOMMENDED, tuple),
    "gen_ai.usage.cost": (OURS, float),
    "operation.cost": (OURS, float),
    "openrouter_embed.inputs": (OURS, int),
    "openrouter_embed.failed_inputs": (OURS, int),
    "openrouter_embed.requests": (OURS, int),
    "openrouter_embed.retries": (OURS, int),
    "openrouter_embed.cache_hits": (OURS, int),
    "openrouter_embed.providers": (OURS, tuple),
}
"""Attribute → how the conventions rank it, and its type."""

SHARED = {
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
    "gen_ai.response.model", "server.address", "server.port",
}  # fmt: skip
METRICS = {
    "gen_ai.client.operation.duration": ("s", SHARED | {"error.type"}),
    "gen_ai.client.token.usage": ("{token}", SHARED | {"gen_ai.token.type"}),
    "operation.cost": ("{USD}", SHARED),
}
"""Histogram → its unit and the attributes that it may have."""
BUCKETS = {
    "gen_ai.client.operation.duration": [
        0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
    ],
    "gen_ai.client.token.usage": [
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    ],
}  # fmt: skip


def check_span(span):
    """Hold one of our spans against the table; return its attributes."""
    told = dict(span.attributes)
    assert set(told) <= set(SPAN)
    for name, value in told.items():
        assert type(value) is SPAN[name][1], name
    assert {name for name, (level, _) in SPAN.items() if level == REQUIRED} <= set(told)
    assert span.kind.name == "CLIENT"
    assert span.name == f"{told['gen_ai.operation.name']} {told['gen_ai.request.model']}"
    assert (span.status.status_code.name == "ERROR") is ("error.type" in told)
    assert not span.events
    return told
