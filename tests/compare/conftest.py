"""A small corpus in which one model is better by construction."""

from __future__ import annotations

import pytest

from openrouter_embed.emulator import Emulator


@pytest.fixture
def emulator():
    with Emulator(backend="hashed") as running:
        yield running


@pytest.fixture
def where(emulator):
    return {"base_url": emulator.base_url, "api_key": "emulated"}
