"""Input texts do not come back in messages, and advice does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_embed.core.advice import SHORTEST, advise, cut_quotations, redact
from openrouter_embed.errors import BadRequestError, ServerError
from openrouter_embed.inputs import Item

SECRET = "my diary: today I bought a yellow submarine"


@pytest.mark.parametrize(
    ("message", "clean"),
    [
        (f"flagged: {SECRET}!", "flagged: [input]!"),
        (f"'{SECRET[:20]}' is bad, '{SECRET[-20:]}' too", "'[input]' is bad, '[input]' too"),
        (SECRET, "[input]"),
        ("the submarine is too long", "the submarine is too long"),
        ("", ""),
    ],
)
def test_a_quotation_is_cut_out_and_the_rest_stays(message, clean):
    assert cut_quotations(message, [SECRET]) == clean


def test_a_short_input_quoted_whole_is_cut_out():
    assert cut_quotations("bad input: hunter2", ["hunter2"]) == "bad input: [input]"


def test_inputs_below_four_characters_are_ordinary_words():
    assert cut_quotations("the cat", ["cat"]) == "the cat"


def test_white_space_does_not_hide_a_quotation():
    text = "first line\n\n   second\tline of it"
    assert cut_quotations("see first line second line of it.", [text]) == "see [input]."


def test_a_quotation_does_not_reach_from_one_input_into_another():
    message = "abcdefghijkl" + "mnopqrstuvwx"
    assert cut_quotations(message, ["....abcdefghijkl", "mnopqrstuvwx...."]) == message


@given(st.lists(st.text("abc xyz", min_size=SHORTEST, max_size=60), min_size=1, max_size=3),
       st.text("abc xyz:", max_size=80))  # fmt: skip
def test_no_long_run_of_any_input_survives(texts, message):
    plain = [" ".join(text.split()) for text in texts]
    clean = cut_quotations(message, texts)
    for piece in clean.split("[input]"):
        runs = {piece[at : at + SHORTEST] for at in range(len(piece) - SHORTEST + 1)}
        assert not any(run in text for run in runs for text in plain)


def test_a_redacted_error_says_the_same_everywhere():
    refusal = BadRequestError(f"no: {SECRET}", status=400)
    redact(refusal, [Item("tokens", (1, 2)), SECRET])
    assert refusal.message == str(refusal) == "no: [input]"
    redact(refusal, [SECRET])
    assert str(refusal) == "no: [input]"


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("message", "status", "advice"),
    [
        ("Unknown input_type", 400, "query_input_type=None"),
        ("Model openai/text-embeding-3-small does not exist", 400,
         "Did you mean `openai/text-embedding-3-small`"),
        ("model zzz not found", 404, "`openrouter-embed models` lists"),
        ("No endpoints found matching your data policy", 404, "`provider` preferences"),
        ("No endpoints found for who/knows-3-small", 404, "The model exists"),
        ("No endpoints found for this", 404, "openai/text-embedding-3-small"),
        ("dimensions are not supported", 400, "Leave `dimensions` out"),
        ("bad encoding_format", 422, "encoding_format='float'"),
        ("The API gave no reason.", 404, "it should end in /api/v1"),
        ("<!DOCTYPE html><html>", 404, "it should end in /api/v1"),
        ("No endpoints found that support image input", 404, "takes no such input"),
        ("maximum context length is 512 tokens", 400, "long_input='split'"),
    ],
)  # fmt: skip
def test_a_refusal_carries_advice(message, status, advice):
    error = BadRequestError(message, status=status)
    model = "zzz" if "zzz" in message else "openai/text-embeding-3-small"
    model = "openai/text-embedding-3-small" if "knows" in message else model
    advise(error, model)
    assert advice in str(error)
    assert str(error) == error.message


@pytest.mark.parametrize("error", [BadRequestError("too long", status=400),
                                   ServerError("dimensions", status=500)])  # fmt: skip
def test_where_there_is_nothing_to_advise_nothing_is_said(error):
    before = str(error)
    advise(error, "m")
    assert str(error) == before
