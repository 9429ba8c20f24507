"""For the tests of programs that use this package: a pytest fixture with a local OpenRouter.

Rules of this file:
- It is a pytest plugin, found by its entry point, so it imports nothing heavy until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openrouter_embed.options.checks import BASE_URL_VARIABLE
from openrouter_embed.options.key import KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openrouter_embed.emulator import Emulator


@pytest.fixture
def openrouter_emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Run a local emulator of OpenRouter, and point the environment at it.

    Clients and adapters made in the test without a key or base URL of their own talk to it.
    """
    from openrouter_embed.emulator import Emulator  # noqa: PLC0415 - only when asked for

    with Emulator() as emulator:
        monkeypatch.setenv(KEY_VARIABLE, "emulated-key")
        monkeypatch.setenv(BASE_URL_VARIABLE, emulator.base_url)
        yield emulator
