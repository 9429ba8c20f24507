"""Memory: an endless or exploding answer costs a bounded amount of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fault_harness import SHELLS
from fault_server import CHUNKED, FaultServer, bomb, chunk, endless, response, send

MEGABYTE = 1024 * 1024
LIMIT = 64 * MEGABYTE
"""What an answer may hold while the width of its vectors is not known."""

SCRIPT = """
import asyncio, re, sys
from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
from openrouter_embed.errors import TransportError
from openrouter_embed.shells import aiohttp_shell, requests_shell
import openrouter_embed.core.job
def peak():
    status = open("/proc/self/status").read()  # unlike `ru_maxrss` not the parent's
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024
before = peak()
options = dict(model="acme/embed", api_key="k", base_url=sys.argv[2], max_retries=0, timeout=30)
try:
    if sys.argv[1] == "requests":
        EmbeddingClient(**options).embed(["text"])
    else:
        asyncio.run(AsyncEmbeddingClient(**options).embed(["text"]))
except TransportError as error:
    print(error.kind, peak() - before)
"""

FAULTS = {
    "b7 endless": [send(CHUNKED), endless(chunk(b" " * 262_144))],
    "b8 bomb": [send(response(bomb(256 * MEGABYTE), headers=["Content-Encoding: gzip"]))],
}


ONCE_EACH = {("b7 endless", "requests"), ("b8 bomb", "aiohttp")}
"""Each fault and each shell; the other two pairs are for the slow suite."""


@pytest.mark.parametrize(
    ("act", "shell"),
    [
        pytest.param(
            act,
            shell,
            id=f"{name}-{shell}",
            marks=() if (name, shell) in ONCE_EACH else pytest.mark.slow,
        )
        for name, act in FAULTS.items()
        for shell in SHELLS
    ],
)
def test_b7_b8_the_peak_grows_by_less_than_twice_the_limit(act, shell):
    with FaultServer([act]) as server:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, shell, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    kind, growth = done.stdout.split()
    assert kind == "too_large"
    assert int(growth) < 2 * LIMIT, int(growth) / LIMIT
