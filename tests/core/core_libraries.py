"""Fixtures that run a whole file once by each library: accelerators, and what is always there."""

from __future__ import annotations

import pytest

from openrouter_embed.core import floats, inflate


def _only(module, library, cached):
    """Leave nothing but one library, and what the others lead to if it refuses."""
    if module.LIBRARIES[library]() is None:
        pytest.skip(f"{library} is not installed here")
    kept = dict(module.LIBRARIES)
    last = list(kept)[-1]
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "LIBRARIES", {name: kept[name] for name in (library, last)})
    cached.cache_clear()
    yield library
    patch.undo()
    cached.cache_clear()


@pytest.fixture(scope="module", params=floats.LIBRARIES, autouse=True)
def float_library(request):
    yield from _only(floats, request.param, floats.fastest)


@pytest.fixture(scope="module", params=inflate.LIBRARIES, autouse=True)
def inflate_library(request):
    yield from _only(inflate, request.param, inflate.libraries)
