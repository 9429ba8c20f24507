"""Colours where the terminal has them: by termcolor, where it is installed.

Rules of this file:
- `NO_COLOR`, `FORCE_COLOR` and pipes are termcolor's to judge; without it nothing is coloured.
- Colour says nothing that the words do not say as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Literal, TextIO

    Look = Literal["bold", "green", "red", "yellow"]

_STYLES: Final[dict[str, dict[str, object]]] = {
    "bold": {"attrs": ["bold"]},
    "green": {"color": "green"},
    "red": {"color": "red"},
    "yellow": {"color": "yellow"},
}


def paint(text: str, look: Look, stream: TextIO | None = None) -> str:
    """Return a text as it should look on a stream, standard output by default."""
    try:
        from termcolor import colored  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        return text
    # It looks at standard output alone, whatever the text is for.
    plain = stream is not None and not stream.isatty()
    return colored(text, no_color=plain or None, **_STYLES[look])  # type: ignore[arg-type]
