"""What the emulated server knows about its models: one table, nothing else.

Rules of this file:
- A fact about a model lives in its row, never in an ``if`` elsewhere.
- Rows hold plain data, so this module imports nothing heavy.
- Where the live behaviour is unpublished, the comment says "assumption".

This is the SERVER's knowledge. A client must learn widths from replies instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

Role = Literal["query", "document", "neutral"]
Base64 = Literal["honoured", "ignored", "fails"]
Scale = Literal["unit", "native_unit", "int8", "dot"]
Modality = Literal["text", "image", "audio", "video", "file"]

ROLE_WORDS: Mapping[str, Role] = {
    "search_query": "query",
    "query": "query",
    "retrieval_query": "query",
    "search_document": "document",
    "document": "document",
    "passage": "document",
    "retrieval_document": "document",
}


@dataclass(frozen=True)
class Limits:
    """How much one request may carry at one host, and how that host says no."""

    inputs: int = 1024
    tokens: int | None = None
    inputs_message: str = "Value should have at most {limit} items after validation, not {actual}"
    tokens_message: str = "Requested {actual} tokens, max {limit} tokens per request"


@dataclass(frozen=True)
class Host:
    """One provider of a model: the name replies report, its price and its limits."""

    name: str
    usd_per_million: str
    limits: Limits = Limits()

    @property
    def token_price(self) -> Decimal:
        """USD for one input token."""
        return Decimal(self.usd_per_million).scaleb(-6)


@dataclass(frozen=True)
class Roles:
    """How a model tells questions from passages.

    ``input_type``: the request's word changes the vector. ``query_prefix`` and
    ``document_prefix``: the text itself carries the role. ``bare``: the role of a text with
    neither; None means that a bare text suits no role quite.
    """

    input_type: bool = False
    strict_words: bool = False
    query_prefix: str | None = None
    document_prefix: str | None = None
    bare: Role | None = "neutral"


@dataclass(frozen=True)
class Model:
    """One row of the catalogue."""

    id: str
    name: str
    upstream: str
    hosts: tuple[Host, ...]
    context_length: int
    width: int
    dimensions: Container[int] | None = None
    roles: Roles = Roles()
    modalities: tuple[Modality, ...] = ("text",)
    media_tokens: Mapping[Modality, int] = field(default_factory=dict["Modality", int])
    media_usd_per_million: Mapping[Modality, str] = field(default_factory=dict["Modality", str])
    token_arrays: bool = False
    base64: Base64 = "ignored"
    scale: Scale = "unit"
    tokenizer: str = "Other"
    hugging_face_id: str | None = None
    moderated: bool = False

    @property
    def free(self) -> bool:
        """Whether this is a ``:free`` variant."""
        return self.id.endswith(":free")


_OPENAI_LIMITS = Limits(
    inputs=2048,
    tokens=300_000,
    inputs_message=(
        "Invalid 'input': array too long. Expected an array with maximum length {limit}, "
        "but got an array with length {actual} instead."
    ),
)
_GEMINI_LIMITS = Limits(
    inputs=100,
    inputs_message=(
        "* BatchEmbedContentsRequest.requests: at most {limit} requests can be in one batch\n"
    ),
)
_MISTRAL_LIMITS = Limits(  # assumption: the real bound counts tokens and is unpublished
    inputs=1024, inputs_message="Too many inputs in request, split into more batches."
)
_SILICONFLOW_LIMITS = Limits(
    inputs=64, inputs_message="input batch size {actual} > maximum allowed batch size {limit}"
)
_NEBIUS_LIMITS = Limits(inputs=2048)  # assumption: 1,000 inputs are known to work
_PERPLEXITY_LIMITS = Limits(inputs=512)  # assumption


def _voyage_limits(tokens: int) -> Limits:
    return Limits(
        inputs=1000,
        tokens=tokens,
        inputs_message="The batch size limit is {limit}. Your batch size is {actual}.",
        tokens_message=(
            "The max allowed tokens per submitted batch is {limit}. "
            "Your batch has {actual} tokens after truncation."
        ),
    )


_BY_INPUT_TYPE_QUERY = Roles(input_type=True, bare="query")
_BY_INPUT_TYPE_DOCUMENT = Roles(input_type=True, bare="document")
_NVIDIA_ROLES = Roles(input_type=True, strict_words=True, bare="query")
_E5_ROLES = Roles(query_prefix="query: ", document_prefix="passage: ", bare=None)
_LFM_ROLES = Roles(query_prefix="query: ", document_prefix="document: ", bare=None)
_QWEN_ROLES = Roles(query_prefix="Instruct: ", bare="document")
_BGE_ROLES = Roles(
    query_prefix="Represent this sentence for searching relevant passages: ", bare="document"
)

_VOYAGE_WIDTHS = frozenset({256, 512, 1024, 2048})

# OpenAI documents base64, and its own clients ask for it: "honoured" is a safe assumption.
_OPENAI = Model(
    id="openai/text-embedding-3-small",
    name="OpenAI: Text Embedding 3 Small",
    upstream="text-embedding-3-small",
    hosts=(Host("OpenAI", "0.02", _OPENAI_LIMITS),),
    context_length=8192,
    width=1536,
    dimensions=range(1, 1537),
    token_arrays=True,
    base64="honoured",
    tokenizer="GPT",
    moderated=True,
)

_GEMINI = Model(
    id="google/gemini-embedding-2",
    name="Google: Gemini Embedding 2",
    upstream="gemini-embedding-2",
    hosts=(Host("Google AI Studio", "0.20", _GEMINI_LIMITS),),
    context_length=8192,
    width=3072,
    dimensions=range(128, 3073),
    roles=_BY_INPUT_TYPE_QUERY,
    modalities=("text", "image", "file", "audio", "video"),
    media_tokens={"image": 258, "file": 258, "audio": 320, "video": 2580},
    media_usd_per_million={"image": "0.45", "audio": "6.5"},
    base64="fails",
    tokenizer="Gemini",
)

# Voyage's own API offers base64; that the router passes it on is an assumption.
_VOYAGE = Model(
    id="voyageai/voyage-4",
    name="Voyage AI: Voyage 4",
    upstream="voyage-4",
    hosts=(Host("Voyage AI", "0.06", _voyage_limits(320_000)),),
    context_length=32_000,
    width=1024,
    dimensions=_VOYAGE_WIDTHS,
    roles=_BY_INPUT_TYPE_DOCUMENT,
    base64="honoured",
)

# Open-weight hosts run vLLM-like servers, which know base64: an assumption, host by host.
_QWEN = Model(
    id="qwen/qwen3-embedding-8b",
    name="Qwen: Qwen3 Embedding 8B",
    upstream="Qwen/Qwen3-Embedding-8B",
    hosts=(
        Host("Nebius", "0.01", _NEBIUS_LIMITS),
        Host("DeepInfra", "0.01"),
        Host("SiliconFlow", "0.04", _SILICONFLOW_LIMITS),
    ),
    context_length=32_768,
    width=4096,
    dimensions=range(32, 4097),
    roles=_QWEN_ROLES,
    base64="honoured",
    tokenizer="Qwen3",
    hugging_face_id="Qwen/Qwen3-Embedding-8B",
)

_MISTRAL = Model(
    id="mistralai/mistral-embed-2312",
    name="Mistral: Mistral Embed 2312",
    upstream="mistral-embed-2312",
    hosts=(Host("Mistral", "0.10", _MISTRAL_LIMITS),),
    context_length=8192,
    width=1024,
    tokenizer="Mistral",
)

_NVIDIA = Model(
    id="nvidia/llama-nemotron-embed-vl-1b-v2:free",
    name="NVIDIA: Llama Nemotron Embed VL 1B V2 (free)",
    upstream="private/openrouter/nvidia/llama-nemotron-embed-vl-1b-v2",
    hosts=(Host("Nvidia", "0"),),
    context_length=131_072,
    width=2048,
    roles=_NVIDIA_ROLES,
    modalities=("text", "image"),
    media_tokens={"image": 266},
    base64="fails",
    hugging_face_id="nvidia/llama-nemotron-embed-vl-1b-v2",
)

_PERPLEXITY = Model(
    id="perplexity/pplx-embed-v1-0.6b",
    name="Perplexity: Embed V1 0.6B",
    upstream="pplx-embed-v1-0.6b",
    hosts=(Host("Perplexity", "0.004", _PERPLEXITY_LIMITS),),
    context_length=32_000,
    width=1024,
    dimensions=range(128, 1025),
    scale="int8",
    hugging_face_id="perplexity-ai/pplx-embed-v1-0.6b",
)

_LIQUID = Model(
    id="liquid/lfm-2.5-embedding-350m:free",
    name="LiquidAI: LFM2.5 Embedding 350M (free)",
    upstream="liquid/lfm-2.5-embedding-350m",
    hosts=(Host("Liquid", "0"),),
    context_length=512,
    width=1024,
    roles=_LFM_ROLES,
    hugging_face_id="LiquidAI/LFM2.5-Embedding-350M",
)

# That DeepInfra serves the small encoders is an assumption; so is its limit of 1,024 inputs.
_SMALL = Host("DeepInfra", "0.005")
_LARGE = Host("DeepInfra", "0.01")


def _encoder(
    hugging_face_id: str,
    name: str,
    width: int,
    host: Host,
    *,
    roles: Roles | None = None,
    context_length: int = 512,
    scale: Scale = "unit",
) -> Model:
    """One open-weight BERT-like encoder; its id is the Hugging Face id in lower case."""
    return Model(
        id=hugging_face_id.lower(),
        name=name,
        upstream=hugging_face_id,
        hosts=(host,),
        context_length=context_length,
        width=width,
        roles=roles or Roles(),
        scale=scale,
        tokenizer="BERT",
        hugging_face_id=hugging_face_id,
    )


_ROWS: tuple[Model, ...] = (
    _OPENAI,
    replace(
        _OPENAI,
        id="openai/text-embedding-3-large",
        name="OpenAI: Text Embedding 3 Large",
        upstream="text-embedding-3-large",
        hosts=(Host("OpenAI", "0.13", _OPENAI_LIMITS),),
        width=3072,
        dimensions=range(1, 3073),
    ),
    replace(
        _OPENAI,
        id="openai/text-embedding-ada-002",
        name="OpenAI: Text Embedding Ada 002",
        upstream="text-embedding-ada-002-v2",
        hosts=(Host("OpenAI", "0.10", _OPENAI_LIMITS),),
        dimensions=None,
    ),
    replace(
        _GEMINI,
        id="google/gemini-embedding-001",
        name="Google: Gemini Embedding 001",
        upstream="gemini-embedding-001",
        hosts=(Host("Google AI Studio", "0.15", _GEMINI_LIMITS),),
        context_length=20_000,
        modalities=("text",),
        media_tokens={},
        media_usd_per_million={},
        scale="native_unit",  # Google leaves shortened vectors of this model unnormalised
    ),
    _GEMINI,
    replace(
        _GEMINI,
        id="google/gemini-embedding-2-preview",
        name="Google: Gemini Embedding 2 Preview",
        upstream="gemini-embedding-2-preview",
    ),
    _VOYAGE,
    replace(
        _VOYAGE,
        id="voyageai/voyage-4-lite",
        name="Voyage AI: Voyage 4 Lite",
        upstream="voyage-4-lite",
        hosts=(Host("Voyage AI", "0.02", _voyage_limits(1_000_000)),),
    ),
    replace(
        _VOYAGE,
        id="voyageai/voyage-4-large",
        name="Voyage AI: Voyage 4 Large",
        upstream="voyage-4-large",
        hosts=(Host("Voyage AI", "0.12", _voyage_limits(120_000)),),
    ),
    replace(
        _VOYAGE,
        id="voyageai/voyage-code-4",
        name="Voyage AI: Voyage Code 4",
        upstream="voyage-code-4",
        hosts=(Host("Voyage AI", "0.12", _voyage_limits(120_000)),),
    ),
    replace(
        _VOYAGE,
        id="voyageai/voyage-multimodal-3.5",
        name="Voyage AI: Voyage Multimodal 3.5",
        upstream="voyage-multimodal-3.5",
        hosts=(Host("Voyage AI", "0.12", _voyage_limits(320_000)),),
        modalities=("text", "image"),
        media_tokens={"image": 400},
    ),
    _QWEN,
    replace(
        _QWEN,
        id="qwen/qwen3-embedding-4b",
        name="Qwen: Qwen3 Embedding 4B",
        upstream="Qwen/Qwen3-Embedding-4B",
        hosts=(Host("DeepInfra", "0.02"),),
        width=2560,
        dimensions=range(32, 2561),
        hugging_face_id="Qwen/Qwen3-Embedding-4B",
    ),
    _MISTRAL,
    replace(
        _MISTRAL,
        id="mistralai/codestral-embed-2505",
        name="Mistral: Codestral Embed 2505",
        upstream="codestral-embed-2505",
        hosts=(Host("Mistral", "0.15", _MISTRAL_LIMITS),),
        width=1536,
        dimensions=range(1, 3073),
    ),
    _NVIDIA,
    replace(
        _NVIDIA,
        id="nvidia/nemotron-3-embed-1b:free",
        name="NVIDIA: Nemotron 3 Embed 1B (free)",
        upstream="nvidia/nemotron-3-embed-1b",
        context_length=32_768,
        modalities=("text",),
        media_tokens={},
        hugging_face_id="nvidia/nemotron-3-embed-1b",
    ),
    _PERPLEXITY,
    replace(
        _PERPLEXITY,
        id="perplexity/pplx-embed-v1-4b",
        name="Perplexity: Embed V1 4B",
        upstream="pplx-embed-v1-4b",
        hosts=(Host("Perplexity", "0.03", _PERPLEXITY_LIMITS),),
        width=2560,
        dimensions=range(128, 2561),
        hugging_face_id="perplexity-ai/pplx-embed-v1-4b",
    ),
    _LIQUID,
    _encoder("BAAI/bge-m3", "BAAI: bge-m3", 1024, _LARGE, context_length=8194),
    _encoder("BAAI/bge-base-en-v1.5", "BAAI: bge-base-en-v1.5", 768, _SMALL, roles=_BGE_ROLES),
    _encoder("BAAI/bge-large-en-v1.5", "BAAI: bge-large-en-v1.5", 1024, _LARGE, roles=_BGE_ROLES),
    _encoder("intfloat/e5-base-v2", "Intfloat: E5-Base-v2", 768, _SMALL, roles=_E5_ROLES),
    _encoder("intfloat/e5-large-v2", "Intfloat: E5-Large-v2", 1024, _LARGE, roles=_E5_ROLES),
    _encoder(
        "intfloat/multilingual-e5-large",
        "Intfloat: Multilingual-E5-Large",
        1024,
        _LARGE,
        roles=_E5_ROLES,
    ),
    _encoder("thenlper/gte-base", "Thenlper: GTE-Base", 768, _SMALL),
    _encoder("thenlper/gte-large", "Thenlper: GTE-Large", 1024, _LARGE),
    _encoder(
        "sentence-transformers/all-MiniLM-L6-v2",
        "Sentence Transformers: all-MiniLM-L6-v2",
        384,
        _SMALL,
    ),
    _encoder(
        "sentence-transformers/all-MiniLM-L12-v2",
        "Sentence Transformers: all-MiniLM-L12-v2",
        384,
        _SMALL,
    ),
    _encoder(
        "sentence-transformers/paraphrase-MiniLM-L6-v2",
        "Sentence Transformers: paraphrase-MiniLM-L6-v2",
        384,
        _SMALL,
    ),
    _encoder(
        "sentence-transformers/all-mpnet-base-v2",
        "Sentence Transformers: all-mpnet-base-v2",
        768,
        _SMALL,
    ),
    _encoder(
        "sentence-transformers/multi-qa-mpnet-base-dot-v1",
        "Sentence Transformers: multi-qa-mpnet-base-dot-v1",
        768,
        _SMALL,
        scale="dot",
    ),
)

MODELS: Mapping[str, Model] = {row.id: row for row in _ROWS}

_ROUTING_SUFFIXES = (":nitro", ":floor")


def find_model(model_id: str) -> Model | None:
    """The row of a requested id, or None; routing suffixes name the same model.

    The name must carry its author: whether a bare name such as ``text-embedding-ada-002``
    resolves is unknown, and a refusal is the safer thing to meet in a test.
    """
    for suffix in _ROUTING_SUFFIXES:
        model_id = model_id.removesuffix(suffix)
    return MODELS.get(model_id)
