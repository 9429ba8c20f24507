"""Without OpenTelemetry, or without an SDK that anybody set up, a call loads nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CALL = """
import sys
{before}
from openrouter_embed import EmbeddingClient
from openrouter_embed.emulator import Emulator
with Emulator(backend="hashed") as server:
    options = {{"api_key": "k", "base_url": server.base_url}}
    with EmbeddingClient("openai/text-embedding-3-small", **options) as client:
        assert len(client.embed_query("a text")) > 0
print(sorted(name for name in sys.modules if name.split(".")[0] == "opentelemetry"
             or name.startswith("openrouter_embed.telemetry.")))
"""
MISSING = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""


def loaded(before="", **environ):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CALL.format(before=before)],
        capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environ},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_the_api_nothing_is_looked_for():
    assert loaded(MISSING) == "[]"


def test_with_the_api_installed_and_unused_nothing_is_loaded():
    assert loaded() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_PYTHON_TRACER_PROVIDER",
        pytest.param("OTEL_PYTHON_METER_PROVIDER", marks=pytest.mark.slow),
    ],
)
def test_a_provider_that_the_environment_names_is_set_up_at_the_first_call(name):
    assert "opentelemetry.sdk" in loaded(**{name: f"sdk_{name.split('_')[2].lower()}_provider"})


@pytest.mark.slow
def test_telemetry_off_loads_nothing_whatever_the_environment_names():
    found = loaded(OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider", OPENROUTER_EMBED_OTEL="off")
    assert found == "[]"
