"""What a call was told is worked out once while it stays right, and never kept longer."""

from __future__ import annotations

import pytest
from core_world import MODEL, SETTINGS

from openrouter_embed import EmbeddingClient
from openrouter_embed.core.call import MAX_REPLY, make_call
from openrouter_embed.options.checks import AUTO
from openrouter_embed.options.models import (
    ModelProfile,
    register_profile,
    unregister_profile,
)
from openrouter_embed.options.settings import make_settings

SOURCE = {"source": "this test", "confidence": "assumed"}
MINE = ModelProfile(pattern=MODEL, query_prefix="mine: ", max_batch_inputs=3, **SOURCE)


@pytest.fixture
def register():
    """Register profiles; all are taken back."""
    made = []

    def one(profile):
        made.append(profile)
        register_profile(profile)

    yield one
    for profile in made:
        unregister_profile(profile)


@pytest.fixture
def engine():
    client = EmbeddingClient(MODEL, api_key="k")
    yield client._engine
    client.close()


def settings_of(**options):
    return make_settings({"model": MODEL, "api_key": "k", **options}, {})


class Switch:
    """A limiter that can be switched off."""

    active = True

    def acquire(self, tokens):
        pass

    async def aacquire(self, tokens):
        pass


# ---------------------------------------------------------------------- calls that share one


def told(engine, settings=None, role="query", input_type=AUTO, **call):
    return engine._call(settings or engine.settings, role, input_type, **call)


def test_calls_that_are_told_the_same_share_one(engine):
    assert told(engine) is told(engine, engine.call_settings({}))


@pytest.mark.parametrize(
    "other", [{"role": "document"}, {"on_error": "return"}, {"lists": True}, {"role": None}]
)
def test_calls_that_are_told_otherwise_do_not(engine, other):
    made = told(engine, **other)
    assert made is not told(engine)
    assert made is told(engine, **other)


def test_a_profile_registered_later_applies_to_the_next_call(engine, register):
    before = told(engine)
    assert before.bodies.prefix == ""
    register(MINE)
    after = told(engine)
    assert after.bodies.prefix == "mine: "
    assert after.limits.inputs == 3 < before.limits.inputs


def test_a_profile_taken_back_applies_no_more(engine, register):
    register(MINE)
    told(engine)
    unregister_profile(MINE)
    call = told(engine)
    assert call.bodies.prefix == ""
    assert told(engine) is call


def test_a_profile_of_another_model_costs_nothing(engine, register):
    """The table is looked at anew, and the same row found: the call stays."""
    before = told(engine)
    register(ModelProfile(pattern="some/other-model", query_prefix="x", **SOURCE))
    assert told(engine) is before


def test_a_calls_own_options_are_not_the_clients(engine):
    own = told(engine)
    changed = engine.call_settings({"dimensions": 7, "timeout": 1.5, "max_batch_inputs": 2})
    other = told(engine, changed)
    assert (other.settings.dimensions, other.settings.timeout) == (7, 1.5)
    assert other.limits.inputs == 2
    assert told(engine) is own
    assert own.settings.dimensions is None


def test_equal_options_of_two_calls_are_not_compared(engine):
    """That would take longer than to work them out anew."""
    assert told(engine, engine.settings.replace(timeout=3.0)) is not told(
        engine, engine.settings.replace(timeout=3.0)
    )


def test_a_calls_own_input_type_is_not_kept(engine):
    """Their number has no end; and the role's own must not become theirs."""
    for n in range(50):
        call = told(engine, input_type=f"type {n}")
        assert f"type {n}".encode() in call.bodies.make(["x"], "float", None)
    assert b"type" not in told(engine).bodies.make(["x"], "float", None)
    assert len(engine._calls) == 1


# ---------------------------------------------------------------------- what is in one


def test_a_call_holds_what_its_settings_and_its_model_say():
    made = make_call(
        SETTINGS.replace(dimensions=8, max_retries=1), "query", AUTO, on_error="return"
    )
    assert (made.settings.dimensions, made.settings.max_retries) == (8, 1)
    assert (made.on_error, made.lists, made.price, made.deadline) == ("return", False, None, None)
    assert (made.profile.base64, made.profile.dimensions) == (True, 1536)
    assert made.spread
    assert not made.limited


def test_free_models_get_few_requests():
    assert not make_call(SETTINGS.replace(model="a/b:free"), None, AUTO).spread


def test_a_call_that_nothing_makes_another_begins_as_it_is():
    call = make_call(SETTINGS, "query", AUTO)
    assert call.begin(100.0) is call


def test_a_deadline_is_counted_from_each_calls_beginning():
    call = make_call(settings_of(deadline=5.0), "query", AUTO)
    assert call.begin(100.0).deadline == 105.0
    assert call.begin(200.0).deadline == 205.0
    assert call.deadline is None


def test_a_price_is_each_calls_own():
    call = make_call(SETTINGS, "query", AUTO)
    assert call.begin(0.0, 0.5).price == 0.5
    assert call.begin(0.0, 0.7).price == 0.7
    assert call.begin(0.0).price is None


def test_a_limiter_is_looked_at_anew_for_every_call():
    limiter = Switch()
    call = make_call(settings_of(limiter=limiter), "query", AUTO)
    seen = []
    for limiter.active in (True, False, True):
        seen.append(call.begin(0.0).limited)
    assert seen == [True, False, True]


@pytest.mark.parametrize(
    ("asked", "floats", "format_"),
    [("auto", False, "base64"), ("auto", True, "float"), ("float", False, "float"),
     ("base64", True, "base64")],
)  # fmt: skip
def test_base64_is_asked_for_until_it_fails_unless_the_caller_chose(asked, floats, format_):
    call = make_call(SETTINGS.replace(encoding_format=asked), None, AUTO)
    assert call.encoding(floats=floats) == format_


@pytest.mark.parametrize("width", [None, 1, 4096])
def test_an_answer_may_be_as_large_as_the_longest_floats_make_it(width):
    told = {"encoding": "float", "host": None, "attempt": 2, "tokens": 3, "width": width}
    request = make_call(SETTINGS, None, AUTO).request(7, ["a", "b"], **told)
    assert request.max_reply == (MAX_REPLY if width is None else 2 * (1024 + 32 * width) + 2**21)
    assert (request.id, request.tokens, request.headers[0][1]) == (7, 3, "2")
