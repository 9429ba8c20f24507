"""Emulators with batches, clients of either kind, and no waiting."""

from __future__ import annotations

import pytest
from batch_faces import FACES, SMALL

from openrouter_embed.emulator import Emulator


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """No variable of the machine decides what a test sees, and nobody waits for long."""
    for name in ("API_KEY", "API_BASE", "BASE_URL", "SESSION_ID"):
        monkeypatch.delenv(f"OPENROUTER_{name}", raising=False)
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.001)
    monkeypatch.setattr("openrouter_embed.batch.submitting.LOOKS", (0.0, 0.001, 0.001))
    monkeypatch.setattr("openrouter_embed.batch.watching.FIRST_POLL", 0.001)


@pytest.fixture(scope="module")
def shared():
    with Emulator(backend="hashed") as running:
        yield running


@pytest.fixture
def em(shared):
    """An emulator whose batches are done at once, and that has counted nothing yet."""
    shared.reset()
    return shared


@pytest.fixture(params=list(FACES))
def make(request, em):
    """Make clients of one kind that talk to `em` unless told otherwise; closed afterwards."""
    made = []

    def make_one(model=SMALL, **options):
        made.append(
            FACES[request.param](model, **{"api_key": "k", "base_url": em.base_url, **options})
        )
        return made[-1]

    yield make_one
    for one in made:
        one.close()
