"""The site's first page: the README, with its links as they are seen from `docs/`.

Rules of this file:
- Nothing is said here: what the first page says stands in the README.
- A link out of `docs/` leads to the source at the address in pyproject's `[project.urls]`.
"""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = pathlib.Path(__file__).resolve().parents[1]
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|#)([^)]+)")


def source() -> str:
    """Return where the source is, as the package's metadata say."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (address,) = re.findall(r'^Source = "(.+)"$', project, re.MULTILINE)
    return str(address)


def lines() -> Iterable[str]:
    """Return the lines of the page."""
    base = source()

    def seen(found: re.Match[str]) -> str:
        path = found[1]
        return path.removeprefix("docs/") if path.startswith("docs/") else base + path

    return _LINK.sub(seen, (ROOT / "README.md").read_text(encoding="utf-8")).splitlines()
