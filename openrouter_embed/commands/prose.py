"""Sentences for a terminal: as wide as it is, and no wider.

Rules of this file:
- A word is never broken: a name that is too long for its line has one to itself.
- What goes to a file or a pipe is as wide as `COLUMNS` says, else 80 characters.
"""

from __future__ import annotations

import shutil
import textwrap


def columns() -> int:
    """Return the characters of a line."""
    return shutil.get_terminal_size().columns


def wrapped(text: str) -> str:
    """Return a text in lines that fit; its own line breaks stay."""
    return "\n".join(
        textwrap.fill(line, max(1, columns()), break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
