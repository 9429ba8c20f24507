"""Every exception this package raises.

Rules of this file:
- Errors carry plain data only: no library object, no request, no reply, so none can leak a key.
- Every error survives pickling with all of its attributes.
- A message says what was wrong and what to do next; it never quotes an input text or the key.
- The tree and nothing else, and it imports nothing of ours: everybody may import it.

The tree::

    EmbeddingError
    ├─ ConfigurationError (also ValueError)       before anything was sent
    ├─ ClientClosedError
    ├─ BudgetExceededError
    ├─ CacheError                                 .trouble
    ├─ CacheMissError
    ├─ BatchError                                 .id .status
    ├─ TransportError                             .kind
    │   └─ DeadlineExceededError (also TimeoutError)
    ├─ InvalidResponseError                       .reason .index
    └─ APIError                                   .status .http_status .code .provider .message
        ├─ BadRequestError 400/413/422    ├─ AuthenticationError 401
        ├─ InsufficientCreditsError 402
        ├─ PermissionDeniedError 403      ├─ NotFoundError 404         ├─ RateLimitError 429
        └─ ServerError 408, 499, 5xx
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openrouter_embed.result import EmbeddingResult


class EmbeddingError(Exception):
    """Base of everything this package raises.

    Attributes:
        message: What went wrong, in one or two sentences.
        attempts: Requests that were sent for the part that failed, the first included; 0 if none.
        retry_after: Seconds the server asked to wait, if it did.
        result: What had arrived when a job failed (rows that did not are NaN and listed in
            `.failures`); `None` if nothing was asked for.
        submitted: Where handing in batches failed halfway, what `client.batch` takes to go on with
            those that were accepted; else `None`.
    """

    submitted: Mapping[str, Any] | None = None

    def __init__(
        self,
        message: str,
        *,
        attempts: int = 0,
        retry_after: float | None = None,
        result: EmbeddingResult | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.attempts = attempts
        self.retry_after = retry_after
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self), self.args), dict(self.__dict__)


def _blank(cls: type[EmbeddingError], args: tuple[Any, ...]) -> EmbeddingError:
    """Make an error without its constructor, whose keywords pickle does not know."""
    error = cls.__new__(cls, *args)
    error.args = args
    return error


class ConfigurationError(EmbeddingError, ValueError):
    """An option or input is wrong; raised before anything is sent."""


class ClientClosedError(EmbeddingError):
    """The client was closed before or during the call."""


class BudgetExceededError(EmbeddingError):
    """`max_cost` would be passed by the next request, so it was not sent."""


class CacheError(EmbeddingError):
    """A cache's file could not be read, written or looked after; calls go on without it.

    Attributes:
        trouble: One of `locked`, `full`, `read_only`, `unopened`, `failing`, `damaged`, `foreign`,
            `later`, `other`.
    """

    def __init__(self, message: str, *, trouble: str = "other", **data: Any) -> None:
        super().__init__(message, **data)
        self.trouble = trouble


class CacheMissError(EmbeddingError):
    """A call with `cache_only` met an input that is not in the cache, so nothing was sent."""


class BatchError(EmbeddingError):
    """A batch has no results: it failed, expired, was cancelled, is gone or is not done yet.

    Attributes:
        id: The batch's; empty where none was told.
        status: The state it is in, by the API's word or, for `gone`, `deleted` and `unsent`, ours.
    """

    def __init__(self, message: str, *, id: str = "", status: str = "", **data: Any) -> None:  # noqa: A002 - what the API calls it
        super().__init__(message, **data)
        self.id = id
        self.status = status


class TransportError(EmbeddingError):
    """No believable HTTP answer arrived.

    Attributes:
        kind: One of `dns`, `connect`, `tls`, `reset`, `timeout`, `truncated`, `decode`,
            `too_large`, `protocol`, `redirect`.
    """

    def __init__(self, message: str, *, kind: str, **data: Any) -> None:
        super().__init__(message, **data)
        self.kind = kind


class DeadlineExceededError(TransportError, TimeoutError):
    """The whole call ran into its `deadline`."""

    def __init__(self, message: str, *, kind: str = "timeout", **data: Any) -> None:
        super().__init__(message, kind=kind, **data)


class InvalidResponseError(EmbeddingError):
    """The server said success, but the answer cannot be trusted.

    Attributes:
        reason: One of `content`, `json`, `data`, `count`, `index`, `dimension`, `not_finite`,
            `base64`, `unbelieved`, `component`, `empty`; of a batch also `missing`, `doubled`.
        index: Position of the offending item within its request, where there is one.
    """

    def __init__(self, message: str, *, reason: str, index: int | None = None, **data: Any) -> None:
        super().__init__(message, **data)
        self.reason = reason
        self.index = index


class APIError(EmbeddingError):
    """The API refused or failed.

    Attributes:
        status: The effective status: the one inside the body where HTTP said 200.
        http_status: The status on the wire.
        code: The API's own code or error type, as text, where there is one.
        provider: The host that failed, where the API names it.
        detail: The error's metadata (moderation reasons and the like). May hold input text that
            the API echoed; it is in no message.
        availability: What the router says of the model's availability, where it does: `code`,
            `retryable`, `fallback_models` and the like.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        http_status: int | None = None,
        code: str | None = None,
        provider: str | None = None,
        detail: Mapping[str, object] | None = None,
        availability: Mapping[str, object] | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message, **data)
        self.status = status
        self.http_status = status if http_status is None else http_status
        self.code = code
        self.provider = provider
        self.detail: dict[str, object] = dict(detail or {})
        self.availability: dict[str, object] = dict(availability or {})


class BadRequestError(APIError):
    """400, 413 or 422: the request or one of its inputs is not acceptable."""


class AuthenticationError(APIError):
    """401: the key is missing, wrong or disabled."""


class InsufficientCreditsError(APIError):
    """402: the account or the key has no credit left."""


class PermissionDeniedError(APIError):
    """403: moderation, a guardrail or the account's policy refused."""


class NotFoundError(APIError):
    """404: no such model, or no host that satisfies the request."""


class RateLimitError(APIError):
    """429: too many requests."""


class ServerError(APIError):
    """408, 499 or 5xx: the API or the host behind it failed."""


class CacheWarning(UserWarning):
    """A call went on without its cache, or a damaged one was set aside; says what to do."""


class MultipleProvidersWarning(UserWarning):
    """One call was served by several hosts, whose vectors may differ."""


_CLASS_BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: ServerError,
    413: BadRequestError,
    422: BadRequestError,
    429: RateLimitError,
    499: ServerError,
}


def api_error_class(status: int) -> type[APIError]:
    """Return the exception class for an effective status; `APIError` itself for unknown ones."""
    if 500 <= status < 600:
        return ServerError
    return _CLASS_BY_STATUS.get(status, APIError)
