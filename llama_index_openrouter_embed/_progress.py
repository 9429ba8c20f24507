"""A progress bar that moves as requests finish.

Rules of this file:
- It counts the caller's texts, found in a cache or not.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openrouter_embed import Progress

    Listener = Callable[[Progress], None]


@contextmanager
def bar(
    total: int, what: str, listener: Listener | None, *, show: bool
) -> Generator[dict[str, Any]]:
    """Yield the options that make a call move a bar; none if there is nothing to show.

    Args:
        total: Texts of the call.
        what: Stands before the bar.
        listener: The user's own, which goes on being told.
        show: Whether there is to be a bar at all.
    """
    if not show:
        yield {}
        return
    from tqdm.auto import tqdm  # noqa: PLC0415 - slow to import, and few calls want a bar

    display = tqdm(total=total, desc=what)

    def move(progress: Progress) -> None:
        left = (progress.total or total) - progress.done
        display.update(total - left - display.n)
        if listener is not None:
            listener(progress)

    try:
        yield {"on_progress": move}
        display.update(total - display.n)
    finally:
        display.close()
