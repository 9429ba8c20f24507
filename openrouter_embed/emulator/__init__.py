"""A local emulator of OpenRouter's embeddings API, for demonstrations and tests without a key.

    with Emulator(latency=0.2) as emulator:
        client = Client(api_key="anything", base_url=emulator.base_url)

Faithful to the live service, as far as it is publicly documented or recorded:
    * paths, headers, key order and fields of answers, ids, keep-alive white space before the
      JSON, chunked transfer, the HTML page on a wrong path;
    * statuses and bodies of errors, among them the failure that comes inside HTTP 200;
    * the 33 models with their upstream names, prices, context lengths, widths, lengths of their
      vectors, special tokens, ``dimensions``, ``input_type`` and prefixes, batch limits and hosts;
    * prices of images and audio, the response cache, and on demand what hosts bill to keys of the
      user's own (BYOK);
    * batches of embeddings at half the price: the order of keys, states, counts, results inline
      and in pages, deletion, and what is gone after 30 days.

Invented:
    * THE VECTORS ARE NOT THOSE OF THE REAL MODELS. They come from one small word-embedding model
      (wordllama, if installed) or from hashed words and n-grams, widened to the model's width by
      a fixed orthonormal map. Similar texts are close, and that is all;
    * what a wrong role costs: a question embedded as a document, or a long passage embedded as a
      query, gets noise mixed in, so that a mistake shows up in retrieval;
    * token counts of texts, estimated by one rule for all models, and of audio, video and files;
    * ``error.availability``, which is documented for chat alone: off unless asked for;
    * the wording of type errors, the choice of host (always the first that is allowed), which
      hosts honour base64, and the hosts of the small open-weight models.

    * how long a batch takes (no time, unless asked for), and that its results come last one first.

Left out: other endpoints, webhooks of batches, credits and moderation.

Importing this package imports neither aiohttp nor numpy; starting an emulator does.
"""

from __future__ import annotations

from openrouter_embed.emulator.batches import Batches
from openrouter_embed.emulator.failures import Failure
from openrouter_embed.emulator.options import (
    Backend,
    BatchItem,
    EmulatorOptions,
    Fault,
    FaultReply,
    RecordedRequest,
    Stats,
)
from openrouter_embed.emulator.runner import Emulator, OptionChanges, serve

__all__ = [
    "Backend",
    "BatchItem",
    "Batches",
    "Emulator",
    "EmulatorOptions",
    "Failure",
    "Fault",
    "FaultReply",
    "OptionChanges",
    "RecordedRequest",
    "Stats",
    "serve",
]
