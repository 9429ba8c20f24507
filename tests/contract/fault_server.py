"""A scripted server on raw sockets: every way in which a network can misbehave, on demand.

Rules of this file:
- A script is a list of acts, an act a list of steps; act number n answers request number n, and the
  last act answers all that follow. `on_accept` steps run before anything is read.
- The server logs every request that arrived in full and counts connections; nothing is judged here.
- A connection stays open after an act unless a step ends it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import select
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self

WIDTH = 4


@dataclass
class Hit:
    """One request as it arrived."""

    connection: int
    line: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def inputs(self) -> list[Any]:
        return self.json["input"]


class Wire:
    """One accepted connection, as the steps see it."""

    def __init__(self, server: FaultServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.hit: Hit | None = None
        self.open = True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait, but not for a server that is being stopped."""
        self.server.stopping.wait(seconds)

    def close(self) -> None:
        """End with a FIN."""
        self.open = False
        self.sock.close()

    def reset(self) -> None:
        """End with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def read_to(self, mark: bytes, data: bytes = b"") -> bytes:
        """Return what arrives up to and beyond a mark; empty if the peer has gone."""
        while mark not in data:
            piece = self.sock.recv(65_536)
            if not piece:
                return b""
            data += piece
        return data


Step = Callable[[Wire], None]
Act = Sequence[Step]


# ---------------------------------------------------------------------- steps


def send(data: bytes | str) -> Step:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return lambda wire: wire.send(raw)


def drip(data: bytes, every: float, size: int = 1) -> Step:
    """Send a few bytes at a time: a slow loris."""

    def step(wire: Wire) -> None:
        for at in range(0, len(data), size):
            wire.send(data[at : at + size])
            wire.pause(every)
            if wire.server.stopping.is_set():
                return

    return step


def wait(seconds: float) -> Step:
    return lambda wire: wire.pause(seconds)


def fin(wire: Wire) -> None:
    wire.close()


def rst(wire: Wire) -> None:
    wire.reset()


def stall(wire: Wire) -> None:
    """Say nothing more until the peer goes away or the server stops."""
    while not wire.server.stopping.is_set():
        if select.select([wire.sock], [], [], 0.02)[0] and not wire.sock.recv(65_536):
            wire.close()
            return


def endless(data: bytes) -> Step:
    def step(wire: Wire) -> None:
        while not wire.server.stopping.is_set():
            wire.send(data)

    return step


def good(**changes: Any) -> Step:
    """Answer the request at hand as it should be answered."""

    def step(wire: Wire) -> None:
        assert wire.hit is not None
        wire.send(response(answer(wire.hit.inputs, **changes)))

    return step


# ---------------------------------------------------------------------- bytes


def vector(item: Any) -> list[float]:
    """Return the vector that stands for an input: short, exact in float32, never zero."""
    seed = zlib.crc32(json.dumps(item).encode())
    return [1.0 + (seed >> (8 * place) & 0xFF) / 256 for place in range(WIDTH)]


def answer(inputs: Sequence[Any], **changes: Any) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": at, "embedding": vector(item)}
        for at, item in enumerate(inputs)
    ]
    tokens = len(inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": "acme/embed", "usage": usage, **changes}


def response(
    body: bytes | str | dict[str, Any],
    status: int = 200,
    headers: Sequence[str] = (),
    *,
    length: int | None = None,
    content_type: str = "application/json",
) -> bytes:
    """Return a whole HTTP response with a Content-Length."""
    raw = json.dumps(body) if isinstance(body, dict) else body
    raw = raw.encode() if isinstance(raw, str) else raw
    lines = [
        f"HTTP/1.1 {status} Said",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(raw) if length is None else length}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + raw


def error_body(code: int | str, message: Any = "It failed.", **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def bomb(size: int, layers: int = 1) -> bytes:
    """Return white space that unpacks to `size` bytes."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * 65_536
    data = b"".join(packer.compress(piece) for _ in range(-(-size // len(piece)))) + packer.flush()
    for _ in range(layers - 1):
        data = gzip.compress(data, 9)
    return data


# ---------------------------------------------------------------------- the server


class FaultServer:
    """See the head of this file; use as a context manager."""

    def __init__(
        self,
        script: Sequence[Act] = (),
        *,
        on_accept: Act = (),
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.script = [list(act) for act in script] or [[good()]]
        self.on_accept = on_accept
        self.tls = tls
        self.hits: list[Hit] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._socks: list[socket.socket] = []
        self._listener = socket.create_server((host, 0), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]

    @property
    def origin(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.origin}/v1"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.stopping.set()
        with self._lock:
            socks = [self._listener, *self._socks]
        for sock in socks:
            # A plain close would leave a thread that is reading asleep.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        for sock in socks:
            sock.close()

    def pump(self, one: socket.socket, other: socket.socket) -> None:
        """Copy bytes both ways until either end closes."""
        ends = {one: other, other: one}
        while not self.stopping.is_set():
            for sock in select.select(list(ends), [], [], 0.02)[0]:
                data = sock.recv(65_536)
                if not data:
                    return
                ends[sock].sendall(data)

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name="fault-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                number = self.connections
                self.connections += 1
                self._socks.append(sock)
            self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._socks.append(sock)
            self.serve(Wire(self, sock, number))
        except (OSError, ValueError):
            pass  # the peer has gone, or the server stops: either ends this connection
        finally:
            sock.close()

    def serve(self, wire: Wire) -> None:
        """Serve one connection to its end."""
        for step in self.on_accept:
            step(wire)
        rest = b""
        while wire.open and not self.stopping.is_set():
            request, rest = self.read_request(wire, rest)
            if request is None:
                return
            wire.hit = request
            for step in self._note(request):
                step(wire)
                if not wire.open:
                    return

    def _note(self, request: Hit) -> Act:
        with self._lock:
            number = len(self.hits)
            self.hits.append(request)
        return self.script[min(number, len(self.script) - 1)]

    def read_request(self, wire: Wire, data: bytes) -> tuple[Hit | None, bytes]:
        """Read one request; return it and what came after it."""
        data = wire.read_to(b"\r\n\r\n", data)
        if not data:
            return None, b""
        head, _, rest = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        length = int(headers.get("content-length", "0"))
        while len(rest) < length:
            piece = wire.sock.recv(65_536)
            if not piece:
                return None, b""
            rest += piece
        return Hit(wire.number, line, headers, rest[:length]), rest[length:]


class ProxyServer(FaultServer):
    """A proxy: tunnels CONNECT requests, answers forwarded ones by its script.

    Args:
        refuse: Status to refuse every CONNECT with; 0 for none.
    """

    def __init__(self, script: Sequence[Act] = (), *, refuse: int = 0, **options: Any) -> None:
        super().__init__(script, **options)
        self.refuse = refuse

    @property
    def proxy_url(self) -> str:
        return f"http://{self.origin}"

    def serve(self, wire: Wire) -> None:
        request, rest = self.read_request(wire, b"")
        if request is None:
            return
        if not request.line.startswith("CONNECT "):
            wire.hit = request
            for step in self._note(request):
                step(wire)
            return
        self.hits.append(request)
        if self.refuse:
            wire.send(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % self.refuse)
            return
        host, _, port = request.line.split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as onward:
            wire.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            onward.sendall(rest)
            self.pump(wire.sock, onward)
