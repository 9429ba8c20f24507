"""Programs that tests start as processes of their own; each prints one line of JSON.

Rules of this file:
- A program takes everything it needs from its arguments.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys

from openrouter_embed import AsyncEmbeddingClient, EmbeddingClient

SMALL = "openai/text-embedding-3-small"


def corpus(count):
    """Distinct texts of 160 words that every process can make again; few, so vectors are quick."""
    places = [(name, 40**at) for at, name in enumerate(("rose", "lily", "oak", "fern"))]
    return [" ".join(f"{name}{at // size % 40}" for name, size in places) for at in range(count)]


def hand_in(base_url, count, job, dimensions):
    """Submit a corpus, and wait to be killed."""
    client = EmbeddingClient(SMALL, api_key="k", base_url=base_url, dimensions=int(dimensions))
    client.submit(corpus(int(count)), role="document", save_to=job, max_batch_inputs=4000)
    say(pid=os.getpid())
    sys.stdin.read()  # until it is killed


def measure(base_url, job, shell):
    """Collect a job, and say by how many MiB the process grew."""
    if shell == "sync":
        client = EmbeddingClient(SMALL, api_key="k", base_url=base_url)
        found = client.batch(job).refresh()  # what any call loads is no growth of this one
        before, result = peak(), found.result()
    else:
        before, result = asyncio.run(measured(base_url, job))
    say(grown=peak() - before, rows=int(result.ok.sum()))


async def measured(base_url, job):
    async with AsyncEmbeddingClient(SMALL, api_key="k", base_url=base_url) as client:
        found = await client.batch(job).refresh()
        return peak(), await found.result()


def say(**facts):
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


def peak():
    """The most memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    {"hand_in": hand_in, "measure": measure}[sys.argv[1]](*sys.argv[2:])
