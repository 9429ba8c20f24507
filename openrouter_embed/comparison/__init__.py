"""Models compared on one's own texts: what they find, what they cost, how long they take."""

from __future__ import annotations

from openrouter_embed.comparison.report import Comparison, ModelScore
from openrouter_embed.comparison.run import compare

__all__ = ["Comparison", "ModelScore", "compare"]
