"""The HTTP side: routes, keys, latency, scripted failures and streaming of answers.

Rules of this file:
- The event loop only waits and writes; parsing, counting, embedding and encoding run in
  worker threads, so concurrent requests do not slow each other's clock.
- HTTP 200 and the keep-alive white space go out before the vectors are computed, hence a
  later failure can only travel inside the 200, as it does live.
"""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from openrouter_embed.clock import call_later, monotonic
from openrouter_embed.emulator import answers, errors, failing
from openrouter_embed.emulator.batch_routes import BatchRoutes
from openrouter_embed.emulator.batches import Batches
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.failures import Failures
from openrouter_embed.emulator.ledger import Ledger, Seat
from openrouter_embed.emulator.planning import Plan, make_plan
from openrouter_embed.emulator.replies import Replies, Workers, cut
from openrouter_embed.emulator.response_cache import ResponseCache
from openrouter_embed.emulator.schema import decode_body, parse_request
from openrouter_embed.emulator.vectors import Embedder

if TYPE_CHECKING:
    from openrouter_embed.emulator.answers import Bill
    from openrouter_embed.emulator.options import EmulatorOptions, FaultReply

API_PREFIX = "/api/v1"
KEEPALIVE = b"\n         \n"


@dataclass(frozen=True)
class _Serving:
    """One request that is going to be answered: its plan, its seat, what the cache says of it."""

    plan: Plan
    seat: Seat
    cache: str
    fails: int | str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"X-OpenRouter-Cache-Status": self.cache} if self.cache else {}


class Server:
    """The aiohttp application and what stands behind it."""

    def __init__(self, options: EmulatorOptions) -> None:
        self._options = options
        self._embedder = Embedder(options.backend)
        self._cache = ResponseCache()
        self._workers = Workers()
        self._replies = Replies(options)
        self.ledger = Ledger(log_size=options.log_size, max_in_flight=options.max_in_flight)
        self.failures = Failures()
        self.batches = Batches(options, self._replies.now)

    def make_app(self) -> web.Application:
        """The application with all routes; everything else is the site's HTML 404."""
        largest = max(self._options.max_body_bytes, self._options.max_batch_bytes)
        app = web.Application(
            client_max_size=largest, middlewares=[failing.middleware(self.failures, self._replies)]
        )
        app.router.add_post(f"{API_PREFIX}/embeddings", self._embeddings)
        app.router.add_get(f"{API_PREFIX}/embeddings/models", self._embedding_models)
        app.router.add_get(f"{API_PREFIX}/models", self._models)
        app.router.add_get(f"{API_PREFIX}/key", self._key)
        BatchRoutes(
            self._options,
            self.batches,
            self._embedder,
            ledger=self.ledger,
            replies=self._replies,
            workers=self._workers,
        ).add_to(app)
        app.router.add_route("*", "/{anything:.*}", self._not_found)
        return app

    def reset(self) -> None:
        """Forget what was asked so far."""
        self.ledger.reset()
        self._cache.clear()
        self.failures.clear()

    async def warm_up(self) -> None:
        """Load the vector back-end before the first request is timed."""
        await self._workers.run(self._embedder.warm_up)

    def close(self) -> None:
        """End the worker threads."""
        self._workers.close()

    # Embeddings

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        started = monotonic()
        seat = self.ledger.begin()
        try:
            return await self._answer(request, seat, started)
        except ApiError as error:
            return self._replies.refusal(error)
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
        failure = self.failures.strike("embeddings", request.method, body)
        fails = failure.what if failure else ""
        if failure is not None and not failing.is_late(failure):
            await _sleep_until(started + self._options.latency)
            return await failing.reply(request, failure, self._replies)
        self._replies.check_key(request)
        plan = await self._workers.run(lambda: make_plan(parse_request(body)))
        status = self._cache.status(body, request.headers, monotonic())
        return await self._stream(request, _Serving(plan, seat, status, fails), started)

    async def _read(self, request: web.Request, number: int) -> object:
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raw = None
        if raw is None or len(raw) > self._options.max_body_bytes:
            self.ledger.record(number, None, request.headers)
            raise errors.too_large(self._options.max_body_bytes)
        body = await self._workers.run(lambda: decode_body(raw))
        self.ledger.record(number, body, request.headers)
        return body

    async def _stream(
        self, request: web.Request, serving: _Serving, started: float
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._replies.headers(serving.headers))
        response.content_type = "application/json"
        response.enable_chunked_encoding()
        if serving.fails != "lost":
            await response.prepare(request)
            if self._options.keepalive:
                await response.write(KEEPALIVE)
        body = await self._workers.run(lambda: self._body(serving))
        wait = self._options.latency + self._options.latency_per_input * len(serving.plan.items)
        await _sleep_until(started + wait)
        self._charge(serving)
        serving.seat.leave()  # before the last byte: a client that has it may ask again at once
        if serving.fails == "lost":
            return cut(request)
        if serving.fails == "truncated":
            await response.write(body[: len(body) // 2])
            return cut(request, b"")
        await response.write(body)
        await response.write_eof()
        return response

    def _charge(self, serving: _Serving) -> None:
        plan, billed = serving.plan, self._bill(serving) != "cached"
        if not plan.fails:
            self.ledger.bill(
                inputs=len(plan.items), tokens=billed * plan.tokens, cost=billed * plan.cost
            )

    def _bill(self, serving: _Serving) -> Bill:
        if serving.cache == "HIT":
            return "cached"
        return "byok" if self._options.byok else "plain"

    def _body(self, serving: _Serving) -> bytes:
        plan = serving.plan
        if plan.fails:
            return msgspec.json.encode(errors.no_successful_provider().body())
        model = plan.model
        rows = self._embedder.embed(
            plan.items, native=model.width, width=plan.width, scale=model.scale, norm=model.norm
        )
        if serving.fails == "short":
            rows = rows[:-1]
        numbered = serving.seat.number if self._options.fixed_ids else None
        answer_id = answers.generation_id(self._replies.now(), numbered)
        return answers.embeddings_body(plan, rows, answer_id, bill=self._bill(serving))

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
            return self._replies.bytes(body, status=status, extra=headers)
        return cut(request, body)

    # The other endpoints

    async def _embedding_models(self, request: web.Request) -> web.Response:
        return self._replies.json(self._page(request, answers.embedding_models()))

    async def _models(self, request: web.Request) -> web.Response:
        wanted = set(request.query.get("output_modalities", "text").split(","))
        models = answers.chat_models() if wanted & {"text", "all"} else []
        if wanted & {"embeddings", "all"}:
            models += answers.embedding_models()
        return self._replies.json(self._page(request, models))

    def _page(self, request: web.Request, rows: list[dict[str, object]]) -> dict[str, object]:
        rows = [*rows, *map(dict, self._options.more_models)]
        return answers.page(request.path, rows, request.query, self._options.page_size)

    async def _key(self, request: web.Request) -> web.Response:
        try:
            self._replies.check_key(request)
        except ApiError as error:
            return self._replies.refusal(error)
        return self._replies.json(
            answers.key_body(self.ledger.stats.cost, self._options.key_fields)
        )

    async def _not_found(self, request: web.Request) -> web.Response:
        del request
        page = {"Content-Type": "text/html; charset=utf-8"}
        return self._replies.bytes(errors.PAGE_NOT_FOUND, status=404, extra=page)

    def _rate_limited(self) -> ApiError:
        wait = self._options.retry_after
        reset_ms = int((self._replies.now() + (wait or 1.0)) * 1000)
        return errors.rate_limited(self._options.max_in_flight or 0, reset_ms, wait)


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
