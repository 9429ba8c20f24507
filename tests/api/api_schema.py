"""The published schema of `POST /embeddings`, as data, and the one place that mends its quirks.

Rules of this file:
- `SPECIFICATION` says what the published OpenAPI document says, quirks included.
- `mend` is the only place that reads it otherwise, and says why.
- What newer documents add stands in `NEWER_PARTS`, `_NEWER_FORMATS`, and among the fields.
"""

from __future__ import annotations

_NAMES = (
    "AI21,AionLabs,Alibaba,Ambient,Amazon Bedrock,Amazon Nova,Anthropic,Arcee AI,AtlasCloud,Avian,"
    "Azure,BaseTen,BytePlus,Black Forest Labs,Cerebras,Chutes,Cirrascale,Clarifai,Cloudflare,"
    "Cohere,Crusoe,DeepInfra,DeepSeek,Featherless,Fireworks,Friendli,GMICloud,Google,"
    "Google AI Studio,Groq,Hyperbolic,Inception,Inceptron,InferenceNet,Infermatic,Inflection,"
    "Liquid,Mara,Mancer 2,Minimax,ModelRun,Mistral,Modular,Moonshot AI,Morph,NCompass,Nebius,"
    "NextBit,Novita,Nvidia,OpenAI,OpenInference,Parasail,Perplexity,Phala,Relace,SambaNova,Seed,"
    "SiliconFlow,Sourceful,StepFun,Stealth,StreamLake,Switchpoint,Together,Upstage,Venice,WandB,"
    "Xiaomi,xAI,Z.AI,FakeProvider"
)


def _values(*words):
    return {"type": "string", "enum": [{"value": word} for word in words]}


def _part(kind, field, payload):
    fields = {"type": _values(kind), field: payload}
    return {"type": "object", "properties": fields, "required": ["type", field]}


def _object(*required, **properties):
    return {"type": "object", "properties": properties, "required": list(required)}


_STRING = {"type": "string"}
_NUMBER = {"type": "number"}
_SWITCH = {"type": ["boolean", "null"]}
_PLACEHOLDER = {"type": "object", "properties": {}}
_HOST = {"oneOf": [_values(*_NAMES.split(",")), _STRING]}
_HOSTS = {"type": ["array", "null"], "items": _HOST}
_CUTOFFS = _object(**{name: {"type": ["number", "null"]} for name in ("p50", "p75", "p90", "p99")})
_PREFERENCE = {"oneOf": [_NUMBER, _CUTOFFS, {"description": "Any type"}]}
_TEXT_PART = _part("text", "text", _STRING)
_IMAGE_PART = _part("image_url", "image_url", _object("url", url=_STRING))
_MEDIA = _object("data", data=_STRING, format=_STRING)
_NEWER_FORMATS = ("mxfp4", "nvfp4", "mxfp8")
NEWER_PARTS = [_part(kind, kind, _MEDIA) for kind in ("input_audio", "input_video", "input_file")]

_PROVIDER = _object(
    allow_fallbacks=_SWITCH,
    require_parameters=_SWITCH,
    data_collection=_values("deny", "allow"),
    zdr=_SWITCH,
    enforce_distillable_text=_SWITCH,
    order=_HOSTS,
    only=_HOSTS,
    ignore=_HOSTS,
    quantizations={
        "type": ["array", "null"],
        "items": _values(
            "int4", "int8", "fp4", "fp6", "fp8", "fp16", "bf16", "fp32", "unknown", *_NEWER_FORMATS
        ),
    },
    sort=_PLACEHOLDER,
    max_price=_object(
        prompt=_STRING,
        completion=_PLACEHOLDER,
        image=_PLACEHOLDER,
        audio=_PLACEHOLDER,
        request=_PLACEHOLDER,
    ),
    preferred_min_throughput=_PREFERENCE,
    preferred_max_latency=_PREFERENCE,
    options=_PLACEHOLDER,
)  # fmt: skip

_INPUT = {
    "oneOf": [
        _STRING,
        {"type": "array", "items": _STRING},
        {"type": "array", "items": _NUMBER},
        {"type": "array", "items": {"type": "array", "items": _NUMBER}},
        {
            "type": "array",
            "items": _object(
                "content", content={"type": "array", "items": {"oneOf": [_TEXT_PART, _IMAGE_PART]}}
            ),
        },
    ]
}

SPECIFICATION = {
    "request": _object(
        "input",
        "model",
        input=_INPUT,
        model=_STRING,
        encoding_format=_values("float", "base64"),
        dimensions={"type": "integer"},
        user=_STRING,
        provider=_PROVIDER,
        input_type=_STRING,
        session_id={"type": "string", "maxLength": 256},
        trace=_PLACEHOLDER,
    ),
    "response": _object(
        "object",
        "data",
        "model",
        id=_STRING,
        object=_values("list"),
        data={
            "type": "array",
            "items": _object(
                "object",
                "embedding",
                object=_values("embedding"),
                embedding={"oneOf": [{"type": "array", "items": _NUMBER}, _STRING]},
                index=_NUMBER,
            ),
        },
        model=_STRING,
        usage=_object(
            "prompt_tokens",
            "total_tokens",
            prompt_tokens=_NUMBER,
            total_tokens=_NUMBER,
            cost=_NUMBER,
        ),
    ),
    "statuses": (200, 400, 401, 402, 404, 429, 500, 502, 503),
}


def mend(schema):
    """Read a published schema as it is meant.

    - `enum: [{value: x}]` lists objects where the values themselves are meant.
    - `oneOf` with overlapping branches (an empty array is of every kind; a host's name is also a
      string) would refuse what fits twice: it is meant as `anyOf`.
    - An object without properties stands for something the generator could not express.
    - Parts of newer documents join the two that the older one knows.
    - Unknown keys are refused, so that a misspelt field cannot pass unseen.
    """
    if isinstance(schema, list):
        return [mend(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema == _PLACEHOLDER:
        return {}
    mended = {
        key: {name: mend(field) for name, field in value.items()}
        if key == "properties"
        else mend(value)
        for key, value in schema.items()
    }
    if "enum" in mended:
        mended["enum"] = [item["value"] for item in schema["enum"]]
    if "oneOf" in mended:
        mended["anyOf"] = mended.pop("oneOf")
        if schema["oneOf"] == [_TEXT_PART, _IMAGE_PART]:
            mended["anyOf"] += mend(NEWER_PARTS)
    if "properties" in mended:
        mended["additionalProperties"] = False
    return mended


REQUEST = mend(SPECIFICATION["request"])
RESPONSE = mend(SPECIFICATION["response"])
