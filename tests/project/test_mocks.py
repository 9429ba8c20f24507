"""A library that answers in the place of `requests` also answers us, as the README says."""

from __future__ import annotations

import json

import pytest
import responses

from openrouter_embed import BadRequestError, EmbeddingClient

URL = "https://openrouter.ai/api/v1/embeddings"
ANSWER = {"object": "list", "data": [{"index": 0, "embedding": [0.5, 1.0]}], "model": "m"}


def test_responses_answers_every_synchronous_call():
    with responses.RequestsMock() as mock, EmbeddingClient("acme/embed", api_key="k") as client:
        mock.post(URL, json=ANSWER)
        assert client.embed_query("first") == client.embed_query("second") == [0.5, 1.0]
        sent = [json.loads(call.request.body)["input"] for call in mock.calls]
    assert sent == [["first"], ["second"]]


def test_an_error_from_responses_is_one_of_ours():
    client = EmbeddingClient("a/b", api_key="k", max_retries=0)
    with client, responses.RequestsMock() as mock:
        mock.post(URL, status=400, json={"error": {"code": 400, "message": "No such thing"}})
        with pytest.raises(BadRequestError, match="No such thing"):
            client.embed_query("a question")
