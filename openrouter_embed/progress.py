"""Progress bars, in a terminal or a notebook, that move when a request is done.

Rules of this file:
- A bar is loaded only when one is shown; without one nothing is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import length_hint
from typing import TYPE_CHECKING, Any

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
    bar = Bar(tqdm(total=total, desc="Embedding", unit="text"), listener)
    try:
        yield bar
    finally:
        bar.display.close()


class Bar:
    """A listener that moves a bar, and shows beside it what the call has cost and retried."""

    def __init__(self, display: Any, listener: Listener | None) -> None:
        self.display = display
        self._listener = listener
        self._retries = 0

    def __call__(self, progress: Progress) -> None:
        """Show how far a call has come."""
        if self.display.total != progress.total:
            self.display.total = progress.total
        retries = f", {self._retries:,} retried" if self._retries else ""
        self.display.set_postfix_str(f"{progress.usage}{retries}", refresh=False)
        self.display.update(progress.done - self.display.n)
        if self._listener is not None:
            self._listener(progress)

    def retried(self) -> None:
        """Count a retry, which the next movement shows."""
        self._retries += 1
