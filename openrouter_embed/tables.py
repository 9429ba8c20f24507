"""Small tables for people: as text for a terminal, as HTML for a notebook.

Rules of this file:
- Cells are texts already; a column of figures is aligned to the right.
- Text fits the width it is given: the widest column is cut, never wrapped.
- HTML is one plain escaped `<table>` without script, colours or sizes: every theme can dress it.
"""

from __future__ import annotations

import html
import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NARROWEST: Final = 12
"""Characters that a column keeps when a table is cut to a width."""
SMALLEST: Final = 1e-6
"""USD below which digits say nothing to anybody."""
_FIGURE: Final = re.compile(r"[<~]?[-$]?[\d,.]+(e-\d+)?( ?(%|k|M|s|ms))?|\?|-|free")


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int = 80) -> str:
    """Return an aligned table of at most `width` characters a line."""
    table = [list(map(str, row)) for row in (head, *rows)]
    figures = [_is_figures([row[at] for row in table[1:]]) for at in range(len(head))]
    room = _fit([max(len(row[at]) for row in table) for at in range(len(head))], width)
    lines = [_line(row, room, figures) for row in table]
    return "\n".join([lines[0], "  ".join("─" * size for size in room), *lines[1:]])


def width_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return the characters that a table takes when nothing is cut."""
    sizes = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return sum(sizes) + 2 * (len(sizes) - 1)


def _is_figures(cells: Sequence[str]) -> bool:
    return bool(cells) and all(_FIGURE.fullmatch(cell) for cell in cells if cell)


def _fit(wanted: Sequence[int], width: int) -> list[int]:
    """Take what is too much off the widest columns."""
    room = list(wanted)
    while sum(room) + 2 * (len(room) - 1) > width and max(room) > NARROWEST:
        room[room.index(max(room))] -= 1
    return room


def _line(cells: Sequence[str], room: Sequence[int], figures: Sequence[bool]) -> str:
    shown = (
        cut(cell, size).rjust(size) if right else cut(cell, size).ljust(size)
        for cell, size, right in zip(cells, room, figures, strict=True)
    )
    return "  ".join(shown).rstrip()


def cut(text: str, size: int) -> str:
    """Return a text of at most `size` characters; a cut one ends in an ellipsis."""
    return text if len(text) <= size else text[: size - 1] + "…"


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table for a notebook; every cell is escaped."""
    figures = [_is_figures([str(row[at]) for row in rows]) for at in range(len(head))]
    # Notebooks set every cell to the right unless it says otherwise itself.
    align = [f' style="text-align: {"right" if right else "left"}"' for right in figures]
    top = "".join(f"<th{how}>{escaped(name)}</th>" for how, name in zip(align, head, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{how}>{escaped(cell)}</td>" for how, cell in zip(align, row, strict=True))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def escaped(text: object) -> str:
    """Return a text that HTML shows as it is."""
    return html.escape(str(text))


def money(usd: float | None) -> str:
    """Return USD with as many digits as say something; `?` where the sum is not known."""
    if usd is None:
        return "?"
    if usd == 0:
        return "$0"
    if usd < SMALLEST:
        return f"<${SMALLEST:f}"
    if usd >= 1:
        return f"${usd:,.2f}"
    digits = 1 - math.floor(math.log10(abs(usd)))  # two figures that count
    return f"${usd:.{max(2, digits)}f}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 text`, `2,048 texts`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{_ending(noun)}"
    return f"{number:,} {plural}"


def _ending(noun: str) -> str:
    return "es" if noun.endswith("ch") else "s"


def seconds(duration: float | None) -> str:
    """Return a duration as people read it: `35 ms`, `4.2 s`, `210 s`."""
    if duration is None:
        return "-"
    if duration < 1:
        return f"{1000 * duration:.0f} ms"
    return f"{duration:.1f} s" if duration < 100 else f"{duration:,.0f} s"
