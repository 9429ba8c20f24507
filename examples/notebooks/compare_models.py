# %% [markdown]
# # Compare three models on your own texts
#
# Which embedding model is the right one for your texts? No table on the web knows. Here
# three of them are asked forty questions about forty short texts; then one of them is
# chosen, its vectors are looked at, saved, and taken up again. What it costs is said
# before and counted after.
#
# You need `pip install ".[demo,plot]"` in a checkout of the repository, and nothing
# else.

# %% [markdown]
# > **The next cell starts an emulator.** It answers in OpenRouter's place, on this
# > machine, with a key that is none; you need neither account nor network. Its vectors
# > come from one small model of words, whatever model you name: prices, widths and
# > errors are those of the real models, the quality is not. **To ask the real models,
# > delete it**, set `OPENROUTER_API_KEY`, and run the rest as it is.

# %%
import os

from openrouter_embed.emulator import Emulator

emulator = Emulator().start()
os.environ |= {"OPENROUTER_API_KEY": "none", "OPENROUTER_API_BASE": emulator.base_url}

# %% [markdown]
# ## Texts and questions
#
# The texts are a small almanac: eight chapters of five entries. The heading of an entry
# is a question that the entry answers, so we know what each question should find. For
# texts of yours, write down thirty questions or more, and the numbers of the texts that
# answer them.

# %%
import pathlib

almanac = pathlib.Path("almanac.md").read_text(encoding="utf-8")
chapters, questions, passages = [], [], []
for part in almanac.split("\n## ")[1:]:
    chapter, *entries = part.split("\n### ")
    for entry in entries:
        question, passage = entry.strip().split("\n")
        chapters.append(chapter.strip())
        questions.append(question)
        passages.append(passage)

print(len(passages), "passages, the first of them:")
print(f"{chapters[0]}: {questions[0]}\n{passages[0]}")

# %% [markdown]
# ## What will it cost?
#
# `estimate` sends no text. It counts tokens, and asks the catalogue for the price.

# %%
from openrouter_embed import EmbeddingClient

models = [
    "openai/text-embedding-3-small",
    "openai/text-embedding-3-large",
    "baai/bge-m3",
]
for model in models:
    with EmbeddingClient(model) as client:
        estimate = client.estimate(passages)
    print(f"{model:30} {estimate.tokens:,} tokens, about ${estimate.cost:.6f}")

# %% [markdown]
# ## Three models compared
#
# Every model embeds the passages and the questions; a question's score is how high its
# own passage stands among all forty. `cache` keeps what is bought here, so that nothing
# is bought again below.

# %%
from openrouter_embed import compare

relevant = {number: {number} for number in range(len(questions))}
comparison = compare(
    models, passages, questions, relevant=relevant, cache="vectors.sqlite", say=None
)
comparison

# %% [markdown]
# `±` is what chance may have made of so few questions, and `verdict` takes it into
# account. The emulator draws all its vectors from one small model, so *same* is the
# truth here, and the choice is easy: the cheapest. Real models differ. All columns are
# told in [choose a model](../../docs/choosing.md#what-the-figures-mean).

# %% alt="Three models by price, and upwards by quality, each with its interval"
import matplotlib.pyplot as plt

plt.style.use("readable.mplstyle")
comparison.plot()
plt.show()

# %% [markdown]
# ## The vectors of one
#
# The client finds what the comparison has bought in the cache: no request, no cost.

# %%
model = "baai/bge-m3"
client = EmbeddingClient(model, cache="vectors.sqlite")
result = client.embed(passages, role="document")
result

# %% [markdown]
# A question of your own, which is in no heading:

# %%
query = client.embed_query("How do I revive a stale loaf?")
for index, score in result.search(query, k=3):
    print(f"{score:.2f}  {chapters[index]}: {questions[index]}")

# %% [markdown]
# ## A picture of them
#
# 1,024 numbers a text cannot be seen; two can. These are the two directions in which
# the chapters lie farthest apart. Passages on one subject have found together, though
# nobody told the model of chapters.

# %% alt="Forty passages as points coloured by chapter; those of a chapter lie together"
import numpy as np

subjects = list(dict.fromkeys(chapters))
members = np.array(
    [[chapter == subject for chapter in chapters] for subject in subjects]
)
centres = members @ result.vectors / members.sum(axis=1, keepdims=True)
plane = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)[2][:2].T
points = result.vectors @ plane

_, ax = plt.subplots()
for subject, own in zip(subjects, members, strict=True):
    ax.scatter(*points[own].T, s=45, label=subject)
ax.set_title(f"Forty passages, as {model} sees them")
ax.set_axis_off()
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# ## Saved, and taken up again
#
# A result goes into one file. A run that died goes on from its cache: here the
# evening's run has seen twenty-five passages when somebody closes the lid; the
# morning's run is given all of them and buys what is missing.

# %%
from openrouter_embed import EmbeddingResult

result.save("almanac.npz")
print(EmbeddingResult.load("almanac.npz"))

# %%
with EmbeddingClient(model, cache="another.sqlite") as evening:
    evening.embed(passages[:25])
with EmbeddingClient(model, cache="another.sqlite") as morning:
    morning.embed(passages)
    print(morning.usage)

# %% [markdown]
# ## What it cost
#
# `usage` is what was billed, not what was guessed. In a run that must not pass a limit,
# `EmbeddingClient(model, max_cost=0.05)` stops before the request that could.

# %%
print(f"The comparison: ${sum(row.cost for row in comparison.rows):.6f}")
print("Since then:    ", client.usage)

# %% [markdown]
# Next: [an answer from these texts with LangChain](langchain_rag.ipynb), or [an index
# of them with LlamaIndex](llamaindex_index.ipynb).
