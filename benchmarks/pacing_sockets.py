"""The same limits on real sockets: a server that admits 64 requests, and real clients.

Rules of this file:
- The server runs in a process of its own; every request is late on its way there and back, by
  chance, as on a network.
- It takes as long as it says: nothing here is virtual.

Usage: python benchmarks/pacing_sockets.py [1 | 8 | latecomer]
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sys
import time

from aiohttp import web
from pacing_world import KEY, MODEL, VECTOR

PLACES, SERVICE, WAY = 64, 0.5, 0.04
CASES = {
    # name: clients, begin of the last one, options, stretch that counts
    "1": (1, 0.0, {"max_concurrency": 256}, (10, 40)),
    "8": (8, 0.0, {}, (10, 40)),
    "latecomer": (2, 15.0, {}, (40, 45)),
}


def serve(port: int, places: int, pipe: object) -> None:
    """Serve until told to stop; then send what was seen."""
    seen: list[tuple[float, str, int]] = []
    busy = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal busy
        body = await request.json()
        await asyncio.sleep(random.uniform(0, WAY))
        status = 429 if busy >= places else 200
        seen.append((time.monotonic(), request.headers["X-Client"], status))
        if status == 200:
            busy += 1
            await asyncio.sleep(SERVICE * random.uniform(0.8, 1.2))
            busy -= 1
        await asyncio.sleep(random.uniform(0, WAY))
        rows = [{"index": at, "embedding": VECTOR} for at in range(len(body["input"]))]
        said = {"data": rows} if status == 200 else {"error": {"message": "slow down"}}
        return web.json_response(said, status=status)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/embeddings", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        pipe.send("ready")
        while not pipe.poll():
            await asyncio.sleep(0.2)
        pipe.send(seen)

    asyncio.run(main())


async def work(port: int, number: int, begin: float, end: float, options: dict) -> list[str]:
    """Embed until the end with one client; return what its calls died of."""
    from openrouter_embed import AsyncEmbeddingClient, EmbeddingError

    await asyncio.sleep(begin)
    died = []
    headers = {"X-Client": str(number)}
    async with AsyncEmbeddingClient(
        MODEL, api_key=KEY, base_url=f"http://127.0.0.1:{port}", max_batch_inputs=1,
        default_headers=headers, **options,
    ) as client:  # fmt: skip
        while time.monotonic() < end:
            texts = [f"text {at} of client {number}" for at in range(8000)]
            try:
                await client.embed(texts, deadline=max(0.5, end - time.monotonic()))
            except EmbeddingError as error:
                if type(error).__name__ != "DeadlineExceededError":
                    died.append(f"{end - time.monotonic():.1f} s before its deadline: {error}")
    return died


def run(name: str, port: int) -> dict:
    """Run a case and return its figures."""
    clients, begin, options, stretch = CASES[name]
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(port, PLACES, theirs), daemon=True)
    server.start()
    ours.recv()
    start = time.monotonic()

    async def everyone() -> list[list[str]]:
        return await asyncio.gather(*(
            work(port, at, begin if at == clients - 1 else 0.0, start + stretch[1] + 1, options)
            for at in range(clients)
        ))  # fmt: skip

    died = [why for one in asyncio.run(everyone()) for why in one]
    ours.send("stop")
    seen = ours.recv()
    server.join(5)
    return figures(seen, start, stretch, clients) | {"died": died}


def figures(seen: list, start: float, stretch: tuple[int, int], clients: int) -> dict:
    """Return what the server saw of a stretch."""
    met = [one for one in seen if stretch[0] <= one[0] - start < stretch[1]]
    served = [sum(w == str(at) and s == 200 for _, w, s in met) for at in range(clients)]
    span = stretch[1] - stretch[0]
    return {
        "used": round(sum(served) * SERVICE / PLACES / span, 3),
        "refused": round(sum(s == 429 for _, _, s in met) / max(1, len(met)), 4),
        "jain": round(sum(served) ** 2 / max(1, clients * sum(x * x for x in served)), 3),
        "last one's share": round(served[-1] * clients / max(1, sum(served)), 2),
    }


if __name__ == "__main__":
    for at, case in enumerate(sys.argv[1:] or CASES):
        print(case, json.dumps(run(case, 18700 + at)), flush=True)
