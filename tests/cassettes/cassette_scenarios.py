"""The one table of scenarios: what is called, through what, and what must come of it.

Rules of this file:
- The recorder and every test read this table; a scenario is added here and nowhere else.
- Facts are asserted here, never only in the cassette, and so that they hold for a live recording.
- Small: eight components where the model allows it, one short text where it does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from cassette_faults import answer, first, no_provider, page, refusal, refuse_inputs
from cassette_table import PASSAGE, QUESTION, Call, Check, Scenario, both, call, refused, shaped

from openrouter_embed import errors
from openrouter_embed.inputs import ImageInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SMALL = "openai/text-embedding-3-small"
TINY = {"model": SMALL, "dimensions": 8, "encoding_format": "float"}
GEMINI = {"model": "google/gemini-embedding-2", "dimensions": 128}
QWEN = {"model": "qwen/qwen3-embedding-8b", "dimensions": 32, "encoding_format": "float"}
IMAGE_URL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)

# ---------------------------------------------------------------- inputs

_IMAGE = ImageInput.from_url(IMAGE_URL)


def _paid(outcomes: Sequence[Any]) -> None:
    (result,) = outcomes
    usage = result.usage
    assert usage.prompt_tokens > 0
    assert usage.total_tokens >= usage.prompt_tokens
    assert usage.cost is not None
    assert 0 < usage.cost < 1e-4
    assert usage.requests == 1


def _told(outcomes: Sequence[Any]) -> None:
    (result,) = outcomes
    assert (
        result.upstream_model == "text-embedding-3-small"
    )  # the upstream's name, not the id asked for
    assert result.providers
    assert all(one.startswith("gen-emb-") for one in result.request_ids)
    assert len(result.request_ids) == 1


INPUTS = (
    Scenario(
        "inputs/string",
        "One string, and all that an answer says besides its vector.",
        TINY,
        (call("embed", PASSAGE),),
        both(shaped((1, 8)), _paid, _told),
    ),
    Scenario(
        "inputs/strings",
        "Several strings go in one request and come back in order.",
        TINY,
        (call("embed", ["first text", "second text", "third text"]),),
        both(shaped((3, 8)), _paid),
    ),
    Scenario(
        "inputs/unicode",
        "Text travels as UTF-8, with only what JSON must escape escaped.",
        TINY,
        (
            call(
                "embed", ["naïve café", "日本語", "🦜🔗", 'tab\t "quoted" \\ line\nbreak \x7f\x01']
            ),
        ),
        shaped((4, 8)),
    ),
    Scenario(
        "inputs/duplicates",
        "Equal texts are sent and paid for once.",
        TINY,
        (call("embed", ["same", "other", "same", "same"]),),
        shaped((4, 8)),
        rows=(0, 1, 0, 0),
    ),
    Scenario(
        "inputs/batches",
        "More texts than one request may hold go in several.",
        {**TINY, "max_batch_inputs": 2},
        (call("embed", ["one", "two", "three", "four", "five"]),),
        shaped((5, 8)),
    ),
    Scenario(
        "inputs/empty_as_zeros",
        "Empty texts are not sent; their rows are zeros because the caller asked for that.",
        {**TINY, "empty": "zeros"},
        (call("embed", ["first text", ""]),),
        both(
            shaped((2, 8), norm=None),
            lambda outcomes: np.testing.assert_array_equal(outcomes[0].vectors[1], np.zeros(8)),
        ),
        rows=(0,),
    ),
    Scenario(
        "inputs/token_array",
        "One list of token ids is one input.",
        TINY,
        (call("embed", [15339, 1917]),),
        shaped((1, 8)),
    ),
    Scenario(
        "inputs/token_arrays",
        "Lists of token ids, one input each.",
        TINY,
        (call("embed", [[15339, 1917], [9906]]),),
        shaped((2, 8)),
    ),
    Scenario(
        "inputs/image",
        "An image alone.",
        GEMINI,
        (call("embed", _IMAGE, role="document"),),
        shaped((1, 128)),
    ),
    Scenario(
        "inputs/text_and_image",
        "A text and an image as one joint input: one vector.",
        GEMINI,
        (call("embed", [["a blue dot", _IMAGE]], role="document"),),
        shaped((1, 128)),
    ),
    Scenario(
        "inputs/mixed",
        "Texts, an image and a joint input in one list: requests are homogeneous, order is kept.",
        GEMINI,
        (call("embed", ["a text", _IMAGE, "another", ["a dot", _IMAGE]], role="document"),),
        shaped((4, 128)),
        rows=(0, 2, 1, 3),
    ),
)

# ---------------------------------------------------------------- roles


def _role(
    name: str, shows: str, width: int, *, norm: float | None = 1.0, **options: Any
) -> Scenario:
    return Scenario(
        f"roles/{name}",
        shows,
        options,
        (call("embed_query", QUESTION), call("embed_documents", [PASSAGE])),
        both(shaped((width,), (1, width), norm=norm)),
    )


ROLES = (
    _role("openai", "OpenAI's models know no roles: nothing is sent or added.", 8, **TINY),
    _role(
        "voyage",
        "Voyage: input_type query and document.",
        256,
        model="voyageai/voyage-4",
        dimensions=256,
        encoding_format="float",
    ),
    _role(
        "nvidia",
        "NVIDIA: input_type query and passage.",
        2048,
        model="nvidia/nemotron-3-embed-1b:free",
    ),
    _role("gemini", "Gemini: input_type search_query and search_document.", 128, **GEMINI),
    _role(
        "e5",
        "E5: the prefixes query: and passage:, no input_type.",
        768,
        model="intfloat/e5-base-v2",
    ),
    _role("qwen", "Qwen: queries carry an instruction, documents nothing.", 32, **QWEN),
    _role(
        "bge",
        "BGE: queries carry a prefix, documents nothing.",
        768,
        model="baai/bge-base-en-v1.5",
    ),
    _role(
        "liquid",
        "LFM: the prefixes query: and document:.",
        1024,
        model="liquid/lfm-2.5-embedding-350m:free",
    ),
    Scenario(
        "roles/unknown_model",
        "A model nobody knows gets the API's own words: search_query and search_document.",
        {"model": "acme/embed-1"},
        (call("embed_query", QUESTION), call("embed_documents", [PASSAGE])),
        shaped((8,), (1, 8)),
        faults=answer(8),
        live=False,
    ),
    Scenario(
        "roles/none",
        "Without a role nothing is sent or added, even for a model that has roles.",
        {"model": "intfloat/e5-base-v2"},
        (call("embed", [PASSAGE]),),
        shaped((1, 768)),
    ),
    Scenario(
        "roles/input_type_verbatim",
        "An input_type given by the caller goes out as it is.",
        {**GEMINI},
        (call("embed", [PASSAGE], input_type="classification"),),
        shaped((1, 128)),
    ),
    Scenario(
        "roles/own_prefixes",
        "The caller's own prefixes and words win over the model's profile.",
        {
            "model": "voyageai/voyage-4",
            "dimensions": 256,
            "encoding_format": "float",
            "query_input_type": None,
            "query_prefix": "Q: ",
            "document_input_type": "search_document",
        },
        (call("embed_query", QUESTION), call("embed_documents", [PASSAGE])),
        shaped((256,), (1, 256)),
    ),
    Scenario(
        "roles/own_instruction",
        "The caller's own instruction fills Qwen's template.",
        {**QWEN, "query_instruction": "Given a bug report, retrieve its cause"},
        (call("embed_query", QUESTION),),
        shaped((32,)),
    ),
)

# ---------------------------------------------------------------- encoding


def _same_numbers(outcomes: Sequence[Any]) -> None:
    floats, packed = outcomes
    # The live service gives slightly different vectors at each call, the emulator equal ones.
    np.testing.assert_allclose(floats.vectors, packed.vectors, atol=5e-3)


ENCODING = (
    Scenario(
        "encoding/float_and_base64",
        "The same text as floats and as base64 gives the same numbers.",
        {"model": SMALL, "dimensions": 8},
        (
            call("embed", [PASSAGE], encoding_format="float"),
            call("embed", [PASSAGE], encoding_format="base64"),
        ),
        both(shaped((1, 8), (1, 8)), _same_numbers),
    ),
    Scenario(
        "encoding/auto_asks_for_base64",
        "A model known to be good at it is asked for base64.",
        {"model": SMALL, "dimensions": 8},
        (call("embed", [PASSAGE]),),
        shaped((1, 8)),
    ),
    Scenario(
        "encoding/auto_asks_for_floats",
        "A model not known to be good at base64 is asked for floats.",
        {"model": "sentence-transformers/all-minilm-l6-v2"},
        (call("embed", [PASSAGE]),),
        shaped((1, 384)),
    ),
    Scenario(
        "encoding/base64_ignored",
        "A host that was asked for base64 and sends floats all the same is understood.",
        {"model": "sentence-transformers/all-minilm-l6-v2", "encoding_format": "base64"},
        (call("embed", [PASSAGE]),),
        shaped((1, 384)),
    ),
    Scenario(
        "encoding/base64_fails_over_to_floats",
        "A host that fails at base64, inside HTTP 200, is asked for floats from then on.",
        {"model": SMALL, "dimensions": 8},
        (call("embed", ["first text"]), call("embed", ["second text"])),
        shaped((1, 8), (1, 8)),
        faults=first(no_provider()),
        live=False,
    ),
)

# ---------------------------------------------------------------- options


def _second_host(outcomes: Sequence[Any]) -> None:
    (result,) = outcomes
    assert result.providers == ("DeepInfra",)


OPTIONS = (
    Scenario(
        "options/dimensions",
        "A width asked for, for all calls and for one.",
        TINY,
        (call("embed", [PASSAGE]), call("embed", [PASSAGE], dimensions=3)),
        shaped((1, 8), (1, 3)),
    ),
    Scenario(
        "options/provider",
        "Provider preferences that pin one host.",
        {**QWEN, "provider": {"order": ["DeepInfra"], "allow_fallbacks": False}},
        (call("embed", [PASSAGE]),),
        both(shaped((1, 32)), _second_host),
    ),
    Scenario(
        "options/provider_all",
        "Every field of the provider preferences, as it goes on the wire.",
        {
            **QWEN,
            "provider": {
                "order": ["Nebius", "DeepInfra"],
                "only": ["Nebius", "DeepInfra"],
                "ignore": ["SiliconFlow"],
                "allow_fallbacks": True,
                "require_parameters": False,
                "data_collection": "deny",
                "zdr": True,
                "enforce_distillable_text": False,
                "quantizations": ["fp8", "bf16"],
                "sort": {"by": "price", "partition": "model"},
                "max_price": {"prompt": 0.5},
                "preferred_min_throughput": {"p50": 10},
                "preferred_max_latency": 2.5,
            },
        },
        (call("embed", [PASSAGE]),),
        shaped((1, 32)),
        live=False,  # no host may satisfy all of it at once
    ),
    Scenario(
        "options/pin_provider",
        "After its first answer a pinned client asks for that host alone.",
        {**QWEN, "pin_provider": True, "max_batch_inputs": 1},
        (call("embed", ["first text", "second text"]),),
        shaped((2, 32)),
    ),
    Scenario(
        "options/user",
        "The end user's id.",
        {**TINY, "user": "reader-42"},
        (call("embed", [PASSAGE]),),
        shaped((1, 8)),
    ),
    Scenario(
        "options/extra_body",
        "A field of the API that has no option here.",
        {**TINY, "extra_body": {"usage": {"include": True}}},
        (call("embed", [PASSAGE]),),
        shaped((1, 8)),
    ),
    Scenario(
        "options/headers",
        "Attribution and a header of the user's own.",
        {
            **TINY,
            "app_url": "https://example.org/reader",
            "app_title": "Reader",
            "app_categories": ["cli-agent", "writing-assistant"],
            "default_headers": {"X-Team": "search"},
        },
        (call("embed", [PASSAGE]),),
        shaped((1, 8)),
    ),
    Scenario(
        "options/every_body_field",
        "Every field of the body at once, in its order.",
        {
            "model": "voyageai/voyage-4",
            "dimensions": 256,
            "encoding_format": "float",
            "user": "reader-42",
            "provider": {"data_collection": "allow"},
            "extra_body": {"usage": {"include": True}},
        },
        (call("embed_query", QUESTION),),
        shaped((256,)),
    ),
    Scenario(
        "options/other_model_for_one_call",
        "One call may use another model.",
        TINY,
        (call("embed", [PASSAGE]), call("embed", [PASSAGE], model="openai/text-embedding-3-large")),
        shaped((1, 8), (1, 8)),
    ),
    Scenario(
        "options/long_input_in_parts",
        "A text that is refused as too long goes again in parts, if the caller wants that.",
        {**TINY, "long_input": "split"},
        (call("embed", ["short", "The first half of it. The second half of it."]),),
        shaped((2, 8), norm=None),
        faults=refuse_inputs(lambda text: len(text) > 30, "context_length_exceeded"),
        live=False,
        rows=None,
    ),
)

# ---------------------------------------------------------------- catalogue


def _listed(outcomes: Sequence[Any]) -> None:
    models = {model.id: model for model in outcomes[0]}
    small, gemini = models[SMALL], models["google/gemini-embedding-2"]
    assert small.context_length is not None
    assert small.context_length >= 8000
    assert small.price is not None
    assert math.isclose(small.price, 2e-8, rel_tol=0.9)
    assert small.modalities == ("text",)
    assert "image" in gemini.modalities


def _key_told(outcomes: Sequence[Any]) -> None:
    (info,) = outcomes
    assert info.usage is not None
    assert info.usage >= 0
    assert info.is_free_tier is not None
    assert info.label.startswith("sk-or-")


def _estimated(outcomes: Sequence[Any]) -> None:
    (estimate,) = outcomes
    assert estimate.inputs == 2
    assert 4 <= estimate.tokens <= 12
    assert estimate.cost is not None
    assert 0 < estimate.cost < 1e-5


CATALOGUE = (
    Scenario(
        "catalogue/models",
        "The listing of embedding models, cut down to three of them.",
        TINY,
        (call("models"),),
        _listed,
    ),
    Scenario(
        "catalogue/key",
        "What a key has left, with figures that are nobody's.",
        TINY,
        (call("check"),),
        _key_told,
    ),
    Scenario(
        "catalogue/key_refused",
        "A wrong key is found out by the check.",
        TINY,
        (call("check", raises=errors.AuthenticationError),),
        refused(401),
        right_key=False,
    ),
    Scenario(
        "catalogue/estimate",
        "An estimate reads prices and sends no input.",
        TINY,
        (call("estimate", ["first text", "second text"]),),
        _estimated,
    ),
    Scenario(
        "catalogue/spending_limit",
        "A client with a spending limit reads the prices first, once.",
        {**TINY, "max_cost": 0.001},
        (call("embed", ["first text"]), call("embed", ["second text"])),
        shaped((1, 8), (1, 8)),
    ),
)

# ---------------------------------------------------------------- errors


def _error(
    name: str,
    shows: str,
    error: type[errors.APIError],
    check: Check,
    *faults: Any,
    retries: int = 0,
    **fields: Any,
) -> Scenario:
    options = {**TINY, "max_retries": retries, **fields.pop("options", {})}
    return Scenario(
        f"errors/{name}",
        shows,
        options,
        (call("embed", [PASSAGE], raises=error),),
        check,
        faults=first(*faults),
        live=fields.pop("live", False),
        **fields,
    )


_INPUT_REFUSED = {"error_type": "invalid_prompt", "provider_name": "OpenAI"}
_FLAGGED = {
    "reasons": ["violence"],
    "flagged_input": PASSAGE[:100],
    "provider_name": "OpenAI",
    "model_slug": SMALL,
}
_POOL = {
    "raw": "Slow down, please.",
    "provider_name": "OpenAI",
    "is_byok": False,
    "limit_source": "upstream_provider_shared_pool",
}


def _retried(status: int, fault: Any, error: type[errors.APIError], says: str) -> Scenario:
    """A status that is tried again: the second failure is final."""
    return _error(
        str(status),
        f"{status}, {says}: tried again, then final.",
        error,
        refused(status, attempts=2),
        fault,
        fault,
        retries=1,
    )


ERRORS = (
    _error(
        "400_no_such_model",
        "400 for a model that does not exist; with a retry allowed and none made.",
        errors.BadRequestError,
        refused(400),
        retries=1,
        options={"model": "openai/no-such-model"},
        live=True,
    ),
    _error(
        "400_dimensions",
        "400 for a width the model cannot have.",
        errors.BadRequestError,
        refused(400),
        options={"dimensions": 4096},
        live=True,
    ),
    _error(
        "400_input",
        "400 for what an input holds.",
        errors.BadRequestError,
        refused(400, code="invalid_prompt", provider="OpenAI"),
        refusal(400, "Invalid prompt.", _INPUT_REFUSED),
    ),
    _error(
        "401",
        "401 for a wrong key.",
        errors.AuthenticationError,
        refused(401),
        right_key=False,
        retries=1,
        live=True,
    ),
    _error(
        "402",
        "402 with no credit left: final.",
        errors.InsufficientCreditsError,
        refused(402),
        refusal(402, "Insufficient credits.", {"limit_source": "openrouter_credits"}),
        retries=1,
    ),
    _error(
        "403",
        "403 from moderation, which quotes the input: our message does not.",
        errors.PermissionDeniedError,
        refused(403, provider="OpenAI"),
        refusal(403, "Your input was flagged.", _FLAGGED),
        retries=1,
    ),
    _error(
        "404",
        "404 because no host fits the preferences.",
        errors.NotFoundError,
        refused(404),
        options={"provider": {"only": ["no-such-host"]}},
        retries=1,
        live=True,
    ),
    _retried(408, refusal(408, "Request timed out."), errors.ServerError, "a timeout upstream"),
    _error(
        "413",
        "413 for one input that is too large as it is: final.",
        errors.BadRequestError,
        refused(413, code="payload_too_large"),
        refusal(413, "Request body is too large.", {"error_type": "payload_too_large"}),
        retries=1,
    ),
    _error(
        "422",
        "422: final.",
        errors.BadRequestError,
        refused(422, code="unprocessable"),
        refusal(422, "Unprocessable.", {"error_type": "unprocessable"}),
        retries=1,
    ),
    _retried(
        429,
        refusal(429, "Provider returned error", _POOL),
        errors.RateLimitError,
        "too many requests, without Retry-After",
    ),
    _error(
        "429_retry_after",
        "429 that says how long to wait.",
        errors.RateLimitError,
        refused(429, retry_after=7.0),
        refusal(
            429,
            "Rate limit exceeded",
            {"error_type": "rate_limit_exceeded"},
            {"Retry-After": "7", "X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0"},
        ),
    ),
    _retried(500, refusal(500, "Internal Server Error"), errors.ServerError, "the API failed"),
    _retried(502, page(502, "Bad gateway"), errors.ServerError, "a page of markup in front"),
    _retried(503, refusal(503, "Overloaded"), errors.ServerError, "overloaded"),
    _error(
        "503_retry_after",
        "503 that says how long to wait.",
        errors.ServerError,
        refused(503, retry_after=3.0),
        refusal(503, "Overloaded", None, {"Retry-After": "3"}),
    ),
    _retried(524, page(524, "A timeout occurred"), errors.ServerError, "Cloudflare gave up"),
    _retried(529, refusal(529, "Overloaded"), errors.ServerError, "the host is overloaded"),
    _error(
        "200_with_error",
        "An error inside HTTP 200: its own code is the status.",
        errors.NotFoundError,
        refused(404, http_status=200, attempts=2),
        no_provider(),
        no_provider(),
        retries=1,
    ),
    Scenario(
        "errors/recovery",
        "A 503, a 429 and an error inside HTTP 200, each followed by success.",
        {**TINY, "max_retries": 1},
        (call("embed", ["one"]), call("embed", ["two"]), call("embed", ["three"])),
        shaped((1, 8), (1, 8), (1, 8)),
        faults=first(
            refusal(503, "Overloaded"), None, refusal(429, "Slow down"), None, no_provider()
        ),
        live=False,
    ),
    Scenario(
        "errors/culprit",
        "One refused text among four is found by halves; the others keep their vectors.",
        {**TINY, "max_retries": 0},
        (call("embed", ["one", "two", "bad", "four"], on_error="return"),),
        lambda outcomes: _only_third_failed(outcomes[0]),
        faults=refuse_inputs(lambda text: text == "bad", "content_policy_violation"),
        live=False,
        rows=None,
    ),
)


def _only_third_failed(result: Any) -> None:
    assert sorted(result.failures) == [2]
    assert isinstance(result.failures[2], errors.BadRequestError)
    assert result.ok.tolist() == [True, True, False, True]
    assert np.isfinite(result.vectors[[0, 1, 3]]).all()


# ---------------------------------------------------------------- adapters


def _through(
    face: str, name: str, shows: str, options: Mapping[str, Any], *calls: Call, **rest: Any
) -> Scenario:
    return Scenario(f"{face}/{name}", shows, options, calls, rest.pop("check"), face=face, **rest)


_LLAMA_TINY = {**{k: v for k, v in TINY.items() if k != "model"}, "model_name": SMALL}
_LLAMA_GEMINI = {"model_name": "google/gemini-embedding-2", "dimensions": 128}

LANGCHAIN = (
    _through(
        "langchain",
        "documents",
        "Documents, with nothing set but the model and its width.",
        {"model": SMALL, "dimensions": 8},
        call("embed_documents", ["first text", "second text"]),
        check=shaped((2, 8)),
    ),
    _through(
        "langchain",
        "roles",
        "Queries and documents in their roles; another task if asked for.",
        GEMINI,
        call("embed_query", QUESTION),
        call("embed_documents", [PASSAGE]),
        call("embed_documents", [PASSAGE], input_type="classification"),
        check=shaped((128,), (1, 128), (1, 128)),
    ),
    _through(
        "langchain",
        "array",
        "Documents as one array.",
        TINY,
        call("embed_documents_array", ["first text", "second text"]),
        check=shaped((2, 8)),
    ),
    _through(
        "langchain",
        "image",
        "Images by their URL.",
        GEMINI,
        call("embed_image", [IMAGE_URL]),
        check=shaped((1, 128)),
    ),
    _through(
        "langchain",
        "options",
        "LangChain's own names for options reach the wire.",
        {
            **QWEN,
            "chunk_size": 1,
            "openrouter_provider": {"order": ["DeepInfra"], "allow_fallbacks": False},
            "model_kwargs": {"usage": {"include": True}},
            "user": "reader-42",
            "app_url": "https://example.org/reader",
            "app_title": "Reader",
            "default_headers": {"X-Team": "search"},
            "request_timeout": 20,
        },
        call("embed_documents", ["first text", "second text"]),
        call("embed_documents", ["first text"], dimensions=33),
        check=shaped((2, 32), (1, 33)),
    ),
    _through(
        "langchain",
        "error",
        "A refusal arrives as our error.",
        {**TINY, "model": "openai/no-such-model"},
        call("embed_query", QUESTION, raises=errors.BadRequestError),
        check=refused(400),
    ),
    _through(
        "langchain",
        "recovery",
        "A busy service is asked again, once, by us alone.",
        TINY,
        call("embed_query", QUESTION),
        check=shaped((8,)),
        faults=first(refusal(429, "Slow down")),
        live=False,
    ),
)

LLAMA_INDEX = (
    _through(
        "llama_index",
        "text",
        "Texts, with nothing set but the model and its width.",
        {"model_name": SMALL, "dimensions": 8},
        call("get_text_embedding", PASSAGE),
        check=shaped((8,)),
    ),
    _through(
        "llama_index",
        "batch",
        "A batch of texts, in requests of two.",
        {**_LLAMA_TINY, "embed_batch_size": 2},
        call("get_text_embedding_batch", ["one", "two", "three"]),
        check=shaped((3, 8)),
    ),
    _through(
        "llama_index",
        "roles",
        "Texts and queries in their roles.",
        _LLAMA_GEMINI,
        call("get_text_embedding", PASSAGE),
        call("get_query_embedding", QUESTION),
        check=shaped((128,), (128,)),
    ),
    _through(
        "llama_index",
        "queries",
        "Several queries and their mean.",
        _LLAMA_TINY,
        call("get_agg_embedding_from_queries", ["one question?", "another question?"]),
        check=shaped((8,), norm=None),
        rows=None,
    ),
    _through(
        "llama_index",
        "images",
        "An image alone, and several.",
        _LLAMA_GEMINI,
        call("get_image_embedding", IMAGE_URL),
        call("get_image_embedding_batch", [IMAGE_URL]),
        check=shaped((128,), (1, 128)),
    ),
    _through(
        "llama_index",
        "multimodal",
        "A text and an image as one joint input.",
        _LLAMA_GEMINI,
        call("get_multimodal_embedding", ["a blue dot", _IMAGE]),
        check=shaped((128,)),
    ),
    _through(
        "llama_index",
        "options",
        "LlamaIndex's own names for options reach the wire.",
        {
            "model_name": "qwen/qwen3-embedding-8b",
            "dimensions": 32,
            "encoding_format": "float",
            "provider": {"order": ["DeepInfra"], "allow_fallbacks": False},
            "additional_kwargs": {"usage": {"include": True}},
            "user": "reader-42",
            "app_title": "Reader",
            "default_headers": {"X-Team": "search"},
        },
        call("get_text_embedding", PASSAGE),
        check=shaped((32,)),
    ),
    _through(
        "llama_index",
        "error",
        "A refusal arrives as our error.",
        {**_LLAMA_TINY, "model_name": "openai/no-such-model"},
        call("get_query_embedding", QUESTION, raises=errors.BadRequestError),
        check=refused(400),
    ),
    _through(
        "llama_index",
        "recovery",
        "A busy service is asked again, once, by us alone.",
        _LLAMA_TINY,
        call("get_query_embedding", QUESTION),
        check=shaped((8,)),
        faults=first(refusal(429, "Slow down")),
        live=False,
    ),
)

SCENARIOS: tuple[Scenario, ...] = (
    *INPUTS,
    *ROLES,
    *ENCODING,
    *OPTIONS,
    *CATALOGUE,
    *ERRORS,
    *LANGCHAIN,
    *LLAMA_INDEX,
)
BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}
