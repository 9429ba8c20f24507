"""What tells a comparison to ask the emulator."""

from __future__ import annotations

import pytest


@pytest.fixture
def where(emulator):
    return {"base_url": emulator.base_url, "api_key": "emulated"}
