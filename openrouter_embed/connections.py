"""The connections of one client: opened when first needed, ended together, left behind by a fork.

Rules of this file:
- Who is in a call registers a `wake`, so that closing ends calls instead of leaving them to wait.
- The transports come with libraries that take long to load: none before the first request.
- A forked child neither uses nor closes what the parent has open.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from openrouter_embed.errors import ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from openrouter_embed.options.settings import Settings
    from openrouter_embed.shells.aiohttp_shell import AiohttpTransport
    from openrouter_embed.shells.requests_shell import RequestsTransport


class Connections:
    """What both shells of one client have open; see the head of this file.

    Attributes:
        closed: Whether the client was closed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.closed = False
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._requests: RequestsTransport | None = None
        self._aiohttp: AiohttpTransport | None = None
        self._wakes: set[Callable[[], None]] = set()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent, neither used nor closed here."""
        _INHERITED.append((self._requests, self._aiohttp))
        self._reset()

    @property
    def requests(self) -> RequestsTransport:
        """The synchronous shell's connections.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._requests is None:
                self.check_open()
                from openrouter_embed.shells.requests_shell import (  # noqa: PLC0415 - lazy
                    RequestsTransport,
                )

                self._requests = RequestsTransport(self._settings)
            return self._requests

    @property
    def aiohttp(self) -> AiohttpTransport:
        """The asynchronous shell's connections.

        Raises:
            ClientClosedError: The client is closed.
        """
        with self._lock:
            if self._aiohttp is None:
                self.check_open()
                from openrouter_embed.shells.aiohttp_shell import (  # noqa: PLC0415 - lazy
                    AiohttpTransport,
                )

                self._aiohttp = AiohttpTransport(self._settings)
            return self._aiohttp

    def check_open(self) -> None:
        """Refuse a call of a client that is closed.

        Raises:
            ClientClosedError: The client is closed.
        """
        if self.closed:
            raise ClientClosedError("The client is closed: make a new one.")

    def enter(self, wake: Callable[[], None]) -> None:
        """Register a call, so that `close` can wake it."""
        with self._lock:
            self._wakes.add(wake)

    def leave(self, wake: Callable[[], None]) -> None:
        """Forget a call."""
        with self._lock:
            self._wakes.discard(wake)

    def close(self) -> None:
        """End the calls in flight and close everything; again is harmless."""
        requests, aiohttp = self._end()
        if requests is not None:
            requests.close()
        if aiohttp is not None:
            aiohttp.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        requests, aiohttp = self._end()
        if aiohttp is not None:
            await aiohttp.aclose()
        if requests is not None:
            import asyncio  # noqa: PLC0415 - lazy by design, and here it is loaded anyway

            await asyncio.to_thread(requests.close)  # it joins threads

    def _end(self) -> tuple[RequestsTransport | None, AiohttpTransport | None]:
        with self._lock:
            self.closed = True
            wakes = tuple(self._wakes)
            transports = self._requests, self._aiohttp
            self._requests = self._aiohttp = None
        for wake in wakes:
            wake()
        return transports

    async def close_aiohttp(self) -> None:
        """Close the asynchronous connections alone; they open again when needed."""
        with self._lock:
            aiohttp, self._aiohttp = self._aiohttp, None
        if aiohttp is not None:
            await aiohttp.aclose()


_INHERITED: list[object] = []
"""What the parent of a fork has open: held, or collecting it here would close it there."""
