"""Running the server: in a thread of this process, or blocking for the command line.

Rules of this file:
- Loopback unless told otherwise.
- Aiohttp and numpy are imported when a server starts, not when this module is imported.
- Stopping leaves no thread, no socket and no worker behind.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypedDict

from openrouter_embed.emulator.failures import Terms
from openrouter_embed.emulator.options import EmulatorOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self, Unpack

    from openrouter_embed.emulator.batches import Batches
    from openrouter_embed.emulator.failures import Endpoint, Failure, FailureKind
    from openrouter_embed.emulator.options import (
        Backend,
        BatchItems,
        Fault,
        RecordedRequest,
        Stats,
    )
    from openrouter_embed.emulator.server import Server

_START_SECONDS = 60.0
_GRACE_SECONDS = 0.1  # for requests in flight at the stop; then they are cancelled


class OptionChanges(TypedDict, total=False):
    """The fields of EmulatorOptions as keyword arguments."""

    latency: float
    latency_per_input: float
    max_in_flight: int | None
    retry_after: float | None
    api_key: str | None
    keepalive: bool
    fixed_time: float | None
    fixed_ids: bool
    faults: Fault | None
    byok: bool
    availability: bool
    page_size: int
    more_models: Sequence[Mapping[str, object]]
    key_fields: Mapping[str, object]
    backend: Backend
    max_body_bytes: int
    log_size: int
    batch_seconds: float
    batch_items: BatchItems | None
    batch_version: Literal["v1", "beta"]
    batch_pages: bool
    max_batch_bytes: int
    max_batch_requests: int


class Emulator:
    """The emulator inside this process, on a port of its own.

    Examples:
        >>> with Emulator(latency=0.2) as emulator:  # doctest: +SKIP
        ...     requests.post(f"{emulator.base_url}/embeddings", ...)

    Args:
        options: How it behaves; the defaults imitate the live service.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        **changes: Single options, which win over ``options``.
    """

    def __init__(
        self,
        options: EmulatorOptions | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        **changes: Unpack[OptionChanges],
    ) -> None:
        self.options = replace(options or EmulatorOptions(), **changes)
        self._address = (host, port)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._running: _Running | None = None

    def start(self) -> Self:
        """Start serving; returns once requests are accepted.

        Raises:
            RuntimeError: It already runs.
            OSError: The address cannot be listened on.
        """
        if self._thread is not None:
            raise RuntimeError("The emulator is already running.")
        from openrouter_embed.emulator.server import Server  # noqa: PLC0415 - heavy, so late

        server = Server(self.options)
        ready: Future[_Running] = Future()
        thread = threading.Thread(
            target=_run_thread,
            args=(server, self._address, ready),
            name="openrouter-emulator",
            daemon=True,
        )
        thread.start()
        try:
            self._running = ready.result(_START_SECONDS)
        except BaseException:
            thread.join(_GRACE_SECONDS)
            raise
        self._server = server
        self._thread = thread
        return self

    def stop(self) -> None:
        """Stop serving and wait until nothing is left running. Counters stay readable."""
        if self._thread is None or self._running is None:
            return
        self._running.stop()
        self._thread.join()
        self._thread = None
        self._running = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._running is None:
            raise RuntimeError("The emulator is not running.")
        return self._running.port

    @property
    def base_url(self) -> str:
        """What stands in for https://openrouter.ai/api/v1."""
        return _base_url(self._address[0], self.port)

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters of the embeddings endpoint."""
        return self._known_server().ledger.stats

    @property
    def requests(self) -> list[RecordedRequest]:
        """The embeddings requests it has seen, oldest first, without their keys."""
        return self._known_server().ledger.requests

    @property
    def batches(self) -> Batches:
        """The batches it has: their states, and their clock."""
        return self._known_server().batches

    def fail(
        self,
        what: int | FailureKind = 503,
        *,
        times: int | None = 1,
        after: int = 0,
        holding: str | None = None,
        on: Endpoint = "embeddings",
        method: str | None = None,
        retry_after: float | None = None,
        message: str | None = None,
    ) -> Failure:
        """Fail the next requests on purpose.

        Args:
            what: A status from 400 to 599; or "reset" (the connection is reset), "stall" (no
                answer comes), "lost" (the work is done and billed, but its answer is lost),
                "truncated" (the answer ends in its middle), "garbage" (a web page in place of
                JSON); and for embeddings "no_provider" (an error inside HTTP 200) and "short"
                (a vector too few).
            times: How many requests fail; None: all, until ``end()`` is called.
            after: How many requests pass first.
            holding: Only requests fail that hold this text.
            on: The endpoint: "embeddings", "batches", "models" or "key".
            method: Only requests of this method fail: "POST" submits batches, "GET" looks at them.
            retry_after: Seconds that the answer asks to wait.
            message: What the answer says, in place of what it says usually.

        Returns:
            What counts the requests that failed, and ends it.

        Raises:
            ConfigurationError: There is no such failure.
        """
        terms = Terms(
            what=what,
            on=on,
            method=method,
            holding=holding,
            retry_after=retry_after,
            message=message,
        )
        return self._known_server().failures.add(terms, times=times, after=after)

    def reset(self) -> None:
        """Set the counters to zero, empty the log and end failures; batches stay.

        Numbering restarts at 1.
        """
        self._known_server().reset()

    def _known_server(self) -> Server:
        if self._server is None:
            raise RuntimeError("The emulator has not been started.")
        return self._server


class _Running:
    """A started server as other threads see it."""

    def __init__(self, port: int, stopping: asyncio.Event) -> None:
        self.port = port
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop may have ended on its own
            self._loop.call_soon_threadsafe(self._stopping.set)


def _run_thread(server: Server, address: tuple[str, int], ready: Future[_Running]) -> None:
    try:
        asyncio.run(_serve(server, address, ready.set_result))
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


async def _serve(
    server: Server,
    address: tuple[str, int],
    announce: Callable[[_Running], None],
    access_log: logging.Logger | None = None,
) -> None:
    """Serve until told to stop; ``announce`` is called once requests are accepted."""
    from aiohttp import web  # noqa: PLC0415 - heavy, so late

    runner = web.AppRunner(
        server.make_app(),
        access_log=access_log,
        access_log_format='%t "%r" %s, %b bytes in %Tf s',
        handler_cancellation=True,  # a client that hangs up is no longer in flight
        shutdown_timeout=_GRACE_SECONDS,
    )
    try:
        await runner.setup()
        await server.warm_up()
        await web.TCPSite(runner, *address).start()
        stopping = asyncio.Event()
        announce(_Running(int(runner.addresses[0][1]), stopping))
        await stopping.wait()
    finally:
        await runner.cleanup()
        server.close()


def serve(
    host: str = "127.0.0.1",
    port: int = 8787,
    options: EmulatorOptions | None = None,
    *,
    verbose: bool = False,
) -> None:
    """Serve until interrupted.

    Says on standard error where, that this is an emulator, and what its vectors are made of; and
    on standard output which two variables send a program to it.

    Args:
        host: Address to listen on; anything but loopback opens it to others.
        port: Port to listen on; 0 takes a free one.
        options: How it behaves; the defaults imitate the live service.
        verbose: Whether every request is a line on standard error.
    """
    from openrouter_embed.emulator.server import Server  # noqa: PLC0415 - heavy, so late

    chosen = options or EmulatorOptions()
    server = Server(chosen)
    log = _request_log() if verbose else None

    def announce(running: _Running) -> None:
        _stop_on_signals(running)
        _announce(_base_url(host, running.port), chosen.backend)

    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(server, (host, port), announce, log))


def _announce(url: str, backend: Backend) -> None:
    from openrouter_embed.emulator.vectors import resolve_backend  # noqa: PLC0415 - heavy, so late

    sys.stderr.write(
        f"Emulator of OpenRouter's embeddings API, NOT OpenRouter: {url}\n"
        f"{_VECTORS[resolve_backend(backend)]}\n"
        "Stop it with Ctrl-C. To use it, paste this into another terminal:\n"
    )
    sys.stderr.flush()
    sys.stdout.write(f"export OPENROUTER_API_BASE={url}\nexport OPENROUTER_API_KEY=emulated\n")
    sys.stdout.flush()


_VECTORS = {
    "wordllama": "Its vectors come from a small real model (wordllama), not from those it names.",
    "hashed": "Its vectors are hashes of words: similar texts are near, no more. With "
    "`pip install 'openrouter-embed[demo]'` they come from a small real model.",
}


def _request_log() -> logging.Logger:
    log = logging.getLogger("openrouter_embed.emulator.requests")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = [logging.StreamHandler()]
    return log


def _stop_on_signals(running: _Running) -> None:
    loop = asyncio.get_running_loop()
    # Where the platform or the thread allows no handler, Ctrl-C still interrupts.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, running.stop)


def _base_url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1"
