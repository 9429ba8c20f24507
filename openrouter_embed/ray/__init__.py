"""Columns of texts embedded on Ray Data, with one bill; needs the extra `ray`.

    from openrouter_embed.ray import Bill, embed_column

    bill = Bill(max_cost=20.0)
    ds = embed_column(ds, "openai/text-embedding-3-small", column="text", bill=bill)
    ds.write_parquet("embedded")
    print(bill.usage())

Importing this imports neither ray nor pyarrow.
"""

from __future__ import annotations

from openrouter_embed.ray.bill import Bill
from openrouter_embed.ray.column import embed_column
from openrouter_embed.ray.embedder import Embedder

__all__ = ["Bill", "Embedder", "embed_column"]
