"""Embed a column of a Dask DataFrame, by threads here, on a cluster by the same code.

With `OPENROUTER_API_KEY` set it uses the live API, which costs far less than a cent; without it a
local emulator answers. On a cluster the key must be in the environment of the workers.

Usage: python examples/dask_dataframe.py FOLDER
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import dask.dataframe as dd
import pandas as pd
import pyarrow as pa

from openrouter_embed.emulator import Emulator
from openrouter_embed.ray import Embedder

MODEL = "openai/text-embedding-3-small"
WIDTH = 1536
WORKERS = 1
"""Processes that embed: they share what may be in flight. Threads of one share its client."""
KINDS = {
    "id": "int64",
    "text": pd.ArrowDtype(pa.string()),
    "embedding": pd.ArrowDtype(pa.list_(pa.float32(), WIDTH)),
    "embedding_error": pd.ArrowDtype(pa.string()),
}


def embed(part: pd.DataFrame, embedder: Embedder) -> pd.DataFrame:
    """Embed one partition."""
    table = embedder(pa.Table.from_pandas(part, preserve_index=False))
    return table.to_pandas(types_mapper=pd.ArrowDtype).astype({"id": "int64"}).set_index(part.index)


def main() -> int:
    """Embed some notes, write them to the folder, and count them: all bought once."""
    with ExitStack() as open_things:
        options = {}
        if not os.environ.get("OPENROUTER_API_KEY"):
            print(f"No OPENROUTER_API_KEY is set: a local emulator answers for {MODEL}.")
            emulator = open_things.enter_context(Emulator())
            os.environ["OPENROUTER_API_KEY"] = "emulated"
            options = {"base_url": emulator.base_url}
        texts = pd.array([f"Note {at} of a few." for at in range(200)] + [None], KINDS["text"])
        notes = dd.from_pandas(pd.DataFrame({"id": range(201), "text": texts}), npartitions=2)
        embedder = Embedder(
            MODEL, column="text", max_concurrency=64 // WORKERS, on_error="return", **options
        )
        # Without `persist` every computation buys anew.
        embedded = notes.map_partitions(embed, embedder, meta=KINDS).persist()
        embedded.to_parquet(sys.argv[1])
        without = embedded["embedding"].isna().sum().compute()
        print(f"{len(embedded)} rows written, {without} of them without a text")
        if options:
            print(f"{emulator.stats.inputs} texts bought")
    return 0


if __name__ == "__main__":
    sys.exit(main())
