"""A word where vectors that are not of unit length reach a framework that takes them for such.

Rules of this file:
- Vectors are never changed here, only looked at: one of them, once per adapter.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from openrouter_embed.notices import LOGGER, extras

if TYPE_CHECKING:
    from openrouter_embed.result import EmbeddingResult


class NotNormalizedWarning(UserWarning):
    """Vectors that are not of unit length went to a framework whose stores assume they are."""


class LengthWatch:
    """What one adapter object has seen of the lengths of its vectors."""

    def __init__(self, framework: str) -> None:
        self._framework = framework
        self._told = False

    def look(self, result: EmbeddingResult, model: str) -> None:
        """Warn the first time that vectors are not of unit length."""
        if self._told or result.unit_length is not False:
            return
        self._told = True
        text = (
            f"The vectors of `{model}` are not of unit length, and some of {self._framework}'s "
            "stores and scores take them for such: pass `normalize='auto'`, or use a store that "
            "measures the cosine."
        )
        try:
            warnings.warn(text, NotNormalizedWarning, stacklevel=6)
        except Warning:  # where warnings are errors: the vectors are paid for
            LOGGER.warning("%s", text, extra=extras("warning"))
