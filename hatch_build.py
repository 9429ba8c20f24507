"""The README as a package index shows it: its links lead to the source, wherever that is.

Rules of this file:
- The address stands in pyproject's `[project.urls]` and nowhere else.
- In the repository links stay relative, so that they lead to the file beside them.
"""

from __future__ import annotations

import pathlib
import re
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def absolute(text: str, source: str) -> str:
    """Return Markdown whose relative links and pictures begin at an address."""
    return re.sub(r"(?<=\]\()(?!https?:|#)", source, text)


class CustomMetadataHook(MetadataHookInterface):
    """Puts the README into the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the description."""
        text = pathlib.Path(self.root, "README.md").read_text(encoding="utf-8")
        text = absolute(text, metadata["urls"]["Source"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
