# %% [markdown]
# # Answers from your texts, with LangChain
#
# `OpenRouterEmbeddings` is a LangChain `Embeddings`: any of OpenRouter's embedding
# models, in any of LangChain's vector stores. Here a small almanac goes into a store, a
# retriever finds the entries that bear on a question, and a chain answers from them and
# says where it read it.
#
# You need `pip install ".[demo,plot]"` in a checkout of the repository, and nothing
# else.

# %% [markdown]
# ## Setup
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
# ## Instantiation
#
# The model comes first, and for the rest the defaults are good. Voyage's models embed
# questions and documents each in their own way; that is done for you, by which method
# LangChain calls.

# %%
from langchain_openrouter_embed import OpenRouterEmbeddings

embeddings = OpenRouterEmbeddings(model="voyageai/voyage-4")

# %% [markdown]
# ## Indexing
#
# One document per entry, with its chapter and its heading as metadata. All forty travel
# together.

# %%
import pathlib

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

almanac = pathlib.Path("almanac.md").read_text(encoding="utf-8")
documents = []
for part in almanac.split("\n## ")[1:]:
    chapter, *entries = part.split("\n### ")
    for entry in entries:
        title, passage = entry.strip().split("\n")
        about = {"chapter": chapter.strip(), "title": title}
        documents.append(Document(passage, metadata=about))

store = InMemoryVectorStore.from_documents(documents, embeddings)
print(len(store.store), "documents;", embeddings.usage)

# %% [markdown]
# ## Retrieval
#
# The headings were not embedded, so a question has to be understood by what the
# passages say.

# %%
question = "Which star shows the way north?"
for document, score in store.similarity_search_with_score(question, k=3):
    print(f"{score:.2f}  {document.metadata['chapter']}: {document.metadata['title']}")

# %% [markdown]
# Searching within one chapter is a filter of the store's:

# %%
hit, *_ = store.similarity_search(
    "How hot should the water be?",
    k=1,
    filter=lambda found: found.metadata["chapter"] == "Tea",
)
print(hit.page_content)

# %% [markdown]
# ## What the vectors see
#
# Five questions against every entry of the almanac: the stronger the colour, the nearer
# the two. A question finds not only its answer but a neighbourhood, and sometimes a
# stranger.
#
# `embed_documents_array` is `embed_documents` without the lists: one float32 matrix.

# %% alt="Five questions as rows, forty passages as columns: each finds its chapter"
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from openrouter_embed import similarity

questions = [
    "How do insects talk about flowers?",
    "What lifts the dough of a loaf?",
    "How do I see a meteor at night?",
    "How are strings tuned to each other?",
    "What do the lines on a hiking map mean?",
]
asked = np.array([embeddings.embed_query(each) for each in questions])
matrix = embeddings.embed_documents_array([each.page_content for each in documents])
scores = similarity(asked, matrix)

plt.style.use("readable.mplstyle")
_, ax = plt.subplots(figsize=(8.5, 2.6))
ink = LinearSegmentedColormap.from_list("ink", ["#4c8bf500", "#4c8bf5"])
ax.imshow(scores, aspect="auto", cmap=ink, vmin=0)
ax.set_yticks(range(5), questions)
ax.set_xticks(
    range(2, 40, 5), dict.fromkeys(each.metadata["chapter"] for each in documents)
)
for edge in range(5, 40, 5):
    ax.axvline(edge - 0.5, color="#808080", linewidth=0.8)
ax.tick_params(length=0)
plt.show()

# %% [markdown]
# ## A chain that answers
#
# Retriever, prompt, chat model, parser. **No chat model is asked here:** `quote` stands
# in its place and answers with a sentence of what was retrieved. Put `ChatOpenRouter`
# or any other there, and the rest stays as it is.

# %%
import re

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

prompt = ChatPromptTemplate.from_template(
    "Answer from the context alone.\n\nContext:\n{context}\n\nQuestion: {question}"
)


def words(text):
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


def quote(asked):
    context, _, question = asked.to_string().partition("Question: ")
    sentences = re.findall(r"[A-Z][^.]+\.", context.partition("Context:")[2])
    return AIMessage(
        max(sentences, key=lambda each: len(words(each) & words(question)))
    )


def join(found):
    return "\n".join(document.page_content for document in found)


retriever = store.as_retriever(search_kwargs={"k": 2})
chain = (
    {"context": retriever | join, "question": RunnablePassthrough()}
    | prompt
    | quote
    | StrOutputParser()
)

for question in (
    "How do bees keep warm in winter?",
    "Why do the points of a planet not twinkle?",
    "What happens to the tide when the moon is full?",
):
    source = retriever.invoke(question)[0].metadata
    print(question, chain.invoke(question), sep="\n  ")
    print(f"  ({source['chapter']}: {source['title']})\n")

# %% [markdown]
# ## Direct usage
#
# The two methods that LangChain calls, and their twins to be awaited:

# %%
one = embeddings.embed_query("Is tea good for you?")
two = await embeddings.aembed_documents(
    ["Tea holds theanine.", "A violin has four strings."]
)
print(
    len(one), "numbers;", [round(float(each), 2) for each in similarity([one], two)[0]]
)

# %% [markdown]
# ## What it cost
#
# `usage` counts what this object has used. LangChain's own callback,
# `get_usage_metadata_callback`, counts embedding tokens as well.

# %%
print(embeddings.usage)

# %% [markdown]
# Every option and store is told in [the guide to LangChain](../../docs/langchain.md);
# an index of the same texts [for half the price](half_price.ipynb) is a notebook of its
# own.
