"""What an answer says besides its vectors: usage, cost, hosts, names, ids, remarks, errors."""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
import pytest
from api_faces import SMALL

from openrouter_embed import (
    APIError,
    AuthenticationError,
    BadRequestError,
    EmbeddingError,
    InsufficientCreditsError,
    MultipleProvidersWarning,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    Usage,
)

QWEN = "qwen/qwen3-embedding-8b"


def answer(body, **changes):
    """A 200 with one small vector per input, and these fields changed."""
    count = len(body["input"])
    data = [{"embedding": [1.0, 2.0], "index": at} for at in range(count)]
    fields = {"object": "list", "data": data, "model": "up/stream", **changes}
    return 200, {}, json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


@pytest.fixture
def scripted(emulate, face):
    """Make a client whose every answer a function writes; closed afterwards."""
    made = []

    def make(script, model=SMALL, **options):
        em = emulate(faults=script)
        made.append(face.make(model, api_key="k", base_url=em.base_url, **options))
        made[-1].em = em
        return made[-1]

    yield make
    for one in made:
        one.close()


# ------------------------------------------------------------------ usage


def test_usage_sums_what_the_requests_report(make, em):
    result = make(max_batch_inputs=2).embed(["one", "two", "three", "four", "one"])
    stats = em.stats
    assert result.usage == Usage(
        prompt_tokens=stats.tokens,
        total_tokens=stats.tokens,
        cost=pytest.approx(stats.cost),
        requests=2,
        inputs=4,
    )
    assert stats.cost > 0


def test_the_clients_usage_sums_its_calls(make):
    client = make()
    total = client.embed(["a"]).usage + client.embed(["b", "c"]).usage
    assert client.usage == total
    assert client.usage.requests == 2


def test_a_free_models_cost_is_zero_and_not_unknown(make):
    assert make("nvidia/nemotron-3-embed-1b:free").embed(["a"]).usage.cost == 0


UNREPORTED = {
    "no usage": None,
    "no cost": {"prompt_tokens": 3, "total_tokens": 3},
    "an absurd cost": {"prompt_tokens": 3, "total_tokens": 3, "cost": -1},
    "a cost of another type": {"prompt_tokens": 3, "total_tokens": 3, "cost": "0.1"},
}


@pytest.mark.parametrize("form", UNREPORTED)
def test_a_cost_that_was_not_reported_is_none_and_not_zero(scripted, form):
    result = scripted(lambda _, body: answer(body, usage=UNREPORTED[form])).embed(["a"])
    assert result.usage.cost is None
    assert result.usage.prompt_tokens == (0 if form == "no usage" else 3)


def test_costs_that_were_reported_are_summed_though_others_were_not(scripted):
    def sometimes(number, body):
        cost = {"cost": 0.5} if number == 1 else {}
        return answer(body, usage={"prompt_tokens": 1, "total_tokens": 1, **cost})

    client = scripted(sometimes)
    client.embed(["a"])
    client.embed(["b"])
    assert client.usage.cost == 0.5
    assert client.usage.total_tokens == 2


def test_small_costs_in_exponent_form_are_read(scripted):
    usage = '"usage":{"prompt_tokens":1,"total_tokens":1,"cost":8e-07}'
    raw = f'{{"data":[{{"embedding":[1],"index":0}}],"model":"m",{usage}}}'.encode()
    assert scripted(lambda *_: (200, {}, raw)).embed(["a"]).usage.cost == 8e-7


# ------------------------------------------------------------------ origin


def test_the_answer_names_the_upstreams_model_the_host_and_its_id(make):
    result = make(QWEN).embed(["a"])
    assert result.upstream_model == "Qwen/Qwen3-Embedding-8B"
    assert result.providers == ("Nebius",)
    (answer_id,) = result.request_ids
    assert re.fullmatch(r"gen-emb-\d+-\w{20}", answer_id)


def test_every_requests_id_is_kept(make):
    assert len(set(make(max_batch_inputs=1).embed(["a", "b", "c"]).request_ids)) == 3


def test_what_an_answer_does_not_name_stays_empty(scripted):
    result = scripted(lambda _, body: answer(body, model="", id=None)).embed(["a"])
    assert (result.upstream_model, result.providers, result.request_ids) == ("", (), ())


def by_turns(number, body):
    only = body.get("provider", {}).get("only")
    return answer(body, provider=only[0] if only else ("One", "Two")[number % 2])


def test_vectors_from_several_hosts_are_warned_of_once(scripted):
    client = scripted(by_turns, max_batch_inputs=1, max_concurrency=1)
    with pytest.warns(MultipleProvidersWarning, match="pin_provider=True"):
        result = client.embed(["a", "b"])
    assert set(result.providers) == {"One", "Two"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.embed(["a", "b"])


def test_a_pinned_client_keeps_to_the_host_that_served_first(scripted):
    client = scripted(by_turns, max_batch_inputs=1, pin_provider=True, provider={"zdr": True})
    assert len(client.embed(["a", "b", "c"]).providers) == 1
    first, *others = (request.body["provider"] for request in client.em.requests)
    assert first == {"zdr": True}
    assert others == [{"zdr": True, "only": ["Two"], "allow_fallbacks": False}] * 2
    client.embed(["d"])
    assert client.em.requests[-1].body["provider"]["only"] == ["Two"]


# ------------------------------------------------------------------ order and remarks


def test_rows_follow_the_index_and_not_the_order_of_the_answer(scripted):
    def backwards(_, body):
        data = [{"embedding": [float(at)], "index": at} for at in range(len(body["input"]))]
        return answer(body, data=data[::-1])

    assert scripted(backwards).embed(["a", "b", "c"]).tolist() == [[0.0], [1.0], [2.0]]


def test_rows_without_an_index_are_flagged(scripted):
    data = [{"embedding": [1.0]}, {"embedding": [2.0]}]
    result = scripted(lambda *_: answer({"input": "ab"}, data=data)).embed(["a", "b", "a"])
    assert result.flags == {"unindexed": (0, 1, 2)}
    assert result.tolist() == [[1.0], [2.0], [1.0]]


def test_rows_of_zeros_are_flagged(scripted):
    data = [{"embedding": [1.0], "index": 0}, {"embedding": [0], "index": 1}]
    result = scripted(lambda *_: answer({"input": "ab"}, data=data)).embed(["a", "b", "b"])
    assert result.flags == {"zero": (1, 2)}


def test_a_vector_of_zeros_is_not_kept_in_the_cache(scripted, tmp_path):
    """It is a fault that may not come again; one that begins with zeros is none."""

    def script(_, body):
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        asked.extend(texts)
        rows = [[0.0] * 9 if text == "b" else [0.0] * 8 + [1.0] for text in texts]
        data = [{"index": at, "embedding": row} for at, row in enumerate(rows)]
        return answer(body, data=data)

    asked = []
    client = scripted(script, cache=tmp_path / "c.sqlite")
    client.embed(["a", "b", "c"])
    asked.clear()
    assert client.embed(["a", "b", "c"]).vectors.sum(axis=1).tolist() == [1.0, 0.0, 1.0]
    assert asked == ["b"]


def test_an_ordinary_answer_has_no_remarks(make):
    assert make().embed(["a", "b"]).flags == {}


def test_a_result_is_a_matrix_that_reads_like_a_list(make):
    result = make(dimensions=4).embed(["a", "b"])
    assert result.vectors.dtype == np.float32
    assert result.vectors.shape == (2, 4)
    assert len(result) == 2
    assert result[0] == result.tolist()[0]
    assert result[-1] == list(result)[1]
    with pytest.raises(IndexError):
        result[2]


# ------------------------------------------------------------------ statuses

STATUSES = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    413: BadRequestError,
    422: BadRequestError,
    418: APIError,
    429: RateLimitError,
    500: ServerError,
    502: ServerError,
    503: ServerError,
    529: ServerError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_error(scripted, status):
    body = b'{"error":{"code":%d,"message":"It said no.","metadata":{"provider_name":"Host"}}}'
    client = scripted(lambda *_: (status, {}, body % status), max_retries=0)
    with pytest.raises(EmbeddingError, match="It said no") as caught:
        client.embed(["a"])
    error = caught.value
    assert type(error) is STATUSES[status]
    assert (error.status, error.http_status, error.provider) == (status, status, "Host")
    assert error.attempts == 1


def test_an_error_inside_a_200_is_that_error(scripted):
    body = b'{"error":{"message":"Insufficient credits","code":402}}'
    with pytest.raises(InsufficientCreditsError) as caught:
        scripted(lambda *_: (200, {}, body)).embed(["a"])
    assert (caught.value.status, caught.value.http_status) == (402, 200)


def refuse_bad(_, body):
    """Refuse a request that holds the one bad input."""
    if "bad" not in body["input"]:
        return None
    error = {"code": 400, "message": "Not this one.", "metadata": {"error_type": "invalid_prompt"}}
    return 400, {}, json.dumps({"error": error}).encode()


TEXTS = [f"text {at}" for at in range(9)] + ["bad"] + [f"more {at}" for at in range(9)]


def test_a_refused_input_is_named_and_the_others_travel_with_the_error(scripted):
    with pytest.raises(BadRequestError, match=r"1 of 19 inputs were refused \(index 9\)") as caught:
        scripted(refuse_bad, dimensions=8).embed(TEXTS)
    result = caught.value.result
    assert list(result.failures) == [9]
    assert result.ok.sum() == 18
    assert np.isnan(result.vectors[9]).all()


def test_a_refused_input_leaves_a_gap_where_results_are_wanted_all_the_same(scripted):
    result = scripted(refuse_bad, dimensions=8).embed(TEXTS, on_error="return")
    assert list(result.failures) == [9]
    assert np.isfinite(result.vectors[result.ok]).all()
    assert len(result[8]) == 8
    for read in (result.tolist, lambda: result[9], lambda: list(result)):
        with pytest.raises(BadRequestError):
            read()


def test_an_error_holds_neither_inputs_nor_the_account(scripted):
    body = b'{"error":{"code":400,"message":"Bad input: my secret text"},"user_id":"user_123"}'
    with pytest.raises(BadRequestError) as caught:
        scripted(lambda *_: (400, {}, body)).embed(["my secret text"])
    assert "user_123" not in repr(vars(caught.value))
    assert "my secret text" not in str(caught.value)


def test_keep_alive_white_space_before_the_json_is_no_trouble(scripted):
    def padded(_, body):
        status, headers, raw = answer(body)
        return status, headers, b"\n         \n" * 9 + raw

    assert len(scripted(padded).embed(["a"])) == 1
