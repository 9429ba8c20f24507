"""Clients of either kind that talk to the emulator."""

from __future__ import annotations

import pytest
from api_faces import FACES


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
