"""Carrying failures out: what a client sees of each kind.

Rules of this file:
- A late failure lets the work be done first, and be billed; the others come before it.
- Embeddings ask by themselves, since their requests are counted whatever becomes of them; the
  other endpoints are asked for here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from openrouter_embed.emulator import errors
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.failures import late_failure
from openrouter_embed.emulator.replies import cut
from openrouter_embed.emulator.schema import decode_body

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from openrouter_embed.emulator.failures import Failures, Terms
    from openrouter_embed.emulator.replies import Replies

_LATE: Final = frozenset({"lost", "truncated", "short"})


def is_late(failure: Terms) -> bool:
    """Whether the work is done before it fails."""
    return failure.what in _LATE


def endpoint_of(path: str) -> str:
    """The endpoint of a path, by the names that failures are asked for with."""
    parts = path.strip("/").split("/")[2:]
    if "models" in parts:
        return "models"
    return parts[0] if parts else ""


async def reply(request: web.Request, failure: Terms, replies: Replies) -> web.StreamResponse:
    """Answer a request that fails before anything is done for it."""
    what = failure.what
    if isinstance(what, int):
        return replies.refusal(ApiError(what, failure.text, headers=failure.headers))
    if what == "stall":
        await asyncio.Event().wait()  # until the client gives up, or the emulator stops
    if what == "garbage":
        return replies.bytes(errors.PAGE_NOT_FOUND, status=200, extra={"Content-Type": "text/html"})
    if what == "no_provider":
        return replies.refusal(errors.no_successful_provider())
    return cut(request)


def middleware(failures: Failures, replies: Replies) -> Middleware:
    """Let the endpoints other than embeddings fail where that was asked for."""

    @web.middleware
    async def failing(request: web.Request, handler: Handler) -> web.StreamResponse:
        endpoint = endpoint_of(request.path)
        if endpoint == "embeddings":
            return await handler(request)
        body = None
        if request.method == "POST" and failures.needs_body(endpoint):
            body = decode_body(await request.read())
        failure = failures.strike(endpoint, request.method, body)
        if failure is None:
            return await handler(request)
        if not is_late(failure):
            return await reply(request, failure, replies)
        token = late_failure.set(str(failure.what))
        try:
            response = await handler(request)
        finally:
            late_failure.reset(token)
        if isinstance(response, web.Response) and not response.prepared:
            return await _spoilt(request, failure, response)
        return response  # it was written as a stream, which has seen to it

    return failing


async def _spoilt(
    request: web.Request, failure: Terms, response: web.Response
) -> web.StreamResponse:
    """Let an answer that is made be lost, or end in its middle."""
    if failure.what == "lost":
        return cut(request)
    body = response.body if isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers=response.headers)
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    return cut(request, b"")
