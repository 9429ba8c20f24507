"""Lists of numbers become the same float32 rows by every library, refused for one reason."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed.core import floats
from openrouter_embed.errors import InvalidResponseError

INSTALLED = [name for name, load in floats.LIBRARIES.items() if load() is not None]


def by(name, *rows):
    """What one library makes of rows, whatever else is installed; refusals as they are shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floats, "fastest", floats.LIBRARIES[name])
        try:
            return floats.read_lists([memoryview(row) for row in rows])
        except InvalidResponseError as error:
            return error.reason, error.index, str(error)


def by_the_standard_library(row):
    with np.errstate(over="ignore"):
        return np.array(json.loads(row), np.float64).astype("<f4").tobytes()


# ---------------------------------------------------------------- the same numbers

ODD_NUMBERS = [
    "0", "-0", "0.0", "-0.0", "1", "-1", "1e5", "1E+5", "1.5e-7", "0e9", "-0e-9", "0.1e1",
    "9007199254740993", "-9007199254740993", "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809", "123456789012345678901234567890", "1" + "0" * 60,
    "0." + "0" * 50 + "1", "0." + "3" * 700, "1e-46", "7e-46", "1.4e-45", "1.17549435e-38",
    "1e-400",
    "2.2250738585072011e-308", "5e-324", "2e-324",
    "3.4028234e38", "3.4028235677973366e38", "3.4028235677973362e38", "3.5e38", "1e39", "-1e300",
    "1.00000005960464477539062", "1.0000000596046447753906251", "1.00000017881393432617187500",
    "0.10000000149011612", "0.1000000014901161193847656250",
]  # fmt: skip


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("number", ODD_NUMBERS, ids=lambda number: number[:24])
def test_odd_numbers_are_the_float32_of_the_double_they_mean(name, number):
    row = f"[0.5,{number}]".encode()
    assert by(name, row) == [by_the_standard_library(row)]


STYLES = (
    repr,
    lambda x: str(np.float32(x)),
    lambda x: f"{x:.17g}",
    lambda x: f"{x:.9e}",
    lambda x: f"{x:.6f}",
    lambda x: f"{x:.30f}",
    lambda x: repr(float(np.float32(x))),
    lambda x: f"{x:.3E}",
    lambda x: str(round(x * 1000)),
)
SCALES = (1.0, 0.03, 1e-5, 1e-12, 1e-42, 1e4, 1e15, 1e37)
SEPARATORS = (",", ", ", ",\n  ", " ,\t")


def random_row(chance, width):
    """A row as some host may write it: one style, one scale, one way to set commas."""
    write, scale = chance.choice(STYLES), chance.choice(SCALES)
    numbers = [write(chance.gauss(0, scale)) for _ in range(width)]
    return f"[{chance.choice(SEPARATORS).join(numbers)}]".encode()


def midpoint_row(chance, width):
    """Numbers on and beside the middle of two float32: a second rounding would show there."""
    bits = [chance.randrange(0x7F7FFFFF) for _ in range(width)]
    pairs = [struct.unpack("<2f", struct.pack("<2I", low, low + 1)) for low in bits]
    middles = [(low + high) / 2 for low, high in pairs]
    return f"[{','.join(f'{m:.{chance.choice((15, 17, 20, 40))}g}' for m in middles)}]".encode()


def compare(chance, count, width):
    rows = [chance.choice((random_row, midpoint_row))(chance, width) for _ in range(count)]
    want = [by_the_standard_library(row) for row in rows]
    for name in INSTALLED:
        assert by(name, *rows) == want, name


@pytest.mark.parametrize("seed", range(4))
def test_numbers_in_all_styles_are_the_same_by_every_road(seed):
    compare(random.Random(seed), 8, 1536)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 116))
def test_millions_of_numbers_are_the_same_by_every_road(seed):
    chance = random.Random(seed)
    for _ in range(10):
        compare(chance, 8, 4096)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=9), st.data())
def test_any_doubles_are_the_same_by_every_road(numbers, data):
    row = (
        f"[{','.join(data.draw(st.sampled_from((repr, STYLES[2])))(x) for x in numbers)}]".encode()
    )
    for name in INSTALLED:
        assert by(name, row) == [by_the_standard_library(row)]


# ---------------------------------------------------------------- the same refusals

GOOD = b"[0.5,1.0]"
COMPONENT, NOT_FINITE = "component", "not_finite"
REFUSED = {
    "NaN": (b"[NaN]", COMPONENT),
    "Infinity": (b"[1,-Infinity]", COMPONENT),
    "overflow of a double": (b"[1e999]", NOT_FINITE),
    "overflow below": (b"[-1e999]", NOT_FINITE),
    "true": (b"[true]", COMPONENT),
    "null": (b"[null]", COMPONENT),
    "a string": (b'["0.5"]', COMPONENT),
    "a list within": (b"[[0.5]]", COMPONENT),
    "a list after a number": (b"[0.5,[0.5]]", COMPONENT),
    "an object within": (b'[{"a":0.5}]', COMPONENT),
    "an empty list within": (b"[[]]", COMPONENT),
    "a leading zero": (b"[01]", COMPONENT),
    "a negative leading zero": (b"[-01.5]", COMPONENT),
    "a plus sign": (b"[+1]", COMPONENT),
    "no digit before the point": (b"[.5]", COMPONENT),
    "no digit after the point": (b"[1.]", COMPONENT),
    "no digit in the exponent": (b"[1e]", COMPONENT),
    "hexadecimal": (b"[0x10]", COMPONENT),
    "an underscore": (b"[1_0]", COMPONENT),
    "a trailing comma": (b"[1,]", COMPONENT),
    "two commas": (b"[1,,2]", COMPONENT),
    "no comma": (b"[1 2]", COMPONENT),
    "a comment": (b"[1/**/]", COMPONENT),
    "not closed": (b"[1", COMPONENT),
    "junk behind": (b"[1]x", COMPONENT),
    "two lists": (b"[1][2]", COMPONENT),
    "a lone minus": (b"[-]", COMPONENT),
    "a number alone": (b"0.5", COMPONENT),
    "a whole number alone": (b"5", COMPONENT),
    "a zero byte": (b"[1\x00]", COMPONENT),
    "not UTF-8": (b"[1\xff]", COMPONENT),
    "a space that is none in JSON": (b"[1,\x0b2]", COMPONENT),
    "deep": (b"[" * 5000 + b"]" * 5000, COMPONENT),
}


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_list_of_numbers_is_refused_for_the_same_reason_by_every_road(name, case):
    row, reason = REFUSED[case]
    found = by(name, GOOD, row)
    assert found == by("msgspec", GOOD, row)
    assert found[:2] == (reason, 1)


@pytest.mark.parametrize("name", INSTALLED)
def test_an_empty_list_is_read_as_such(name):
    assert by(name, b"[]", b"[ \n]") == [b"", b""]


@pytest.mark.parametrize("name", INSTALLED)
def test_white_space_of_json_is_allowed(name):
    assert by(name, b"[\t0.5 ,\r\n1 ]") == by(name, b"[0.5,1]")


DAMAGE = [bytes([code]) for code in b'[],.-+eE0123456789 \n"tfn{}:\x00\xc3']


def mutated_row(chance):
    row = bytearray(random_row(chance, chance.randint(1, 6)))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(row) + 1)
        row[at : at + chance.randint(0, 2)] = chance.choice(DAMAGE)
    return bytes(row)


def compare_mutated(seed, count):
    chance = random.Random(seed)
    for _ in range(count):
        row = mutated_row(chance)
        found = {name: by(name, row) for name in INSTALLED}
        assert len({repr(outcome) for outcome in found.values()}) == 1, (row, found)


@pytest.mark.parametrize("seed", range(2))
def test_damaged_rows_have_one_outcome(seed):
    compare_mutated(seed, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_damaged_rows_have_one_outcome(seed):
    compare_mutated(seed, 20_000)


@given(st.binary(max_size=40))
@settings(max_examples=examples(300))
def test_any_bytes_have_one_outcome(content):
    row = b"[" + content + b"]"
    assert len({repr(by(name, row)) for name in INSTALLED}) == 1


# ---------------------------------------------------------------- which library is taken


def test_the_last_road_needs_nothing_that_is_optional():
    assert list(floats.LIBRARIES)[-1] == "msgspec"
    assert floats.LIBRARIES["msgspec"]() is not None


@pytest.fixture
def _forgotten():
    floats.fastest.cache_clear()
    yield
    floats.fastest.cache_clear()


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize("stand_in", [None, SimpleNamespace(), SimpleNamespace(Parser=object)])
def test_floats_are_read_without_the_accelerator_and_with_another_of_its_name(
    monkeypatch, stand_in
):
    monkeypatch.setitem(sys.modules, "simdjson", stand_in)
    assert floats.fastest() is floats.LIBRARIES["msgspec"]()
    assert floats.read_lists([memoryview(GOOD)]) == [struct.pack("<2f", 0.5, 1.0)]


@pytest.mark.usefixtures("_forgotten")
def test_an_accelerator_that_reads_wrong_numbers_is_not_used(monkeypatch):
    class Parser:
        def parse(self, text):
            return self

        def as_buffer(self, of_type):
            return struct.pack("3d", 0.1, -2, 3e-6)

    monkeypatch.setitem(sys.modules, "simdjson", SimpleNamespace(Parser=Parser))
    assert floats.fastest() is floats.LIBRARIES["msgspec"]()


def test_nothing_optional_is_imported_before_the_first_floats():
    code = (
        "import sys, numpy as np\n"
        "from openrouter_embed.core import codec, inflate\n"
        "def read(vector):\n"
        '    body = b\'{"data":[{"embedding":%b,"index":0}]}\' % vector\n'
        "    codec.decode(body, 1, None, lambda w: np.empty((1, w), np.float32))\n"
        "read(b'\"AACAPw==\"'); inflate.decompress(b'x', 'identity', 9)\n"
        "print('simdjson' in sys.modules, 'isal' in sys.modules)\n"
        "read(b'[0.5]'); print('simdjson' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", str("simdjson" in INSTALLED)]


@pytest.mark.parametrize("name", INSTALLED)
def test_threads_read_side_by_side(name):
    chance = random.Random(7)
    rows = [random_row(chance, 500) for _ in range(20)]
    want = [by_the_standard_library(row) for row in rows]
    read = floats.LIBRARIES[name]()
    right = []

    def work():
        texts = [memoryview(row) for row in rows]
        with np.errstate(over="ignore"):
            right.extend(read(texts) == want for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20
