"""Numbers and flags of other libraries as Python's own.

Rules of this file:
- Nothing is imported to recognise them: a scalar of numpy or torch says so by its shape.
- What is no such scalar comes back as it is, for the checks to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, cast


def plain(value: object) -> object:
    """Return a number or flag of another library as an `int`, `float` or `bool`."""
    if type(value) in (bool, int, float):  # numpy's float64 is a float, and no JSON encoder's
        return value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return cast(Any, value).item()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Decimal):
        return _of_decimal(value)
    return float(value) if isinstance(value, (Real, Fraction)) else value


def _of_decimal(value: Decimal) -> int | float:
    whole = value.is_finite() and value == value.to_integral_value()
    return int(value) if whole and abs(value) < 2**63 else float(value) if _calm(value) else -1.0


def _calm(value: Decimal) -> bool:
    return not value.is_snan()  # which raises where any other is merely not a number


def plain_tree(value: object) -> object:
    """Do that for everything in a tree of mappings and lists."""
    if isinstance(value, Mapping):
        return {k: plain_tree(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain_tree(item) for item in cast("list[object]", value)]
    return plain(value)
