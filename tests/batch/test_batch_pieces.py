"""Long answers as they come: piece by piece, compressed or not, slowly, or not at all."""

from __future__ import annotations

import gzip
import http.server
import json
import threading
import zlib

import numpy as np
import pytest
from batch_faces import FACES, SMALL

from openrouter_embed import EmbeddingClient
from openrouter_embed.batch import api
from openrouter_embed.batch.record import Batch, Record
from openrouter_embed.core.fetch import Ask, Fetch
from openrouter_embed.core.inflate import ContentError, Inflow
from openrouter_embed.core.wire import Abort, Done, Fault, FaultKind, Reply, Send, Wait
from openrouter_embed.errors import InvalidResponseError, RateLimitError, TransportError
from openrouter_embed.options.settings import Settings

ROWS = 24
KEYS = [api.key_name(at.to_bytes(32, "big")) for at in range(ROWS)]
VECTORS = np.random.default_rng(1).standard_normal((ROWS, 60)).astype(np.float32)


def result(at):
    data = [{"index": 0, "embedding": [float(number) for number in VECTORS[at]]}]
    response = {"status_code": 200, "body": {"data": data}}
    return {"custom_id": api.custom_id(at, KEYS[at]), "response": response, "error": None}


WHOLE = json.dumps(
    {"id": "b", "status": "completed", "usage": None, "results": [result(at) for at in range(ROWS)]}
).encode()


def raw_deflate(data):
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


PACKED = {
    "identity": WHOLE,
    "gzip": gzip.compress(WHOLE),
    "deflate": zlib.compress(WHOLE),
    "raw deflate": raw_deflate(WHOLE),
}


@pytest.fixture
def serve():
    """Serve one answer to every GET."""
    running = []

    def start(body, coding, *, length=None):
        return serving(lambda _: body, coding, length)

    def serving(answer, coding="identity", length=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = answer(self.path)
                self.send_response(404 if body is None else 200)
                body = body or b"{}"
                self.send_header("Content-Encoding", coding)
                self.send_header("Content-Length", str(length or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}/api/v1"

    start.answers = serving
    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=list(FACES))
def collect(request):
    """Collect the batch of `WHOLE` from a server, with a client of either kind."""
    made = []

    def run(base_url):
        client = FACES[request.param](SMALL, api_key="k", base_url=base_url, max_retries=0)
        made.append(client)
        batches = [Batch("b", range(ROWS))]
        record = Record(base_url=base_url, count=ROWS, keys=KEYS, batches=batches)
        return client.batch(record.to_dict()).result()

    yield run
    for client in made:
        client.close()


@pytest.mark.parametrize("coding", PACKED)
def test_results_travel_compressed_or_not(serve, collect, coding):
    found = collect(serve(PACKED[coding], coding.rpartition(" ")[2]))
    np.testing.assert_array_equal(found.vectors, VECTORS)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (PACKED["gzip"][:-20], "gzip"),
        (WHOLE, "gzip"),
        (PACKED["gzip"][:-4], "gzip"),
        (PACKED["gzip"] + b"more", "gzip"),
        (WHOLE, "br"),
    ],
)
def test_what_is_not_what_its_coding_says_is_that_fault_in_both(serve, collect, body, coding):
    with pytest.raises(TransportError) as caught:
        collect(serve(body, coding))
    assert caught.value.kind == "decode"


def test_an_answer_that_is_cut_is_that_fault_in_both(serve, collect):
    with pytest.raises(TransportError) as caught:
        collect(serve(WHOLE[:-900], "identity", length=len(WHOLE)))
    assert caught.value.kind == "truncated"


# ------------------------------------------------------------------ pages

SHOWN = {"id": "b", "status": "completed", "request_counts": {"total": ROWS, "completed": ROWS}}


@pytest.mark.parametrize("results", [{"results": None}, {"results": []}, {}])
def test_results_that_a_batch_does_not_show_are_read_in_pages(serve, collect, results):
    def answer(path):
        if "/results?" not in path:
            return json.dumps({**SHOWN, **results}).encode()
        start = int(path.partition("cursor=a%26")[2] or 0)
        rows = [result(at) for at in range(start, min(start + 10, ROWS))]
        following = f"a&{start + 10}"
        told = {"data": rows, "has_more": start + 10 < ROWS, "next_cursor": following}
        return json.dumps(told).encode()

    found = collect(serve.answers(answer))
    np.testing.assert_array_equal(found.vectors, VECTORS)


def test_where_there_are_no_pages_either_every_result_is_missing(serve, collect):
    def answer(path):
        return None if "/results?" in path else json.dumps(SHOWN).encode()

    with pytest.raises(InvalidResponseError, match="no result") as caught:
        collect(serve.answers(answer))
    assert caught.value.reason == "missing"


@pytest.mark.timeout(20)
def test_pages_that_lead_in_a_circle_end(serve, collect):
    def answer(path):
        if "/results?" not in path:
            return json.dumps(SHOWN).encode()
        following = "b" if path.endswith("cursor=a") else "a"
        return json.dumps({"data": [], "has_more": True, "next_cursor": following}).encode()

    with pytest.raises(InvalidResponseError, match="no result"):
        collect(serve.answers(answer))


def test_ids_alone_are_enough_where_results_come_in_pages(serve):
    def answer(path):
        if "/results?" not in path:
            return json.dumps(SHOWN).encode()
        return json.dumps({"data": [result(at) for at in range(ROWS)]}).encode()

    with EmbeddingClient(SMALL, api_key="k", base_url=serve.answers(answer)) as client:
        np.testing.assert_array_equal(client.batch("b").result().vectors, VECTORS)


# ------------------------------------------------------------------ pieces


class Bucket:
    """A sink that takes everything, up to a number of bytes."""

    def __init__(self, most=10**9):
        self.content = b""
        self.most = most

    @property
    def taken(self):
        return len(self.content)

    def begin(self, status):
        return status == 200

    def feed(self, piece):
        self.content += piece
        return len(self.content) < self.most

    def finish(self):
        return self.content


@pytest.mark.parametrize("size", [1, 70, 1000, 10**6])
@pytest.mark.parametrize("coding", PACKED)
def test_pieces_of_any_size_make_the_whole(coding, size):
    bucket = Bucket()
    inflow = Inflow(bucket, coding.rpartition(" ")[2])
    packed = PACKED[coding] if size > 1 else PACKED[coding][:3000]
    for at in range(0, len(packed), size):
        assert inflow.feed(packed[at : at + size])
    if size > 1:
        inflow.end()
        assert bucket.content == WHOLE
    else:
        assert WHOLE.startswith(bucket.content)


def test_a_sink_that_has_enough_is_given_no_more():
    inflow = Inflow(Bucket(most=10), "gzip")
    assert not inflow.feed(PACKED["gzip"])


def test_a_piece_that_would_swell_is_handed_on_in_parts():
    class Watched(Bucket):
        largest = 0

        def feed(self, piece):
            self.largest = max(self.largest, len(piece))
            return True

    watched = Watched()
    Inflow(watched, "gzip").feed(gzip.compress(bytes(16 * 2**20)))
    assert watched.largest <= 4 * 2**20


def test_a_coding_that_nobody_offered_is_refused():
    with pytest.raises(ContentError):
        Inflow(Bucket(), "br")


# ------------------------------------------------------------------ patience

SETTINGS = Settings(model=SMALL)


def fetch(**fields):
    ask = Ask(**{"path": "/batches", "read": lambda reply: reply.body, **fields})
    return Fetch(ask, SETTINGS, now=0.0, chance=lambda: 0.5)


def test_a_long_answer_may_take_long_while_it_comes():
    bucket = Bucket()
    machine = fetch(sink=lambda: bucket, timeout=10.0)
    request = machine.next(0.0).request
    for now in (10.0, 20.0, 30.0):
        bucket.content += b"more"
        assert machine.next(now) == Wait(now + 10.0)
    assert machine.next(40.0) == Abort(request.id)


def test_each_attempt_is_read_anew():
    buckets = []
    machine = fetch(sink=lambda: buckets.append(Bucket()) or buckets[-1])
    machine.feed(machine.next(0.0).request.id, Fault(FaultKind.TRUNCATED, "x"), 0.1)
    machine.feed(machine.next(1.0).request.id, Reply(200, {}, b""), 1.1)
    assert machine.next(1.1) == Done()
    assert len(buckets) == 2


def test_a_question_waits_its_time():
    machine = fetch(after=30.0)
    assert machine.next(0.0) == Wait(30.0)
    assert isinstance(machine.next(30.0), Send)


@pytest.mark.parametrize(
    ("outcome", "times"),
    [
        (Fault(FaultKind.CONNECT, "x"), 3),
        (Reply(429, {}, b""), 3),
        (Fault(FaultKind.RESET, "x"), 1),
        (Fault(FaultKind.RESET, "x", stale=True), 1),
        (Fault(FaultKind.TIMEOUT, "x"), 1),
        (Reply(503, {}, b""), 1),
        (Reply(200, {}, b""), 1),
    ],
)
def test_what_may_have_been_acted_on_is_not_sent_again(outcome, times):
    machine = fetch(method="POST", once=True, read=api.read_accepted)
    now, sent = 0.0, 0
    while not isinstance(step := machine.next(now), Done):
        if isinstance(step, Send):
            sent += 1
            machine.feed(step.request.id, outcome, now)
        else:
            now = step.until
    assert sent == times


def test_a_refusal_that_asks_for_longer_than_its_patience_is_reported():
    machine = fetch()
    outcome = Reply(429, {"retry-after": "77"}, b"")
    machine.feed(machine.next(0.0).request.id, outcome, 0.1)
    assert machine.next(0.1) == Done()
    with pytest.raises(RateLimitError) as caught:
        machine.result()
    assert caught.value.retry_after == 77
