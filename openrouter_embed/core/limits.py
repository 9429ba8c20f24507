"""How much one request may hold, by what the user set and what the model's profile knows.

Rules of this file:
- Careful where nobody knows: larger requests are tried later, by `growth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from openrouter_embed.options.models import CAREFUL_INPUTS

if TYPE_CHECKING:
    from openrouter_embed.options.settings import Settings

MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
"""Bytes of inputs per request; one larger input still goes alone."""
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Bytes of floats an answer should stay below; what is larger hurts when it is lost."""
FLOAT_BYTES: Final = 22
"""Bytes that a float takes in JSON as a rule, its comma included."""
UNKNOWN_WIDTH: Final = 4096
"""Components that a vector is taken to have where nobody knows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may hold.

    Attributes:
        inputs: Inputs, on the careful side.
        tokens: Estimated tokens.
        size: Bytes of inputs.
        most: Inputs that are tried once the careful number was borne; not above it where a limit
            is known.
    """

    inputs: int
    tokens: int
    size: int = MAX_REQUEST_BYTES
    most: int = 0


def vector_bytes(settings: Settings) -> int:
    """Return how many bytes a vector is likely to take in an answer, as floats."""
    return FLOAT_BYTES * (settings.dimensions or settings.profile.dimensions or UNKNOWN_WIDTH)


def make_limits(settings: Settings) -> Limits:
    """Return what the user set, else what the model's profile knows."""
    profile = settings.profile
    answerable = max(1, MAX_ANSWER_BYTES // vector_bytes(settings))
    known = settings.max_batch_inputs or profile.max_batch_inputs != CAREFUL_INPUTS
    return Limits(
        settings.max_batch_inputs or min(profile.max_batch_inputs, answerable),
        settings.max_batch_tokens or profile.max_batch_tokens,
        most=0 if known else min(2 * CAREFUL_INPUTS, answerable),
    )
