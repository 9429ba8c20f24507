"""How many examples a property is tried with that asks for another number than the default."""

from __future__ import annotations

from hypothesis import settings


def examples(thorough: int) -> int:
    """Return what is right for this run, given the number for a thorough one."""
    return thorough * settings.default.max_examples // 100
