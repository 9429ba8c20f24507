"""What each family of embedding models wants: one table, a row per family.

Rules of this file:
- The table is the only place that knows a model by name. The first row whose pattern matches wins;
  the last row matches everything.
- A row sets a role by `input_type` or by a text prefix, never by both.
- Every row names its source and how sure we are: `recorded` (seen on the live API), `documented`
  (by OpenRouter or the model's maker), `reported` (by users of the live API), `assumed`.
- Limits are what one request is packed to, on the careful side; the server may allow more.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final, Literal

from openrouter_embed.errors import ConfigurationError

Role = Literal["query", "document"]
Confidence = Literal["recorded", "documented", "reported", "assumed"]

ROLES: Final = ("query", "document")
CAREFUL_INPUTS: Final = 64
"""Inputs per request where nobody documents a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """How to talk to one family of models.

    Attributes:
        pattern: Model id with shell wildcards.
        query_input_type: `input_type` sent for queries; `None` sends none.
        document_input_type: The same for documents.
        query_prefix: Text put before a query; may hold `{instruction}`.
        document_prefix: Text put before a document.
        query_instruction: What fills `{instruction}` unless the user sets another.
        dimensions: The width the model answers with when none is asked for, where known.
        allowed_dimensions: Widths that may be asked for: a range, a set, `None` for unknown, and
            an empty set where the model has only its own width.
        max_batch_inputs: Inputs per request.
        max_batch_tokens: Estimated tokens per request.
        max_input_tokens: Tokens of one input that the model reads, where known.
        base64: Whether base64 answers are known to work on every host of the model.
        modalities: What an input may hold.
        normalized: Whether vectors come with unit length, where known.
        source: Where this row was learned.
        confidence: How sure we are of it.
    """

    pattern: str
    query_input_type: str | None = None
    document_input_type: str | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    query_instruction: str | None = None
    dimensions: int | None = None
    allowed_dimensions: range | frozenset[int] | None = None
    max_batch_inputs: int = CAREFUL_INPUTS
    max_batch_tokens: int = 100_000
    max_input_tokens: int | None = None
    base64: bool = False
    modalities: frozenset[str] = frozenset({"text"})
    normalized: bool | None = True
    source: str
    confidence: Confidence

    def __post_init__(self) -> None:
        by_type = self.query_input_type or self.document_input_type
        by_prefix = self.query_prefix or self.document_prefix
        if by_type and by_prefix:
            raise ConfigurationError(
                f"The profile for `{self.pattern}` sets roles by `input_type` and by prefix: "
                "choose one, a model that gets both applies the role twice."
            )

    def input_type(self, role: Role) -> str | None:
        """Return the `input_type` this family wants for a role."""
        return self.query_input_type if role == "query" else self.document_input_type

    def prefix(self, role: Role) -> str:
        """Return the text this family wants before an input of a role."""
        return self.query_prefix if role == "query" else self.document_prefix


_OWN_WIDTH: Final[frozenset[int]] = frozenset()
_VOYAGE_WIDTHS: Final = frozenset({256, 512, 1024, 2048})
_TEXT_IMAGE: Final = frozenset({"text", "image"})
_WEB_SEARCH: Final = "Given a web search query, retrieve relevant passages that answer the query"
_BGE_QUERY: Final = "Represent this sentence for searching relevant passages: "

PROFILES: Final[tuple[ModelProfile, ...]] = (
    ModelProfile(
        pattern="*text-embedding-3-small",
        dimensions=1536,
        allowed_dimensions=range(1, 1537),
        max_batch_inputs=2048,
        max_batch_tokens=250_000,
        max_input_tokens=8192,
        base64=True,
        source="live answers at 8, 256, 768 and 1536; OpenAI's limits of 2,048 inputs, 300k tokens",
        confidence="recorded",
    ),
    ModelProfile(
        pattern="*text-embedding-3-large",
        dimensions=3072,
        allowed_dimensions=range(1, 3073),
        max_batch_inputs=2048,
        max_batch_tokens=250_000,
        max_input_tokens=8192,
        base64=True,
        source="OpenAI's documentation",
        confidence="documented",
    ),
    ModelProfile(
        pattern="*text-embedding-ada-002*",
        dimensions=1536,
        allowed_dimensions=_OWN_WIDTH,
        max_batch_inputs=2048,
        max_batch_tokens=250_000,
        max_input_tokens=8192,
        base64=True,
        source="live answers; OpenAI's documentation",
        confidence="recorded",
    ),
    ModelProfile(
        pattern="google/gemini-embedding-001",
        query_input_type="search_query",
        document_input_type="search_document",
        dimensions=3072,
        allowed_dimensions=range(128, 3073),
        max_batch_inputs=100,
        max_batch_tokens=20_000,
        max_input_tokens=2048,
        normalized=None,
        source="a probe of the live API (roles change vectors); Google's limit of 100 inputs; "
        "normalised only at 3,072",
        confidence="reported",
    ),
    ModelProfile(
        pattern="google/gemini-embedding-2*",
        query_input_type="search_query",
        document_input_type="search_document",
        dimensions=3072,
        allowed_dimensions=range(128, 3073),
        max_batch_inputs=100,
        max_batch_tokens=60_000,
        max_input_tokens=8192,
        modalities=frozenset({"text", "image", "audio", "video", "file"}),
        source="a probe of the live API (roles change vectors); OpenRouter's listing",
        confidence="reported",
    ),
    ModelProfile(
        pattern="voyageai/voyage-multimodal*",
        query_input_type="query",
        document_input_type="document",
        dimensions=1024,
        allowed_dimensions=_VOYAGE_WIDTHS,
        max_batch_inputs=256,
        max_batch_tokens=100_000,
        max_input_tokens=32_000,
        modalities=_TEXT_IMAGE,
        source="Voyage's documentation",
        confidence="documented",
    ),
    ModelProfile(
        pattern="voyageai/*",
        query_input_type="query",
        document_input_type="document",
        dimensions=1024,
        allowed_dimensions=_VOYAGE_WIDTHS,
        max_batch_inputs=1000,
        max_batch_tokens=100_000,
        max_input_tokens=32_000,
        source="Voyage's documentation (1,000 inputs; 120k tokens for its large and code models)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="nvidia/*-vl-*",
        query_input_type="query",
        document_input_type="passage",
        dimensions=2048,
        max_input_tokens=131_072,
        modalities=_TEXT_IMAGE,
        source="live answers (2,048 wide, images); NVIDIA's model card",
        confidence="recorded",
    ),
    ModelProfile(
        pattern="nvidia/*",
        query_input_type="query",
        document_input_type="passage",
        dimensions=2048,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=32_768,
        source="NVIDIA's model card; a probe of the live API (roles change vectors)",
        confidence="reported",
    ),
    ModelProfile(
        pattern="qwen/qwen3-embedding-8b",
        query_prefix="Instruct: {instruction}\nQuery:",
        query_instruction=_WEB_SEARCH,
        dimensions=4096,
        max_input_tokens=32_768,
        source="Qwen's model card (no space after `Query:`)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="qwen/qwen3-embedding-4b",
        query_prefix="Instruct: {instruction}\nQuery:",
        query_instruction=_WEB_SEARCH,
        dimensions=2560,
        max_input_tokens=32_768,
        source="Qwen's model card (no space after `Query:`)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="qwen/*embedding*",
        query_prefix="Instruct: {instruction}\nQuery:",
        query_instruction=_WEB_SEARCH,
        max_input_tokens=32_768,
        source="Qwen's model card, for sizes not listed today",
        confidence="assumed",
    ),
    ModelProfile(
        pattern="mistralai/mistral-embed*",
        dimensions=1024,
        allowed_dimensions=_OWN_WIDTH,
        max_batch_tokens=16_000,
        max_input_tokens=8192,
        source="Mistral's documentation",
        confidence="documented",
    ),
    ModelProfile(
        pattern="mistralai/codestral-embed*",
        dimensions=1536,
        max_batch_tokens=16_000,
        max_input_tokens=8192,
        source="Mistral's documentation",
        confidence="documented",
    ),
    ModelProfile(
        pattern="mistralai/*",
        max_batch_tokens=16_000,
        source="Mistral's documentation, for models not listed today",
        confidence="assumed",
    ),
    ModelProfile(
        pattern="perplexity/pplx-embed-v1-0.6b",
        dimensions=1024,
        max_input_tokens=32_000,
        normalized=False,
        source="Perplexity's model card (int8 components, not normalised)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="perplexity/*",
        dimensions=2560,
        max_input_tokens=32_000,
        normalized=False,
        source="Perplexity's model card (int8 components, not normalised)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="liquid/lfm*embedding*",
        query_prefix="query: ",
        document_prefix="document: ",
        dimensions=1024,
        max_input_tokens=512,
        source="Liquid's model card",
        confidence="documented",
    ),
    ModelProfile(
        pattern="baai/bge-m3*",
        dimensions=1024,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=8192,
        source="BAAI's model card",
        confidence="documented",
    ),
    ModelProfile(
        pattern="baai/bge-base-en*",
        query_prefix=_BGE_QUERY,
        dimensions=768,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="BAAI's documentation of bge v1.5",
        confidence="documented",
    ),
    ModelProfile(
        pattern="baai/bge-large-en*",
        query_prefix=_BGE_QUERY,
        dimensions=1024,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="BAAI's documentation of bge v1.5",
        confidence="documented",
    ),
    ModelProfile(
        pattern="intfloat/*e5-base*",
        query_prefix="query: ",
        document_prefix="passage: ",
        dimensions=768,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="E5's evaluation code",
        confidence="documented",
    ),
    ModelProfile(
        pattern="intfloat/*e5*",
        query_prefix="query: ",
        document_prefix="passage: ",
        dimensions=1024,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="E5's evaluation code",
        confidence="documented",
    ),
    ModelProfile(
        pattern="thenlper/gte-base*",
        dimensions=768,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="GTE's model card",
        confidence="documented",
    ),
    ModelProfile(
        pattern="thenlper/gte-large*",
        dimensions=1024,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        source="GTE's model card",
        confidence="documented",
    ),
    ModelProfile(
        pattern="sentence-transformers/*minilm*",
        dimensions=384,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=256,
        source="the model cards (256 tokens natively, though listed with 512)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="sentence-transformers/*-dot-*",
        dimensions=768,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=512,
        normalized=False,
        source="the model card (made for dot products, not normalised)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="sentence-transformers/*mpnet*",
        dimensions=768,
        allowed_dimensions=_OWN_WIDTH,
        max_input_tokens=384,
        source="the model cards (384 tokens natively, though listed with 512)",
        confidence="documented",
    ),
    ModelProfile(
        pattern="*",
        query_input_type="search_query",
        document_input_type="search_document",
        normalized=None,
        source="OpenRouter's documentation of `input_type`, for models not in this table",
        confidence="assumed",
    ),
)


KNOWN_MODELS: Final = (
    "baai/bge-base-en-v1.5",
    "baai/bge-large-en-v1.5",
    "baai/bge-m3",
    "google/gemini-embedding-001",
    "google/gemini-embedding-2",
    "google/gemini-embedding-2-preview",
    "intfloat/e5-base-v2",
    "intfloat/e5-large-v2",
    "intfloat/multilingual-e5-large",
    "liquid/lfm-2.5-embedding-350m:free",
    "mistralai/codestral-embed-2505",
    "mistralai/mistral-embed-2312",
    "nvidia/llama-nemotron-embed-vl-1b-v2:free",
    "nvidia/nemotron-3-embed-1b:free",
    "openai/text-embedding-3-large",
    "openai/text-embedding-3-small",
    "openai/text-embedding-ada-002",
    "perplexity/pplx-embed-v1-0.6b",
    "perplexity/pplx-embed-v1-4b",
    "qwen/qwen3-embedding-4b",
    "qwen/qwen3-embedding-8b",
    "sentence-transformers/all-minilm-l12-v2",
    "sentence-transformers/all-minilm-l6-v2",
    "sentence-transformers/all-mpnet-base-v2",
    "sentence-transformers/multi-qa-mpnet-base-dot-v1",
    "sentence-transformers/paraphrase-minilm-l6-v2",
    "thenlper/gte-base",
    "thenlper/gte-large",
    "voyageai/voyage-4",
    "voyageai/voyage-4-large",
    "voyageai/voyage-4-lite",
    "voyageai/voyage-code-4",
    "voyageai/voyage-multimodal-3.5",
)
"""Embedding models that OpenRouter listed in autumn 2026; used to suggest names, not to refuse."""

_registered: list[ModelProfile] = []


def register_profile(profile: ModelProfile) -> None:
    """Put a profile of your own before the table's; the last one registered is looked at first.

    It holds for this process: a worker process that unpickles a client must register it, too.
    """
    _registered.insert(0, profile)
    find_profile.cache_clear()


def unregister_profile(profile: ModelProfile) -> None:
    """Take a registered profile back; one that was never registered is ignored."""
    if profile in _registered:
        _registered.remove(profile)
        find_profile.cache_clear()


@lru_cache(maxsize=256)
def find_profile(model: str) -> ModelProfile:
    """Return the profile of a model id; ids are compared without regard to case.

    A variant suffix such as `:free` is ignored unless a pattern names it.
    """
    whole = model.lower()
    names = (whole, whole.split(":", 1)[0])
    for profile in (*_registered, *PROFILES):
        if any(fnmatchcase(name, profile.pattern) for name in names):
            return profile
    return PROFILES[-1]
