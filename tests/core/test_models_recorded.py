"""The table of models against what the live API answered to one text of two words, model by model.

Rules of this file:
- `RECORDED` holds facts, each read off one answer: width, length of the vector, tokens billed.
- What the table says of these models, and what the emulator does, must agree with them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from openrouter_embed.emulator.catalogue import MODELS
from openrouter_embed.emulator.planning import make_plan
from openrouter_embed.emulator.schema import parse_request
from openrouter_embed.emulator.vectors import Embedder
from openrouter_embed.options.models import PROFILES, find_profile
from openrouter_embed.result import UNIT_TOLERANCE

RECORDED = (
    ("baai/bge-base-en-v1.5", 768, 1.0, 4),
    ("baai/bge-large-en-v1.5", 1024, 1.0, 4),
    ("baai/bge-m3", 1024, 1.0, 4),
    ("google/gemini-embedding-001", 3072, 1.0, 3),
    ("google/gemini-embedding-2-preview", 3072, 1.0, 2),
    ("intfloat/e5-base-v2", 768, 1.0, 4),
    ("intfloat/e5-large-v2", 1024, 1.0, 4),
    ("intfloat/multilingual-e5-large", 1024, 1.0, 4),
    ("mistralai/codestral-embed-2505", 1536, 0.98576, 4),
    ("mistralai/mistral-embed-2312", 1024, 1.0, 4),
    ("nvidia/llama-nemotron-embed-vl-1b-v2:free", 2048, 1.0002, 5),
    ("openai/text-embedding-3-large", 3072, 1.0001, 2),
    ("openai/text-embedding-3-small", 1536, 1.0003, 2),
    ("openai/text-embedding-ada-002", 1536, 1.0, 2),
    ("perplexity/pplx-embed-v1-0.6b", 1024, 8.34, 2),
    ("perplexity/pplx-embed-v1-4b", 2560, 17.88, 2),
    ("qwen/qwen3-embedding-4b", 2560, 1.0, 3),
    ("qwen/qwen3-embedding-8b", 4096, 1.0, 3),
    ("sentence-transformers/all-minilm-l6-v2", 384, 1.0, 4),
    ("sentence-transformers/all-minilm-l12-v2", 384, 1.0, 4),
    ("sentence-transformers/all-mpnet-base-v2", 768, 1.0, 4),
    ("sentence-transformers/multi-qa-mpnet-base-dot-v1", 768, 5.92, 4),
    ("sentence-transformers/paraphrase-minilm-l6-v2", 384, 6.91, 4),
    ("thenlper/gte-base", 768, 1.0, 4),
    ("thenlper/gte-large", 1024, 1.0, 4),
)
"""Model, components, length, tokens billed for "Hello world" (two words)."""

WORDS = 2
every_one = pytest.mark.parametrize(("model", "width", "norm", "tokens"), RECORDED)


@every_one
def test_the_table_agrees_with_the_answer(model, width, norm, tokens):
    profile = find_profile(model)
    assert profile.dimensions == width
    assert WORDS + profile.special_tokens == tokens
    unit = math.isclose(norm, 1.0, abs_tol=UNIT_TOLERANCE)
    # `None` leaves it open: shortened vectors of that model are another matter.
    assert profile.normalized in ((True, None) if unit else (False,))
    assert profile.confidence == "recorded"


@every_one
def test_the_emulator_agrees_with_the_answer(model, width, norm, tokens):
    row = MODELS[model]
    plan = make_plan(parse_request({"model": model, "input": "Hello world"}))
    assert (row.width, plan.tokens) == (width, tokens)
    rows = Embedder("hashed").embed(
        plan.items, native=row.width, width=width, scale=row.scale, norm=row.norm
    )
    assert np.linalg.norm(rows[0]) == pytest.approx(norm, rel=0.01)


def test_a_row_is_recorded_only_if_an_answer_was():
    seen = {find_profile(model).pattern for model, *_ in RECORDED}
    assert seen == {row.pattern for row in PROFILES if row.confidence == "recorded"}
