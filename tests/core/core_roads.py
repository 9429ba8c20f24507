"""Fixtures that run a whole file once by each road: accelerators, and what is always there."""

from __future__ import annotations

import pytest

from openrouter_embed.core import floats, inflate


def _only(module, road, cached):
    """Leave nothing but one road, and what the others lead to if it refuses."""
    if module.ROADS[road]() is None:
        pytest.skip(f"{road} is not installed here")
    kept = dict(module.ROADS)
    last = list(kept)[-1]
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "ROADS", {name: kept[name] for name in (road, last)})
    cached.cache_clear()
    yield road
    patch.undo()
    cached.cache_clear()


@pytest.fixture(scope="module", params=floats.ROADS, autouse=True)
def float_road(request):
    yield from _only(floats, request.param, floats.fastest)


@pytest.fixture(scope="module", params=inflate.ROADS, autouse=True)
def inflate_road(request):
    yield from _only(inflate, request.param, inflate.roads)
