"""What people pass out of habit where texts belong, for the tests of both adapters.

Rules of this file:
- What is of one framework alone stands in that framework's tests.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

TEXTS = ["one", "two"]
COLUMNS = {
    "pandas": pd.DataFrame({"text": TEXTS})["text"],
    "polars": pl.DataFrame({"text": TEXTS})["text"],
    "pyarrow": pa.table({"text": TEXTS})["text"],
    "numpy": np.array(TEXTS),
    "the values of a dict": dict(enumerate(TEXTS)).values(),
}
"""Columns that are taken as they are."""


async def ticking():
    yield "one"


NO_LISTS = {
    "a table of pandas": (
        lambda: pd.DataFrame({"text": TEXTS}), r'DataFrame: .*`df\["text"\]\.tolist\(\)`'),
    "one column as a table": (
        lambda: pd.DataFrame({"text": TEXTS})[["text"]], r'`df\["text"\]\.tolist\(\)`'),
    "a table of polars": (lambda: pl.DataFrame({"text": TEXTS}), r'`df\["text"\]\.to_list\(\)`'),
    "a set": (lambda: set(TEXTS), r"`sorted\(texts\)`"),
    "a dict": (lambda: {1: "one"}, r"`list\(d\.values\(\)\)`"),
    "None": (lambda: None, "a NoneType"),
    "a number": (lambda: 5, "an int"),
    "one text": (lambda: "one", "a list, even for one"),
    "an async generator": (ticking, "async for text in texts"),
    "an array without a dimension": (lambda: np.array("x"), r"`\[array\.item\(\)\]`"),
    "a missing text": (lambda: ["one", None], "Text 1 is a NoneType .a missing value"),
}  # fmt: skip
"""What makes something that is no list of texts, and what the refusal says."""


def sent(emulator):
    """The texts that have gone out."""
    return [text for request in emulator.requests for text in request.body["input"]]
