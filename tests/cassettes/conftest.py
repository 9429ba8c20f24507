"""What all tests of this folder share; helpers stand in modules of their own."""

from __future__ import annotations

import socket

import pytest


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "live: talks to openrouter.ai and costs a fraction of a cent"
    )


@pytest.fixture
def loopback():
    """Skip where not even loopback works: the emulator needs it, replaying does not."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError:
        pytest.skip("no loopback here, and the emulator needs it")
