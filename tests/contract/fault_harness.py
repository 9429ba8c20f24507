"""Runs one call through either shell and checks, every time, what must hold after any call.

Rules of this file:
- Whatever the outcome: no thread, task, socket or file descriptor may be left after closing.
- Neither the canary key nor the canary text may be in logs, warnings, or anything an exception
  holds, the local variables of our own frames included.
- The two shells are driven by the same arguments, so that a test cannot treat them differently.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
import pathlib
import pickle
import re
import sys
import threading
import time
import traceback
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient
from openrouter_embed.errors import APIError, EmbeddingError
from openrouter_embed.shells import aiohttp_shell, requests_shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from typing_extensions import Self

_LOADED = (aiohttp_shell, requests_shell)
"""Loaded before any clock runs: a client loads its shell at its first call."""

KEY = "sk-or-v1-canary0key0canary0key"
TEXT = "The canary sings of private matters, do not quote it."
CANARIES = ("canary0key", "canary sings", TEXT[20:40])
OURS = ("openrouter_embed", "langchain_openrouter_embed", "llama_index_openrouter_embed")
SHELLS = ("requests", "aiohttp")
SETTLE = 3.0

DEFAULTS: dict[str, Any] = {
    "model": "acme/embed",
    "api_key": KEY,
    "timeout": 5.0,
    "max_retries": 2,
    "encoding_format": "float",
}


def slack() -> float:
    """Return the seconds that an end in time may be late: 0.25, as promised of an idle machine.

    Where more wants to run than there are processors, every thread waits for its turn.
    """
    return 0.25 * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass
class Seen:
    """What a call did, in terms that both shells share."""

    shell: str
    result: Any = None
    error: BaseException | None = None
    elapsed: float = 0.0
    log: str = ""
    warned: list[str] = field(default_factory=list)

    @property
    def public(self) -> tuple[Any, ...]:
        """All that a user can tell two outcomes apart by; ports differ from server to server."""
        if self.error is None:
            return ("result", self.result.vectors.tolist(), self.result.usage)
        names = (
            "kind",
            "reason",
            "index",
            "attempts",
            "retry_after",
            "status",
            "http_status",
            "code",
            "provider",
            "detail",
        )
        message = re.sub(r"(127\.0\.0\.\d):\d+", r"\1", str(self.error))
        return (type(self.error), message, *(getattr(self.error, name, None) for name in names))


# ---------------------------------------------------------------------- the two shells


def run(shell: str, inputs: Any, options: Mapping[str, Any], **call: Any) -> Seen:
    """Make a client, embed once, close it; check for leaks of things and of secrets."""
    seen = Seen(shell)
    with watched(seen), no_leaks():
        before = time.monotonic()
        outcome = _RUNNERS[shell](inputs, {**DEFAULTS, **options}, call)
        seen.elapsed = time.monotonic() - before - outcome[2]
        seen.result, seen.error = outcome[:2]
    check_secrets(seen)
    return seen


Raw = tuple[Any, BaseException | None, float]


def _run_requests(inputs: Any, options: Mapping[str, Any], call: Mapping[str, Any]) -> Raw:
    client = EmbeddingClient(**options)
    result, error = None, None
    try:
        result = client.embed(inputs, **call)
    except EmbeddingError as raised:
        error = raised
    before = time.monotonic()
    client.close()
    return result, error, time.monotonic() - before


def _run_aiohttp(inputs: Any, options: Mapping[str, Any], call: Mapping[str, Any]) -> Raw:
    async def main() -> Raw:
        client = AsyncEmbeddingClient(**options)
        result, error = None, None
        try:
            result = await client.embed(inputs, **call)
        except EmbeddingError as raised:
            error = raised
        before = time.monotonic()
        await client.aclose()
        await no_tasks()
        return result, error, time.monotonic() - before

    return run_loop(main)


_RUNNERS: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], Raw]] = {
    "requests": _run_requests,
    "aiohttp": _run_aiohttp,
}


def run_loop(main: Callable[[], Any]) -> Any:
    """Run a coroutine function; complaints that a loop would only log are failures."""
    complaints: list[str] = []

    async def listening() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(repr(context)))
        return await main()

    outcome = asyncio.run(listening())
    assert not complaints
    return outcome


class Client:
    """One client of either shell, called synchronously; for tests that make several calls."""

    def __init__(self, shell: str, **options: Any) -> None:
        self.shell = shell
        self._loop: asyncio.AbstractEventLoop | None = None
        if shell == "requests":
            self.client: Any = EmbeddingClient(**{**DEFAULTS, **options})
        else:
            self.client = AsyncEmbeddingClient(**{**DEFAULTS, **options})
            # Last: where an option is refused, nobody would close it.
            self._loop = asyncio.new_event_loop()

    def embed(self, inputs: Any, **call: Any) -> Any:
        if self._loop is None:
            return self.client.embed(inputs, **call)
        return self.run(self.client.embed(inputs, **call))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the loop that the asynchronous client lives in."""
        assert self._loop is not None
        return self._loop.run_until_complete(coroutine)

    @property
    def pacer(self) -> Any:
        return self.client._engine.pacer

    def close(self) -> None:
        if self._loop is None:
            self.client.close()
            return
        self.run(self.client.aclose())
        self.run(no_tasks())
        self.run(self._loop.shutdown_asyncgens())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def no_backoff() -> Iterator[None]:
    """Let own back-off take no time, so that retries cost none in tests."""
    with mock.patch("openrouter_embed.core.retry.BACKOFF_BASE", 0.0):
        yield


# ---------------------------------------------------------------------- leaks


async def no_tasks() -> None:
    """Demand that the current task is the only one."""
    for _ in range(20):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"tasks left: {others}")


def descriptors() -> dict[str, str]:
    """Return the open file descriptors of this process and what they are."""
    table: dict[str, str] = {}
    for link in pathlib.Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            table[link.name] = str(link.readlink())
    return table


@contextlib.contextmanager
def no_leaks() -> Iterator[None]:
    """Demand as many threads and the same descriptors as before; both may take a moment."""
    threads, files = set(threading.enumerate()), set(descriptors().values())
    yield
    until = time.monotonic() + SETTLE
    while True:
        new_threads = [t for t in threading.enumerate() if t not in threads and _is_ours(t)]
        new_files = _client_side(set(descriptors().values()) - files)
        if not new_threads and not new_files:
            return
        if time.monotonic() > until:
            raise AssertionError(f"left behind: {new_threads} {new_files}")
        time.sleep(0.01)


def _is_ours(thread: threading.Thread) -> bool:
    return thread.name != "fault-server"


def _client_side(links: set[str]) -> set[str]:
    """Leave out the server's own ends: they are sockets whose local port the server listens on."""
    if not links:
        return links
    ours = set()
    for line in _socket_lines():
        parts = line.split()
        ours.add((f"socket:[{parts[9]}]", parts[1]))
    listening = {line.split()[1] for line in _socket_lines() if line.split()[3] == "0A"}
    servers = {link for link, local in ours if local in listening}
    return links - servers


def _socket_lines() -> list[str]:
    return pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]


# ---------------------------------------------------------------------- secrets


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # Without logging's own try: a record that cannot be formatted is a failure.
        if record.name != "asyncio":
            self.lines.append(self.format(record))


@contextlib.contextmanager
def watched(seen: Seen) -> Iterator[None]:
    """Record every log line and every warning while a call runs."""
    recorder = _Recorder()
    root = logging.getLogger()
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)
    seen.log = "\n".join(recorder.lines)
    seen.warned = [f"{w.category.__name__}: {w.message}" for w in caught]


def _is_of_python_310(warning: str) -> bool:
    """Say whether Python 3.10 itself warns: it takes a TLS transport that was lost for unclosed."""
    return sys.version_info < (3, 11) and "_SSLProtocolTransport" in warning


def check_secrets(seen: Seen) -> None:
    """Demand that no canary can be found in what a call left behind."""
    places = {"log": seen.log, "warnings": "\n".join(seen.warned)}
    leaks = [w for w in seen.warned if "ResourceWarning" in w and not _is_of_python_310(w)]
    assert not leaks, leaks
    assert not any("\n" in line for line in seen.log.splitlines())
    if seen.error is not None:
        places.update(exception_places(seen.error))
    found = [
        (place, canary) for place, text in places.items() for canary in CANARIES if canary in text
    ]
    assert not found, found


def exception_places(error: BaseException) -> dict[str, str]:
    """Return every text that a tool could take out of an exception."""
    places: dict[str, str] = {}
    for at, link in enumerate(_chain(error)):
        plain = _without_detail(link)
        places[f"str {at}"] = str(link)
        places[f"repr {at}"] = repr(link)
        places[f"args {at}"] = repr(link.args)
        places[f"attributes {at}"] = repr(vars(plain))
        places[f"pickle {at}"] = repr(pickle.dumps(plain))
        places[f"printed {at}"] = "".join(traceback.format_exception_only(link))
        for number, frame in enumerate(_own_frames(link)):
            places[f"frame {at}.{number} {frame.f_code.co_name}"] = repr_locals(frame)
    return places


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _without_detail(error: BaseException) -> BaseException:
    """The one place that may hold what the server echoed."""
    if not isinstance(error, APIError):
        return error
    plain = copy.copy(error)
    plain.detail = {}
    plain.result = None
    return plain


def _own_frames(error: BaseException) -> Iterator[Any]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        parts = frame.f_code.co_filename.replace("\\", "/").split("/")
        if any(name in parts for name in OURS):
            yield frame


def repr_locals(frame: Any) -> str:
    return "\n".join(_deep(value) for value in frame.f_locals.values())


def _deep(value: Any, depth: int = 0) -> str:
    """Show a value the way a tool that follows attributes would."""
    value = _without_detail(value) if isinstance(value, APIError) else value
    text = repr(value)
    if depth < 3 and type(value).__module__.split(".")[0] in OURS:
        inner = getattr(value, "__dict__", {})
        text += "".join(_deep(item, depth + 1) for item in inner.values())
    return text


def vectors_of(inputs: Sequence[Any]) -> list[list[float]]:
    import fault_server

    return [fault_server.vector(item) for item in inputs]
