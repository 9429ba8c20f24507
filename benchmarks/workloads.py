"""What is measured, and what we aim at: two tables, and nothing else.

Rules of this file:
- A rival runs with the settings its users have by default, and with the best we found for it.
- An aim compares one of our subjects, at its defaults, with the fastest of the rivals named.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """How much faster than the best of some rivals one of our subjects should be.

    Attributes:
        ours: A subject of ours.
        rivals: Of these the fastest counts, round by round.
        times: The rival's seconds divided by ours should be at least this.
    """

    ours: str
    rivals: tuple[str, ...]
    times: float


@dataclass(frozen=True)
class Workload:
    """One workload.

    Attributes:
        texts: Inputs of one measurement.
        server: Width, latency in seconds, latency per text, and `gzip` for zipped answers, `long`
            for numbers of 17 digits.
        mode: `bulk`, `queries` one after the other, or `stream`.
        most_mb: Subject and the peak memory over the start that it should not pass, in MB.
    """

    title: str
    texts: int
    server: tuple[str, ...]
    subjects: tuple[str, ...]
    aims: tuple[Aim, ...] = ()
    rounds: int = 3
    mode: str = "bulk"
    most_mb: tuple[tuple[str, float], ...] = ()


NUMPY = "ours, client, numpy"
LISTS = "ours, client, lists"
ASYNC = "ours, async client, numpy"
LANGCHAIN = "ours, LangChain embed_documents"
LANGCHAIN_ARRAY = "ours, LangChain embed_documents_array"
LLAMA_INDEX = "ours, LlamaIndex get_text_embedding_batch"
OURS = (NUMPY, LISTS, ASYNC, LANGCHAIN, LANGCHAIN_ARRAY, LLAMA_INDEX)
QUERY = "ours, client, one query"
LC_QUERY = "ours, LangChain embed_query"
LI_QUERY = "ours, LlamaIndex get_query_embedding"
STREAM = "ours, client, stream"
FLOATS = "ours, floats, client, numpy"
FLOATS_ASYNC = "ours, floats, async client, numpy"
FLOAT_LISTS = "ours, floats, client, lists"
FLOATS_LANGCHAIN = "ours, floats, LangChain embed_documents"
FLOATS_LLAMA_INDEX = "ours, floats, LlamaIndex get_text_embedding_batch"
NO_EXTRA = ", no extra"
BOTH_FLOATS = (FLOATS, FLOATS + NO_EXTRA)
BOTH_LISTS = (FLOAT_LISTS, FLOAT_LISTS + NO_EXTRA)
BOTH_ASYNC = (FLOATS_ASYNC, FLOATS_ASYNC + NO_EXTRA)

LC = "LangChain OpenAIEmbeddings, default"
LC_BEST = "LangChain OpenAIEmbeddings, best (256)"
LC_GATHERED = "LangChain OpenAIEmbeddings, gathered 128 x 80"
LI = "LlamaIndex OpenAIEmbedding, default"
LI_BEST = "LlamaIndex OpenAIEmbedding, best (512)"
BASETEN_LISTS = ("baseten, default, lists", "baseten, 128 x 8, lists")
BASETEN_NUMPY = ("baseten, default, numpy", "baseten, 128 x 8, numpy")
WIDE_LISTS = ("baseten, default, lists", "baseten, 100 x 100, lists")
WIDE_NUMPY = ("baseten, default, numpy", "baseten, 100 x 100, numpy")
SESSION = "requests.Session, 100 per request"
PAGE = "requests.post, one text per request"
OTHERS = ("openai SDK, 100 per request", "openrouter SDK, floats", "litellm, 100 per request")

RESULT_MB = 100_000 * 1024 * 4 / 2**20

WORKLOADS = {
    "1": Workload(
        "10,000 texts x 1536, no latency", 10_000, ("1536", "0", "0"),
        (*OURS, LC, LC_BEST, LI, LI_BEST, *BASETEN_LISTS, *BASETEN_NUMPY, *OTHERS,
         "openrouter SDK, base64 by hand", SESSION, PAGE),
        (Aim(LANGCHAIN, (LC, LC_BEST), 2.3), Aim(LISTS, BASETEN_LISTS, 1.3),
         Aim(NUMPY, (LC, LC_BEST), 10), Aim(LANGCHAIN_ARRAY, (LC, LC_BEST), 10),
         Aim(NUMPY, BASETEN_NUMPY, 2.5)),
    ),
    "2": Workload(
        "10,000 texts x 1536, 150 ms + 1 ms per text", 10_000, ("1536", "0.15", "0.001"),
        (*OURS, LC, LC_GATHERED, LI, *WIDE_LISTS, *WIDE_NUMPY),
        (Aim(LANGCHAIN, (LC,), 7.5), Aim(LANGCHAIN, (LC_GATHERED,), 1.7), Aim(NUMPY, (LC,), 18),
         Aim(LLAMA_INDEX, (LI,), 14), Aim(LISTS, WIDE_LISTS, 1), Aim(NUMPY, WIDE_NUMPY, 1)),
    ),
    "3": Workload(
        "1,000 single queries x 1536, no latency, p50", 1_000, ("1536", "0", "0"),
        (QUERY, LC_QUERY, LI_QUERY, "LangChain OpenAIEmbeddings, embed_query",
         "LlamaIndex OpenAIEmbedding, get_query_embedding", SESSION, PAGE,
         "baseten, default, numpy", *OTHERS),
        (Aim(QUERY, (SESSION,), 1),
         Aim(LC_QUERY, ("LangChain OpenAIEmbeddings, embed_query",), 1.6),
         Aim(LI_QUERY, ("LlamaIndex OpenAIEmbedding, get_query_embedding",), 1.6)),
        rounds=5, mode="queries",
    ),
    "4": Workload(
        "100,000 texts x 1024, no latency", 100_000, ("1024", "0", "0"),
        (NUMPY, ASYNC, LC, "baseten, default, numpy", "baseten, 128 x 8, numpy"),
        (Aim(NUMPY, (LC,), 12), Aim(NUMPY, BASETEN_NUMPY, 1.7)),
        most_mb=((NUMPY, 1.3 * RESULT_MB + 60), (ASYNC, 1.3 * RESULT_MB + 60)),
    ),
    "4s": Workload(
        "1,000,000 texts x 1024 through `stream`, no latency", 1_000_000, ("1024", "0", "0"),
        (STREAM,), rounds=1, mode="stream", most_mb=((STREAM, 150),),
    ),
    "7": Workload(
        "10,000 texts x 1536, answers in floats, no latency", 10_000, ("1536", "0", "0"),
        (*BOTH_FLOATS, *BOTH_LISTS, *BOTH_ASYNC, *BASETEN_NUMPY, *BASETEN_LISTS,
         "openrouter SDK, floats", SESSION),
        (Aim(FLOATS, BASETEN_NUMPY, 0.8), Aim(FLOATS, BASETEN_NUMPY[:1], 1),
         Aim(FLOAT_LISTS, BASETEN_LISTS, 0.8)),
    ),
    "7f": Workload(
        "10,000 texts x 1536, answers in floats of 17 digits, no latency", 10_000,
        ("1536", "0", "0", "long"), (*BOTH_FLOATS, *BASETEN_NUMPY),
        (Aim(FLOATS, BASETEN_NUMPY, 0.8), Aim(FLOATS, BASETEN_NUMPY[:1], 1)),
    ),
    "7l": Workload(
        "10,000 texts x 1536, answers in floats, 150 ms + 1 ms per text", 10_000,
        ("1536", "0.15", "0.001"), (*BOTH_FLOATS, *BOTH_ASYNC, *WIDE_NUMPY),
    ),
    "7z": Workload(
        "10,000 texts x 1536, answers in gzipped floats, no latency", 10_000,
        ("1536", "0", "0", "gzip"),
        (*BOTH_FLOATS, *BOTH_ASYNC, "openrouter SDK, floats", SESSION),
        (Aim(FLOATS_ASYNC, (FLOATS_ASYNC + NO_EXTRA,), 2),),
    ),
    "7d": Workload(
        "10,000 texts x 1536 to lists, no latency: LlamaIndex beside LangChain", 10_000,
        ("1536", "0", "0"), (LANGCHAIN, LLAMA_INDEX, FLOATS_LANGCHAIN, FLOATS_LLAMA_INDEX),
        (Aim(LLAMA_INDEX, (LANGCHAIN,), 0.8), Aim(FLOATS_LLAMA_INDEX, (FLOATS_LANGCHAIN,), 0.8)),
    ),
}  # fmt: skip
