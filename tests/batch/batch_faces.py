"""Both clients and their jobs behind one synchronous face, so that one test holds both.

Rules of this file:
- A face adds nothing: it awaits what has to be awaited, on one event loop of its own.
"""

from __future__ import annotations

import asyncio
import inspect

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

SMALL = "openai/text-embedding-3-small"
E5 = "intfloat/e5-base-v2"
VOYAGE = "voyageai/voyage-4"


class Awaited:
    """A client or a job, each of whose calls is run to its end where it must be."""

    def __init__(self, thing, loop):
        self.thing = thing
        self.loop = loop

    def __getattr__(self, name):
        attribute = getattr(self.thing, name)
        if not callable(attribute):
            return attribute

        def call(*args, **kwargs):
            answer = attribute(*args, **kwargs)
            if inspect.iscoroutine(answer):
                answer = self.loop.run_until_complete(answer)
            if answer is self.thing:
                return self
            return Awaited(answer, self.loop) if hasattr(answer, "to_dict") else answer

        return call

    def __repr__(self):
        return repr(self.thing)

    def close(self):
        if hasattr(self.thing, "aclose"):
            self.loop.run_until_complete(self.thing.aclose())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def make_sync(model, **options):
    return EmbeddingClient(model, **options)


def make_async(model, **options):
    return Awaited(AsyncEmbeddingClient(model, **options), asyncio.new_event_loop())


FACES = {"sync": make_sync, "async": make_async}
