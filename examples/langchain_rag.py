"""Retrieval-augmented answers with LangChain: passages in a store, a question, an answer.

    python examples/langchain_rag.py ["Your question"]

With OPENROUTER_API_KEY set the embeddings come from OpenRouter; without it a local emulator makes
them up. No chat model is asked: `quote` stands in its place and answers with a sentence of what was
retrieved. Put one of LangChain's chat models there, and the rest stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_openrouter_embed import OpenRouterEmbeddings
from openrouter_embed.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_core.prompt_values import PromptValue
    from langchain_core.runnables import Runnable

MODEL = "voyageai/voyage-4"
QUESTION = "At which temperature does a sourdough loaf bake?"
PASSAGES = [
    "Tomato plants want a deep watering three times a week in summer. Water them in the morning.",
    "A bicycle chain is cleaned with a rag and degreaser. Put one drop of oil on every link.",
    "A sourdough loaf bakes at a temperature of 240 degrees. After half an hour, take the lid off.",
    "The public library opens at noon on Sunday. Books can be returned beside the door.",
]
PROMPT = ChatPromptTemplate.from_template(
    "Answer from the context alone.\n\nContext:\n{context}\n\nQuestion: {question}"
)


@contextlib.contextmanager
def open_embeddings() -> Generator[OpenRouterEmbeddings]:
    """Open the live API's embeddings if there is a key, else an emulator's, and say which."""
    if os.environ.get("OPENROUTER_API_KEY"):
        with OpenRouterEmbeddings(model=MODEL) as embeddings:
            origin = urlsplit(embeddings.openrouter_api_base or "").netloc
            print(f"Using the API at {origin} with {MODEL}. Ctrl-C to stop.")
            yield embeddings
        return
    print(f"No OPENROUTER_API_KEY is set: a local emulator stands in for {MODEL}.")
    with (
        Emulator() as emulator,
        OpenRouterEmbeddings(model=MODEL, api_key="any", base_url=emulator.base_url) as embeddings,
    ):
        yield embeddings


def quote(prompt: PromptValue) -> AIMessage:
    """Answer as a very small chat model: with the sentence that shares most words."""
    context, _, question = prompt.to_string().partition("Question: ")
    sentences = re.findall(r"[A-Z][^.]*\.", context.partition("Context:")[2])
    return AIMessage(max(sentences, key=lambda sentence: len(words(sentence) & words(question))))


def words(text: str) -> set[str]:
    """Return the words of a text."""
    return set(re.findall(r"\w+", text.lower()))


def join(found: list[Document]) -> str:
    """Write what was retrieved into one text."""
    return "\n".join(document.page_content for document in found)


def make_chain(embeddings: OpenRouterEmbeddings) -> Runnable[str, str]:
    """Index the passages, and chain retriever, prompt, model and parser."""
    documents = [Document(passage) for passage in PASSAGES]
    store = InMemoryVectorStore.from_documents(documents, embeddings)
    retriever = store.as_retriever(search_kwargs={"k": 2})
    asked = RunnableParallel(context=retriever | join, question=RunnablePassthrough[str]())
    return asked | PROMPT | quote | StrOutputParser()


def main() -> None:
    """Answer the question of the command line, or our own."""
    question = " ".join(sys.argv[1:]) or QUESTION
    with open_embeddings() as embeddings, get_usage_metadata_callback() as callback:
        answer = make_chain(embeddings).invoke(question)
        print(f"? {question}\n> {answer}")
        print(embeddings.usage)
        print("Counted by LangChain:", callback.usage_metadata)


if __name__ == "__main__":
    main()
