"""The client behind one embedding object, told LlamaIndex's limits.

Rules of this file:
- The only key kept here is the client's own guarded one; a backend is never pickled.
- A restored object may have no key yet: its client reads the environment when it sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openrouter_embed import EmbeddingClient, Usage
from openrouter_embed.adapting import LengthWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openrouter_embed import EmbeddingResult


def _unheard(_: object) -> None:
    """Take what a limiter does not want to know."""


class Throttle:
    """All limiters of one object, as the one limiter that its client asks.

    Attributes:
        own: The client's kind of limiter, or `None`.
        framework: LlamaIndex's kind, or `None`; may be set at any time.
    """

    def __init__(self, own: Any, framework: Any) -> None:
        self.own = own
        self.framework = framework

    def acquire(self, tokens: int) -> None:
        """Block until every limiter lets a request of about `tokens` tokens pass."""
        own, framework = self.own, self.framework
        if own is not None:
            own.acquire(tokens)
        if framework is not None:
            framework.acquire(self._clamped(tokens))

    async def aacquire(self, tokens: int) -> None:
        """Wait, without blocking the event loop, for the same."""
        own, framework = self.own, self.framework
        if own is not None:
            await own.aacquire(tokens)
        if framework is not None:
            await framework.async_acquire(self._clamped(tokens))

    def release(self, signal: str) -> None:
        """Tell the client's kind of limiter, if it wants to know, how a request ended."""
        getattr(self.own, "release", _unheard)(signal)

    def refused(self, retry_after: float | None) -> None:
        """Tell it of a refusal for load, with the seconds to wait or `None`."""
        getattr(self.own, "refused", _unheard)(retry_after)

    @property
    def active(self) -> bool:
        """Whether there is anybody to ask."""
        return self.own is not None or self.framework is not None

    @property
    def tokens_per_minute(self) -> int | None:
        """The framework limiter's budget of tokens, where it has one."""
        limit = getattr(self.framework, "tokens_per_minute", None)
        return max(1, int(limit)) if isinstance(limit, (int, float)) else None

    def _clamped(self, tokens: int) -> int:
        # A bucket never holds more than a minute's tokens: asking for more would wait for ever.
        limit = self.tokens_per_minute
        return tokens if limit is None else min(tokens, limit)


class Backend:
    """One object's client and what it was made of.

    Attributes:
        client: The client.
        options: The client's options; the key, if one was given, in the client's own wrapping.
        settings: The client's checked settings.
        throttle: What the client asks before each request.
        names: What messages call the client's options.

    Raises:
        ConfigurationError: An option is wrong, or there is no key and the object is not restored.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        num_workers: int | None,
        rate_limiter: Any,
        restored: bool,
        names: Mapping[str, str],
    ) -> None:
        self._lengths = LengthWatch("LlamaIndex")
        self.names = names
        self.throttle = Throttle(options.get("limiter"), rate_limiter)
        built: dict[str, Any] = {
            **options,
            **_capped(options, num_workers),
            "limiter": self.throttle,
        }
        model = built.pop("model")
        keyless = restored and options.get("api_key") is None
        make = EmbeddingClient.without_key if keyless else EmbeddingClient
        self.client = make(model, **built)
        self.settings = self.client.settings
        same = {"base_url": self.settings.base_url, "api_key": self.settings.api_key}
        self.options: dict[str, Any] = {**options, **same}

    def limits(self, batch_size: int | None) -> dict[str, int]:
        """Return what LlamaIndex's options say about the size of one request.

        Args:
            batch_size: Inputs per request that the user asked for, if they did.
        """
        profile = self.settings.profile
        tokens = self.throttle.tokens_per_minute
        wanted = {"max_batch_inputs": batch_size, "max_batch_tokens": tokens}
        return {
            name: min(limit, getattr(self.settings, name) or getattr(profile, name))
            for name, limit in wanted.items()
            if limit is not None
        }

    def watched(self, result: EmbeddingResult) -> EmbeddingResult:
        """Return a result, with a warning the first time that its vectors lack unit length."""
        self._lengths.look(result, self.settings.model)
        return result

    @property
    def usage(self) -> Usage:
        """What the client has consumed so far."""
        return self.client.usage

    def close(self) -> None:
        """Close the client."""
        self.client.close()

    async def aclose(self) -> None:
        """Close the client without blocking the event loop."""
        await self.client.aclose()


def _capped(options: Mapping[str, Any], num_workers: int | None) -> dict[str, Any]:
    """Return the concurrency that `num_workers` leaves, if it says anything."""
    if num_workers is None:
        return {}
    limit = options.get("max_concurrency")
    if limit is None:
        return {"max_concurrency": num_workers}
    # Anything but a number is left for the client to refuse.
    return {"max_concurrency": min(num_workers, limit)} if isinstance(limit, int) else {}
