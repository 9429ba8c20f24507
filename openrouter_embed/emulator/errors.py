"""The error answers of the service: one exception, one body shape.

Rules of this file:
- Every refusal is raised as ApiError and becomes a body in exactly one place.
- ``user_id`` stands beside the error only where the live service is known to leak it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_USER_ID = "user_emulated000000000000000000"

PAGE_NOT_FOUND = (
    b"<!DOCTYPE html><html><head><title>Not Found | OpenRouter</title></head>"
    b"<body><h1>404</h1><p>This page could not be found.</p></body></html>"
)


class ApiError(Exception):
    """A refusal: the HTTP status and what its JSON body says."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        metadata: Mapping[str, object] | None = None,
        leaks_user: bool = False,
        headers: Mapping[str, str] | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self._code = status if code is None else code
        self._metadata = metadata
        self._leaks_user = leaks_user

    def body(self) -> dict[str, object]:
        """The JSON body of the answer."""
        error: dict[str, object] = {"code": self._code, "message": str(self)}
        if self._metadata is not None:
            error["metadata"] = dict(self._metadata)
        return {"error": error, "user_id": _USER_ID} if self._leaks_user else {"error": error}


def no_successful_provider() -> ApiError:
    """The failure that travels inside HTTP 200, for the status went out before it was known."""
    return ApiError(200, "No successful provider responses.", code=404)


def missing_key() -> ApiError:
    """No bearer token came with the request."""
    return ApiError(401, "No cookie auth credentials found")


def wrong_key() -> ApiError:
    """A bearer token came, but nobody owns it."""
    return ApiError(401, "User not found.")


def too_large(limit: int) -> ApiError:
    """The body is larger than the server reads."""
    return ApiError(
        413,
        f"Request body is too large. The limit is {limit} bytes.",
        metadata={"error_type": "payload_too_large"},
    )


def rate_limited(limit: int, reset_ms: int, retry_after: float | None) -> ApiError:
    """More requests are in flight than the server takes."""
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset_ms),
    }
    metadata = {"error_type": "rate_limit_exceeded", "headers": dict(headers)}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:g}"
    return ApiError(429, "Rate limit exceeded", metadata=metadata, headers=headers, leaks_user=True)
