"""The one private name of aiohttp that we use still does what we use it for."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(("retries", "requests"), [(False, 2), (True, 3)])
async def test_aiohttp_sends_a_lost_get_again_unless_its_private_switch_is_off(retries, requests):
    """Its own retry is nobody's judgement and in nobody's budget; there is no public switch."""
    seen, tasks = [], []

    async def serve(reader, writer):
        tasks.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError):
            for reply in (ANSWER, b""):
                await reader.readuntil(b"\r\n\r\n")
                seen.append(reply)
                writer.write(reply)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/models"
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True
        session._retry_connection = retries
        assert await (await session.get(url)).text() == "ok"
        if retries:
            assert await (await session.get(url)).text() == "ok"
        else:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await session.get(url)
    await asyncio.gather(*tasks)
    server.close()
    assert len(seen) == requests
