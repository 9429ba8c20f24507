# %% [markdown]
# # Build an index with LlamaIndex
#
# `OpenRouterEmbedding` is a LlamaIndex embedding model: any of OpenRouter's, in any
# index and pipeline. Here a small almanac is indexed and asked, the index is put on
# disk and fetched back, one chapter is changed, and only that chapter is paid for
# again.

# %% [markdown]
# ## Installation
#
# You need `pip install ".[demo,plot]"` in a checkout of the repository, and nothing
# else.
#
# ## Authentication
#
# > **The next cell starts an emulator.** It answers in OpenRouter's place, on this
# > machine, with a key that is none; you need neither account nor network. Its vectors
# > come from one small model of words, whatever model you name: a real one finds
# > better. **To ask the real model, delete it**, set `OPENROUTER_API_KEY`, and run the
# > rest as it is.

# %%
import os

from openrouter_embed.emulator import Emulator

emulator = Emulator().start()
os.environ |= {"OPENROUTER_API_KEY": "none", "OPENROUTER_API_BASE": emulator.base_url}

# %% [markdown]
# ## Basic usage

# %%
from llama_index_openrouter_embed import OpenRouterEmbedding

embedding = OpenRouterEmbedding("voyageai/voyage-4")

query = embedding.get_query_embedding("How does a bee find its way?")
texts = embedding.get_text_embedding_batch(
    ["Bees dance on the comb.", "Tea is steeped."]
)
print(len(query), "numbers")
for text in texts:
    print(f"{embedding.similarity(query, text):.2f}")

# %% [markdown]
# Questions and texts are embedded differently by this model, which is told by the
# method's name. Batches go out as several requests at once; `async` methods have the
# same names with an `a`.

# %% [markdown]
# ## An index
#
# A document per chapter, split into nodes of a passage or so. LlamaIndex embeds a
# node's metadata with its text, so that each knows its chapter.

# %%
import pathlib

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter

almanac = pathlib.Path("almanac.md").read_text(encoding="utf-8")
documents = []
for part in almanac.split("\n## ")[1:]:
    chapter, *entries = part.strip().split("\n\n### ")
    text = "\n\n".join(entry.split("\n")[1] for entry in entries)
    documents.append(Document(text=text, metadata={"chapter": chapter}, doc_id=chapter))

splitter = SentenceSplitter(chunk_size=70, chunk_overlap=0, paragraph_separator="\n\n")
index = VectorStoreIndex.from_documents(
    documents, embed_model=embedding, transformations=[splitter]
)
nodes = list(index.docstore.docs.values())
print(len(documents), "chapters,", len(nodes), "nodes")

# %% [markdown]
# ## Ask it

# %%
question = "Which star shows the way north?"
hits = index.as_retriever(similarity_top_k=3).retrieve(question)
for hit in hits:
    print(f"{hit.score:.2f}  {hit.metadata['chapter']}: {hit.text[:64]}…")

# %% [markdown]
# With a chat model it is `index.as_query_engine(llm=…)`, and the answer comes written
# out.
#
# ## Where the question lands
#
# The plane is the one in which the chapters lie farthest apart. The star is the
# question, and the lines lead to the nodes that it found.

# %% alt="Nodes as points coloured by chapter; a star with lines to the three found"
import matplotlib.pyplot as plt
import numpy as np

chapters = [node.metadata["chapter"] for node in nodes]
vectors = np.array([index.vector_store.get(node.node_id) for node in nodes])
subjects = list(dict.fromkeys(chapters))
members = np.array(
    [[chapter == subject for chapter in chapters] for subject in subjects]
)
centres = members @ vectors / members.sum(axis=1, keepdims=True)
middle = centres.mean(axis=0)
plane = np.linalg.svd(centres - middle, full_matrices=False)[2][:2].T
points = (vectors - middle) @ plane
star = (np.array(embedding.get_query_embedding(question)) - middle) @ plane
place = {node.node_id: point for node, point in zip(nodes, points, strict=True)}

plt.style.use("readable.mplstyle")
_, ax = plt.subplots()
for hit in hits:
    ax.plot(
        *zip(star, place[hit.node_id], strict=True),
        color="#808080",
        linewidth=1,
        zorder=1,
    )
for subject, own in zip(subjects, members, strict=True):
    ax.scatter(*points[own].T, s=45, label=subject)
ax.scatter(*star, marker="*", s=260, color="#808080")
ax.set_title(question)
ax.set_axis_off()
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## To disk and back
#
# An index that is stored is opened without embedding anything: only questions are
# embedded.

# %%
from llama_index.core import StorageContext, load_index_from_storage

index.storage_context.persist("almanac-index")

before = embedding.usage
storage = StorageContext.from_defaults(persist_dir="almanac-index")
opened = load_index_from_storage(
    storage, embed_model=embedding, transformations=[splitter]
)
print(embedding.usage.requests - before.requests, "requests to open it")

# %% [markdown]
# ## A chapter changes
#
# `refresh_ref_docs` compares what it is handed with what the index has seen. Of the
# chapters below only one has changed, and only that one is embedded again.

# %%
bread = next(document for document in documents if document.doc_id == "Bread")
bread.set_content(
    bread.text + "\n\nRye loaves keep for a week, and are best on the second day."
)

before = embedding.usage
changed = opened.refresh_ref_docs(documents)
fresh = embedding.usage.inputs - before.inputs
names = [each.doc_id for each, new in zip(documents, changed, strict=True) if new]
print(names, fresh, "texts")

(hit,) = opened.as_retriever(similarity_top_k=1).retrieve(
    "How long can I keep a loaf of rye?"
)
print(hit.text)

# %% [markdown]
# With `cache="vectors.sqlite"` even the unchanged passages of that chapter are not
# bought again: [caching and resuming](../../docs/caching.md).
#
# ## Settings
#
# As the default of everything that embeds in this program:

# %%
from llama_index.core import Settings

Settings.embed_model = embedding
print(embedding.usage)

# %% [markdown]
# Every option and store is told in [the guide to LlamaIndex](../../docs/llamaindex.md);
# an index of the same texts [for half the price](half_price.ipynb) is a notebook of its
# own.
