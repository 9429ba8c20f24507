"""Progress bars, in a terminal or a notebook, that move when a request is done.

Rules of this file:
- A bar is loaded only when one is shown; without one nothing is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import length_hint
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from openrouter_embed.result import Progress

    Listener = Callable[[Progress], None]


def listening(
    inputs: object, *, bar: bool, listener: Listener | None
) -> AbstractContextManager[Listener | None]:
    """Open what a job should tell its progress to: a bar, the user's listener, or both."""
    return _shown(inputs, listener) if bar else nullcontext(listener)


@contextmanager
def _shown(inputs: object, listener: Listener | None) -> Generator[Listener]:
    from tqdm.auto import tqdm  # noqa: PLC0415 - slow to import, and few calls want a bar

    total = None if isinstance(inputs, str) else length_hint(inputs, 0) or None
    display = tqdm(total=total, desc="Embedding", unit="text")

    def show(progress: Progress) -> None:
        if display.total != progress.total:
            display.total = progress.total
        display.set_postfix_str(str(progress.usage), refresh=False)
        display.update(progress.done - display.n)
        if listener is not None:
            listener(progress)

    try:
        yield show
    finally:
        display.close()
