"""The HTTP side of batches: submit, look, read, list, delete.

Rules of this file:
- What takes time runs in worker threads; results are written as they are made.
- The paths are those of one version of the API, which an option names; the other one is the
  site's HTML 404.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from openrouter_embed.emulator import batch_answers, errors
from openrouter_embed.emulator.batches import TERMINAL, Batch, State
from openrouter_embed.emulator.errors import ApiError
from openrouter_embed.emulator.failures import late_failure
from openrouter_embed.emulator.replies import cut
from openrouter_embed.emulator.schema import decode_body
from openrouter_embed.emulator.submissions import parse_submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from multidict import MultiMapping

    from openrouter_embed.emulator.batches import Batches, Tally
    from openrouter_embed.emulator.ledger import Ledger
    from openrouter_embed.emulator.options import EmulatorOptions
    from openrouter_embed.emulator.replies import Replies, Workers
    from openrouter_embed.emulator.vectors import Embedder

_PAGE: Final = 500
_LIST: Final = 20
_COLLAPSED: Final = {"finalizing": "in_progress", "cancelling": "in_progress"}
"""States that a listing does not know."""


class BatchRoutes:
    """The handlers of the batch endpoints."""

    def __init__(
        self,
        options: EmulatorOptions,
        batches: Batches,
        embedder: Embedder,
        *,
        ledger: Ledger,
        replies: Replies,
        workers: Workers,
    ) -> None:
        self._options = options
        self._batches = batches
        self._embedder = embedder
        self._ledger = ledger
        self._replies = replies
        self._workers = workers

    def add_to(self, app: web.Application) -> None:
        """Serve the batch endpoints in an application."""
        root = f"/api/{self._options.batch_version}/batches"
        add, of_one = app.router.add_route, f"{root}/{{id}}"
        add("POST", root, self._guarded(self._submit))
        add("GET", root, self._guarded(self._list))
        add("GET", of_one, self._guarded(self._get))
        add("DELETE", of_one, self._guarded(self._delete))
        if self._options.batch_pages:
            add("GET", f"{of_one}/results", self._guarded(self._results))

    def _guarded(
        self, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                self._replies.check_key(request)
                return await handle(request)
            except ApiError as error:
                return self._replies.refusal(error)

        return handler

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        limit = self._options.max_batch_bytes
        try:
            raw = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise errors.too_large(limit) from None
        if len(raw) > limit:
            raise errors.too_large(limit)
        batch = await self._workers.run(partial(self._taken_in, raw))
        state = State(status="validating")
        return self._replies.json(batch_answers.described(batch, state, None), status=202)

    def _taken_in(self, raw: bytes) -> Batch:
        limit = self._options.max_batch_requests
        model, provider, requests = parse_submission(decode_body(raw), limit)
        host, refusal = batch_answers.host_and_refusal(model, provider)
        return self._batches.add(
            model=model, provider=provider, host=host, requests=requests, refusal=refusal or None
        )

    async def _get(self, request: web.Request) -> web.StreamResponse:
        batch = self._batches.find(request.match_info["id"])
        state = self._batches.state(batch)
        counted = await self._counted(batch, state)
        told = batch_answers.described(batch, state, counted)
        if counted is None or not state.done:
            return self._replies.json(told, status=state.http_status)
        error = told.pop("error")
        del told["results"]
        head = b'%b,"results":[' % msgspec.json.encode(told)[:-1]
        tail = b'],"error":%b}' % msgspec.json.encode(error)
        places = range(state.done)
        return await self._stream(request, batch, state, places, (head, tail))

    async def _results(self, request: web.Request) -> web.StreamResponse:
        batch = self._batches.find(request.match_info["id"])
        state = self._batches.state(batch)
        if state.status not in TERMINAL:
            raise ApiError(409, "Batch is not in a terminal status and has no results yet")
        await self._counted(batch, state)
        start = _number(request.query.get("cursor"), 0, 0, state.done)
        stop = min(state.done, start + _number(request.query.get("limit"), _PAGE, 1, 1000))
        more = stop < state.done
        told = {"has_more": more, "next_cursor": str(stop) if more else None, "object": "list"}
        tail = b"],%b" % msgspec.json.encode(told)[1:]
        return await self._stream(request, batch, state, range(start, stop), (b'{"data":[', tail))

    async def _stream(
        self,
        request: web.Request,
        batch: Batch,
        state: State,
        places: range,
        around: tuple[bytes, bytes],
    ) -> web.StreamResponse:
        if late_failure.get() == "lost":
            return cut(request)
        response = web.StreamResponse(
            headers={**self._replies.headers(), "Content-Type": "application/json"},
            status=state.http_status,
        )
        await response.prepare(request)
        await response.write(around[0])
        half = len(places) // 2
        first = True
        for group in batch_answers.groups(places.start, places.stop):
            rows = await self._workers.run(
                partial(
                    batch_answers.result_rows,
                    batch,
                    state.done,
                    group,
                    self._embedder,
                    self._options,
                )
            )
            if late_failure.get() == "truncated" and group.stop > places.start + half:
                await response.write(rows[: len(rows) // 2])
                return cut(request, b"")
            if rows:
                await response.write(rows if first else b"," + rows)
                first = False
        await response.write(around[1])
        await response.write_eof()
        return response

    async def _counted(self, batch: Batch, state: State) -> Tally | None:
        """What a finished batch came to; it is billed at the first look."""
        if state.status not in TERMINAL:
            return None
        done = state.done
        make = partial(batch_answers.tally, batch, done, self._options)
        counted, first = await self._workers.run(partial(self._batches.tally, batch, done, make))
        if first:
            self._ledger.bill(inputs=counted.completed, tokens=counted.tokens, cost=counted.cost)
        return counted

    async def _list(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        limit = _number(query.get("limit"), _LIST, 1, 100)
        batches = self._batches.newest_first()
        after = query.get("after")
        if after is not None:
            places = [at for at, batch in enumerate(batches) if batch.id == after]
            batches = batches[places[0] + 1 :] if places else []
        wanted = [batch for batch in batches if self._is_wanted(batch, query)]
        page = wanted[:limit]
        rows = [await self._listed(batch) for batch in page]
        return self._replies.json(
            {
                "object": "list",
                "data": rows,
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
                "has_more": len(wanted) > limit,
            }
        )

    def _is_wanted(self, batch: Batch, query: MultiMapping[str]) -> bool:
        statuses = query.getall("status", [])
        after = _moment(query.get("created_after"), float("-inf"))
        before = _moment(query.get("created_before"), float("inf"))
        return (
            not statuses or self._listed_status(batch) in statuses
        ) and after < batch.created_at < before

    def _listed_status(self, batch: Batch) -> str:
        status = self._batches.state(batch).status
        return _COLLAPSED.get(status, status)

    async def _listed(self, batch: Batch) -> dict[str, object]:
        """A batch as listings tell of it: without results."""
        state = self._batches.state(batch)
        told = batch_answers.described(batch, state, await self._counted(batch, state))
        del told["results"]
        return {**told, "status": self._listed_status(batch)}

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        batch = self._batches.delete(request.match_info["id"])
        deletion: dict[str, object] = {"openrouter": "deleted"}
        if batch.host is not None:
            deletion["upstream"] = {"provider": batch.host, "status": "deleted"}
        return self._replies.json({"deletion": deletion, "id": batch.id, "object": "batch"})


def _number(text: str | None, default: int, low: int, high: int) -> int:
    """A number of the query within bounds.

    Raises:
        ApiError: 400, if it is none or out of bounds.
    """
    if text is None:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ApiError(400, f"Invalid query: expected a number from {low} to {high}")
    return int(text)


def _moment(text: str | None, default: float) -> float:
    """A Unix time, written as a number or as a date."""
    if text is None:
        return default
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise ApiError(400, "Invalid query: expected a timestamp") from None
