"""Compressed bodies come back whole or not at all, with the accelerator and without."""

from __future__ import annotations

import contextlib
import gzip
import random
import sys
import zlib

import pytest
from core_libraries import inflate_library  # noqa: F401 - every test runs by each library
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.core import inflate

PLAIN = b"some text " * 100


def zipped(data):
    return gzip.compress(data, mtime=0)


def raw_deflate(data):
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", PLAIN),
        ("identity", PLAIN),
        ("gzip", zipped(PLAIN)),
        (" X-GZIP ", zipped(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("Deflate", raw_deflate(PLAIN)),
    ],
)
def test_one_layer_of_compression_is_undone(encoding, packed):
    assert inflate.decompress(packed, encoding, len(PLAIN)) == PLAIN


@pytest.mark.parametrize("pack", [zipped, zlib.compress, raw_deflate])
def test_a_bomb_is_refused_without_being_unpacked(pack):
    bomb = pack(bytes(50_000_000))
    name = "gzip" if pack is zipped else "deflate"
    with pytest.raises(inflate.TooLargeError):
        inflate.decompress(bomb, name, 1000)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", zipped(PLAIN)[:-1]),
        ("gzip", zipped(PLAIN)[:30]),
        ("gzip", zipped(PLAIN) + b"more"),
        ("gzip", b""),
        ("gzip", PLAIN),
        ("gzip", zlib.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)[:-2]),
        ("deflate", PLAIN),
        ("br", PLAIN),
        ("zstd", PLAIN),
        ("gzip, gzip", zipped(zipped(PLAIN))),
    ],
)
def test_what_is_not_one_whole_stream_of_its_encoding_is_an_error(encoding, packed):
    with pytest.raises(inflate.ContentError):
        inflate.decompress(packed, encoding, 10_000)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "identity"]))
def test_any_bytes_decompress_or_fail_cleanly(raw, encoding):
    with contextlib.suppress(inflate.ContentError, inflate.TooLargeError):
        assert len(inflate.decompress(raw, encoding, 1000)) <= 1000


# ---------------------------------------------------------------- both libraries


def written(data, mode, level):
    made = zlib.compressobj(level, zlib.DEFLATED, mode)
    return made.compress(data) + made.flush()


def outcome(libraries, name, packed, limit):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inflate, "libraries", lambda: libraries)
        try:
            return inflate.decompress(packed, name, limit)
        except (inflate.ContentError, inflate.TooLargeError) as error:
            return type(error)


def compare(seed, count):
    """Streams of every kind, many of them damaged: the accelerator may read what zlib does not.

    (Only what has the right checksum, or grew too large before it came.) Nothing else may differ.
    """
    chance, plain = random.Random(seed), [inflate.LIBRARIES["zlib"]()]
    for _ in range(count):
        data = bytes(chance.choices(b"0123456789.,-e[] ", k=chance.randint(0, 600)))
        name, mode = chance.choice([("gzip", 31), ("deflate", 15), ("deflate", -15)])
        packed = bytearray(written(data, mode, chance.randint(0, 9)))
        for _ in range(chance.randint(0, 2)):
            at = chance.randrange(len(packed))
            packed[at : at + chance.randint(0, 2)] = chance.randbytes(1)
        limit = chance.choice([10_000, 300, 8])
        want = outcome(plain, name, bytes(packed), limit)
        found = outcome(inflate.libraries(), name, bytes(packed), limit)
        if want is inflate.ContentError:
            assert found in (want, inflate.TooLargeError, data)
        else:
            assert found == want


def test_streams_have_the_outcome_that_zlib_gives():
    compare(1, 2_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_streams_have_the_outcome_that_zlib_gives(seed):
    compare(seed, 50_000)


def test_an_accelerator_that_is_missing_is_not_missed(monkeypatch):
    monkeypatch.setitem(sys.modules, "isal", None)
    inflate.libraries.cache_clear()
    assert inflate.libraries() == [inflate.LIBRARIES["zlib"]()]
    assert inflate.decompress(zipped(PLAIN), "gzip", 9999) == PLAIN
    inflate.libraries.cache_clear()
