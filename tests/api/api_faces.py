"""Both clients behind one synchronous face, so that one test can hold both to the same promise.

Rules of this file:
- A face adds nothing: it awaits what has to be awaited, on one event loop of its own.
"""

from __future__ import annotations

import asyncio
import inspect

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

SMALL = "openai/text-embedding-3-small"
GEMINI = "google/gemini-embedding-2"
VOYAGE_IMAGES = "voyageai/voyage-multimodal-3.5"
E5 = "intfloat/e5-base-v2"


class SyncFace:
    """The synchronous client."""

    kind = EmbeddingClient

    def __init__(self, client):
        self.client = client

    @classmethod
    def make(cls, model=SMALL, **options):
        return cls(cls.kind(model, **options))

    def __getattr__(self, name):
        return getattr(self.client, name)

    def close(self):
        self.client.close()


class AsyncFace:
    """The asynchronous client, each call run to its end."""

    kind = AsyncEmbeddingClient

    def __init__(self, client):
        self.client = client
        self.loop = asyncio.new_event_loop()

    @classmethod
    def make(cls, model=SMALL, **options):
        return cls(cls.kind(model, **options))

    def __getattr__(self, name):
        attribute = getattr(self.client, name)
        if not inspect.iscoroutinefunction(inspect.unwrap(attribute)):
            return attribute
        return lambda *args, **kwargs: self.loop.run_until_complete(attribute(*args, **kwargs))

    def stream(self, iterable, **options):
        return self._iterate(self.client.stream(iterable, **options))

    def _iterate(self, results):
        end = object()
        while (result := self.loop.run_until_complete(anext(results, end))) is not end:
            yield result

    def close(self):
        self.loop.run_until_complete(self.client.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


FACES = {"sync": SyncFace, "async": AsyncFace}
