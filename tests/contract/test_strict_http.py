"""The reader of answers: what it takes, what it refuses, and how; byte strings against it."""

from __future__ import annotations

import http.client
import io
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrouter_embed.shells.connections import _lines
from openrouter_embed.shells.requests_shell import classify
from openrouter_embed.shells.strict_http import (
    LONGEST_LINE,
    MOST_LINES,
    READ_BUFFER,
    StrictResponse,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Bytes:
    """A socket that has received these bytes, and then the end."""

    def __init__(self, data):
        self._data = data

    def makefile(self, *_):
        return io.BytesIO(self._data)


def read(data, method="POST"):
    """Return an answer, its head read, and its body; `None` where the reader wants no more."""
    answer = StrictResponse(Bytes(data), method=method)
    try:
        answer.begin()
        return answer, answer.read()
    finally:
        answer.close()


def head(data):
    return read(OK + data + b"Content-Length: 0\r\n\r\n")[0]


# ---------------------------------------------------------------------- heads


def test_a_head_is_read_as_it_came():
    answer, body = read(b"HTTP/1.1 201 All right \r\nA: 1\r\nb:2\r\nA: \t3 \t\r\n\r\nbody")
    assert (answer.status, answer.reason, answer.version) == (201, "All right", 11)
    assert answer.headers.items() == [("A", "1"), ("b", "2"), ("A", "3")]
    assert answer.headers.get("a") == "1"
    assert answer.headers.get("c") is None
    assert body == b"body"


@pytest.mark.parametrize("line", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.1 200\n"])
def test_a_reason_may_be_missing(line):
    answer, _ = read(line + b"Content-Length: 0\r\n\r\n")
    assert (answer.status, answer.reason) == (200, "")


def test_lines_may_end_without_a_carriage_return():
    answer, body = read(b"HTTP/1.1 200 OK\nA: 1\nContent-Length: 2\n\nhi")
    assert (answer.headers.get("a"), body) == ("1", b"hi")


def test_empty_lines_before_an_answer_are_skipped():
    assert read(b"\r\n\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi")[1] == b"hi"


def test_a_folded_value_is_joined():
    answer = head(b"A: one\r\n  two\t\r\n\tthree\r\nB: x\r\n")
    assert answer.headers.get("a") == "one two three"
    assert answer.headers.get("b") == "x"


def test_a_folded_length_counts():
    assert read(OK + b"Content-Length:\r\n 2\r\n\r\nhi...")[1] == b"hi"


REFUSED = {
    "a bare CR in a value": b"A: x\ry\r\n",
    "a bare CR in a folded line": b"A: x\r\n y\rz\r\n",
    "a space before the colon": b"A : x\r\n",
    "a tab before the colon": b"A\t: x\r\n",
    "an empty name": b": x\r\n",
    "a line without a colon": b"A x\r\n",
    "a first line that begins with white space": b" A: x\r\n",
    "a name beyond ASCII": b"\xc4: x\r\n",
    "a name in brackets": b"(A): x\r\n",
    "one line too many": b"A: x\r\n" * (MOST_LINES + 1),
    "a line too long": b"A: " + b"x" * LONGEST_LINE + b"\r\n",
    "a folded line too long": b"A: x\r\n " + b"x" * LONGEST_LINE + b"\r\n",
}


@pytest.mark.parametrize("lines", REFUSED.values(), ids=REFUSED.keys())
def test_a_malformed_head_is_refused(lines):
    with pytest.raises(http.client.HTTPException) as caught:
        read(OK + lines + b"\r\nbody")
    assert classify(caught.value, in_body=False).value == "framing"


def test_a_head_may_have_as_many_lines_and_lines_as_long_as_the_library_says():
    lines = b"A: x\r\n" * (MOST_LINES - 2) + b"B: " + b"y" * (LONGEST_LINE - 5) + b"\r\n"
    assert len(head(lines).headers.get("b")) == LONGEST_LINE - 5


STATUS_LINES = {
    "a sign": b"HTTP/1.1 +200 OK",
    "an underscore": b"HTTP/1.1 2_0 OK",
    "four digits": b"HTTP/1.1 0200 OK",
    "two digits": b"HTTP/1.1 20 OK",
    "below 100": b"HTTP/1.1 099 OK",
    "two spaces": b"HTTP/1.1  200 OK",
    "tabs": b"HTTP/1.1\t200\tOK",
    "white space first": b" HTTP/1.1 200 OK",
    "lower case": b"http/1.1 200 OK",
    "no status": b"HTTP/1.1",
    "a version of one digit": b"HTTP/1 200 OK",
    "a version of three": b"HTTP/1.10 200 OK",
    "an unknown version": b"HTTP/1.2 200 OK",
    "the next version": b"HTTP/2.0 200 OK",
    "a bare CR": b"HTTP/1.1 200 O\rK",
    "another protocol": b"SSH-2.0-OpenSSH_9.6",
    "nothing of the kind": b"\0\1\xfe\xff",
}


@pytest.mark.parametrize("line", STATUS_LINES.values(), ids=STATUS_LINES.keys())
def test_a_status_line_of_its_own_kind_is_not_http(line):
    """`http.client` takes half of these for 200."""
    with pytest.raises(http.client.HTTPException) as caught:
        read(line + b"\r\nContent-Length: 0\r\n\r\n")
    assert classify(caught.value, in_body=False).value == "protocol"


def test_an_endless_status_line_is_given_up():
    with pytest.raises(http.client.LineTooLong):
        read(b"HTTP/1.1 200 " + b"x" * LONGEST_LINE + b"\r\n\r\n")


@pytest.mark.parametrize("whole", [b"HTTP/1.1 200 OK\r\nAb: cd\r\nContent-Length: 0\r\n\r\n"])
def test_a_head_that_is_cut_anywhere_is_a_lost_connection(whole):
    for at in range(len(whole)):
        with pytest.raises(http.client.RemoteDisconnected):
            read(whole[:at])


@pytest.mark.parametrize("status", [b"100", b"102", b"103", b"199"])
def test_interim_answers_are_skipped(status):
    interim = b"HTTP/1.1 " + status + b" Wait\r\nLink: x\r\nContent-Length: 9\r\n\r\n"
    answer, body = read(interim * 3 + OK + b"A: 1\r\nContent-Length: 2\r\n\r\nhi")
    assert (answer.status, body) == (200, b"hi")
    assert answer.headers.items() == [("A", "1"), ("Content-Length", "2")]


def test_a_malformed_interim_answer_is_refused():
    with pytest.raises(http.client.HTTPException):
        read(b"HTTP/1.1 103 Wait\r\nno colon\r\n\r\n" + OK + b"\r\n")


def test_a_cut_after_an_interim_answer_is_a_lost_connection():
    with pytest.raises(http.client.RemoteDisconnected):
        read(b"HTTP/1.1 100 Continue\r\n\r\n")


# ---------------------------------------------------------------------- where a body ends


@pytest.mark.parametrize("status", [b"204", b"304", b"101"])
@pytest.mark.parametrize("says", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_some_statuses_have_no_body_whatever_the_head_says(status, says):
    answer = StrictResponse(Bytes(b"HTTP/1.1 " + status + b" No\r\n" + says + b"\r\n5\r\nhello"))
    answer.begin()
    assert answer.read(100) == b""
    assert answer.isclosed()
    assert not answer.will_close


@pytest.mark.parametrize("value", [b"+5", b"5, 5", b"-1", b"0x5", b"5_0", b"\xb2", b"1" * 19, b""])
def test_a_length_that_is_none_ends_the_body_with_the_connection(value):
    """`check_head` refuses such a head; until then nothing may be taken for its end."""
    answer, body = read(OK + b"Content-Length: " + value + b"\r\n\r\nhello, world")
    assert (answer.will_close, body) == (True, b"hello, world")


def test_a_length_of_eighteen_digits_is_one():
    answer = StrictResponse(Bytes(OK + b"Content-Length: " + b"0" * 17 + b"5\r\n\r\nhello, world"))
    answer.begin()
    assert answer.read(100) == b"hello"
    answer.close()


CLOSES = {
    b"HTTP/1.1 200 OK\r\n": False,
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n": True,
    b"HTTP/1.1 200 OK\r\nCONNECTION: Close\r\n": True,
    b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n": False,
    b"HTTP/1.0 200 OK\r\n": True,
    b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n": False,
    b"HTTP/0.9 200 OK\r\n": True,
}


@pytest.mark.parametrize(("lines", "closes"), CLOSES.items())
def test_a_connection_closes_by_version_and_header(lines, closes):
    assert read(lines + b"Content-Length: 2\r\n\r\nhi")[0].will_close is closes


def test_chunks_are_put_together():
    answer = CHUNKED + b"3;a=b\r\nabc\r\nA \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    assert read(answer)[1] == b"abc0123456789"


BROKEN_CHUNKS = {
    "no size": b"zz\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "17 digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "only a line feed": b"3\nabc\r\n0\r\n\r\n",
    "a bare CR": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "more than the size says": b"3\r\nabcde0\r\n\r\n",
    "a trailer that is none": b"3\r\nabc\r\n0\r\njunk\r\n\r\n",
    "too many trailers": b"0\r\n" + b"A: x\r\n" * (MOST_LINES + 1) + b"\r\n",
}


@pytest.mark.parametrize("body", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS.keys())
def test_a_malformed_chunk_is_refused(body):
    with pytest.raises(http.client.HTTPException) as caught:
        read(CHUNKED + body)
    assert classify(caught.value, in_body=True).value == "framing"


def test_a_chunked_body_that_is_cut_anywhere_is_truncated():
    body = b"3\r\nabc\r\n0\r\nA: x\r\n\r\n"
    for at in range(len(body)):
        with pytest.raises((http.client.HTTPException, OSError)) as caught:
            read(CHUNKED + body[:at])
        assert classify(caught.value, in_body=True).value == "truncated", body[:at]


# ---------------------------------------------------------------------- time


@pytest.mark.parametrize(
    "lines",
    [b"A:" + b" " * 65_000 + b"\rx\n", b"A: x\r\n " + b" \t" * 32_000 + b"\rx\n"],
    ids=["value", "folded"],
)
def test_no_line_takes_long_to_refuse(lines):
    """With a pattern whose parts overlap each of these takes half a minute of the processor."""
    began = time.process_time()
    with pytest.raises(http.client.HTTPException):
        read(OK + lines + b"\r\n")
    assert time.process_time() - began < 1.0


def test_every_read_has_the_time_that_is_left():
    """Bytes that drip in do not buy more of it, and what is over is over."""
    ours, theirs = socket.socketpair()
    lefts = iter([5.0, 4.0])

    def left():
        for value in lefts:
            return value
        raise TimeoutError

    with ours, theirs:
        theirs.sendall(OK[:5])
        answer = StrictResponse(ours)
        seen = []
        answer.limit_reads(Recording(ours, theirs, seen), left)
        with pytest.raises(TimeoutError):
            answer.begin()
        answer.close()
    assert seen == [5.0, 4.0]


class Recording:
    """Notes timeouts; each is followed by a few bytes, so that the read after it ends."""

    def __init__(self, sock, peer, seen):
        self._sock = sock
        self._peer = peer
        self._seen = seen

    def settimeout(self, value):
        self._seen.append(value)
        self._sock.settimeout(value)
        self._peer.sendall(b" ")


def test_an_answer_to_a_query_takes_one_read():
    ours, theirs = socket.socketpair()
    count = []
    with ours, theirs:
        body = b"x" * (READ_BUFFER // 2)
        theirs.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = StrictResponse(ours)
        answer.limit_reads(ours, lambda: count.append(1) or 1.0)
        answer.begin()
        assert answer.read(1 << 20) == body
        answer.close()
    assert len(count) == 1


# ---------------------------------------------------------------------- anything at all

TOKEN = st.text("!#$%&'*+-.^_`|~" + "019azAZ", min_size=1, max_size=12)
VALUE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40
).filter(lambda text: text == text.strip(" \t"))


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=90), st.sampled_from(["\r\n", "\n"]))
def test_valid_lines_come_back_the_same(fields, end):
    block = "".join(f"{name}: {value}{end}" for name, value in fields).encode("latin-1")
    answer = StrictResponse(Bytes(OK + block + end.encode()))
    answer.begin()
    answer.close()
    assert answer.headers.items() == fields


PIECES = st.sampled_from([
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204 No\r\n", b"HTTP/1.1 103 Wait\r\n\r\n", b"\r\n", b"\n",
    b"\r", b" ", b"\t", b":", b"A: b\r\n", b"Content-Length: 3\r\n", b"Content-Length: 99\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n",
    b"ffffffffffffffff\r\n", b"abc", b"\xff", b"\0",
])  # fmt: skip


@settings(max_examples=400)
@given(st.lists(PIECES | st.binary(max_size=20), max_size=20).map(b"".join))
def test_arbitrary_bytes_end_in_an_answer_or_in_an_error_with_a_name(data):
    """Nothing hangs, and every exception is one that the table of faults knows."""
    answer = StrictResponse(Bytes(data))
    begun, error = False, http.client.HTTPException()
    try:
        answer.begin()
        begun = True
        while answer.read(1024):
            pass
    except Exception as raised:  # noqa: BLE001 - whatever it is, it must be known
        error = raised
    finally:
        answer.close()
    assert isinstance(error, (http.client.HTTPException, OSError)), repr(error)
    assert not isinstance(error, ValueError)
    assert classify(error, in_body=begun) is not None


@settings(max_examples=50)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_over_a_socket_never_hang(data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        answer = StrictResponse(ours)
        answer.limit_reads(ours, lambda: 5.0)
        with pytest.raises((http.client.HTTPException, OSError)):
            answer.begin()
        answer.close()


# ---------------------------------------------------------------------- what we send


def test_header_lines_are_written_as_they_are():
    assert _lines({"A": "b", "C": "Grüße".encode()}) == b"A: b\r\nC: Gr\xc3\xbc\xc3\x9fe\r\n\r\n"


def test_no_header_is_an_empty_line():
    assert _lines({}) == b"\r\n"


@pytest.mark.parametrize("bad", ["a\r\nB: c", "a\nb", "a\rb", "a\r\n", "\n\r"])
@pytest.mark.parametrize("place", ["name", "value", "bytes"])
def test_a_header_that_would_not_stay_on_its_line_is_never_sent(bad, place):
    header = {"name": {bad: "x"}, "value": {"A": bad}, "bytes": {"A": bad.encode()}}[place]
    with pytest.raises(ValueError, match="line end"):
        _lines({"First": "fine", **header})


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.binary(max_size=8)))
def test_whatever_is_written_has_one_line_for_each_header(table):
    try:
        block = _lines(table)
    except ValueError:
        return
    lines = block.split(b"\r\n")
    assert len(lines) == len(table) + 2
    assert lines[-2:] == [b"", b""] or (not table and block == b"\r\n")
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
