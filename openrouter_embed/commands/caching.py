"""A cache's file at the command line: what is in it, and how to make it smaller.

Rules of this file:
- It makes no file and opens none of somebody else's.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from openrouter_embed.cache import CacheStats
    from openrouter_embed.commands.parsers import Commands

_DAY: Final = 86400.0


def add_cache(commands: Commands) -> None:
    """Describe the command to the parser."""
    parser = commands.add_parser("cache", help="look at a cache's file, or make it smaller")
    parser.add_argument("path", metavar="PATH", help="the file, as given to `cache=`")
    parser.add_argument(
        "what", nargs="?", choices=("stats", "prune", "clear"), default="stats",
        help="count what is in it; remove what was not used for longest; remove everything",
    )  # fmt: skip
    parser.add_argument(
        "--max-bytes", type=int, metavar="N", help="prune: bytes in use to come down to"
    )
    parser.add_argument(
        "--max-age",
        type=float,
        metavar="S",
        help="prune: seconds without use after which vectors go",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    print(run(options.path, options.what, options.max_bytes, options.max_age))
    return 0


def run(path: str, what: str, max_bytes: int | None, max_age: float | None) -> str:
    """Do what was asked for, and return what there is to say about it.

    Raises:
        ConfigurationError: There is no such file, or nothing says what to prune.
        CacheError: The file cannot be used; says what to do.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - as the cache names it
        raise ConfigurationError(f"There is no file {path}.")
    if what == "prune" and max_bytes is None and max_age is None:
        raise ConfigurationError("What is to be pruned? Pass --max-bytes, --max-age or both.")
    from openrouter_embed.cache import SQLiteCache  # noqa: PLC0415 - loads SQLite and numpy

    with SQLiteCache(path) as cache:
        if what == "stats":
            return _table(cache.stats())
        removed = cache.clear() if what == "clear" else 0
        if what == "prune":
            removed = cache.prune(max_bytes=max_bytes, max_age=max_age)
        return f"{removed:,} vectors removed.\n{_table(cache.stats())}"


def _table(stats: CacheStats) -> str:
    rows = [
        ("vectors", f"{stats.vectors:,}"),
        ("in use", f"{stats.bytes / 1e6:,.1f} MB"),
        ("on the disk", f"{stats.file_bytes / 1e6:,.1f} MB"),
    ]
    if stats.oldest is not None and stats.newest is not None:
        newest, oldest = (_ago(at) for at in (stats.newest, stats.oldest))
        rows.append(("last used", newest if newest == oldest else f"{newest} to {oldest}"))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


def _ago(moment: float) -> str:
    days = max(0.0, time.time() - moment) / _DAY
    return f"{days:,.1f} days ago" if days >= 1 else "within a day"
