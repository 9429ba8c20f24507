"""The real clocks, whatever a program does to those of the module `time`.

Rules of this file:
- Test libraries freeze `time.monotonic` and `time.time`, in every module that holds them, and a
  call that waits by a frozen clock waits for ever. They cannot reach a second copy of the module,
  and it is real even if it is made while the first one is frozen.
"""

from __future__ import annotations

import time as _public
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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
