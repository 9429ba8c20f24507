"""How many requests a call can make use of: whether it waits for answers, or answers for it.

Rules of this file:
- Time comes in as an argument. What counts is the time that a call spends waiting for outcomes
  while its thread has nothing else to do.
- A call that hardly waited while a request was under way had enough to do: its next answer will be
  there when it is wanted, and one request more would only wait beside it, in memory.
- What the server bears is the pacer's to know; a call keeps to the smaller of the two.

With a fast server and a slow receiver a few requests in flight are as fast as many, and what comes
in meanwhile takes neither memory nor connections. Where the server takes its time, nothing changes.
"""

from __future__ import annotations

import math
from typing import Final

LEAST: Final = 2
"""Requests in flight that are always worth it: one is answered while another is read."""
IDLE: Final = 0.1
"""Share of a request's round trip that a call must have waited for more to be of use."""


class Flow:
    """What one call has seen of its own waiting."""

    def __init__(self) -> None:
        self.width: float = math.inf
        """Requests in flight beyond which more are of no use."""
        self.idle = 0.0
        """Seconds waited so far."""
        self._since: float | None = None

    def stop(self, now: float) -> None:
        """Begin to wait."""
        self._since = now

    def go_on(self, now: float) -> None:
        """End a wait, if there is one."""
        if self._since is not None:
            self.idle += max(0.0, now - self._since)
            self._since = None

    def landed(self, now: float, *, sent: float, idle: float, left: int) -> None:
        """Learn from a request that was answered.

        Args:
            now: When it was.
            sent: When it was sent.
            idle: What `idle` was then.
            left: Requests still in flight.
        """
        if self.idle - idle < IDLE * (now - sent):
            self.width = max(LEAST, left)
        else:
            self.width += 1
