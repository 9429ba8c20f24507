"""What the tests of the cache share: vectors that say whose they are, and files to try them on."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np

WIDTH = 48


def key(name) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def keys(names) -> list[bytes]:
    return [key(name) for name in names]


def vector(name, width=WIDTH):
    seed = int.from_bytes(key(name)[:8], "little")
    return np.random.default_rng(seed).standard_normal(width, dtype=np.float32)


def vectors(names, width=WIDTH):
    return np.array([vector(name, width) for name in names], dtype=np.float32)


def fill(cache, names, width=WIDTH, **options):
    names = list(names)
    for start in range(0, len(names), 500):
        part = names[start : start + 500]
        cache.put(keys(part), vectors(part, width), **options)


def read(cache, names):
    """Return name → vector of what is there."""
    names = list(names)
    table = {}
    for found in cache.get(keys(names)):
        assert len(found.at) == len(found.vectors)
        table |= {names[at]: row for at, row in zip(found.at, found.vectors, strict=True)}
    return table


def right(cache, names, width=WIDTH):
    """Return the names whose vectors are there; fail if one of them is wrong."""
    table = read(cache, names)
    for name, row in table.items():
        assert np.array_equal(row, vector(name, width)), name
    return set(table)


def names_in(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def run(code: str, *arguments, **options):
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )
