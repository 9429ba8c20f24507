"""What an adapter stands on besides the public names: one door for all of them.

Rules of this file:
- Nothing is made here; what an adapter needs and no user does is handed on.
"""

from __future__ import annotations

from openrouter_embed.guard import aguarded, guarded, kind_of, restate, speaking
from openrouter_embed.lengths import LengthWatch
from openrouter_embed.listed import as_list, as_text, as_texts
from openrouter_embed.media import MediaInput
from openrouter_embed.notices import extras
from openrouter_embed.options.checks import check_flag
from openrouter_embed.options.key import KEY_VARIABLE, Secret
from openrouter_embed.options.keywords import ClientOptions
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.signatures import spelled_out
from openrouter_embed.options.table import OPTIONS, Option
from openrouter_embed.telemetry.names import of_result

__all__ = [
    "KEY_VARIABLE",
    "OPTIONS",
    "ClientOptions",
    "LengthWatch",
    "MediaInput",
    "Option",
    "Secret",
    "aguarded",
    "as_list",
    "as_text",
    "as_texts",
    "check_flag",
    "extras",
    "guarded",
    "kind_of",
    "of_result",
    "restate",
    "speaking",
    "spelled_out",
    "unknown_name",
]
