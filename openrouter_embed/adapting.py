"""What an adapter stands on besides the public names: one door for all of them.

Rules of this file:
- Nothing is made here; what an adapter needs and no user does is handed on.
"""

from __future__ import annotations

from openrouter_embed.guard import aguarded, guarded, kind_of
from openrouter_embed.options.key import KEY_VARIABLE
from openrouter_embed.options.keywords import ClientOptions
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.table import OPTIONS, Option

__all__ = [
    "KEY_VARIABLE",
    "OPTIONS",
    "ClientOptions",
    "Option",
    "aguarded",
    "guarded",
    "kind_of",
    "unknown_name",
]
