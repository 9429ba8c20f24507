"""A limiter with an attribute `active` is asked by the calls that begin while that is true."""

from __future__ import annotations

import pytest
from api_faces import FACES, SMALL, AsyncFace

from openrouter_embed.options.settings import make_settings


class Limiter:
    """Counts the tokens it is asked for; lets everything pass."""

    def __init__(self):
        self.asked = []

    def acquire(self, tokens):
        self.asked.append(tokens)

    async def aacquire(self, tokens):
        self.asked.append(tokens)


class Switched(Limiter):
    """One that can be switched off."""

    def __init__(self, *, active):
        super().__init__()
        self.active = active


def test_an_active_limiter_is_asked_for_every_request(make):
    limiter = Switched(active=True)
    client = make(limiter=limiter, max_batch_inputs=1)
    client.embed(["one", "two", "three"])
    assert len(limiter.asked) == 3


def test_an_inactive_limiter_is_not_asked(make, em):
    limiter = Switched(active=False)
    client = make(limiter=limiter, max_batch_inputs=1)
    client.embed(["one", "two", "three"])
    assert limiter.asked == []
    assert em.stats.requests == 3


def test_a_limiter_without_the_attribute_is_asked(make):
    limiter = Limiter()
    make(limiter=limiter).embed(["one"])
    assert len(limiter.asked) == 1


@pytest.mark.parametrize(("value", "asked"), [(0, 0), (None, 0), ("yes", 1), ([], 0)])
def test_whatever_it_is_its_truth_counts(make, value, asked):
    limiter = Switched(active=value)
    make(limiter=limiter).embed(["one"])
    assert len(limiter.asked) == asked


def test_switching_applies_to_the_next_call(make):
    limiter = Switched(active=False)
    client = make(limiter=limiter)
    client.embed(["one"])
    limiter.active = True
    client.embed(["two"])
    client.embed(["three"])
    limiter.active = False
    client.embed(["four"])
    assert len(limiter.asked) == 2


def test_a_call_keeps_to_what_held_when_it_began(make):
    """Both ways: a limiter that is asked halfway would not know of what was sent before."""
    limiter = Switched(active=True)

    def switch(_):
        limiter.active = not limiter.active

    options = {"max_batch_inputs": 1, "max_concurrency": 1, "on_progress": switch}
    make(limiter=limiter, **options).embed(["one", "two", "three"])
    assert len(limiter.asked) == 3
    limiter.asked.clear()
    limiter.active = False
    make(limiter=limiter, **options).embed(["one", "two", "three"])
    assert limiter.asked == []


def test_retries_ask_as_well(emulate, face):
    def once(number, body):
        return (503, {"Retry-After": "0"}, b"") if number == 1 else None

    emulator = emulate(faults=once)
    limiter = Switched(active=True)
    client = face.make(SMALL, api_key="k", base_url=emulator.base_url, limiter=limiter)
    try:
        client.embed(["one"])
    finally:
        client.close()
    assert len(limiter.asked) == 2


def test_one_limiter_serves_both_faces_of_a_client(em):
    limiter = Switched(active=True)
    client = FACES["sync"].make(SMALL, api_key="k", base_url=em.base_url, limiter=limiter)
    view = AsyncFace(client.client.as_async())
    try:
        client.embed(["one"])
        view.embed(["two"])
        limiter.active = False
        client.embed(["three"])
        view.embed(["four"])
    finally:
        view.close()
        client.close()
    assert len(limiter.asked) == 2


@pytest.mark.parametrize(("limiter", "limited"), [(None, False), (Limiter(), True)])
def test_settings_say_whether_a_call_would_be_limited(limiter, limited):
    settings = make_settings({"model": SMALL, "api_key": "k", "limiter": limiter}, {})
    assert settings.limited is limited


def test_a_limiter_that_breaks_when_looked_at_breaks_the_call_and_sends_nothing(make, em):
    """What `active` raises comes from the user's own code; it must not pass for `True`."""

    class Broken(Limiter):
        @property
        def active(self):
            raise ZeroDivisionError

    client = make(limiter=Broken())
    with pytest.raises(ZeroDivisionError):
        client.embed(["one"])
    assert em.stats.requests == 0
    assert client.client._engine.pacer.in_flight == 0
