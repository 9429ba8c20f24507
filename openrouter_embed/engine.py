"""What the synchronous and the asynchronous face of one client share.

Rules of this file:
- One `Engine` per client: settings, pacing, usage and connections, made when first needed.
- It prepares calls for the shells and decides nothing that the core can decide.
- A forked child starts with connections, threads and locks of its own.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from openrouter_embed.errors import ClientClosedError, ConfigurationError
from openrouter_embed.settings import AUTO, CALL_OPTIONS, Settings, make_settings
from openrouter_embed.suggest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openrouter_embed.core.job import FormatMemory, Job
    from openrouter_embed.core.pacing import Pacer
    from openrouter_embed.inputs import Inputs
    from openrouter_embed.models import Role
    from openrouter_embed.result import Progress, Usage
    from openrouter_embed.shells.aiohttp_shell import AiohttpTransport
    from openrouter_embed.shells.requests_shell import RequestsTransport


class Engine:
    """The state behind a client; see the head of this file."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.closed = False
        self._usage: Usage | None = None
        self._formats: FormatMemory | None = None
        self._reset()
        _ENGINES.add(self)

    def _reset(self) -> None:
        """Start with nothing that threads, loops or a parent process could hold."""
        self._lock = threading.RLock()
        self._pacer: Pacer | None = None
        self._requests: RequestsTransport | None = None
        self._aiohttp: AiohttpTransport | None = None
        self._wakes: set[Callable[[], None]] = set()

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent, neither used nor closed here."""
        _INHERITED.append((self._requests, self._aiohttp))
        self._reset()

    @property
    def pacer(self) -> Pacer:
        """The pacing state of all calls."""
        with self._lock:
            if self._pacer is None:
                from openrouter_embed.core.pacing import Pacer  # noqa: PLC0415 - lazy by design

                self._pacer = Pacer(self.settings.max_concurrency, lock=threading.Lock())
            return self._pacer

    @property
    def requests(self) -> RequestsTransport:
        """The synchronous shell's connections."""
        with self._lock:
            self._check_open()
            if self._requests is None:
                from openrouter_embed.shells.requests_shell import (  # noqa: PLC0415 - lazy
                    RequestsTransport,
                )

                self._requests = RequestsTransport(self.settings)
            return self._requests

    @property
    def aiohttp(self) -> AiohttpTransport:
        """The asynchronous shell's connections."""
        with self._lock:
            self._check_open()
            if self._aiohttp is None:
                from openrouter_embed.shells.aiohttp_shell import (  # noqa: PLC0415 - lazy
                    AiohttpTransport,
                )

                self._aiohttp = AiohttpTransport(self.settings)
            return self._aiohttp

    @property
    def usage(self) -> Usage:
        """What all calls have consumed so far."""
        from openrouter_embed.result import Usage  # noqa: PLC0415 - lazy by design

        with self._lock:
            return self._usage or Usage()

    def _add_usage(self, usage: Usage) -> None:
        with self._lock:
            self._usage = usage if self._usage is None else self._usage + usage

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("The client is closed: make a new one.")

    def call_settings(self, overrides: Mapping[str, Any]) -> Settings:
        """Return the settings of one call.

        Raises:
            ConfigurationError: An override is unknown, wrong, or belongs to the whole client.
        """
        for name in overrides:
            if name not in CALL_OPTIONS:
                raise ConfigurationError(
                    unknown_name("option of a call", name, CALL_OPTIONS)
                    + " Options about connections, keys and concurrency are given to the client."
                )
        return self.settings.replace(**overrides) if overrides else self.settings

    def job(
        self,
        inputs: Inputs,
        settings: Settings,
        *,
        role: Role | None,
        input_type: str | None,
        on_error: str,
        wake: Callable[[], None],
        on_progress: Callable[[Progress], None] | None,
    ) -> Job:
        """Check a call's inputs and make its job.

        Raises:
            ConfigurationError: An input or an option of the call is wrong.
            ClientClosedError: The client is closed.
        """
        from openrouter_embed.core.job import FormatMemory, Job, Ports, Terms  # noqa: PLC0415
        from openrouter_embed.core.plan import BodyMaker, make_limits, make_plan  # noqa: PLC0415
        from openrouter_embed.inputs import read_inputs  # noqa: PLC0415 - all of these lazily

        self._check_open()
        check_call(role, input_type, on_error)
        bodies = BodyMaker(settings, role, input_type)
        plan = make_plan(
            read_inputs(inputs), bodies.prefix, zeros_for_empty=settings.empty == "zeros"
        )
        with self._lock:
            formats = self._formats = self._formats or FormatMemory()
        profile = settings.profile
        terms = Terms(
            model=settings.model,
            encoding_format=settings.encoding_format,
            base64=profile.base64,
            width=settings.dimensions,
            expected_width=profile.dimensions,
            timeout=settings.timeout,
            deadline=settings.deadline and time.monotonic() + settings.deadline,
            max_retries=settings.max_retries,
            on_error=on_error,
            normalize=settings.normalize,
            spread=not settings.model.endswith(":free"),
            timed_by_driver=settings.limiter is not None,
            key_origin=settings.key_origin,
        )
        ports = Ports(
            chance=random.random,
            wake=wake,
            closed=lambda: self.closed,
            on_usage=self._add_usage,
            on_progress=on_progress,
        )
        return Job(plan, bodies, make_limits(settings), terms, self.pacer, formats, ports)

    def enter(self, wake: Callable[[], None]) -> None:
        """Register a call, so that `close` can wake it."""
        with self._lock:
            self._wakes.add(wake)

    def leave(self, wake: Callable[[], None]) -> None:
        """Forget a call."""
        with self._lock:
            self._wakes.discard(wake)

    def close(self) -> None:
        """End the calls in flight and close what belongs to the client; again is harmless."""
        transport, lanes = self._end()
        if transport is not None:
            transport.close()
        if lanes is not None:
            lanes.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        transport, lanes = self._end()
        if lanes is not None:
            await lanes.aclose()
        if transport is not None:
            transport.close()

    def _end(self) -> tuple[RequestsTransport | None, AiohttpTransport | None]:
        with self._lock:
            self.closed = True
            wakes = tuple(self._wakes)
            transports = self._requests, self._aiohttp
            self._requests = self._aiohttp = None
        for wake in wakes:
            wake()
        return transports

    async def close_lanes(self) -> None:
        """Close the asynchronous connections alone; they open again when needed."""
        with self._lock:
            lanes, self._aiohttp = self._aiohttp, None
        if lanes is not None:
            await lanes.aclose()


def check_call(role: object, input_type: object, on_error: object) -> None:
    """Check the options that only calls have.

    Raises:
        ConfigurationError: One of them is wrong.
    """
    if role not in ("query", "document", None):
        raise ConfigurationError("`role` must be 'query', 'document' or None.")
    if input_type is not None and (not isinstance(input_type, str) or not input_type):
        raise ConfigurationError(f"`input_type` must be a string, None for none, or {AUTO!r}.")
    if on_error not in ("raise", "return"):
        raise ConfigurationError("`on_error` must be 'raise' or 'return'.")


def make_engine(options: Mapping[str, Any]) -> Engine:
    """Check a client's options against the process's environment and make its engine."""
    return Engine(make_settings(options, os.environ))


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
_INHERITED: list[object] = []


def _after_fork_in_child() -> None:
    for engine in list(_ENGINES):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
