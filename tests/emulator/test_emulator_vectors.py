"""What the vectors promise: meaning, roles and usable prefixes."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from emulator_corpus import PASSAGES, QUESTIONS

from openrouter_embed.emulator.catalogue import MODELS
from openrouter_embed.emulator.roles import assign_role
from openrouter_embed.emulator.vectors import Embedder, Item

needs_wordllama = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="wordllama is not installed"
)
BACKENDS = ["hashed", pytest.param("wordllama", marks=needs_wordllama)]
SMALL = "openai/text-embedding-3-small"
VOYAGE = "voyageai/voyage-4"
GEMINI = "google/gemini-embedding-001"
E5 = "intfloat/e5-base-v2"
QWEN = "qwen/qwen3-embedding-8b"
LONG = PASSAGES[0]
QUESTION = QUESTIONS[0]
INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages\nQuery:"


@pytest.fixture(params=BACKENDS)
def embedder(request):
    return Embedder(request.param)


def embed(embedder, model, texts, input_type=None, width=None):
    row = MODELS[model]
    roled = [assign_role(row, text, input_type) for text in texts]
    items = [Item(text.text, role=text.role, fidelity=text.fidelity) for text in roled]
    return embedder.embed(
        items, native=row.width, width=width or row.width, scale=row.scale, norm=row.norm
    )


def reciprocal_rank(questions, passages):
    questions = questions / np.linalg.norm(questions, axis=1, keepdims=True)
    passages = passages / np.linalg.norm(passages, axis=1, keepdims=True)
    scores = questions @ passages.T
    better = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return float(np.mean(1 / (1 + better)))


def cosine(left, right):
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def test_questions_find_their_answers(embedder):
    questions = embed(embedder, SMALL, QUESTIONS)
    passages = embed(embedder, SMALL, PASSAGES)

    assert reciprocal_rank(questions, passages) >= 0.95


@pytest.mark.parametrize("model", [VOYAGE, GEMINI])
def test_right_roles_retrieve_well_and_wrong_roles_measurably_worse(embedder, model):
    right = reciprocal_rank(
        embed(embedder, model, QUESTIONS, "search_query"),
        embed(embedder, model, PASSAGES, "search_document"),
    )
    swapped = reciprocal_rank(
        embed(embedder, model, QUESTIONS, "search_document"),
        embed(embedder, model, PASSAGES, "search_query"),
    )
    omitted = reciprocal_rank(embed(embedder, model, QUESTIONS), embed(embedder, model, PASSAGES))

    assert right >= 0.95
    assert swapped <= right - 0.08
    assert omitted < right


@pytest.mark.parametrize(
    ("model", "query", "document"), [(E5, "query: ", "passage: "), (QWEN, INSTRUCT, "")]
)
def test_a_prefix_model_retrieves_best_with_its_prefixes(embedder, model, query, document):
    def quality(before_question, before_passage):
        return reciprocal_rank(
            embed(embedder, model, [before_question + text for text in QUESTIONS]),
            embed(embedder, model, [before_passage + text for text in PASSAGES]),
        )

    assert quality(query, document) >= 0.95
    assert quality("", "") < quality(query, document)


def test_roles_change_vectors_but_no_ranking(embedder):
    as_query = embed(embedder, VOYAGE, ["bicycle tyre glass"], "query")[0]
    as_document = embed(embedder, VOYAGE, ["bicycle tyre glass"], "document")[0]
    documents = embed(embedder, VOYAGE, PASSAGES, "document")

    assert 0.8 < cosine(as_query, as_document) < 0.9
    np.testing.assert_array_equal(
        np.argsort(documents @ as_query), np.argsort(documents @ as_document)
    )


@pytest.mark.parametrize(("text", "wrong"), [(QUESTION, "document"), (LONG, "query")])
def test_a_text_in_the_wrong_role_moves_far_from_its_clean_vector(text, wrong):
    embedder = Embedder("hashed")
    clean = embedder.embed([Item(text, role=wrong)], native=1024, width=1024)[0]

    wronged = embed(embedder, VOYAGE, [text], wrong)[0]

    assert cosine(clean, wronged) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    ("model", "omission"),
    [(VOYAGE, "document"), (GEMINI, "query"), ("nvidia/nemotron-3-embed-1b:free", "query")],
)
def test_an_omitted_input_type_means_a_role(model, omission):
    assert assign_role(MODELS[model], "short text", None).role == omission


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("search_query", "query"),
        ("RETRIEVAL_QUERY", "query"),
        ("passage", "document"),
        ("RETRIEVAL_DOCUMENT", "document"),
        ("classification", "neutral"),
    ],
)
def test_the_words_for_roles_are_understood(word, role):
    assert assign_role(MODELS[VOYAGE], "short text", word).role == role


def test_a_model_without_roles_ignores_input_type():
    embedder = Embedder("hashed")
    queries = embed(embedder, SMALL, [QUESTION], "search_query")
    documents = embed(embedder, SMALL, [QUESTION], "search_document")

    np.testing.assert_array_equal(queries, documents)


@pytest.mark.parametrize(
    ("model", "text", "stripped", "role"),
    [
        (E5, "query: rust", "rust", "query"),
        (E5, "passage: rust", "rust", "document"),
        (E5, "rust", "rust", "neutral"),
        (QWEN, f"{INSTRUCT}rust", "rust", "query"),
        (QWEN, "rust", "rust", "document"),
        (
            "baai/bge-base-en-v1.5",
            "Represent this sentence for searching relevant passages: rust",
            "rust",
            "query",
        ),
        ("liquid/lfm-2.5-embedding-350m:free", "document: rust", "rust", "document"),
        ("baai/bge-m3", "query: rust", "query: rust", None),
    ],
)
def test_a_prefix_is_stripped_and_sets_the_role(model, text, stripped, role):
    roled = assign_role(MODELS[model], text, None)

    assert (roled.text, roled.role) == (stripped, role)


@pytest.mark.parametrize(
    ("text", "role", "suits"),
    [
        ("Is this a question?", "document", False),
        ("how to bake bread", "document", False),
        ("When the sun sets, birds fall silent.", "document", True),
        ("bread recipes", "query", True),
        (LONG, "document", True),
        (f"Please tell me: {LONG} Is that so?", "query", True),
    ],
)
def test_the_form_of_a_text_tells_which_role_suits_it(text, role, suits):
    assert (assign_role(MODELS[VOYAGE], text, role).fidelity == 1.0) is suits


def test_widening_keeps_every_cosine():
    embedder = Embedder("hashed")
    items = [Item(text) for text in PASSAGES]
    narrow = embedder.embed(items, native=256, width=256)
    expected = narrow @ narrow.T

    for native, width in [(384, 384), (768, 768), (4096, 4096), (1024, 2048), (3072, 512)]:
        wide = embedder.embed(items, native=native, width=width)
        np.testing.assert_allclose(wide @ wide.T, expected, atol=1e-5)


@pytest.mark.parametrize("width", [64, 128, 200, 700])
def test_a_shortened_vector_still_finds_answers(embedder, width):
    questions = embed(embedder, SMALL, QUESTIONS, width=width)
    passages = embed(embedder, SMALL, PASSAGES, width=width)

    assert questions.shape[1] == width
    assert reciprocal_rank(questions, passages) >= 0.85


@pytest.mark.parametrize(
    ("model", "width", "norm"),
    [
        (SMALL, None, 1.0),
        (SMALL, 8, 1.0),
        (GEMINI, None, 1.0),
        (GEMINI, 768, 0.5),
        ("google/gemini-embedding-2", 768, 1.0),
        ("sentence-transformers/multi-qa-mpnet-base-dot-v1", None, 5.92),
        ("sentence-transformers/paraphrase-minilm-l6-v2", None, 6.91),
        ("mistralai/codestral-embed-2505", None, 0.98576),
    ],
)
def test_vectors_have_the_length_their_model_gives_them(model, width, norm):
    rows = embed(Embedder("hashed"), model, PASSAGES, "search_document", width=width)

    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), norm, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "norm"),
    [("perplexity/pplx-embed-v1-4b", 17.88), ("perplexity/pplx-embed-v1-0.6b", 8.34)],
)
def test_a_byte_valued_model_gives_128ths_within_one(model, norm):
    rows = embed(Embedder("hashed"), model, PASSAGES)

    np.testing.assert_array_equal(rows * 128, np.rint(rows * 128))
    assert rows.min() >= -1
    assert rows.max() < 1
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), norm, rtol=0.01)


@pytest.mark.parametrize("text", [" ", "?!", "\U0001f600", "日本語の文章", "a" * 100_000])
def test_any_text_has_a_finite_vector(embedder, text):
    row = embed(embedder, SMALL, [text])[0]

    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)


def test_the_same_text_has_the_same_vector_alone_and_in_a_batch(embedder):
    alone = embed(Embedder(embedder._backend), SMALL, [QUESTIONS[3]])[0]
    batch = embed(embedder, SMALL, [*QUESTIONS, LONG * 20])[3]

    np.testing.assert_allclose(alone, batch, atol=1e-6)


def test_the_hashed_vectors_never_change():
    """Recorded answers would go stale; these numbers were computed once."""
    row = embed(Embedder("hashed"), SMALL, ["The quick brown fox"], width=4)[0]

    np.testing.assert_allclose(row, [0.443897, 0.439323, -0.776643, 0.082322], atol=1e-5)


def test_two_thousand_texts_take_less_than_a_second(embedder):
    import time

    embedder.warm_up()
    texts = [f"{PASSAGES[number % 20]} {number}" for number in range(2000)]

    started = time.process_time()
    embed(embedder, SMALL, texts)

    assert time.process_time() - started < 3.0  # far above the usual half, for busy machines


def test_the_cache_stays_bounded(monkeypatch):
    monkeypatch.setattr("openrouter_embed.emulator.vectors._CACHE_ENTRIES", 10)
    embedder = Embedder("hashed")

    first = embed(embedder, SMALL, PASSAGES)
    again = embed(embedder, SMALL, PASSAGES)

    assert len(embedder._cache) == 10
    np.testing.assert_array_equal(first, again)


@needs_wordllama
def test_the_logging_of_a_program_stays_as_it_set_it_up():
    code = """
import logging
from openrouter_embed.emulator.vectors import Embedder
Embedder("wordllama").warm_up()
assert not logging.root.handlers, logging.root.handlers
assert logging.root.level == logging.WARNING
"""
    subprocess.run([sys.executable, "-c", code], check=True)
