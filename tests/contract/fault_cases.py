"""Fault rows as data: what a server does, and what both shells must make of it.

Rules of this file:
- A case belongs to one row and names all that a user can see: class, kind, reason, attempts.
- `R` rows run with two retries and therefore end after three attempts; `N` rows after one.
- Complete answers are followed by no FIN: the next request would race with it.
- Both shells make the same of a case, but for those heads that `fault_rows.DIFFERENT` names.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fault_harness import KEY, TEXT
from fault_server import (
    CHUNKED,
    WIDTH,
    Act,
    Wire,
    answer,
    bomb,
    chunk,
    endless,
    error_body,
    fin,
    good,
    response,
    rst,
    send,
    stall,
    vector,
    wait,
)

from openrouter_embed import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TWO = (TEXT, "second input")
THREE = 3  # attempts where a row is retried and two retries are allowed
TIGHT = {"dimensions": WIDTH}
"""With the width known the limit of a reply is some 66 KB."""


@dataclass(frozen=True)
class Case:
    """One fault and its outcome.

    Attributes:
        id: Row, and what is special about the case.
        script: What the server does, by request.
        error: The exception; `None` demands the right vectors.
        kind: Of a `TransportError`.
        reason: Of an `InvalidResponseError`.
        attempts: `.attempts` of the error.
        hits: Requests that arrived; as many as `attempts` if not given.
        says: Text that must be in the message.
        check: Looks closer at the error or the result.
        on_requests: What differs in the synchronous shell, where `http.client` reads the head.
    """

    id: str
    script: Sequence[Act] = ()
    error: type[errors.EmbeddingError] | None = None
    kind: str | None = None
    reason: str | None = None
    attempts: int = 1
    hits: int | None = None
    says: str = ""
    inputs: Sequence[Any] = (TEXT,)
    options: Mapping[str, Any] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    on_accept: Act = ()
    seconds: float = 2.0
    check: Callable[[Any], bool] = lambda _: True
    on_requests: Mapping[str, Any] = field(default_factory=dict)

    def on(self, shell: str) -> Case:
        """Return what one shell must make of it."""
        return replace(self, **self.on_requests) if shell == "requests" else self

    @property
    def row(self) -> str:
        return self.id.split("-")[0]

    @property
    def wanted_hits(self) -> int:
        return self.attempts if self.hits is None else self.hits


INTERIM: dict[str, Any] = {"error": errors.TransportError, "kind": "protocol"}
"""An interim answer that `http.client` takes for the answer itself."""


def transport(row: str, kind: str, attempts: int, *act: Any, **more: Any) -> Case:
    return Case(row, [act], errors.TransportError, kind=kind, attempts=attempts, **more)


def refused(row: str, reason: str, body: Any, attempts: int = 1, **more: Any) -> Case:
    """A 200 whose body cannot be trusted; a callable makes it out of the inputs."""
    act = [body if callable(body) else send(response(body))]
    return Case(row, [act], errors.InvalidResponseError, reason=reason, attempts=attempts, **more)


def status(row: str, code: int, error: type[errors.APIError], attempts: int, **more: Any) -> Case:
    body = more.pop("body", error_body(code))
    reply = response(
        body, code, more.pop("headers", ()), content_type=more.pop("ct", "application/json")
    )
    return Case(row, [[send(reply)]], error, attempts=attempts, **more)


def embeddings(*vectors: Any, indices: Sequence[Any] | None = None, text: bool = False) -> str:
    """Return a body with these vectors; as text they are pasted in as they are."""
    places = range(len(vectors)) if indices is None else indices
    items = ",".join(
        f'{{"index":{json.dumps(place)},"embedding":{row if text else json.dumps(row)}}}'
        for place, row in zip(places, vectors, strict=True)
    )
    return f'{{"data":[{items}]}}'


def packed(row: Sequence[float], order: str = "<") -> str:
    return base64.b64encode(struct.pack(f"{order}{len(row)}f", *row)).decode()


def shuffled(wire: Wire) -> None:
    assert wire.hit is not None
    body = answer(wire.hit.inputs)
    body["data"].reverse()
    wire.send(response(body))


FULL = response(answer([TEXT]))
HEAD, BODY = FULL[: FULL.index(b"\r\n\r\n") + 4], FULL[FULL.index(b"\r\n\r\n") + 4 :]
ROW = vector(TEXT)
OK_HEAD = b"HTTP/1.1 200 OK\r\n"
GZIP = "Content-Encoding: gzip"

A = [
    transport("A4-after-request", "reset", THREE, rst),
    transport("A4-on-accept", "reset", THREE, hits=0, on_accept=[wait(0.03), rst]),
    transport("A5-after-request", "reset", THREE, fin),
    transport("A5-on-accept", "reset", THREE, hits=0, on_accept=[wait(0.03), fin]),
    transport(
        "A5-in-status-line",
        "reset",
        THREE,
        send("HTTP/1.1 2"),
        fin,
        on_requests={"kind": "protocol"},
    ),
    transport(
        "A5-in-headers",
        "reset",
        THREE,
        send(FULL[:60]),
        fin,
        on_requests={
            "error": errors.InvalidResponseError,
            "reason": "empty",
            "attempts": 2,
        },
    ),
    transport(
        "A10-alert-on-plain-port", "protocol", THREE, send(b"\x15\x03\x01\x00\x02\x02\x46"), fin
    ),
]

B = [
    transport("B1-length", "truncated", THREE, send(FULL[:-30]), wait(0.02), rst),
    transport(
        "B1-until-close", "truncated", THREE, send(OK_HEAD + b"\r\n" + BODY), wait(0.02), rst
    ),
    transport("B2-mid-body", "truncated", THREE, send(FULL[:-30]), fin),
    transport("B2-no-body", "truncated", THREE, send(HEAD), fin),
    transport("B3-cut", "truncated", THREE, send(CHUNKED + chunk(BODY[:20])), fin),
    transport("B3-no-last-chunk", "truncated", THREE, send(CHUNKED + chunk(BODY)), fin),
    transport("B3-size-is-none", "protocol", 1, send(CHUNKED + b"zz\r\n"), fin),
    transport(
        "B3-size-is-none-later",
        "protocol",
        1,
        send(CHUNKED + chunk(BODY[:20])),
        wait(0.03),
        send(b"zz\r\n"),
        stall,
    ),
    transport("B6", "timeout", 2, stall, options={"timeout": 0.3, "max_retries": 1}, seconds=1.1),
    Case("B6-recovers", [[stall], [good()]], hits=2, options={"timeout": 0.3}, seconds=0.9),
    transport("B7", "too_large", 1, send(CHUNKED), endless(chunk(b" " * 4096)), options=TIGHT),
    transport(
        "B7-error-status",
        "too_large",
        1,
        send(CHUNKED.replace(b"200", b"503")),
        endless(chunk(b" " * 65536)),
        options=TIGHT,
    ),
    transport(
        "B8-bomb", "too_large", 1, send(response(bomb(10_000_000), headers=[GZIP])), options=TIGHT
    ),
    transport(
        "B8-double",
        "decode",
        THREE,
        send(response(bomb(1_000_000, 2), headers=["Content-Encoding: gzip, gzip"])),
        options=TIGHT,
    ),
    refused(
        "B8-double-undeclared",
        "json",
        send(response(bomb(1_000_000, 2), headers=[GZIP])),
        2,
        options=TIGHT,
    ),
    transport("B8-brotli", "decode", THREE, send(response(BODY, headers=["Content-Encoding: br"]))),
    transport("B8-zstd", "decode", THREE, send(response(BODY, headers=["Content-Encoding: zstd"]))),
    transport("B9", "decode", THREE, send(response(BODY, headers=[GZIP]))),
    transport("B10", "decode", THREE, send(response(gzip.compress(BODY)[:-8], headers=[GZIP]))),
    transport(
        "B10-trailing", "decode", THREE, send(response(gzip.compress(BODY) + b"x", headers=[GZIP]))
    ),
    Case("B10-whole", [[send(response(gzip.compress(BODY), headers=[GZIP]))]]),
    transport("B11-ssh", "protocol", THREE, send("SSH-2.0-OpenSSH_9.6\r\n"), stall),
    transport("B11-http-0.9", "protocol", THREE, send("<html>hello</html>"), fin),
    transport("B11-garbage", "protocol", THREE, send(b"\x00\x01\xfe\xff\r\n\r\n"), fin),
    transport("B11-status-is-none", "protocol", THREE, send("HTTP/1.1 abc OK\r\n\r\n"), fin),
    transport("B11-http-2", "protocol", THREE, send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), fin),
    Case("B12-100", [[send("HTTP/1.1 100 Continue\r\n\r\n"), good()]], hits=1),
    Case(
        "B12-103",
        [[send("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), good()]],
        on_requests=INTERIM,
    ),
    Case(
        "B12-many",
        [[send("HTTP/1.1 102 Processing\r\n\r\n" * 5), good()]],
        on_requests=INTERIM,
    ),
    transport("B12-101", "protocol", 1, send("HTTP/1.1 101 Switching\r\n\r\n"), good()),
    transport(
        "B13-long-line", "protocol", 1, send(response(BODY, headers=["X: " + "a" * 200_000]))
    ),
    transport(
        "B13-500-headers",
        "protocol",
        1,
        send(response(BODY, headers=[f"X{n}: a" for n in range(500)])),
    ),
    transport(
        "B13-110-headers",
        "protocol",
        1,
        send(response(BODY, headers=[f"X{n}: a" for n in range(108)])),
    ),
    Case("B13-90-headers", [[send(response(BODY, headers=[f"X{n}: a" for n in range(88)]))]]),
    Case("B13-60-KB", [[send(response(BODY, headers=["X: " + "a" * 60_000]))]]),
    transport(
        "B13-no-colon",
        "protocol",
        1,
        send(response(BODY, headers=["no colon here"])),
        on_requests={"error": None},
    ),
    transport(
        "B13-no-colon-first",
        "protocol",
        1,
        send(OK_HEAD + b"no colon\r\n" + HEAD[17:] + BODY),
        options={"timeout": 0.3, "max_retries": 1},
        on_requests={"kind": "timeout", "attempts": 2},
    ),
    transport("B13-nul", "protocol", 1, send(response(BODY, headers=["X: a\0b"]))),
    transport(
        "B14-two-lengths", "protocol", 1, send(response(BODY, headers=["Content-Length: 5"]))
    ),
    transport(
        "B14-same-length-twice",
        "protocol",
        1,
        send(response(BODY, headers=[f"Content-Length: {len(BODY)}"])),
    ),
    transport(
        "B14-length-and-chunked",
        "protocol",
        1,
        send(response(chunk(BODY) + b"0\r\n\r\n", headers=["Transfer-Encoding: chunked"])),
    ),
    *(
        transport(
            f"B14-length-{name}",
            "protocol",
            1,
            send(OK_HEAD + b"Content-Length: " + value + b"\r\n\r\n" + BODY),
            fin,
        )
        for name, value in {
            "list": b"5, 5",
            "negative": b"-5",
            "word": b"abc",
            "plus": b"+5",
            "empty": b"",
            "huge": b"9" * 30,
        }.items()
    ),
    *(
        transport(
            f"B14-coding-{name}",
            "protocol",
            1,
            send(
                OK_HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n" + chunk(BODY) + b"0\r\n\r\n"
            ),
            fin,
        )
        for name, value in {"gzip": b"gzip, chunked", "last": b"chunked, gzip"}.items()
    ),
    refused("B16-200", "empty", "", 2),
    refused("B16-204", "empty", send("HTTP/1.1 204 No Content\r\n\r\n"), 2),
    refused("B16-205", "empty", send("HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n"), 2),
    refused("B16-white", "empty", " \r\n\t ", 2),
    Case("B17-bom", [[send(response(b"\xef\xbb\xbf" + BODY))]]),
    refused("B17-utf-16", "json", BODY.decode().encode("utf-16"), 2),
    refused("B17-latin-1", "json", b'{"data":[],"x":"\xe9"}', 2),
]

HTML = "<html><body><script>login()</script>Please log in</body></html>"

C = [
    status(
        "C1",
        200,
        errors.RateLimitError,
        THREE,
        body=error_body(429),
        check=lambda e: e.http_status == 200,
    ),
    status("C1-refused", 200, errors.InsufficientCreditsError, 1, body=error_body(402)),
    status(
        "C1-no-code", 200, errors.ServerError, THREE, body={"error": {"message": "Provider died"}}
    ),
    refused(
        "C2",
        "content",
        HTML,
        says="markup",
        check=lambda e: "login" not in str(e) and "<" not in str(e),
    ),
    status(
        "C3-html",
        502,
        errors.ServerError,
        THREE,
        body=HTML,
        ct="text/html",
        check=lambda e: "<" not in str(e),
    ),
    status("C3-json-type", 502, errors.ServerError, THREE, body=HTML),
    status("C3-json-body", 502, errors.ServerError, THREE, body=answer([TEXT])),
    Case("C4", [[send(response(BODY, content_type="text/html"))]]),
    refused("C5-cut", "json", BODY[:-5], 2),
    refused("C5-junk", "json", BODY + b"junk", 2),
    *(
        refused(f"C6-{name}", "data", body)
        for name, body in {
            "missing": "{}",
            "null": '{"data":null}',
            "object": '{"data":{}}',
            "list": "[]",
            "number": "1",
            "item": '{"data":[1]}',
            "no-embedding": '{"data":[{"index":0}]}',
        }.items()
    ),
    refused("C6-empty", "count", '{"data":[]}'),
    refused("C7-fewer", "count", embeddings(ROW), inputs=TWO),
    refused("C7-more", "count", embeddings(ROW, ROW)),
    Case("C8", [[shuffled]], inputs=TWO),
    *(
        refused(f"C9-{name}", "index", embeddings(ROW, ROW, indices=places), inputs=TWO)
        for name, places in {
            "duplicate": (0, 0),
            "negative": (0, -1),
            "huge": (0, 10**12),
            "float": (0, 1.0),
            "string": (0, "1"),
            "bool": (False, True),
            "null": (0, None),
            "range": (1, 2),
        }.items()
    ),
    refused(
        "C9-missing",
        "index",
        '{"data":[{"index":0,"embedding":[1]},{"embedding":[2]}]}',
        inputs=TWO,
    ),
    Case(
        "C10",
        [[send(response({"data": [{"embedding": vector(text)} for text in TWO]}))]],
        inputs=TWO,
        check=lambda r: r.flags["unindexed"] == (0, 1),
    ),
    *(
        refused(f"C11-{name}", "not_finite", embeddings(f"[1,{name}]", text=True))
        for name in ("NaN", "Infinity", "-Infinity", "1e999", "1e39")
    ),
    *(
        refused(
            f"C11-base64-{name}",
            "not_finite",
            embeddings(packed([1.0, value])),
            options={"encoding_format": "base64", "dimensions": 2},
        )
        for name, value in {"inf": float("inf"), "nan": float("nan")}.items()
    ),
    refused("C12", "dimension", embeddings([1, 2, 3, 4, 5]), options=TIGHT),
    refused("C13-inside", "dimension", embeddings([1, 2], [1, 2, 3]), inputs=TWO),
    Case(
        "C13-across",
        [[good()], [send(response(embeddings([1, 2, 3])))]],
        errors.InvalidResponseError,
        reason="dimension",
        inputs=TWO,
        hits=2,
        options={"max_batch_inputs": 1, "max_concurrency": 1},
    ),
    refused("C14-empty", "dimension", embeddings([])),
    Case(
        "C14-zeros",
        [[send(response(embeddings([0.0, 0, 0, 0])))]],
        check=lambda r: not r.vectors.any() and r.flags["zero"] == (0,),
    ),
    *(
        refused(f"C15-{name}", "base64", embeddings(text), options={"encoding_format": "base64"})
        for name, text in {
            "alphabet": "AACA!w==",
            "url-safe": "__-_AA==",
            "padding": "AACAPw=",
            "short": "AACA",
            "after-padding": "AACAPw==AACAPw==",
            "white": "AACA Pw==",
            "newline": "AACAPw==\n",
        }.items()
    ),
    Case(
        "C16",
        [[send(response(embeddings(packed(ROW))))]],
        options={"encoding_format": "base64", "dimensions": len(ROW)},
    ),
    Case("C17-floats", [[good()]], options={"encoding_format": "base64"}),
    Case("C17-base64", [[send(response(embeddings(packed(ROW))))]]),
    Case(
        "C17-mixed",
        [[send(response(embeddings(packed(vector(TWO[0])), vector(TWO[1]))))]],
        inputs=TWO,
    ),
    Case(
        "C18-integers",
        [[send(response(embeddings([1, 2, 3])))]],
        check=lambda r: r.tolist() == [[1.0, 2.0, 3.0]],
    ),
    *(
        refused(f"C18-{name}", "component", embeddings(value, text=True))
        for name, value in {
            "bool": "[true]",
            "string": '["1"]',
            "null": "[null]",
            "nested": "[[1]]",
            "number": "1",
            "object": '{"a":1}',
            "none": "null",
        }.items()
    ),
    refused("C19-deep", "data", '{"data":' + "[" * 100_000 + "]" * 100_000 + "}"),
    refused("C19-deep-vector", "json", embeddings("[" * 90_000 + "]" * 90_000, text=True), 2),
    refused("C19-long-integer", "not_finite", embeddings("[" + "9" * 5000 + "]", text=True)),
    refused("C19-long-index", "index", '{"data":[{"index":' + "1" * 5000 + ',"embedding":[1]}]}'),
    refused("C19-keys", "json", '{"data":[{"index":0,"index":0,"embedding":[1]}]}', 2),
    refused("C19-data-twice", "json", '{"data":[],' + embeddings(ROW)[1:], 2),
    *(
        Case(
            f"C20-{name}",
            [[good(usage=value)]],
            check=lambda r: r.usage.cost is None and r.usage.total_tokens == 0,
        )
        for name, value in {
            "null": None,
            "negative": {"prompt_tokens": -1, "total_tokens": -5, "cost": -1.0},
            "string": {"prompt_tokens": "7", "total_tokens": "8", "cost": "1"},
            "list": [1],
        }.items()
    ),
    Case("C20-missing", [[send(response(embeddings(ROW)))]], check=lambda r: r.usage.cost is None),
    Case("C21", [[good(model="other/model")]], check=lambda r: r.upstream_model == "other/model"),
    *(
        status(
            f"C22-{name}",
            400,
            errors.BadRequestError,
            1,
            body=error_body(400, message),
            check=lambda e: len(str(e)) < 400 and str(e).isprintable(),
        )
        for name, message in {
            "long": "x" * 1_000_000,
            "ansi": "\x1b[31mred\x1b[0m \x00 \r\n bell\x07",
            "number": 7,
            "list": ["a", {"b": 1}],
            "null": None,
        }.items()
    ),
    Case(
        "C22-surrogate",
        [[send(response('{"error":{"code":400,"message":"\\ud800 bad"}}', 400))]],
        errors.BadRequestError,
        check=lambda e: str(e).isprintable(),
    ),
    status(
        "C23",
        403,
        errors.PermissionDeniedError,
        1,
        body=error_body(403, f"Input was flagged: {TEXT}", reasons=["x"], flagged_input=TEXT),
        check=lambda e: e.detail["flagged_input"] == TEXT,
    ),
]

_CLASSES = {
    401: errors.AuthenticationError,
    402: errors.InsufficientCreditsError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    429: errors.RateLimitError,
    **dict.fromkeys((400, 413, 422), errors.BadRequestError),
    408: errors.ServerError,
}


def class_of(code: int) -> type[errors.APIError]:
    return errors.ServerError if 500 <= code < 600 else _CLASSES.get(code, errors.APIError)


D = [
    *(status(f"D1-{code}", code, class_of(code), 1) for code in (400, 404, 405, 415, 422)),
    status(
        "D2",
        401,
        errors.AuthenticationError,
        1,
        body=error_body(401, f"No such key {KEY}"),
        headers=["WWW-Authenticate: Basic"],
        says="api_key",
    ),
    Case(
        "D3",
        [[good()], [send(response(error_body(402), 402))]],
        errors.InsufficientCreditsError,
        hits=2,
        inputs=[f"text {n}" for n in range(6)],
        options={"max_batch_inputs": 1, "max_concurrency": 1},
        check=lambda e: e.result.ok.tolist() == [True] + [False] * 5,
    ),
    status(
        "D4",
        403,
        errors.PermissionDeniedError,
        1,
        body=error_body(403, "Flagged", reasons=["violence"]),
        check=lambda e: e.detail == {"reasons": ["violence"]},
    ),
    status("D5-one-input", 413, errors.BadRequestError, 1),
    Case(
        "D5-nothing-succeeds",
        [[send(response(error_body(422), 422))]],
        errors.BadRequestError,
        inputs=[f"text {n}" for n in range(8)],
        hits=7,
        attempts=3,
        check=lambda e: e.status == 422,
        options={"max_concurrency": 1},
    ),
    status(
        "D5-names-the-model",
        400,
        errors.BadRequestError,
        1,
        inputs=TWO,
        body=error_body(400, "acme/embed is not a valid model"),
    ),
    *(
        status(f"D6-{code}", code, class_of(code), THREE)
        for code in (408, 425, 429, 500, 502, 503, 504, *range(520, 528), 529)
    ),
    *(status(f"D7-{code}", code, errors.ServerError, 1) for code in (501, 505, 511)),
    *(
        status(f"D8-{code}", code, class_of(code), 1, check=lambda e, code=code: e.status == code)
        for code in (299, 418, 599, 600, 999)
    ),
    transport(
        "D9-endless",
        "too_large",
        1,
        send(CHUNKED.replace(b"200 OK", b"307 Moved\r\nLocation: /elsewhere")),
        endless(chunk(b" " * 4096)),
        options=TIGHT,
    ),
    status("D14-should-not", 503, errors.ServerError, 1, headers=["x-should-retry: false"]),
    status("D14-should", 501, errors.ServerError, THREE, headers=["x-should-retry: true"]),
    status("D14-insane", 400, errors.BadRequestError, 1, headers=["x-should-retry: true"]),
    status(
        "D14-ms",
        429,
        errors.RateLimitError,
        THREE,
        headers=["retry-after-ms: 20"],
        check=lambda e: e.retry_after == 0.02,
    ),
    *(
        status(
            f"D12-{name}",
            429,
            errors.RateLimitError,
            1,
            headers=[f"Retry-After: {value}"],
            options={"deadline": deadline},
            seconds=1.0,
            check=lambda e, value=value: e.retry_after == value,
        )
        for name, value, deadline in (
            ("huge", 10**9, None),
            ("cap", 121, None),
            ("deadline", 3, 2.0),
        )
    ),
    *(
        status(
            f"D13-{name}",
            429,
            errors.RateLimitError,
            THREE,
            headers=[f"Retry-After: {value}"],
            seconds=1.0,
            check=lambda e: e.retry_after is None,
        )
        for name, value in {
            "negative": "-5",
            "inf": "inf",
            "nan": "nan",
            "exponent": "1e3",
            "arabic": "\xd9\xa3",
            "list": "5, 6",
            "empty": "",
            "word": "soon",
            "far": "Fri, 31 Dec 99999 23:59:59 GMT",
            "past": "Sun, 06 Nov 1994 08:49:37 GMT",
        }.items()
    ),
    status(
        "D11-skewed-clock",
        429,
        errors.RateLimitError,
        1,
        seconds=1.0,
        headers=[
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "Retry-After: Sun, 06 Nov 1994 09:49:37 GMT",
        ],
        check=lambda e: e.retry_after == 3600,
    ),
]

F = [
    Case("F10", [[send(response(BODY, headers=["X: %s%d%n \x1b[31m", "Y: a\r\n b", "Z: \xe9"]))]]),
    status(
        "F11",
        401,
        errors.AuthenticationError,
        1,
        headers=['WWW-Authenticate: Digest realm="x", nonce="y"'],
    ),
]

CASES = [*A, *B, *C, *D, *F]
