"""Errors carry plain data, survive pickling and leave public calls without their frames."""

from __future__ import annotations

import copy
import inspect
import pickle
import traceback

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed import errors
from openrouter_embed.result import EmbeddingResult

RESULT = EmbeddingResult(
    vectors=np.array([[1.0], [np.nan]], np.float32),
    failures={1: errors.ServerError("down", status=503)},
)
COMMON = {"attempts": 3, "retry_after": 1.5, "result": RESULT}
API = {"status": 503, "http_status": 200, "code": "c", "provider": "P", "detail": {"a": [1]}}
EXTRA = {
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
    assert len(CLASSES) == 15
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


@given(
    st.text(max_size=2000) | st.none() | st.integers() | st.lists(st.text()), st.integers(2, 400)
)
def test_foreign_text_becomes_one_printable_line_of_limited_length(value, limit):
    text = errors.printable(value, limit)
    assert text.isprintable()
    assert len(text) <= limit


def test_ordinary_text_is_not_changed():
    assert errors.printable("Größe 1,5 — 日本 ✓") == "Größe 1,5 — 日本 ✓"
    assert errors.printable("a\n b\t\tc\x00d") == "a b c d"
    assert errors.printable(None) == ""
    assert errors.printable("x" * 301) == "x" * 299 + "…"


# ---------------------------------------------------------------- frames


@errors.guarded
def refuse(text, kind=errors.ConfigurationError):
    """Refuse it."""
    key = "CANARY in a local"
    raise kind("refused") from RuntimeError(text + key)


@errors.aguarded
async def arefuse(text, kind=errors.ConfigurationError):
    """Refuse it."""
    refuse.__wrapped__(text, kind)


def frames_of(error):
    return traceback.TracebackException.from_exception(error, capture_locals=True)


def check_bare(error):
    assert error.__cause__ is error.__context__ is None
    shown = "".join(
        line
        for frame in frames_of(error).stack
        if frame.filename == errors.__file__
        for line in [str(frame.locals), frame.name]
    )
    assert "CANARY" not in shown
    assert all(frame.name != "refuse" for frame in frames_of(error).stack)


def test_an_error_leaves_a_guarded_call_without_frames_chain_or_locals():
    with pytest.raises(errors.ConfigurationError) as caught:
        refuse("CANARY text")
    check_bare(caught.value)


async def test_an_error_leaves_a_guarded_coroutine_without_frames_chain_or_locals():
    with pytest.raises(errors.ConfigurationError) as caught:
        await arefuse("CANARY text")
    check_bare(caught.value)


def test_other_exceptions_keep_their_frames():
    with pytest.raises(OSError, match="refused") as caught:
        refuse("text", OSError)
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_a_guarded_call_keeps_its_name_and_value():
    @errors.guarded
    def double(number):
        """Double it."""
        return 2 * number

    @errors.aguarded
    async def adouble(number):
        """Double it."""
        return 2 * number

    assert double(2) == await adouble(2) == 4
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
