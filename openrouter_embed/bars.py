"""Progress bars, in a terminal or a notebook, that move when a request is done."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openrouter_embed.result import Progress

    Listener = Callable[[Progress], None]


@contextmanager
def listening(
    inputs: object, *, bar: bool, listener: Listener | None
) -> Generator[Listener | None]:
    """Yield what a job should tell its progress to: a bar, the user's listener, or both."""
    if not bar:
        yield listener
        return
    from tqdm.auto import tqdm  # noqa: PLC0415 - slow to import, and few calls want a bar

    total = len(inputs) if isinstance(inputs, Sized) and not isinstance(inputs, str) else None
    display = tqdm(total=total, desc="Embedding", unit="text")

    def show(progress: Progress) -> None:
        if display.total != progress.total:
            display.total = progress.total
        display.update(progress.done - display.n)
        if listener is not None:
            listener(progress)

    try:
        yield show
    finally:
        display.close()
