"""Embed a column of a Spark DataFrame, in local mode here, on a cluster by the same code.

With `OPENROUTER_API_KEY` set it uses the live API, which costs far less than a cent; without it a
local emulator answers. On a cluster the key must be in the environment of the executors, set where
they are started: `spark.executorEnv.OPENROUTER_API_KEY` would show it in Spark's own pages.

Usage: python examples/spark.py FOLDER
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.sql import SparkSession

from openrouter_embed.emulator import Emulator
from openrouter_embed.ray import Embedder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Batches = Iterator[pa.RecordBatch]

MODEL = "openai/text-embedding-3-small"
TASKS = 2
"""Tasks that run at once, in all executors together: they share what may be in flight."""
SCHEMA = "id long, text string, embedding array<float>, embedding_error string"


def embedding(embedder: Embedder) -> Callable[[Batches], Batches]:
    """Return what a task does; the embedder travels without a client and without a key."""

    def embed(batches: Batches) -> Batches:
        for batch in batches:
            table = embedder(pa.Table.from_batches([batch]))
            at = table.schema.get_field_index(embedder.output)
            plain = table.column(at).cast(pa.list_(pa.float32()))  # Spark knows no other lists
            yield from table.set_column(at, embedder.output, plain).to_batches()

    return embed


def main() -> int:
    """Embed some notes, write them to the folder, and count them: all bought once."""
    with ExitStack() as open_things:
        options = {}
        if not os.environ.get("OPENROUTER_API_KEY"):
            print(f"No OPENROUTER_API_KEY is set: a local emulator answers for {MODEL}.")
            emulator = open_things.enter_context(Emulator())
            os.environ["OPENROUTER_API_KEY"] = "emulated"
            options = {"base_url": emulator.base_url}
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # tasks run where this runs
        builder = SparkSession.builder.master(f"local[{TASKS}]")
        # A task that runs twice buys twice; so does every action on what is not persisted.
        builder = builder.config("spark.speculation", "false").config("spark.ui.enabled", "false")
        spark = open_things.enter_context(builder.getOrCreate())
        rows = [(at, f"Note {at} of a few.") for at in range(200)]
        notes = spark.createDataFrame([*rows, (200, None)], "id long, text string")
        embedder = Embedder(
            MODEL, column="text", max_concurrency=64 // TASKS, on_error="return", **options
        )
        embedded = notes.repartition(TASKS).mapInArrow(embedding(embedder), SCHEMA).persist()
        embedded.write.mode("overwrite").parquet(sys.argv[1])
        total, without = embedded.count(), embedded.filter("embedding is null").count()
        print(f"{total} rows written, {without} of them without a text")
        if options:
            print(f"{emulator.stats.inputs} texts bought")
    return 0


if __name__ == "__main__":
    sys.exit(main())
