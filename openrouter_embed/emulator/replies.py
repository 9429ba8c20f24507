"""What every answer has in common: headers, JSON, the key that is asked for, the time.

Rules of this file:
- The ``Server`` header says that this is an emulator.
- Nothing here knows an endpoint.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from openrouter_embed.clock import wall
from openrouter_embed.emulator import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openrouter_embed.emulator.errors import ApiError
    from openrouter_embed.emulator.options import EmulatorOptions

_WORKERS = 2
_STATIC_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-Generation-Id,X-Provider-Name,request-id,cf-ray",
    "Referrer-Policy": "no-referrer, strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Server": "openrouter-embed-emulator",
}
_LINGER_NOT = struct.pack("ii", 1, 0)
_T = TypeVar("_T")


class Workers:
    """Threads for what would hold up the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="openrouter-emulator-worker")

    async def run(self, work: Callable[[], _T]) -> _T:
        """Do some work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Replies:
    """Makes the answers of one emulator."""

    def __init__(self, options: EmulatorOptions) -> None:
        self._options = options

    def now(self) -> float:
        """The Unix time that ids and headers carry."""
        fixed = self._options.fixed_time
        return wall() if fixed is None else fixed

    def check_key(self, request: web.Request) -> None:
        """Refuse a request without the key that is accepted.

        Raises:
            ApiError: 401.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise errors.missing_key()
        if self._options.api_key is not None and token != self._options.api_key:
            raise errors.wrong_key()

    def headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of every answer, and those of this one."""
        fixed = self._options.fixed_time
        date = {} if fixed is None else {"Date": formatdate(fixed, usegmt=True)}
        return {**_STATIC_HEADERS, **date, **(extra or {})}

    def json(
        self, body: object, *, status: int = 200, extra: Mapping[str, str] | None = None
    ) -> web.Response:
        """An answer in JSON."""
        return self.bytes(msgspec.json.encode(body), status=status, extra=extra)

    def bytes(
        self, body: bytes, *, status: int, extra: Mapping[str, str] | None = None
    ) -> web.Response:
        """An answer whose body is made already; JSON unless its headers say otherwise."""
        headers = self.headers(extra)
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return web.Response(body=body, status=status, headers=headers)

    def refusal(self, error: ApiError) -> web.Response:
        """The answer that an error of the service is."""
        body = error.body(availability=self._options.availability)
        return self.json(body, status=error.status, extra=error.headers)


def cut(request: web.Request, last_words: bytes | None = None) -> web.Response:
    """End a connection after some bytes, maybe none; with None it is reset."""
    transport = request.transport
    if transport is not None and last_words is not None:
        transport.write(last_words)
        transport.close()
    elif transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    return web.Response()  # has nowhere to go: the connection is closed
