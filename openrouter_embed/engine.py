"""What the synchronous and the asynchronous face of one client share.

Rules of this file:
- One `Engine` per client: settings, pacing, usage and connections, made when first needed.
- It prepares calls for the shells and decides nothing that the core can decide.
- A forked child starts with connections, threads and locks of its own.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.clock import monotonic
from openrouter_embed.errors import (
    CacheWarning,
    ClientClosedError,
    ConfigurationError,
    MultipleProvidersWarning,
)
from openrouter_embed.guard import printable
from openrouter_embed.notices import Herald
from openrouter_embed.options.checks import AUTO, encodable
from openrouter_embed.options.names import near_models, unknown_name
from openrouter_embed.options.settings import Settings, make_settings
from openrouter_embed.options.table import CALL_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openrouter_embed.cache.call import CallCache
    from openrouter_embed.cache.keeper import Keeper
    from openrouter_embed.catalogue import Estimate, ModelInfo
    from openrouter_embed.core.bill import Prices
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.fetch import Fetch
    from openrouter_embed.core.job import Job
    from openrouter_embed.core.ledger import Ledger
    from openrouter_embed.core.level import Signal
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.core.pacing import Pacer
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.inputs import Inputs
    from openrouter_embed.options.models import Role
    from openrouter_embed.result import EmbeddingResult, Progress, Usage
    from openrouter_embed.shells.aiohttp_shell import AiohttpTransport
    from openrouter_embed.shells.requests_shell import RequestsTransport


MODELS_PATH: Final = "/embeddings/models"
KEY_PATH: Final = "/key"


class Engine:
    """The state behind a client; see the head of this file.

    Args:
        settings: What the client was told.
        ledger: A ledger of the maker's own, where several clients share a limit.
    """

    def __init__(self, settings: Settings, ledger: Ledger | None = None) -> None:
        self.settings = settings
        self.closed = False
        self._warned = False
        self.known_models: list[ModelInfo] = []
        self._usage: Usage | None = None
        self._memory: ModelMemory | None = None
        self._ledger = ledger
        self._keeper: Keeper | None = None
        self._calls: dict[tuple[str | None, str, bool], Call] = {}
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
        if self._ledger is not None:
            self._ledger = self._ledger.twin(threading.Lock())

    @property
    def pacer(self) -> Pacer:
        """The pacing state of all calls."""
        with self._lock:
            if self._pacer is None:
                self._pacer = self.settings.pacer
            if self._pacer is None:
                from openrouter_embed.pacer import Pacer  # noqa: PLC0415 - lazy by design

                self._pacer = Pacer(self.settings.max_concurrency)
            return self._pacer

    @property
    def memory(self) -> ModelMemory:
        """What the client has learned of its models."""
        with self._lock:
            if self._memory is None:
                from openrouter_embed.core.memory import ModelMemory  # noqa: PLC0415 - lazy

                self._memory = ModelMemory()
            return self._memory

    @property
    def ledger(self) -> Ledger:
        """What the client has spent."""
        with self._lock:
            if self._ledger is None:
                from openrouter_embed.core.ledger import Ledger  # noqa: PLC0415 - lazy by design

                self._ledger = Ledger(self.settings.max_cost, lock=threading.Lock())
            return self._ledger

    @property
    def keeper(self) -> Keeper | None:
        """What stands between calls and the cache, if there is one."""
        cache = self.settings.cache
        if cache is None:
            return None
        with self._lock:
            if self._keeper is None:
                from openrouter_embed.cache.keeper import keeper_of  # noqa: PLC0415 - lazy

                self._keeper = keeper_of(cache)
            return self._keeper

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

    def _landed(self, signal: Signal) -> None:
        self._tell_limiter("release", signal.value)

    def _refused(self, retry_after: float | None) -> None:
        self._tell_limiter("refused", retry_after)

    def _tell_limiter(self, name: str, news: object) -> None:
        """Tell a limiter that wants to know; what goes wrong there must not cost vectors."""
        tell = getattr(self.settings.limiter, name, None)
        if tell is None:
            return
        try:
            tell(news)
        except Exception as error:  # noqa: BLE001 - whatever the user's limiter raises
            _warn(f"The limiter's `{name}` raised {type(error).__name__}.", UserWarning)

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("The client is closed: make a new one.")

    def call_settings(self, overrides: Mapping[str, Any]) -> Settings:
        """Return the settings of one call.

        Raises:
            ConfigurationError: An override is unknown, wrong, or belongs to the whole client; or
                there is no key.
        """
        if self.settings.api_key is None:
            self.settings.authorization()  # before a request is counted that cannot be sent
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
        lists: bool,
        wake: Callable[[], None],
        urgent: bool = False,
        busy: Callable[[], float] = lambda: 0.0,
        on_progress: Callable[[Progress], None] | None,
    ) -> Job:
        """Check a call's inputs and make its job.

        Raises:
            ConfigurationError: An input or an option of the call is wrong.
            ClientClosedError: The client is closed.
        """
        from openrouter_embed.core.callbacks import Callbacks  # noqa: PLC0415 - lazy by design
        from openrouter_embed.core.job import Job  # noqa: PLC0415 - lazy by design

        self._check_open()
        check_call(role, input_type, on_error)
        if settings.cache_only and settings.cache is None:
            raise ConfigurationError("`cache_only` needs a `cache` to look into.")
        call = self._call(settings, role, input_type, on_error=on_error, lists=lists)
        plan = call.plan(inputs)
        cache: CallCache | None = None
        if settings.cache is not None:
            cache = self._call_cache(settings, role, input_type, plan, wake, patient=not urgent)
        callbacks = Callbacks(
            chance=random.random,
            wake=wake,
            closed=lambda: self.closed,
            urgent=urgent,
            busy=busy,
            on_landed=self._landed,
            on_refused=self._refused,
            on_usage=self._add_usage,
            on_retry=Herald(settings.model, getattr(on_progress, "retried", None)),
            on_progress=on_progress,
            cache=cache,
        )
        return Job(
            plan,
            call.begin(monotonic(), self._prices(settings.model, plan)),
            pacer=self.pacer,
            memory=self.memory,
            callbacks=callbacks,
            ledger=self.ledger,
        )

    def _call_cache(
        self,
        settings: Settings,
        role: Role | None,
        input_type: str | None,
        plan: Plan,
        wake: Callable[[], None],
        *,
        patient: bool,
    ) -> CallCache | None:
        keeper = self.keeper
        if keeper is None:
            return None
        from openrouter_embed.cache.call import CallCache  # noqa: PLC0415 - lazy by design
        from openrouter_embed.options.space import Keys  # noqa: PLC0415 - lazy by design

        sent, _ = settings.role_text(role, input_type)
        return CallCache(
            keeper,
            Keys(settings, sent),
            plan,
            wake=wake,
            patient=patient,
            refresh=settings.refresh,
        )

    def recall(self, work: Job | Fetch) -> None:
        """Take out of the cache what is there, if this is a call with a cache; may block."""
        kept = getattr(work, "kept", None)
        cache = _cache_of(work)
        if cache is None or kept is None:
            return
        for found in cache.recall(kept.missing):
            kept.recall(found.units, found.rows, found.host, averaged=found.averaged)
        others = cache.claim(kept.missing)
        for found in cache.recall_again(kept.missing):
            kept.recall(found.units, found.rows, found.host, averaged=found.averaged)
        kept.begin(others)
        cast("Job", work).listener.tell(kept.progress)

    def flushed(self, work: Job | Fetch) -> bool:
        """Whether nothing of what a call has bought is on its way into the cache."""
        cache = _cache_of(work)
        return cache is None or cache.flushed

    def flush(self, work: Job | Fetch) -> None:
        """Wait until what a call has bought is in the cache; may block."""
        cache = _cache_of(work)
        if cache is not None:
            cache.flush()

    def _call(
        self,
        settings: Settings,
        role: Role | None,
        input_type: str | None,
        *,
        on_error: str = "raise",
        lists: bool = False,
    ) -> Call:
        """Return what a call is told; calls that are told the same as one before share it."""
        key = (role, on_error, lists) if input_type == AUTO and settings is self.settings else None
        call = None if key is None else self._calls.get(key)
        # Somebody may have registered another profile since.
        if call is not None and call.profile is settings.profile:
            return call
        from openrouter_embed.core.call import make_call  # noqa: PLC0415 - lazy by design

        call = make_call(settings, role, input_type, on_error=on_error, lists=lists)
        if key is not None:
            self._calls[key] = call
        return call

    @property
    def needs_prices(self) -> bool:
        """Whether the catalogue must be known before the first call."""
        return self.settings.max_cost is not None and not self.known_models

    def _prices(self, model: str, plan: Plan) -> Prices | None:
        """Return USD per token; needed only for a spending limit.

        Raises:
            ConfigurationError: There is a limit, but nobody can tell what the call will cost.
        """
        if self.settings.max_cost is None:
            return None
        prices = next((known.prices for known in self.known_models if known.id == model), None)
        if prices is None:
            self._doubt_model(model, self.known_models)
            raise ConfigurationError(
                f"`max_cost` needs a price, and the catalogue has none for `{model}`: check the "
                "model's id, or leave `max_cost` out."
            )
        guessed = plan.without_rule(prices)
        if guessed:
            raise ConfigurationError(
                f"`max_cost` needs to know what {' and '.join(guessed)} will cost, and how many "
                f"tokens `{model}` bills for it is not known: leave `max_cost` out for such inputs."
            )
        return prices

    def finish(self, job: Job) -> EmbeddingResult:
        """Return a job's result; warn once if its vectors came from different hosts.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        if job.listener.complaint:
            _warn(job.listener.complaint, UserWarning)
        for sentence in self._keeper.complaints() if self._keeper is not None else ():
            _warn(sentence, CacheWarning)
        result = job.result()
        if len(result.providers) > 1 and not self._warned:
            self._warned = True
            _warn(
                f"One call was served by {', '.join(result.providers)}: hosts may serve different "
                "vectors for one model. Pass `pin_provider=True` to keep to the first.",
                MultipleProvidersWarning,
            )
        return result

    def fetch(self, path: str) -> Fetch:
        """Make the state machine of one `GET`.

        Raises:
            ClientClosedError: The client is closed.
        """
        from openrouter_embed.core.fetch import Fetch  # noqa: PLC0415 - lazy by design

        self._check_open()
        return Fetch(
            path,
            self.settings,
            now=monotonic(),
            chance=random.random,
            closed=lambda: self.closed,
            on_retry=Herald(self.settings.model),
            public=path == MODELS_PATH,
        )

    def remember_models(self, models: list[ModelInfo]) -> list[ModelInfo]:
        """Keep the catalogue for estimates."""
        from openrouter_embed.display import ModelList  # noqa: PLC0415 - lazy by design

        self.known_models = models
        return ModelList(models)

    def estimate(
        self, inputs: Inputs, role: Role | None, input_type: str | None, models: list[ModelInfo]
    ) -> Estimate:
        """Work out what a call should take; sends nothing.

        Raises:
            ConfigurationError: An input or an option of the call is wrong.
        """
        from openrouter_embed.catalogue import Estimate  # noqa: PLC0415 - lazy by design

        check_call(role, input_type, "raise")
        self._doubt_model(self.settings.model, models)
        plan = self._call(self.settings, role, input_type).plan(inputs)
        missing = self._to_buy(plan, role, input_type)
        tokens = sum(plan.tokens[unit] for unit in missing)
        prices = next((model.prices for model in models if model.id == self.settings.model), None)
        told = prices is not None and not plan.without_rule(prices)
        cost = plan.cost(missing, prices) if told and prices else None
        return Estimate(tokens=tokens, cost=cost, inputs=len(missing))

    def _to_buy(self, plan: Plan, role: Role | None, input_type: str | None) -> Sequence[int]:
        """Return the units that are not in the cache."""
        cache = self._call_cache(self.settings, role, input_type, plan, lambda: None, patient=False)
        return range(len(plan.units)) if cache is None else cache.absent()

    def _doubt_model(self, model: str, models: Sequence[ModelInfo]) -> None:
        """Refuse a model that is not in the catalogue where one of nearly that name is.

        Raises:
            ConfigurationError: Names those that may be meant.
        """
        ids = [known.id for known in models]
        if not ids or model in ids or model.partition(":")[0] in ids:
            return
        near = ", ".join(f"`{name}`" for name in near_models(model, ids))
        if near:
            raise ConfigurationError(
                f"The catalogue has no model `{printable(model, 80)}`. Did you mean {near}?"
            )

    def enter(self, wake: Callable[[], None]) -> None:
        """Register a call, so that `close` can wake it."""
        with self._lock:
            self._wakes.add(wake)

    def leave(self, wake: Callable[[], None], work: Job | Fetch) -> None:
        """Forget a call, and let others buy what they left to it."""
        with self._lock:
            self._wakes.discard(wake)
        cache = _cache_of(work) if work.keeps else None
        if cache is not None:
            cache.leave()

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
            import asyncio  # noqa: PLC0415 - lazy by design, and here it is loaded anyway

            await asyncio.to_thread(transport.close)  # it joins threads

    def _end(self) -> tuple[RequestsTransport | None, AiohttpTransport | None]:
        with self._lock:
            self.closed = True
            wakes = tuple(self._wakes)
            transports = self._requests, self._aiohttp
            self._requests = self._aiohttp = self._keeper = None
        for wake in wakes:
            wake()
        return transports

    async def close_lanes(self) -> None:
        """Close the asynchronous connections alone; they open again when needed."""
        with self._lock:
            lanes, self._aiohttp = self._aiohttp, None
        if lanes is not None:
            await lanes.aclose()


def _cache_of(work: Job | Fetch) -> CallCache | None:
    """Return the cache of a call; a fetch has none."""
    kept = getattr(work, "kept", None)
    return None if kept is None else cast("CallCache | None", kept.cache)


def _warn(message: str, category: type[Warning]) -> None:
    """Warn the caller; where warnings are errors, log instead: the vectors are paid for."""
    try:
        warnings.warn(message, category, stacklevel=5)
    except Warning:
        logging.getLogger("openrouter_embed").warning("%s", message)


def check_call(role: object, input_type: object, on_error: object) -> None:
    """Check the options that only calls have.

    Raises:
        ConfigurationError: One of them is wrong.
    """
    if role not in ("query", "document", None):
        raise ConfigurationError("`role` must be 'query', 'document' or None.")
    if input_type is not None and (type(input_type) is not str or not input_type):
        raise ConfigurationError(f"`input_type` must be a string, None for none, or {AUTO!r}.")
    if isinstance(input_type, str) and not encodable(input_type):
        raise ConfigurationError("`input_type` holds half of a surrogate pair: no valid text.")
    if on_error not in ("raise", "return"):
        raise ConfigurationError("`on_error` must be 'raise' or 'return'.")


def make_engine(options: Mapping[str, Any], *, key_required: bool = True) -> Engine:
    """Check a client's options against the process's environment and make its engine."""
    return Engine(make_settings(options, os.environ, key_required=key_required))


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()
_INHERITED: list[object] = []


def _after_fork_in_child() -> None:
    for engine in list(_ENGINES):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
