"""A kit is reused while it is right, and never longer."""

from __future__ import annotations

import pytest
from core_world import MODEL, SETTINGS

from openrouter_embed import EmbeddingClient
from openrouter_embed.core.kit import Kit
from openrouter_embed.options.checks import AUTO
from openrouter_embed.options.models import (
    ModelProfile,
    find_profile,
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


# ---------------------------------------------------------------------- a client's own kit


def test_calls_with_the_clients_own_settings_share_a_kit(engine):
    first = engine._kit_for(engine.call_settings({}))
    assert engine._kit_for(engine.call_settings({})) is first


def test_a_profile_registered_later_applies_to_the_next_call(engine, register):
    before = engine._kit_for(engine.settings)
    assert before.bodies("query", AUTO).prefix == ""
    register(MINE)
    after = engine._kit_for(engine.settings)
    assert after.bodies("query", AUTO).prefix == "mine: "
    assert after.limits.inputs == 3 < before.limits.inputs


def test_a_profile_taken_back_applies_no_more(engine, register):
    register(MINE)
    engine._kit_for(engine.settings)
    unregister_profile(MINE)
    kit = engine._kit_for(engine.settings)
    assert kit.bodies("query", AUTO).prefix == ""
    assert engine._kit_for(engine.settings) is kit


def test_a_profile_of_another_model_costs_nothing(engine, register):
    """The table is looked at anew, and the same row found: the kit stays."""
    before = engine._kit_for(engine.settings)
    register(ModelProfile(pattern="some/other-model", query_prefix="x", **SOURCE))
    assert engine._kit_for(engine.settings) is before


def test_a_calls_own_options_have_a_kit_of_their_own(engine):
    own = engine._kit_for(engine.settings)
    changed = engine.call_settings({"dimensions": 7, "timeout": 1.5, "max_batch_inputs": 2})
    other = engine._kit_for(changed)
    terms = other.terms("raise", 0.0, price=None, lists=False)
    assert (terms.width, terms.timeout, other.limits.inputs) == (7, 1.5, 2)
    assert engine._kit_for(engine.settings) is own


def test_a_calls_own_options_leave_those_of_the_client_alone(engine):
    before = engine._kit_for(engine.settings).terms("raise", 0.0, price=None, lists=False)
    engine._kit_for(engine.call_settings({"dimensions": 7})).terms(
        "raise", 0.0, price=None, lists=False
    )
    after = engine._kit_for(engine.settings).terms("raise", 0.0, price=None, lists=False)
    assert after == before
    assert after.width is None


# ---------------------------------------------------------------------- what is in it


def test_a_kit_fits_its_own_settings_alone():
    """Equal ones are another call's: comparing them would take longer than a new kit."""
    kit = Kit(SETTINGS)
    assert kit.fits(SETTINGS)
    assert not kit.fits(SETTINGS.replace(timeout=3.0))


def test_a_kit_does_not_fit_once_its_model_has_another_profile(register):
    kit = Kit(SETTINGS)
    register(MINE)
    assert find_profile(MODEL) is MINE
    assert not kit.fits(SETTINGS)


def test_bodies_are_kept_by_role():
    kit = Kit(SETTINGS)
    assert kit.bodies("query", AUTO) is kit.bodies("query", AUTO)
    assert kit.bodies("query", AUTO) is not kit.bodies("document", AUTO)


def test_bodies_of_a_calls_own_input_type_are_not_kept():
    """Their number has no end; and the role's own must not become theirs."""
    kit = Kit(SETTINGS)
    kit.bodies("query", "classification")
    assert b"classification" in kit.bodies("query", "classification").make(["x"], "float", None)
    assert b"classification" not in kit.bodies("query", AUTO).make(["x"], "float", None)
    assert list(kit._bodies) == ["query"]


def test_terms_are_kept_by_what_makes_calls_differ():
    kit = Kit(SETTINGS)
    for on_error in ("raise", "return"):
        for lists in (False, True):
            terms = kit.terms(on_error, 1.0, price=None, lists=lists)
            assert (terms.on_error, terms.lists) == (on_error, lists)
            assert kit.terms(on_error, 2.0, price=None, lists=lists) is terms


def test_a_deadline_is_counted_from_each_calls_beginning():
    kit = Kit(settings_of(deadline=5.0))
    assert kit.terms("raise", 100.0, price=None, lists=False).deadline == 105.0
    assert kit.terms("raise", 200.0, price=None, lists=False).deadline == 205.0


def test_a_price_is_each_calls_own():
    kit = Kit(SETTINGS)
    assert kit.terms("raise", 0.0, price=0.5, lists=False).price == 0.5
    assert kit.terms("raise", 0.0, price=0.7, lists=False).price == 0.7
    assert kit.terms("raise", 0.0, price=None, lists=False).price is None


def test_a_limiter_is_looked_at_anew_for_every_call():
    limiter = Switch()
    kit = Kit(settings_of(limiter=limiter))
    seen = []
    for limiter.active in (True, False, True):
        seen.append(kit.terms("raise", 0.0, price=None, lists=False).limited)
    assert seen == [True, False, True]


def test_a_kit_does_not_grow_with_the_number_of_calls():
    kit = Kit(settings_of(deadline=5.0))
    for n in range(50):
        kit.terms("raise", float(n), price=float(n), lists=False)
        kit.bodies("document", f"type {n}")
    assert (len(kit._terms), len(kit._bodies)) == (0, 0)
