"""What leaves the package holds neither frames nor foreign text that could do harm."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed import errors, guard


@given(
    st.text(max_size=2000) | st.none() | st.integers() | st.lists(st.text()), st.integers(2, 400)
)
def test_foreign_text_becomes_one_printable_line_of_limited_length(value, limit):
    text = guard.printable(value, limit)
    assert text.isprintable()
    assert len(text) <= limit


def test_ordinary_text_is_not_changed():
    assert guard.printable("Größe 1,5 — 日本 ✓") == "Größe 1,5 — 日本 ✓"
    assert guard.printable("a\n b\t\tc\x00d") == "a b c d"
    assert guard.printable(None) == ""
    assert guard.printable("x" * 301) == "x" * 299 + "…"


# ---------------------------------------------------------------- frames


@guard.guarded
def refuse(text, kind=errors.ConfigurationError):
    """Refuse it."""
    key = "CANARY in a local"
    raise kind("refused") from RuntimeError(text + key)


@guard.aguarded
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
        if frame.filename == guard.__file__
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
    @guard.guarded
    def double(number):
        """Double it."""
        return 2 * number

    @guard.aguarded
    async def adouble(number):
        """Double it."""
        return 2 * number

    assert double(2) == await adouble(2) == 4
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
