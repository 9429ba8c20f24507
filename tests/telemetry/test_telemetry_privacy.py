"""No text, no vector and no key in anything that is exported, whatever happens to a call."""

from __future__ import annotations

import contextlib

import pytest
from telemetry_doors import DOORS

from openrouter_embed import EmbeddingError

SECRET, TEXT = "sk-or-v1-fake", "a private text"
QUOTING = b'{"error": {"code": %d, "message": "quoting: a private text, sk-or-v1-fake"}}'
FAULTS = {
    "fine": None,
    "refused": lambda *_: (400, {}, QUOTING % 400),
    "down once": lambda number, _: (503, {}, QUOTING % 503) if number == 1 else None,
    "unauthorized": lambda *_: (401, {}, QUOTING % 401),
    "no vectors": lambda *_: (200, {}, b'{"data": [{"embedding": "a private text"}]}'),
    "quoting hosts": lambda *_: (200, {}, QUOTING % 500),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())
def test_nothing_private_is_exported(watch, emulate, run, door, fault):
    server = emulate(faults=fault)
    vectors = []
    with contextlib.suppress(EmbeddingError):
        vectors = run(door, [TEXT, f"{TEXT} more"], base_url=server.base_url, max_retries=1)
    exported = "".join(span.to_json() for span in watch.ours)
    exported += watch.reader_json
    assert "embeddings openai/text-embedding-3-small" in exported
    for private in (SECRET, TEXT, "private", "quoting", *(str(row[0]) for row in vectors)):
        assert private not in exported
