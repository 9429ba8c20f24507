"""The real clocks, whatever a program does to those of the module `time`.

Rules of this file:
- Test libraries freeze `time.monotonic` and `time.time`, in every module that holds them, and a
  call that waits by a frozen clock waits for ever. They cannot reach a second copy of the module,
  and it is real even if it is made while the first one is frozen.
"""

from __future__ import annotations

import contextlib
import threading
import time as _public
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def _second_copy() -> Any:
    spec: Any = _public.__spec__
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


_real: Final = _second_copy()

monotonic: Final[Callable[[], float]] = _real.monotonic
"""Seconds since some moment; never goes back."""
wall: Final[Callable[[], float]] = _real.time
"""Seconds since 1970: what a server's `Retry-After` date is compared with."""
LARGEST_DRIFT: Final = 1.0
"""Seconds by which an event loop's clock may be off, since it is read once per round."""


def call_later(
    loop: asyncio.AbstractEventLoop, seconds: float, callback: Callable[[], object]
) -> Callable[[], None]:
    """Call back within a loop once so much real time is over; return what calls it off.

    A loop waits by the public clock. Where that is not the real one, a thread does the waiting.
    """
    if abs(loop.time() - monotonic()) < LARGEST_DRIFT:
        return loop.call_later(max(0.0, seconds), callback).cancel

    def ring() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(callback)

    timer = threading.Timer(max(0.0, seconds), ring)
    timer.daemon = True
    timer.start()
    return timer.cancel
