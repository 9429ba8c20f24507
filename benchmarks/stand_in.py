"""A server that is not the bottleneck: answers of the API's shape, put together from made vectors.

Rules of this file:
- It runs in a process of its own and answers any number of requests at once.
- Text `bench 000017 …` gets vector 17 modulo the pool, so a client's vectors can be checked.
- Latency is per request and per text; nothing else is ever slow on purpose.

Usage: python benchmarks/stand_in.py PORT WIDTH LATENCY LATENCY_PER_TEXT [gzip] [long] [admit=N]
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import struct
import sys
import time
import zlib
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL = 512
LONG = "long" in sys.argv[5:]
"""Whether floats are written with all their digits."""
ADMIT = next((int(word[6:]) for word in sys.argv[5:] if word.startswith("admit=")), 1 << 30)
"""Requests that are served at once; one more is refused with 429."""
REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"
    b'Content-Length: 48\r\n\r\n{"error":{"code":429,"message":"Slow down now"}}'
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"


class _Body(msgspec.Struct):
    input: list[str] | str
    encoding_format: str = "float"


_decode = msgspec.json.Decoder(_Body).decode


@functools.cache
def pool(width: int) -> np.ndarray:
    """Return the vectors that texts are answered with: float32 `(POOL, width)`, unit length."""
    rows = np.random.default_rng(7).standard_normal((POOL, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def text(number: int) -> str:
    """Return benchmark text `number`: about 50 tokens."""
    return f"bench {number:07d} " + "the quick brown fox jumps over the lazy dog and runs on " * 4


class StandIn(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Answers) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            size = 0
            at = head.find(b"content-length:")
            if at >= 0:
                size = int(head[at + 15 :].split(b"\r", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + size])
            del self._buffer[: end + 4 + size]
            self._request(body)

    def _request(self, body: bytes) -> None:
        server = self._server
        server.requests += 1
        if not body:
            self._write(json.dumps(server.counts()).encode())
            return
        if server.in_flight >= ADMIT:
            server.refused += 1
            if self._transport is not None:
                self._transport.write(REFUSAL)
            return
        server.pass_time()
        server.in_flight += 1
        server.peak = max(server.peak, server.in_flight)
        order = _decode(body)
        texts = [order.input] if isinstance(order.input, str) else order.input
        delay = server.latency + server.per_text * len(texts)
        answer = server.answer(texts, order.encoding_format)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._finish, answer)
        else:
            self._finish(answer)

    def _finish(self, answer: bytes) -> None:
        self._server.pass_time()
        self._server.in_flight -= 1
        self._server.last = self._server.since
        self._write(answer)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            extra = b"Content-Encoding: gzip\r\n" if answer[:2] == b"\x1f\x8b" else b""
            self._transport.writelines([HEAD % (extra, len(answer)), answer])


class Answers:
    """Bodies put together from prepared pieces, and counts."""

    def __init__(self, width: int, latency: float, per_text: float, *, zipped: bool) -> None:
        self.latency, self.per_text, self._zipped = latency, per_text, zipped
        self.requests = self.in_flight = self.peak = self.connections = self.refused = 0
        self.texts = 0
        self.busy = self.since = 0.0
        """Requests in flight, summed over the seconds; the moment up to which they are."""
        self.first = self.last = 0.0
        """The moments of the first request with texts, and of the last answer to one."""
        self._width = width

    def pass_time(self) -> None:
        """Sum up until now what is in flight."""
        now = time.monotonic()
        self.busy += self.in_flight * (now - self.since)
        self.since = now

    def counts(self) -> dict[str, float]:
        """Return the counts so far, for the benchmark to print."""
        return {
            "requests": self.requests,
            "peak": self.peak,
            "connections": self.connections,
            "refused": self.refused,
            "texts": self.texts,
            "busy": self.busy,
            "in_flight": self.in_flight,
            "span": self.last - self.first,
            "now": time.monotonic(),
        }

    def answer(self, texts: list[str], encoding: str) -> bytes:
        """Return the body for these texts."""
        self.texts += len(texts)
        self.first = self.first or time.monotonic()
        numbers = [int(text[6:13]) % POOL for text in texts]
        seams = [b"%d}," % at for at in range(len(texts) - 1)]
        seams.append(b"%d%b" % (len(texts) - 1, _tail(50 * len(texts))))
        pieces = _pieces(self._width, encoding)
        plain = _joined(pieces, numbers, START, seams)
        if not self._zipped:
            return plain
        parts = _deflated(self._width, encoding)
        zipped = _joined(parts, numbers, _stored(START), [_stored(seam) for seam in seams])
        return ZIP_HEAD + zipped + ZIP_END + struct.pack("<II", zlib.crc32(plain), len(plain))


START = b'{"object":"list","data":['
ZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
ZIP_END = b"\x01\x00\x00\xff\xff"


def _joined(
    pieces: Sequence[bytes], numbers: Sequence[int], start: bytes, seams: Sequence[bytes]
) -> bytes:
    items = (pieces[number] + seam for number, seam in zip(numbers, seams, strict=True))
    return start + b"".join(items)


def _tail(tokens: int) -> bytes:
    return (
        b'}],"model":"text-embedding-3-small","usage":{"prompt_tokens":%d,"total_tokens":%d,'
        b'"cost":1e-06},"provider":"OpenAI","id":"gen-emb-1-bench"}' % (tokens, tokens)
    )


@functools.cache
def _deflated(width: int, encoding: str) -> list[bytes]:
    """Return the pieces compressed, each to be put between others as it is."""
    return [_deflate(piece) for piece in _pieces(width, encoding)]


def _deflate(piece: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(piece) + stream.flush(zlib.Z_FULL_FLUSH)


def _stored(text: bytes) -> bytes:
    """Return a block that is not compressed, which takes no time to make."""
    return b"\x00" + struct.pack("<HH", len(text), len(text) ^ 0xFFFF) + text


@functools.cache
def _pieces(width: int, encoding: str) -> list[bytes]:
    """Return an answer's parts up to the index; made while the first client warms up."""
    write = {"base64": _base64, "float": _long_numbers if LONG else _numbers}[encoding]
    return [b'{"object":"embedding","embedding":%b,"index":' % write(row) for row in pool(width)]


def _base64(row: np.ndarray) -> bytes:
    return b'"%b"' % base64.b64encode(row.tobytes())


def _long_numbers(row: np.ndarray) -> bytes:
    """Write each float32 as the double it is, which takes 17 digits, as some hosts do."""
    return json.dumps(row.tolist(), separators=(",", ":")).encode()


def _numbers(row: np.ndarray) -> bytes:
    return json.dumps([float(str(x)) for x in row], separators=(",", ":")).encode()


async def main() -> None:
    """Serve until killed."""
    port, width = int(sys.argv[1]), int(sys.argv[2])
    answers = Answers(width, float(sys.argv[3]), float(sys.argv[4]), zipped="gzip" in sys.argv[5:])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: StandIn(answers), "127.0.0.1", port, backlog=1024)
    print(f"ready {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
