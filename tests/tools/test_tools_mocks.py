"""Libraries that answer in the place of the network also answer us; nothing else goes out."""

from __future__ import annotations

import gzip
import inspect
import json
from unittest import mock

import aiohttp
import aioresponses
import httmock
import pytest
import requests_mock
import responses
import vcr
from tools_faces import ALL, ANSWER, ASYNC, KEY, SYNC, URL, VECTOR

from openrouter_embed import BadRequestError, EmbeddingClient, TransportError

sync = pytest.mark.parametrize("embed", SYNC.values(), ids=SYNC.keys())


@sync
def test_requests_mock_answers_every_synchronous_call(embed):
    with requests_mock.Mocker() as mocker:
        mocker.post(URL, json=ANSWER)
        assert embed("first", api_key=KEY) == embed("second", api_key=KEY) == VECTOR
        sent = [call.json()["input"] for call in mocker.request_history]
    assert sent == [["first"], ["second"]]


def test_requests_mock_within_the_life_of_a_client():
    """Its open connections are no way around the mock."""
    with EmbeddingClient("acme/embed", api_key=KEY) as client:
        for _ in range(2):
            with requests_mock.Mocker() as mocker:
                mocker.post(URL, json=ANSWER)
                assert client.embed_query("a text") == VECTOR
                assert mocker.call_count == 1


def test_an_error_from_requests_mock_is_one_of_ours():
    with requests_mock.Mocker() as mocker, EmbeddingClient("a/b", api_key=KEY) as client:
        mocker.post(URL, status_code=400, json={"error": {"code": 400, "message": "No such"}})
        with pytest.raises(BadRequestError, match="No such"):
            client.embed_query("a question")


@sync
def test_httmock_answers_every_synchronous_call(embed):
    seen = []

    @httmock.urlmatch(netloc=r"openrouter\.ai$")
    def answer(url, request):
        seen.append((url.path, json.loads(request.body)["input"]))
        return {"status_code": 200, "content": ANSWER}

    with httmock.HTTMock(answer):
        assert embed("first", api_key=KEY) == VECTOR
    assert seen == [("/api/v1/embeddings", ["first"])]


@sync
def test_responses_answers_every_synchronous_call(embed):
    with responses.RequestsMock() as mocker:
        mocker.post(URL, json=ANSWER)
        assert embed("first", api_key=KEY) == embed("second", api_key=KEY) == VECTOR
        sent = [json.loads(call.request.body)["input"] for call in mocker.calls]
    assert sent == [["first"], ["second"]]


def test_an_error_from_responses_is_one_of_ours():
    with responses.RequestsMock() as mocker, EmbeddingClient("a/b", api_key=KEY) as client:
        mocker.post(URL, status=400, json={"error": {"code": 400, "message": "No such thing"}})
        with pytest.raises(BadRequestError, match="No such thing"):
            client.embed_query("a question")


def test_a_connection_error_from_responses_is_one_of_ours():
    with responses.RequestsMock() as mocker:
        mocker.post(URL, body=ConnectionResetError())
        client = EmbeddingClient("a/b", api_key=KEY, max_retries=0)
        with client, pytest.raises(TransportError) as caught:
            client.embed_query("a question")
    assert caught.value.kind == "reset"


def test_a_compressed_answer_of_a_mock_is_unpacked():
    body = gzip.compress(json.dumps(ANSWER).encode())
    with requests_mock.Mocker() as mocker, EmbeddingClient("a/b", api_key=KEY) as client:
        mocker.post(URL, content=body, headers={"Content-Encoding": "gzip"})
        assert client.embed_query("a text") == VECTOR


def _response(method, url, **options):
    """Since aiohttp 3.14 an answer asks for a writer, of which aioresponses 0.7 knows nothing."""
    wanted = inspect.signature(aiohttp.ClientResponse).parameters
    more = {"stream_writer": mock.Mock(output_size=0)} if "stream_writer" in wanted else {}
    return aiohttp.ClientResponse(method, url, **options, **more)


@pytest.mark.parametrize("embed", ASYNC.values(), ids=ASYNC.keys())
def test_aioresponses_answers_every_asynchronous_call(embed):
    with aioresponses.aioresponses() as mocker:
        mocker.post(URL, payload=ANSWER, response_class=_response)
        assert embed("first", api_key=KEY) == VECTOR
        ((_, calls),) = mocker.requests.items()
    assert [json.loads(call.kwargs["data"])["input"] for call in calls] == [["first"]]


@pytest.mark.parametrize("embed", ALL.values(), ids=ALL.keys())
def test_vcrpy_records_a_call_and_plays_it_back(embed, openrouter_emulator, tmp_path):
    recorder = vcr.VCR(cassette_library_dir=str(tmp_path), match_on=("method", "path", "body"))
    with recorder.use_cassette("call.yaml"):
        recorded = embed("a text")
    with recorder.use_cassette("call.yaml", record_mode="none") as tape:
        assert embed("a text") == recorded
        assert tape.play_count == 1
    assert openrouter_emulator.stats.requests == 1
