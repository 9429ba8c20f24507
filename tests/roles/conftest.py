"""An emulator that answers whatever it is asked."""

from __future__ import annotations

import json

import pytest

from openrouter_embed.emulator import Emulator


def any_vector(_, body):
    """Answer every request, for models that the emulator does not know as well."""
    data = [{"embedding": [0.6, 0.8], "index": at} for at in range(len(body["input"]))]
    return 200, {}, json.dumps({"data": data, "model": "m"}).encode()


@pytest.fixture(scope="session")
def yes_man():
    with Emulator(faults=any_vector) as running:
        yield running


@pytest.fixture
def wire(yes_man):
    """An emulator that answers whatever it is asked, and has seen nothing yet."""
    yes_man.reset()
    return yes_man
