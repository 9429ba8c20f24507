"""Errors carry plain data, survive pickling and leave public calls without their frames."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

from openrouter_embed import errors
from openrouter_embed.result import EmbeddingResult

RESULT = EmbeddingResult(
    vectors=np.array([[1.0], [np.nan]], np.float32),
    failures={1: errors.ServerError("down", status=503)},
)
COMMON = {"attempts": 3, "retry_after": 1.5, "result": RESULT}
API = {"status": 503, "http_status": 200, "code": "c", "provider": "P", "detail": {"a": [1]}}
EXTRA = {
    errors.BatchError: {"id": "batch_1", "status": "expired"},
    errors.TransportError: {"kind": "reset"},
    errors.DeadlineExceededError: {"kind": "timeout"},
    errors.InvalidResponseError: {"reason": "count", "index": 4},
}
CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.EmbeddingError)
]


def make(kind):
    own = API if issubclass(kind, errors.APIError) else EXTRA.get(kind, {})
    return kind("what went wrong", **own, **COMMON)


def plain(error):
    return {name: value for name, value in vars(error).items() if name != "result"}


def test_the_tree_is_the_documented_one():
    assert len(CLASSES) == 18
    for kind in CLASSES:
        assert issubclass(kind, errors.EmbeddingError)
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.DeadlineExceededError, (errors.TransportError, TimeoutError))
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_its_attributes_and_result(kind, protocol):
    error = make(kind)
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is kind
    assert str(twin) == str(error) == twin.message == "what went wrong"
    assert plain(twin) == plain(error)
    assert twin.result.vectors.tobytes() == RESULT.vectors.tobytes()
    assert str(twin.result.failures[1]) == "down"


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_every_error_can_be_copied(kind, duplicate):
    error = make(kind)
    twin = duplicate(error)
    assert (type(twin), plain(twin), twin.args) == (kind, plain(error), error.args)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_hold_plain_data_only(kind):
    allowed = (str, int, float, dict, EmbeddingResult, type(None))
    assert all(isinstance(value, allowed) for value in vars(make(kind)).values())


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (402, "InsufficientCreditsError"),
     (403, "PermissionDeniedError"), (404, "NotFoundError"), (408, "ServerError"),
     (413, "BadRequestError"), (422, "BadRequestError"), (429, "RateLimitError"),
     (500, "ServerError"), (529, "ServerError"), (599, "ServerError"), (600, "APIError"),
     (418, "APIError"), (299, "APIError"), (0, "APIError"), (-1, "APIError")],
)  # fmt: skip
def test_a_status_has_its_class(status, kind):
    assert errors.api_error_class(status).__name__ == kind


def test_the_status_on_the_wire_is_the_status_unless_told():
    assert errors.APIError("x", status=404).http_status == 404
    assert errors.APIError("x", status=404, http_status=200).http_status == 200
    assert errors.APIError("x", status=404).detail == {}


# ---------------------------------------------------------------- foreign text
