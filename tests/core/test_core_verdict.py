"""Every outcome is judged by one table, whatever the server says and however it says it."""

from __future__ import annotations

import json
import math
import pickle
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from openrouter_embed import errors, guard
from openrouter_embed.core import problem, retry
from openrouter_embed.core import verdict as v
from openrouter_embed.core.level import Signal
from openrouter_embed.core.verdict import Retry, Scope
from openrouter_embed.core.wire import Fault, FaultKind, Reply, Request, fault

ORIGIN = "the `api_key` argument"


def judge(status, error=None, *, headers=None, body=None, doubt=None):
    if body is None:
        body = b"" if error is None else json.dumps({"error": error}).encode()
    reply = Reply(status, headers or {}, body)
    return v.judge(reply, doubt=doubt, key_origin=ORIGIN)


def refuse(message, status=400, **error):
    return judge(status, {"message": message, **error})


# ---------------------------------------------------------------- statuses

FINAL = (Retry.NEVER, Scope.CALL, Signal.NEUTRAL, False)
FAILING = (Retry.ALWAYS, Scope.BATCH, Signal.TROUBLED, False)
THROTTLED = (Retry.ALWAYS, Scope.BATCH, Signal.THROTTLED, True)
INPUT = (Retry.NEVER, Scope.INPUT, Signal.NEUTRAL, False)

STATUSES = [
    *[(status, INPUT, errors.BadRequestError) for status in (400, 413, 422)],
    (401, FINAL, errors.AuthenticationError),
    (402, FINAL, errors.InsufficientCreditsError),
    (403, FINAL, errors.PermissionDeniedError),
    (404, FINAL, errors.NotFoundError),
    *[(status, FINAL, errors.APIError) for status in (405, 409, 415, 451, 418, 299, 201, 999, 600)],
    (408, FAILING, errors.ServerError),
    (425, FAILING, errors.APIError),
    *[(status, FAILING, errors.ServerError) for status in (500, 502, 503, 504, 520, 524, 527)],
    (429, THROTTLED, errors.RateLimitError),
    (529, THROTTLED, errors.ServerError),
    *[(status, FINAL, errors.ServerError) for status in (501, 505, 511, 599)],
]


def traits(rule):
    return (rule.retry, rule.scope, rule.signal, rule.cool)


@pytest.mark.parametrize(("status", "wanted", "kind"), STATUSES)
@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b'{"error": {"code": 200}}', b"\xff"])
def test_a_status_is_judged_by_its_number_before_its_body(status, wanted, kind, body):
    verdict = judge(status, body=body)
    assert traits(verdict.rule) == wanted
    assert type(verdict.error) is kind
    assert verdict.error.status == verdict.error.http_status == status


@pytest.mark.parametrize("status", range(300, 309))
def test_a_redirect_is_a_fault_and_final(status):
    verdict = judge(status, headers={"location": "https://evil.example/"})
    assert verdict.rule is v.FAULT_RULES[FaultKind.REDIRECT]
    assert (type(verdict.error), verdict.error.kind) == (errors.TransportError, "redirect")
    assert "evil" not in str(verdict.error)


# ---------------------------------------------------------------- 200 that is none


@pytest.mark.parametrize(("code", "status"), [(429, 429), (402, 402), (None, 500), ("x", 500),
                                              (True, 500), (7, 500), (1000, 500)])  # fmt: skip
def test_200_with_an_error_is_that_error(code, status):
    verdict = judge(200, {"message": "no", "code": code})
    assert (verdict.error.status, verdict.error.http_status) == (status, 200)
    assert traits(verdict.rule) == traits(v.STATUS_RULES[status])
    assert "in an HTTP 200" in str(verdict.error)


def test_200_with_an_error_text_is_a_server_error():
    verdict = judge(200, body=b'{"error": "upstream is sad"}')
    assert type(verdict.error) is errors.ServerError
    assert str(verdict.error) == "upstream is sad (500 in an HTTP 200)"


@pytest.mark.parametrize(("reason", "retry"), [("empty", Retry.ONCE), ("json", Retry.ONCE),
                                               ("count", Retry.NEVER), ("index", Retry.NEVER),
                                               ("not_finite", Retry.NEVER)])  # fmt: skip
def test_an_answer_that_was_doubted_keeps_its_doubt(reason, retry):
    doubt = errors.InvalidResponseError("doubt", reason=reason)
    verdict = judge(200, body=b"{}", doubt=doubt)
    assert verdict.error is doubt
    assert (verdict.rule.retry, verdict.cause) == (retry, f"answer:{reason}")


@pytest.mark.parametrize("status", [204, 205])
def test_no_content_is_an_empty_answer(status):
    verdict = judge(status)
    assert (type(verdict.error), verdict.error.reason) == (errors.InvalidResponseError, "empty")
    assert verdict.rule.retry is Retry.ONCE


# ---------------------------------------------------------------- special cases


def test_402_for_credit_reserved_in_flight_waits_for_everybody():
    meta = {"limit_source": "openrouter_in_flight_budget", "retry_after_seconds": 3}
    verdict = judge(402, {"message": "in flight", "metadata": meta})
    assert (traits(verdict.rule), verdict.after) == (THROTTLED, 3.0)


@pytest.mark.parametrize("status", [404, 200])
def test_no_successful_provider_is_tried_a_few_times(status):
    verdict = judge(status, {"message": "No successful provider responses.", "code": 404})
    assert (verdict.rule.retry, verdict.rule.signal) == (Retry.FEW, Signal.TROUBLED)


@pytest.mark.parametrize("key", ["reasons", "flagged_input"])
def test_moderation_blames_an_input_and_keeps_its_details_out_of_the_text(key):
    meta = {key: ["the user's text"], "provider_name": "Host"}
    verdict = judge(403, {"message": "flagged", "metadata": meta})
    assert traits(verdict.rule) == INPUT
    assert verdict.error.detail[key] == ["the user's text"]
    assert verdict.error.provider == "Host"
    assert "user's" not in str(verdict.error)


def test_503_with_retry_after_waits_for_everybody():
    verdict = judge(503, headers={"retry-after": "2"})
    assert (traits(verdict.rule), verdict.after) == (THROTTLED, 2.0)


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_server_may_forbid_a_retry(status):
    verdict = judge(status, headers={"x-should-retry": " False "})
    assert (verdict.rule.retry, verdict.rule.scope) == (Retry.NEVER, Scope.BATCH)


@pytest.mark.parametrize(("status", "retry"), [(409, Retry.ALWAYS), (501, Retry.ALWAYS),
                                               (400, Retry.NEVER), (401, Retry.NEVER)])  # fmt: skip
def test_a_server_may_ask_for_a_retry_where_one_can_help(status, retry):
    assert judge(status, headers={"x-should-retry": "true"}).rule.retry is retry


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("This model's maximum context length is 8192 tokens", "length"),
        ("input is too long", "length"),
        ("too many inputs in one request", "size"),
        ("maximum allowed tokens per request", "size"),
        ("batch size exceeds 100", "size"),
        ("Model foo does not exist", "parameter"),
        ("model is not supported", "parameter"),
        ("dimensions must be at most 1536", "parameter"),
        ("unrecognized argument: encoding_format", "parameter"),
        ("No endpoints match your data policy", "parameter"),
        ("could not read the image", "input"),
        ("", "input"),
    ],
)
def test_a_refusal_is_blamed_on_inputs_or_on_the_request_by_what_it_names(message, name):
    verdict = refuse(message)
    assert verdict.cause == f"status:400:{name}"
    assert (verdict.rule.scope is Scope.INPUT) == (name != "parameter")
    assert (verdict.size, verdict.length) == (name == "size", name == "length")


@pytest.mark.parametrize(
    ("status", "error", "name"),
    [
        (413, {}, "size"),
        (400, {"metadata": {"error_type": "payload_too_large"}}, "size"),
        (400, {"code": "context_length_exceeded"}, "length"),
        (400, {"metadata": {"error_type": "invalid_image"}, "message": "argument"}, "input"),
    ],
)
def test_the_api_s_own_code_decides_before_its_words(status, error, name):
    assert judge(status, error).cause == f"status:{status}:{name}"


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_of_fault_has_a_rule_and_an_error_of_ours(kind):
    verdict = v.judge(Fault(kind, "A sentence."), doubt=None, key_origin=ORIGIN)
    assert verdict.rule is v.FAULT_RULES[kind]
    assert str(verdict.error) == "A sentence."
    if kind is FaultKind.LOCAL:
        assert type(verdict.error) is errors.ConfigurationError
    else:
        assert type(verdict.error) is errors.TransportError
        public = {"framing": "protocol", "proxy": "connect", "refused": "connect"}.get(
            kind.value, kind.value
        )
        assert verdict.error.kind == public


def test_both_shells_have_one_sentence_for_a_fault():
    found = fault(FaultKind.TOO_LARGE, "x.example", limit=7)
    assert found == Fault(
        FaultKind.TOO_LARGE, "The answer from x.example is larger than 7 bytes; it was not read on."
    )
    assert fault(FaultKind.RESET, "x.example", stale=True).stale


def test_what_crosses_the_border_shows_no_body_and_no_header():
    request = Request(1, "POST", "/p", body=b"CANARY", headers=(("A", "CANARY"),))
    assert "CANARY" not in repr(request) + repr(Reply(200, {"a": "CANARY"}, b"CANARY"))


@pytest.mark.parametrize("kind", ["tls", "too_large", "framing", "redirect", "local", "proxy"])
def test_faults_that_a_retry_cannot_mend_are_final_for_the_call(kind):
    rule = v.FAULT_RULES[FaultKind(kind)]
    assert (rule.retry, rule.scope) == (Retry.NEVER, Scope.CALL)


# ---------------------------------------------------------------- Retry-After

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


def http_date(seconds):
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": http_date(30), "date": http_date(0)}, 30.0),
        ({"retry-after": http_date(3630), "date": http_date(3600)}, 30.0),  # clock ahead of ours
        ({"retry-after": http_date(-3570), "date": http_date(-3600)}, 30.0),  # and behind
        ({"retry-after": http_date(30)}, 30.0),  # no Date: by the time of arrival
        ({"retry-after": http_date(30), "date": "nonsense, really"}, 30.0),
        ({"retry-after": http_date(-5), "date": http_date(0)}, None),
        ({"retry-after": http_date(0), "date": http_date(0)}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_difference_with_the_server_s_clock(headers, wanted):
    assert problem.retry_after(headers, {}, NOW.timestamp()) == wanted


@pytest.mark.parametrize(
    "text",
    ["-1", "inf", "nan", "1e3", "٣", "5, 6", "", "soon", "0x10", "+5", "1_0", "12345678901",
     "Fri, 01 Jan 99999 00:00:00 GMT", "Fri, 99 Foo 2026 00:00:00 GMT", "," * 70, ",",
     "Fri, 01 Jan 2026"],
)  # fmt: skip
def test_a_retry_after_without_sense_is_ignored(text):
    assert problem.retry_after({"retry-after": text}, {}, NOW.timestamp()) is None


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"retry_after_seconds": 7}, 7.0),
        ({"retry_after_seconds": 0.5}, 0.5),
        ({"retry_after_seconds": "7"}, 7.0),
        ({"retry_after_seconds": True}, None),
        ({"retry_after_seconds": None}, None),
        ({"headers": {"Retry-After": "4"}}, 4.0),
        ({"headers": {"Retry-After": 4}}, 4.0),
        ({"headers": ["Retry-After", 4]}, None),
        ({"retry_after_seconds": -1, "headers": {"retry-after": "4"}}, 4.0),
    ],
)
def test_the_body_may_say_when_to_come_back(metadata, wanted):
    assert problem.retry_after({}, metadata, 0.0) == wanted


def test_what_is_said_of_availability_is_kept_and_puts_nothing_into_the_detail():
    told = {"code": "no_endpoints", "retryable": False, "retry_after": 6, "fallback_models": ["a"]}
    error = judge(404, {"availability": told, "metadata": {"x": 1}}).error
    assert (error.availability, error.detail) == (told, {"x": 1})
    assert judge(404, {"availability": "soon"}).error.availability == {}


@pytest.mark.parametrize("status", [403, 404])
def test_what_the_router_calls_worth_it_is_tried_again(status):
    verdict = judge(status, {"availability": {"retryable": True}})
    assert (verdict.rule.retry, verdict.rule.scope) == (v.Retry.ALWAYS, v.Scope.CALL)


@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_what_the_router_calls_vain_is_final(status):
    verdict = judge(status, {"availability": {"retryable": False}})
    assert verdict.rule.retry is v.Retry.NEVER


@pytest.mark.parametrize("status", [400, 401, 402, 413, 422])
def test_what_is_refused_for_good_stays_refused_whatever_the_router_calls_it(status):
    verdict = judge(status, {"availability": {"retryable": True}})
    assert verdict.rule.retry is v.Retry.NEVER


def test_a_key_that_a_server_echoes_is_masked_there_too():
    told = judge(404, {"availability": {"note": "sk-or-v1-abcdefgh"}}).error.availability
    assert told == {"note": "sk-***"}


def test_availability_may_say_when_to_come_back():
    assert judge(429, {"availability": {"retry_after": 6}}).after == 6.0
    known = {"availability": {"retry_after": 6}, "metadata": {"retry_after_seconds": 5}}
    assert judge(429, known).after == 5.0
    assert judge(429, known).error.retry_after == 5.0


WORDS = st.text(max_size=40) | st.from_regex(r"\A[-+]?\d{0,12}(\.\d*)?(e\d+)?\Z") | st.builds(
    lambda day, year, zone: f"Fri, {day} Jan {year} 00:00:00 {zone}",
    st.integers(-1, 40), st.integers(0, 12000), st.sampled_from(["GMT", "-0000", "+2600", ""]),
)  # fmt: skip


@given(WORDS, WORDS, WORDS, st.floats(0, 4e9))
@settings(max_examples=examples(500))
def test_any_retry_after_is_none_or_a_number_from_0_up(seconds, ms, date, wall):
    headers = {"retry-after": seconds, "retry-after-ms": ms, "date": date}
    found = problem.retry_after(headers, {}, wall)
    assert found is None or (math.isfinite(found) and found >= 0)


# ---------------------------------------------------------------- back-off


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_back_off_has_full_jitter_and_a_cap(retries, chance):
    wait = retry.backoff(retries, chance)
    assert 0 <= wait <= min(retry.BACKOFF_CAP, retry.BACKOFF_BASE * 2.0 ** min(retries, 60))


@given(st.integers(0, 20), st.floats(0, 1), st.floats(0, 1))
def test_clients_with_different_chance_never_wait_the_same_time(retries, one, other):
    if abs(one - other) > 1e-9:
        assert retry.backoff(retries, one) != retry.backoff(retries, other)


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b"3", b"<p>", b"\xff\xfe", b'{"error": null}', b'{"error": 5}',
     b"[" * 9999, b'{"error": {"message"'],
)  # fmt: skip
def test_a_body_without_a_readable_error_holds_no_problem(body):
    assert problem.read_problem(body) is None


def test_a_problem_is_read_from_all_its_places():
    body = {"error": {"code": 403, "message": "m", "metadata": {"a": 1}}}
    assert problem.read_problem(json.dumps(body).encode()) == problem.Problem(
        403, "m", None, {"a": 1}
    )
    assert problem.read_problem(b'{"message": "m"}') == problem.Problem(message="m")
    assert problem.read_problem(b'{"message": {"a": 1}}') == problem.Problem(message="{'a': 1}")
    coded = problem.read_problem(b'{"error": {"code": "c", "metadata": 7, "message": null}}')
    assert coded == problem.Problem(code="c")


def test_an_endless_message_is_cut_before_any_pattern_sees_it():
    verdict = refuse("model " * 200_000)
    assert len(str(verdict.error)) < 350
    assert verdict.cause == "status:400:input"


KEYS = st.sampled_from(
    ["error", "message", "code", "metadata", "headers", "availability", "retry-after",
     "retry_after", "retry_after_seconds", "provider_name", "error_type", "reasons"]
)  # fmt: skip


def nested(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner)


NUMBERS = st.integers(-(10**30), 10**30) | st.floats()
TREES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20), nested, max_leaves=10
)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "x-should-retry"]), WORDS
)


@given(st.integers(100, 999), TREES.map(lambda tree: {"error": tree}) | TREES, HEADERS)
@settings(max_examples=examples(500))
def test_no_json_and_no_header_makes_judging_fail(status, tree, headers):
    body = json.dumps(tree).encode("utf-8", "surrogatepass")
    check(judge(status, body=body, headers=headers))


@given(st.integers(100, 999), st.binary(max_size=100))
def test_no_bytes_make_judging_fail(status, body):
    check(judge(status, body=body))


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 970, 990, 1000, 5000, 100_000])
def test_no_nesting_makes_judging_fail(depth):
    deep = b"[" * depth + b"]" * depth
    check(judge(400, body=b'{"error": {"message": ' + deep + b"}}"))
    check(judge(400, body=b'{"message": ' + deep + b"}"))


@pytest.mark.parametrize("below", [100, 300, 500, 700])
def test_nor_does_it_fail_deep_in_the_callers_stack(below):
    """What could be parsed cannot always be shown: both count the frames that are there."""
    if below:
        return test_nor_does_it_fail_deep_in_the_callers_stack(below - 1)
    for depth in range(50, 1000, 50):
        deep = b"[" * depth + b"]" * depth
        check(judge(400, body=b'{"error": {"message": ' + deep + b"}}"))
        headers = b'{"error": {"metadata": {"headers": {"Retry-After": ' + deep + b"}}}}"
        check(judge(429, body=headers))
    return None


def check(verdict):
    text = str(verdict.error)
    assert text.isprintable()
    assert len(text) <= guard.MESSAGE_LIMIT + 160
    assert pickle.loads(pickle.dumps(verdict.error)).args == verdict.error.args
    assert verdict.after is None or verdict.after >= 0


# ---------------------------------------------------------------- what messages say


def test_control_characters_escapes_and_surrogates_become_spaces():
    body = b'{"error": {"message": "a\\u001b[31m\\u0000\\nb\\u202ec"}}'
    assert str(judge(500, body=body).error) == "a [31m b c (500)"


def test_a_long_message_is_cut_at_300_characters():
    text = str(judge(500, {"message": "x" * 10**6}).error)
    assert text == "x" * 299 + "… (500)"


def test_a_message_that_is_no_string_is_shown_as_one():
    assert str(judge(500, {"message": ["a", 1]}).error) == "['a', 1] (500)"


def test_a_refusal_without_a_reason_says_so():
    assert str(judge(500).error) == "The API gave no reason. (500)"


def test_the_host_that_failed_is_named():
    error = judge(502, {"message": "m", "metadata": {"provider_name": "Deep\nInfra"}}).error
    assert (str(error), error.provider) == ("m (502 from Deep Infra)", "Deep Infra")


def test_a_refused_key_is_masked_and_its_origin_named():
    error = judge(401, {"message": "No user for sk-or-v1-not0a1real2key3."}).error
    assert str(error) == (
        f"The key was refused. It came from {ORIGIN}: check it at "
        "https://openrouter.ai/settings/keys. The server said: No user for sk-***. (401)"
    )


@pytest.mark.parametrize("key", ["sk-or-v1-abcdef123", "pk-abcdef-1", "key-abc_def"])
def test_whatever_looks_like_a_key_is_masked(key):
    assert key[4:] not in problem.hide_keys(f"({key}) and '{key}'")


def test_codes_are_kept_as_text():
    assert judge(400, {"code": "c"}).error.code == "c"
    assert judge(400, {"code": "c", "metadata": {"error_type": "t"}}).error.code == "t"
    assert judge(400, {"code": 7}).error.code is None


# ---------------------------------------------------------------- the printed table


def test_the_printed_table_holds_every_rule():
    rows = v.rule_rows()
    rules = {rule for _, rule in rows}
    every = [v.STATUS_RULES, v.SPECIAL_RULES, v.FAULT_RULES, v.ANSWER_RULES]
    assert rules == {rule for table in every for rule in table.values()} | {v._FINAL}
    assert all(rule.when for rule in rules)
    assert ("401", v.STATUS_RULES[401]) in rows
