"""The cache: vectors that were bought once, kept in a file for all later calls.

Rules of this room:
- `protocol` says what a store is; `sqlite` is ours, with `layout`, `packs`, `reading`, `writing`,
  `growth` and `handle`.
- `keeper` stands between calls and a store: it writes, forgives and warns, and calls wait for it.
  Much is read by two threads at once (`beside`).
- `flights` lets calls that run at the same time buy an input once.
- What names a vector is decided elsewhere, by `options.space`; here keys are bytes.
"""

from openrouter_embed.cache.protocol import EmbeddingCache, Found
from openrouter_embed.cache.sqlite import CacheStats, SQLiteCache

__all__ = ["CacheStats", "EmbeddingCache", "Found", "SQLiteCache"]
