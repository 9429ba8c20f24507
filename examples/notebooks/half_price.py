# %% [markdown]
# # Half price overnight
#
# OpenRouter's Batch API embeds within 24 hours, typically for half of what the same
# texts cost at once. So the texts are handed in tonight, and the vectors lie in a cache
# tomorrow; indexes in LangChain and in LlamaIndex are then built of them without a
# single request.
#
# You need `pip install ".[demo,plot]"` in a checkout of the repository, and nothing
# else.

# %% [markdown]
# > **The next cell starts an emulator.** It answers in OpenRouter's place, on this
# > machine, with a key that is none; you need neither account nor network. Its batches
# > take seven hours, by a clock that a later cell sets forward. Prices are those of
# > OpenRouter's catalogue as it was stored. **To use the real API, delete it** and the
# > one under “A night passes”, and set `OPENROUTER_API_KEY`.

# %%
import os
from pathlib import Path

from openrouter_embed.emulator import Emulator

Path("job.json").unlink(missing_ok=True)  # of an earlier run, whose emulator is gone
emulator = Emulator(batch_seconds=7 * 3600).start()
os.environ |= {"OPENROUTER_API_KEY": "none", "OPENROUTER_API_BASE": emulator.base_url}

# %% [markdown]
# ## In the evening
#
# Forty short texts, and what they would cost at once. Nothing is sent yet.

# %%
import pathlib
import re

from openrouter_embed import EmbeddingClient

almanac = pathlib.Path("almanac.md").read_text(encoding="utf-8")
passages = re.findall(r"^### .+\n(.+)", almanac, re.MULTILINE)

model = "openai/text-embedding-3-small"
client = EmbeddingClient(model, cache="vectors.sqlite")
now = client.estimate(passages)
print(f"{len(passages)} passages, {now.tokens:,} tokens, at once about ${now.cost:.6f}")

# %% [markdown]
# Hand them in. `job.json` holds ids, hashes and settings, neither texts nor the key,
# and is written before the first request, so that a machine which dies in the middle
# loses nothing.

# %%
job = client.submit(passages, role="document", save_to="job.json")
client.close()
print(job.counts.total, "texts handed in")

# %% [markdown]
# The program may end now, the lid may close.
#
# ## A night passes

# %%
(job_id,) = emulator.batches.ids
emulator.batches.advance(3 * 3600)
print("At three in the morning:", emulator.batches.status(job_id))
emulator.batches.advance(5 * 3600)

# %% [markdown]
# ## In the morning
#
# Another program, perhaps on another machine, needs the job's file and the texts'
# cache.

# %%
with EmbeddingClient(model, cache="vectors.sqlite") as client:
    job = client.batch("job.json").wait()
    result = job.result()
print(job.status, result.vectors.shape, f"${result.usage.cost:.6f}")

# %% [markdown]
# Rows come in the order of the texts, each checked like any other answer, and now they
# are in the cache.
#
# ## An index in LangChain, without a request

# %%
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_openrouter_embed import OpenRouterEmbeddings

embeddings = OpenRouterEmbeddings(model=model, cache="vectors.sqlite")
store = InMemoryVectorStore.from_texts(passages, embeddings)
indexing = embeddings.usage
print(len(store.store), "documents,", indexing.requests, "requests")

(found,) = store.similarity_search("What happens to tides at full moon?", k=1)
print(found.page_content)

# %% [markdown]
# ## An index in LlamaIndex, without a request

# %%
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from llama_index_openrouter_embed import OpenRouterEmbedding

embedding = OpenRouterEmbedding(model, cache="vectors.sqlite")
index = VectorStoreIndex(
    [TextNode(text=passage) for passage in passages], embed_model=embedding
)
print(len(index.docstore.docs), "nodes,", embedding.usage.requests, "requests")
indexing += embedding.usage

(hit,) = index.as_retriever(similarity_top_k=1).retrieve(
    "How is a bicycle chain oiled?"
)
print(hit.text)

# %% [markdown]
# ## What it came to
#
# At forty passages it is a matter of fractions of a cent. So here are ten million: at
# once as estimated in the evening, overnight as billed in the morning, and the two
# indexes, which were free.

# %% alt="A bar for at once, one about half as long for overnight, none for the indexes"
import matplotlib.pyplot as plt

spent = {
    "at once": now.cost,
    "overnight": result.usage.cost,
    "the indexes": indexing.cost,
}
dollars = [cost * 10_000_000 / len(passages) for cost in spent.values()]

plt.style.use("readable.mplstyle")
_, ax = plt.subplots(figsize=(7.5, 2.2))
bars = ax.barh(list(spent), dollars, color=["C1", "C0", "C2"])
ax.bar_label(bars, fmt="${:,.2f}", padding=4, color="#808080")
ax.invert_yaxis()
ax.set(xlabel="USD for ten million passages", xlim=(0, max(dollars) * 1.15))
plt.show()

# %% [markdown]
# Nodes with metadata are embedded together with it: then hand in
# `node.get_content(MetadataMode.EMBED)`. With `cache_only=True` an adapter that misses
# something in the cache says so instead of buying it.
#
# What batches do not take, what goes wrong and what is done about it, and the command
# line: [half price overnight](../../docs/batch.md).
