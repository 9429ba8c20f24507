"""`rate_limiter`, LlamaIndex's and any other: once per request really sent, with honest tokens."""

from __future__ import annotations

import pytest
from llama_doubles import KEY, SMALL, CountingLimiter, Fake, words
from llama_index.core.storage.kvstore import SimpleKVStore

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import ConfigurationError

TEXTS = [f"text number {i}" for i in range(10)]


class OursLimiter:
    def __init__(self):
        self.asked = []

    def acquire(self, tokens):
        self.asked.append(tokens)

    async def aacquire(self, tokens):
        self.asked.append(tokens)


async def test_every_request_asks_once_and_tells_its_tokens(make, emulator):
    limiter = CountingLimiter()
    embedding = make(rate_limiter=limiter, embed_batch_size=5)
    embedding.get_text_embedding_batch(TEXTS)
    await embedding.aget_text_embedding_batch(TEXTS)
    assert len(limiter.asked) == emulator.stats.requests == 4
    assert all(tokens >= 10 for tokens in limiter.asked)
    await embedding.aclose()


def test_a_retry_asks_again(make, emulate):
    limiter = CountingLimiter()
    refused = (429, {"Retry-After": "0"}, b"{}")
    server = emulate(faults=lambda number, _: refused if number == 1 else None)
    make(server=server, rate_limiter=limiter, max_retries=2).get_text_embedding("x")
    assert len(limiter.asked) == server.stats.requests == 2


async def test_no_request_is_larger_than_a_minutes_tokens(make, emulator):
    limiter = CountingLimiter(tokens_per_minute=20.0)
    embedding = make(rate_limiter=limiter)
    embedding.get_text_embedding_batch(TEXTS)
    await embedding.aget_text_embedding("one far too long text " * 50)
    assert max(limiter.asked) == 20
    assert len(words(emulator.requests[0].body)) < len(TEXTS)
    await embedding.aclose()


def test_a_limiter_may_be_set_and_taken_away_later(make):
    embedding, limiter = make(), CountingLimiter()
    embedding.rate_limiter = limiter
    embedding.get_text_embedding("x")
    embedding.rate_limiter = None
    embedding.get_text_embedding("y")
    assert len(limiter.asked) == 1


async def test_the_clients_own_kind_of_limiter_is_asked_too(make):
    ours, theirs = OursLimiter(), CountingLimiter()
    embedding = make(limiter=ours, rate_limiter=theirs)
    embedding.get_text_embedding("x")
    await embedding.aget_text_embedding("x")
    assert len(ours.asked) == len(theirs.asked) == 2
    await embedding.aclose()


@pytest.mark.parametrize(
    ("option", "wrong", "message"),
    [("rate_limiter", OursLimiter(), "goes into `limiter`"),
     ("limiter", CountingLimiter(), "goes into `rate_limiter`")],
)  # fmt: skip
def test_a_limiter_under_the_wrong_name_is_told_the_right_one(option, wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        OpenRouterEmbedding(SMALL, api_key=KEY, **{option: wrong})


def needs_limiters():
    return pytest.importorskip("llama_index.core.rate_limiter", reason="core has none yet")


def test_bug_token_limits_do_nothing(make):
    limiters = needs_limiters()
    bucket = limiters.TokenBucketRateLimiter(tokens_per_minute=1_000_000)
    full = bucket._token_tokens
    Fake(rate_limiter=bucket).get_text_embedding("many words " * 100)
    assert bucket._token_tokens >= full  # the base class never tells tokens

    make(rate_limiter=bucket).get_text_embedding("many words " * 100)
    assert bucket._token_tokens < full - 100


def test_bug_a_request_above_the_bucket_waits_for_ever(make):
    bucket = needs_limiters().TokenBucketRateLimiter(tokens_per_minute=50)
    assert bucket._wait_time(51) > 0  # whatever refills: it never holds 51
    assert len(make(rate_limiter=bucket).get_text_embedding("many words " * 100)) == 64


async def test_bug_limiter_is_asked_for_cache_hits_or_never(make):
    needs_limiters()
    limiter = CountingLimiter()
    fake = Fake(embeddings_cache=SimpleKVStore(), rate_limiter=limiter)
    for _ in range(3):
        fake.get_text_embedding_batch(["x"])
    assert len(limiter.asked) == 3  # one request, two hits
    await fake.aget_text_embedding_batch(["y"])
    assert len(limiter.asked) == 3  # one request, not asked

    limiter = CountingLimiter()
    embedding = make(embeddings_cache=SimpleKVStore(), rate_limiter=limiter)
    for _ in range(3):
        embedding.get_text_embedding_batch(["x"])
    await embedding.aget_text_embedding_batch(["y"])
    assert len(limiter.asked) == 2
    await embedding.aclose()


def test_bug_images_are_not_limited(make):
    from io import BytesIO

    from llama_doubles import GEMINI, PIXEL, FakeImages

    needs_limiters()
    limiter = CountingLimiter()
    FakeImages(rate_limiter=limiter).get_image_embedding(BytesIO(PIXEL))
    assert limiter.asked == []

    make(GEMINI, rate_limiter=limiter).get_image_embedding(BytesIO(PIXEL))
    assert len(limiter.asked) == 1
