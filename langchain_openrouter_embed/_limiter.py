"""LangChain's rate limiters, as the client asks its own.

Rules of this file:
- One permission per request really sent, retries included; nothing is sent without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openrouter_embed import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.rate_limiters import BaseRateLimiter


class RequestLimiter:
    """A limiter for the client that asks LangChain's for each request, whatever its tokens."""

    def __init__(self, limiter: BaseRateLimiter) -> None:
        self._limiter = limiter

    @classmethod
    def around(cls, limiter: object) -> RequestLimiter:
        """Take what the user passed.

        Raises:
            ConfigurationError: It is no LangChain rate limiter.
        """
        from langchain_core.rate_limiters import BaseRateLimiter  # noqa: PLC0415 - few need it

        if not isinstance(limiter, BaseRateLimiter):
            raise ConfigurationError(
                "`rate_limiter` takes a LangChain `BaseRateLimiter`; for one that counts tokens "
                "use `limiter`."
            )
        return cls(limiter)

    def acquire(self, tokens: int) -> None:
        """Block until a request may go out."""
        del tokens
        _check(self._limiter.acquire(blocking=True))

    async def aacquire(self, tokens: int) -> None:
        """Wait, without blocking the event loop, for the same."""
        del tokens
        _check(await self._limiter.aacquire(blocking=True))


def _check(granted: object) -> None:
    # A limiter may have a timeout of its own and give up.
    if granted is False:
        raise TimeoutError
