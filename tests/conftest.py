"""How thorough a run is, and emulators: the fast suite tries a quarter of a property's examples.

Rules of this file:
- A run of what is not slow is fast; every other run, such as `pytest -m ""`, is thorough.
- No variable of the machine decides what a test sees; a run of what is live keeps its key.
- What measures the tests stays with them: programs that they start load what users' programs load.
- Frameworks and tests, once loaded, are not searched for garbage again and again.
"""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import settings

MOST_WORKERS = 8
"""Each of them loads both frameworks."""

settings.register_profile("thorough", max_examples=100)
settings.register_profile("fast", max_examples=25)


def pytest_configure(config):
    """Choose before any test is read: the numbers of its own that a test asks for follow."""
    if hasattr(config, "workerinput"):
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    if "live" not in config.option.markexpr:
        for name in [name for name in os.environ if name.startswith("OPENROUTER_")]:
            del os.environ[name]
    fast = config.option.markexpr == "not slow"
    settings.load_profile("fast" if fast else "thorough")


def pytest_xdist_auto_num_workers(config):
    """Use every core for all tests, and none but this process for a part of them."""
    part = config.args_source is config.ArgsSource.ARGS or config.option.keyword
    return 0 if part or config.option.capture == "no" else min(os.cpu_count() or 1, MOST_WORKERS)


def pytest_collection_finish():
    """Set aside what is there for good: a tenth of a run's time was spent looking through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_emulator():
    from openrouter_embed.emulator import Emulator  # what a test measures is not loaded for others

    with Emulator(backend="hashed") as running:
        yield running


@pytest.fixture
def emulator(shared_emulator):
    """An emulator that answers at once and has seen nothing yet."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture
def em(emulator):
    """The same, for tests that name it often."""
    return emulator


@pytest.fixture
def emulate():
    """Start emulators of one's own; stopped afterwards."""
    from openrouter_embed.emulator import Emulator  # as above

    running = []

    def start(**options):
        running.append(Emulator(**{"backend": "hashed", **options}).start())
        return running[-1]

    yield start
    for emulator in running:
        emulator.stop()
