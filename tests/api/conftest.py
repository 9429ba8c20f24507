"""One emulator for the whole module tree, and clients of either kind that talk to it."""

from __future__ import annotations

import pytest
from api_faces import FACES

from openrouter_embed.emulator import Emulator


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """No variable of the machine decides what a test sees."""
    for name in ("API_KEY", "API_BASE", "APP_URL", "APP_TITLE"):
        monkeypatch.delenv(f"OPENROUTER_{name}", raising=False)


@pytest.fixture(scope="session")
def shared_emulator():
    with Emulator(backend="hashed") as running:
        yield running


@pytest.fixture
def em(shared_emulator):
    """An emulator that has seen nothing yet."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture(params=list(FACES))
def face(request):
    """The class of one kind of client; see `api_faces`."""
    return FACES[request.param]


@pytest.fixture
def make(face, em):
    """Make clients of one kind that talk to `em` unless told otherwise; closed afterwards."""
    made = []

    def make_one(*args, **options):
        made.append(face.make(*args, **{"api_key": "k", "base_url": em.base_url, **options}))
        return made[-1]

    yield make_one
    for one in made:
        one.close()
