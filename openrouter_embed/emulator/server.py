"""The HTTP side: routes, keys, latency, scripted failures and streaming of answers.

Rules of this file:
- The event loop only waits and writes; parsing, counting, embedding and encoding run in
  worker threads, so concurrent requests do not slow each other's clock.
- HTTP 200 and the keep-alive white space go out before the vectors are computed, hence a
  later failure can only travel inside the 200, as it does live.
- The ``Server`` header says that this is an emulator.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from openrouter_embed.clock import call_later, monotonic, wall
from openrouter_embed.emulator import answers, errors
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.ledger import Ledger, Seat
from openrouter_embed.emulator.planning import Plan, make_plan
from openrouter_embed.emulator.schema import decode_body, parse_request
from openrouter_embed.emulator.vectors import Embedder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openrouter_embed.emulator.options import EmulatorOptions, FaultReply

API_PREFIX = "/api/v1"
KEEPALIVE = b"\n         \n"

_WORKERS = 2
_STATIC_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "X-Generation-Id,X-Provider-Name,request-id,cf-ray",
    "Referrer-Policy": "no-referrer, strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Server": "openrouter-embed-emulator",
}
_T = TypeVar("_T")


class Server:
    """The aiohttp application and what stands behind it."""

    def __init__(self, options: EmulatorOptions) -> None:
        self._options = options
        self._embedder = Embedder(options.backend)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="openrouter-emulator-worker")
        self.ledger = Ledger(log_size=options.log_size, max_in_flight=options.max_in_flight)

    def make_app(self) -> web.Application:
        """The application with all routes; everything else is the site's HTML 404."""
        app = web.Application(client_max_size=self._options.max_body_bytes)
        app.router.add_post(f"{API_PREFIX}/embeddings", self._embeddings)
        app.router.add_get(f"{API_PREFIX}/embeddings/models", self._embedding_models)
        app.router.add_get(f"{API_PREFIX}/models", self._models)
        app.router.add_get(f"{API_PREFIX}/key", self._key)
        app.router.add_route("*", "/{anything:.*}", self._not_found)
        return app

    async def warm_up(self) -> None:
        """Load the vector back-end before the first request is timed."""
        await self._in_worker(self._embedder.warm_up)

    def close(self) -> None:
        """End the worker threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    # Embeddings

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        started = monotonic()
        seat = self.ledger.begin()
        try:
            return await self._answer(request, seat, started)
        except ApiError as error:
            return self._json(error.body(), status=error.status, extra=error.headers)
        finally:
            seat.leave()

    async def _answer(self, request: web.Request, seat: Seat, started: float) -> web.StreamResponse:
        number = seat.number
        body = await self._read(request, number)
        if not seat.has_room:
            raise self._rate_limited()
        fault = await self._fault(number, body)
        if fault is not None:
            await _sleep_until(started + self._options.latency)
            return self._scripted(request, fault)
        self._check_key(request)
        plan = await self._in_worker(lambda: make_plan(parse_request(body)))
        return await self._stream(request, plan, seat, started)

    async def _read(self, request: web.Request, number: int) -> object:
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            self.ledger.record(number, None, request.headers)
            raise errors.too_large(self._options.max_body_bytes) from None
        body = await self._in_worker(lambda: decode_body(raw))
        self.ledger.record(number, body, request.headers)
        return body

    async def _stream(
        self, request: web.Request, plan: Plan, seat: Seat, started: float
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers())
        response.content_type = "application/json"
        response.enable_chunked_encoding()
        await response.prepare(request)
        if self._options.keepalive:
            await response.write(KEEPALIVE)
        body = await self._in_worker(lambda: self._body(plan, seat.number))
        wait = self._options.latency + self._options.latency_per_input * len(plan.items)
        await _sleep_until(started + wait)
        if not plan.fails:
            self.ledger.bill(inputs=len(plan.items), tokens=plan.tokens, cost=plan.cost)
        await response.write(body)
        seat.leave()  # before the last byte: a client that has it may ask again at once
        await response.write_eof()
        return response

    def _body(self, plan: Plan, number: int) -> bytes:
        if plan.fails:
            return msgspec.json.encode(errors.no_successful_provider().body())
        model = plan.model
        rows = self._embedder.embed(
            plan.items, native=model.width, width=plan.width, scale=model.scale
        )
        numbered = number if self._options.fixed_ids else None
        return answers.embeddings_body(plan, rows, answers.generation_id(self._now(), numbered))

    # Scripted failures

    async def _fault(self, number: int, body: object) -> FaultReply | None:
        if self._options.faults is None:
            return None
        reply = self._options.faults(number, body)
        if inspect.isawaitable(reply):
            return await reply
        return reply

    def _scripted(self, request: web.Request, fault: FaultReply) -> web.StreamResponse:
        status, headers, body = fault
        if status:
            return self._bytes(body, status=status, extra=headers)
        if request.transport is not None:
            request.transport.write(body)
            request.transport.close()
        return web.Response()  # has nowhere to go: the connection is closed

    # The other endpoints

    async def _embedding_models(self, request: web.Request) -> web.Response:
        return self._json(answers.page(request.path, answers.embedding_models(), request.query))

    async def _models(self, request: web.Request) -> web.Response:
        wanted = set(request.query.get("output_modalities", "text").split(","))
        models = answers.chat_models() if wanted & {"text", "all"} else []
        if wanted & {"embeddings", "all"}:
            models += answers.embedding_models()
        return self._json(answers.page(request.path, models, request.query))

    async def _key(self, request: web.Request) -> web.Response:
        try:
            self._check_key(request)
        except ApiError as error:
            return self._json(error.body(), status=error.status)
        return self._json(answers.key_body(self.ledger.stats.cost))

    async def _not_found(self, request: web.Request) -> web.Response:
        del request
        page = {"Content-Type": "text/html; charset=utf-8"}
        return self._bytes(errors.PAGE_NOT_FOUND, status=404, extra=page)

    # Helpers

    def _check_key(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise errors.missing_key()
        if self._options.api_key is not None and token != self._options.api_key:
            raise errors.wrong_key()

    def _rate_limited(self) -> ApiError:
        wait = self._options.retry_after
        reset_ms = int((self._now() + (wait or 1.0)) * 1000)
        return errors.rate_limited(self._options.max_in_flight or 0, reset_ms, wait)

    def _now(self) -> float:
        fixed = self._options.fixed_time
        return wall() if fixed is None else fixed

    def _headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        fixed = self._options.fixed_time
        date = {} if fixed is None else {"Date": formatdate(fixed, usegmt=True)}
        return {**_STATIC_HEADERS, **date, **(extra or {})}

    def _json(
        self, body: object, *, status: int = 200, extra: Mapping[str, str] | None = None
    ) -> web.Response:
        return self._bytes(msgspec.json.encode(body), status=status, extra=extra)

    def _bytes(
        self, body: bytes, *, status: int, extra: Mapping[str, str] | None = None
    ) -> web.Response:
        headers = self._headers(extra)
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return web.Response(body=body, status=status, headers=headers)

    async def _in_worker(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


async def _sleep_until(moment: float) -> None:
    rest = moment - monotonic()
    if rest > 0:
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        cancel = call_later(loop, rest, over.set)
        try:
            await over.wait()
        finally:
            cancel()
