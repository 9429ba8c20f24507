"""Whether anybody watches a call: the one question that every call asks, and what it costs.

Rules of this file:
- Nothing of OpenTelemetry is imported unless the program has loaded it, or its environment names a
  provider: who has set one up has loaded it.
- A call that nobody watches pays for one attribute and one look into a table.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from openrouter_embed.options.settings import Settings
    from openrouter_embed.telemetry.observation import Observation

NAMED: Final = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")
"""Variables that make OpenTelemetry's API set up a provider by itself."""
UNSEEN: Final = nullcontext[None]()


def observe(settings: Settings) -> AbstractContextManager[Observation | None]:
    """Observe one call while the context is open; it gives `None` where nobody watches."""
    if settings.telemetry and ("opentelemetry" in sys.modules or _named()):
        return _begin()(settings) or UNSEEN
    return UNSEEN


@functools.cache
def _begin() -> Callable[[Settings], Observation | None]:
    from openrouter_embed.telemetry.observation import begin  # noqa: PLC0415 - lazy by design

    return begin


@functools.cache
def _named() -> bool:
    return any(name in os.environ for name in NAMED) and find_spec("opentelemetry") is not None
