"""What the synchronous and the asynchronous face of one client share.

Rules of this file:
- One `Engine` per client: settings, pacing, budget, usage and memory, made when first needed.
- It prepares calls for the shells and decides nothing that the core can decide.
- A part with a job of its own is in a file of its own: `connections`, `keeping`, `prices`.
- A forked child starts with connections, threads and locks of its own.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openrouter_embed.clock import monotonic
from openrouter_embed.connections import Connections
from openrouter_embed.errors import (
    CacheWarning,
    ConfigurationError,
    MultipleProvidersWarning,
)
from openrouter_embed.keeping import call_cache
from openrouter_embed.limiter import LimiterNews
from openrouter_embed.notices import LOGGER, Herald, extras, warn
from openrouter_embed.options.checks import AUTO, encodable
from openrouter_embed.options.names import unknown_name
from openrouter_embed.options.settings import Settings, make_settings
from openrouter_embed.options.table import CALL_OPTIONS, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openrouter_embed.cache.call import CallCache
    from openrouter_embed.cache.keeper import Keeper
    from openrouter_embed.catalogue import Estimate, ModelInfo
    from openrouter_embed.core.bill import Prices
    from openrouter_embed.core.call import Call
    from openrouter_embed.core.fetch import Ask, Fetch
    from openrouter_embed.core.job import Job
    from openrouter_embed.core.ledger import Ledger
    from openrouter_embed.core.memory import ModelMemory
    from openrouter_embed.core.pacing import Pacer
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.inputs import Inputs
    from openrouter_embed.options.models import Role
    from openrouter_embed.result import EmbeddingResult, Progress, Usage
    from openrouter_embed.telemetry.observation import Observation


Answer = TypeVar("Answer")

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
        self.connections = Connections(settings)
        self._news = LimiterNews(settings.limiter)
        self._warned = False
        self.known_models: list[ModelInfo] = []
        self._usage: Usage | None = None
        self._billed: set[str] = set()
        self._expected: dict[str, float] = {}
        self._memory: ModelMemory | None = None
        self._ledger = ledger
        self._keeper: Keeper | None = None
        self._calls: dict[tuple[str | None, str, bool], Call] = {}
        self._reset()
        _ENGINES.add(self)

    def _reset(self) -> None:
        """Start with nothing that threads or a parent process could hold."""
        self._lock = threading.RLock()
        self._pacer: Pacer | None = None

    def after_fork(self) -> None:
        """Leave the parent's connections and locks to the parent."""
        self.connections.after_fork()
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
    def usage(self) -> Usage:
        """What all calls have consumed so far."""
        from openrouter_embed.result import Usage  # noqa: PLC0415 - lazy by design

        with self._lock:
            return self._usage or Usage()

    def add_usage(self, usage: Usage) -> None:
        """Count what something consumed."""
        with self._lock:
            self._usage = usage if self._usage is None else self._usage + usage

    def expect_bill(self, name: str, most: float) -> None:
        """Remember how much of what is spent stands for a bill that is still to come, in USD."""
        with self._lock:
            self._expected[name] = most

    def add_bill(self, name: str, usage: Usage) -> None:
        """Count what something of that name consumed, however often it is told."""
        with self._lock:
            if name in self._billed:
                return
            self._billed.add(name)
            self.add_usage(usage)
            most = self._expected.pop(name, None)
        if most is not None and usage.billed is not None:
            self.ledger.correct(usage.billed - most)

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
                raise ConfigurationError(_no_call_option(name))
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
        seen: Observation | None = None,
    ) -> Job:
        """Check a call's inputs and make its job.

        Raises:
            ConfigurationError: An input or an option of the call is wrong.
            ClientClosedError: The client is closed.
        """
        from openrouter_embed.core.callbacks import Callbacks  # noqa: PLC0415 - lazy by design
        from openrouter_embed.core.job import Job  # noqa: PLC0415 - lazy by design

        connections = self.connections
        connections.check_open()
        check_call(role, input_type, on_error)
        if settings.cache_only and settings.cache is None:
            raise ConfigurationError("`cache_only` needs a `cache` to look into.")
        call = self._call(settings, role, input_type, on_error=on_error, lists=lists)
        plan = call.plan(inputs)
        cache: CallCache | None = None
        if settings.cache is not None:
            cache = self._call_cache(settings, role, input_type, plan, wake, patient=not urgent)
        prices: Prices | None = None
        if self.settings.max_cost is not None:
            from openrouter_embed.prices import prices_for_limit  # noqa: PLC0415 - lazy by design

            prices = prices_for_limit(settings.model, self.known_models, plan)
        herald = Herald(settings.model, getattr(on_progress, "retried", None))
        if seen is not None:
            seen.follow(call, self.memory, herald, plan.count)
        callbacks = Callbacks(
            chance=random.random,
            wake=wake,
            closed=lambda: connections.closed,
            urgent=urgent,
            busy=busy,
            on_landed=self._news.landed,
            on_refused=self._news.refused,
            on_usage=self.add_usage if seen is None else seen.hearing(self.add_usage),
            on_retry=herald,
            on_turn=herald.turn,
            on_progress=on_progress,
            cache=cache,
        )
        return Job(
            plan,
            call.begin(monotonic(), prices),
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
        sent, _ = settings.role_text(role, input_type)
        return call_cache(keeper, settings, sent, plan, wake=wake, patient=patient)

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

    def finish(self, job: Job, seen: Observation | None = None) -> EmbeddingResult:
        """Return a job's result; warn once if its vectors came from different hosts.

        Raises:
            EmbeddingError: The call failed; `.result` holds what had arrived.
        """
        if job.listener.complaint:
            warn(job.listener.complaint, UserWarning)
        self.tell_of_cache()
        result = job.result()
        if seen is not None:
            seen.result = result
        if len(result.providers) > 1 and not self._warned:
            self._warned = True
            warn(
                f"One call was served by {', '.join(result.providers)}: hosts may serve different "
                "vectors for one model. Pass `pin_provider=True` to keep to the first.",
                MultipleProvidersWarning,
            )
        return result

    def tell_of_cache(self) -> None:
        """Warn of what the cache has complained of since."""
        for sentence in self._keeper.complaints() if self._keeper is not None else ():
            LOGGER.info("%s", sentence, extra=extras("cache"))
            warn(sentence, CacheWarning)

    def question(self, path: str) -> Ask[Mapping[str, Any]]:
        """Return what gets an object with `data`."""
        from openrouter_embed.core.fetch import PATIENCE, Ask, read_data  # noqa: PLC0415 - lazy

        settings = self.settings
        return Ask(
            path=path,
            public=path == MODELS_PATH,
            timeout=min(settings.timeout, PATIENCE),
            deadline=settings.deadline,
            read=read_data,
        )

    def fetch(self, ask: Ask[Answer]) -> Fetch[Answer]:
        """Make the state machine of one exchange that embeds nothing.

        Raises:
            ClientClosedError: The client is closed.
        """
        from openrouter_embed.core.fetch import Fetch  # noqa: PLC0415 - lazy by design

        connections = self.connections
        connections.check_open()
        return Fetch(
            ask,
            self.settings,
            now=monotonic(),
            chance=random.random,
            closed=lambda: connections.closed,
            on_retry=Herald(self.settings.model),
        )

    def remember_models(self, models: list[ModelInfo]) -> list[ModelInfo]:
        """Keep the catalogue for estimates."""
        from openrouter_embed.display import ModelList  # noqa: PLC0415 - lazy by design

        self.known_models = models
        return ModelList(models)

    def estimate(
        self,
        inputs: Inputs,
        role: Role | None,
        input_type: str | None,
        models: list[ModelInfo],
        *,
        batch: bool = False,
        refresh: bool = False,
    ) -> Estimate:
        """Work out what a call should take; sends nothing.

        Raises:
            ConfigurationError: An input or an option of the call is wrong.
        """
        from openrouter_embed.prices import doubt_model, estimate  # noqa: PLC0415 - lazy by design

        check_call(role, input_type, "raise")
        model = self.settings.model
        doubt_model(model, models)
        plan = self._call(self.settings, role, input_type).plan(inputs)
        everything = refresh or self.settings.refresh
        missing = range(len(plan.units)) if everything else self._absent(plan, role, input_type)
        return estimate(model, models, plan, missing, batch=batch)

    def _absent(self, plan: Plan, role: Role | None, input_type: str | None) -> Sequence[int]:
        """Return the units that are not in the cache."""
        cache = self._call_cache(self.settings, role, input_type, plan, lambda: None, patient=False)
        return range(len(plan.units)) if cache is None else cache.absent()

    def close(self) -> None:
        """End the calls in flight and close what belongs to the client; again is harmless."""
        self._keeper = None
        self.connections.close()

    async def aclose(self) -> None:
        """Do what `close` does, without blocking the event loop."""
        self._keeper = None
        await self.connections.aclose()


def _no_call_option(name: str) -> str:
    if name in OPTIONS:
        return f"`{name}` is no option of a call: pass it where the object is made."
    return unknown_name("option of a call", name, [*CALL_OPTIONS, *_OF_CALLS])


_OF_CALLS: Final = ("role", "input_type", "on_error")
"""What a call takes and the client does not."""


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


def _after_fork_in_child() -> None:
    for engine in list(_ENGINES):
        engine.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
