"""Texts that are too long for the model: refused by name, or embedded in parts on request."""

from __future__ import annotations

import numpy as np
import pytest
from api_faces import E5, SMALL

from openrouter_embed import BadRequestError

WORDS = "The quick brown fox jumps over the lazy dog and runs into the deep green forest. "
MINILM = "sentence-transformers/all-minilm-l6-v2"  # 512 tokens at the emulator
LONG = "".join(WORDS.replace("fox", f"fox {at}") for at in range(90))  # some 1,800 tokens


def texts_sent(em):
    return [text for request in em.requests for text in request.body["input"]]


def accepted(em):
    """The parts of `LONG` that were embedded, in their order."""
    return sorted((text for text in texts_sent(em) if len(text) < 2000), key=LONG.index)


def test_a_text_that_is_too_long_is_refused_by_index(make, em):
    client = make(MINILM)
    with pytest.raises(BadRequestError, match=r"1 of 3 inputs were refused \(index 1\)") as caught:
        client.embed(["short", LONG, "other"])
    assert caught.value.result.ok.tolist() == [True, False, True]
    assert "maximum context length" in str(caught.value)


def test_a_text_that_is_too_long_is_split_where_that_was_asked_for(make, em):
    result = make(MINILM, long_input="split").embed(["short", LONG, "other", LONG])
    assert result.ok.all()
    assert result.flags == {"split": (1, 3)}
    assert np.linalg.norm(result.vectors[1]) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(result.vectors[1], result.vectors[3])


def test_the_vector_of_a_split_text_is_the_mean_of_its_parts_by_their_length(make, em):
    client = make(MINILM, long_input="split")
    whole = client.embed([LONG]).vectors[0]
    parts = accepted(em)
    assert "".join(parts) == LONG
    rows = client.embed(parts).vectors.astype(np.float64)
    mean = (rows * [[len(part)] for part in parts]).sum(axis=0)
    assert len({len(part) for part in parts}) > 1
    assert np.allclose(whole, mean / np.linalg.norm(mean), atol=1e-6)


def test_parts_end_at_sentences_where_they_can(make, em):
    make(MINILM, long_input="split").embed([LONG])
    assert all(part.endswith(". ") for part in accepted(em))


def test_parts_that_are_still_too_long_are_split_again(emulate, face):
    """The first guess cannot know the host's own limit; here it is 300 characters."""
    refusal = (
        b'{"error":{"code":400,"message":"This model\'s maximum context length is 64 tokens."'
        b',"metadata":{"error_type":"context_length_exceeded"}}}'
    )
    em = emulate(
        faults=lambda _, body: (400, {}, refusal) if max(map(len, body["input"])) > 300 else None
    )
    client = face.make(SMALL, api_key="k", base_url=em.base_url, long_input="split", dimensions=64)
    result = client.embed([LONG[:2000], "short"])  # cut thrice: it need not matter what comes first
    client.close()
    assert result.ok.all()
    assert result.flags == {"split": (0,)}
    embedded = [text for text in texts_sent(em) if len(text) <= 300 and text != "short"]
    assert "".join(sorted(embedded, key=LONG.index)) == LONG[:2000]


def test_every_part_bears_the_prefix_of_its_role(make, em):
    make(E5, long_input="split").embed([LONG], role="document")
    assert len(texts_sent(em)) > 2
    assert all(text.startswith("passage: ") for text in texts_sent(em))
    bare = [t.removeprefix("passage: ") for t in texts_sent(em)]
    assert "".join(sorted((t for t in bare if len(t) < 2000), key=LONG.index)) == LONG


def test_a_text_that_cannot_be_split_is_refused(emulate, face):
    refusal = b'{"error":{"code":400,"message":"input exceeds the maximum context length"}}'
    em = emulate(faults=lambda *_: (400, {}, refusal))
    client = face.make(SMALL, api_key="k", base_url=em.base_url, long_input="split")
    with pytest.raises(BadRequestError, match="context length"):
        client.embed(["x"])
    client.close()
    assert em.stats.requests == 1


def test_texts_that_fit_are_not_split(make):
    assert make(MINILM, long_input="split").embed([WORDS] * 2).flags == {}


def test_token_ids_that_are_too_many_are_refused_even_so(make):
    with pytest.raises(BadRequestError, match="maximum context length"):
        make(long_input="split").embed([list(range(9000))])


# ---------------------------------------------------------------- cut off


def test_a_text_that_is_too_long_is_cut_off_where_that_was_asked_for(make, em):
    """The beginning that the model reads is embedded as it is, and the row is listed."""
    client = make(MINILM, long_input="truncate")
    result = client.embed(["short", LONG, "other", LONG])
    assert result.ok.all()
    assert result.flags == {"truncated": (1, 3)}
    (kept,) = [text for text in texts_sent(em) if text != LONG and LONG.startswith(text)]
    assert len(kept) > 0.1 * len(LONG)
    assert not kept.endswith(" ")
    assert np.allclose(result.vectors[1], client.embed(kept).vectors[0], atol=1e-6)


def test_what_the_model_reads_is_never_cut(make, em):
    result = make(MINILM, long_input="truncate").embed(["short", "other"])
    assert result.flags == {}
    assert texts_sent(em) == ["short", "other"]


def test_a_text_that_is_still_too_long_is_cut_again_and_shorter(emulate, face):
    refusal = (
        b'{"error":{"code":400,"message":"This model\'s maximum context length is 64 tokens."}}'
    )
    em = emulate(
        faults=lambda _, body: (400, {}, refusal) if max(map(len, body["input"])) > 700 else None
    )
    client = face.make(MINILM, api_key="k", base_url=em.base_url, long_input="truncate")
    result = client.embed([LONG])
    client.close()
    assert result.flags == {"truncated": (0,)}
    lengths = [len(text) for text in texts_sent(em)]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) > 2
    assert 0.6 * 700 < lengths[-1] <= 700


def test_a_stream_cuts_off_too(make):
    (result,) = make(MINILM).stream([LONG], long_input="truncate")
    assert result.flags == {"truncated": (0,)}


def test_a_prefix_stays_before_a_text_that_was_cut_off(make, em):
    make(E5, long_input="truncate").embed([LONG], role="document")
    assert all(text.startswith("passage: The quick") for text in texts_sent(em))


def test_the_refusal_of_a_long_text_names_both_ways_out(make):
    with pytest.raises(BadRequestError, match=r"`long_input='split'`.*`'truncate'`"):
        make(MINILM).embed([LONG])
