"""Clients of either kind that hand batches in, and no waiting."""

from __future__ import annotations

import pytest
from batch_faces import FACES, SMALL

from openrouter_embed.emulator import Emulator


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Nobody waits for long."""
    monkeypatch.setattr("openrouter_embed.core.retry.BACKOFF_BASE", 0.001)
    monkeypatch.setattr("openrouter_embed.batch.submitting.LOOKS", (0.0, 0.001, 0.001))
    monkeypatch.setattr("openrouter_embed.batch.watching.FIRST_POLL", 0.001)


@pytest.fixture(scope="module")
def shared_emulator():
    """One of its own for each module: batches stay, and so does the time that was let pass."""
    with Emulator(backend="hashed") as running:
        yield running


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
