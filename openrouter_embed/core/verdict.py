"""What to do about an outcome: one table, which the documentation prints too.

Rules of this file:
- The status is an integer and judged before the body; a body nobody can read changes nothing.
- HTTP 200 with an `error` in it is that error.
- A fault is judged here and nowhere else: no shell, library or framework retries on its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from openrouter_embed.core.level import Signal
from openrouter_embed.core.problem import (
    Problem,
    hide_keys,
    read_problem,
    retry_after,
    without_keys,
)
from openrouter_embed.core.wire import Fault, FaultKind, Reply
from openrouter_embed.errors import (
    APIError,
    ConfigurationError,
    EmbeddingError,
    InvalidResponseError,
    TransportError,
    api_error_class,
)
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Retry(Enum):
    """How often a cause may be tried again, within `max_retries` and the retry budget."""

    NEVER = 0
    ONCE = 1
    FEW = 3
    ALWAYS = 1_000_000


class Scope(Enum):
    """What a final failure means for the rest of the call."""

    CALL = "call"
    """Nothing else can succeed either, or it would be paid in vain: the call ends."""
    BATCH = "batch"
    """Only this request failed."""
    INPUT = "input"
    """One of its inputs is to blame: the request is split to find out which."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        when: The outcome in words, for the documentation.
        retry: How often it may be tried again.
        signal: What it says about load.
        scope: What it means for the rest of the call once it is final.
        cool: Whether every request of the client waits, not only this one.
    """

    when: str
    retry: Retry
    signal: Signal = Signal.NEUTRAL
    scope: Scope = Scope.BATCH
    cool: bool = False


_FINAL: Final = Rule("any other status", Retry.NEVER, scope=Scope.CALL)
_REFUSED: Final = Rule("a refusal for content or size", Retry.NEVER, scope=Scope.INPUT)
_FAILING: Final = Rule("a failing server or host", Retry.ALWAYS, Signal.TROUBLED)
_THROTTLED: Final = Rule("too many requests", Retry.ALWAYS, Signal.THROTTLED, cool=True)

STATUS_RULES: Final[dict[int, Rule]] = {
    **dict.fromkeys((400, 413, 422), _REFUSED),
    401: Rule("the key is refused", Retry.NEVER, scope=Scope.CALL),
    402: Rule("no credit left", Retry.NEVER, scope=Scope.CALL),
    403: Rule("not permitted: moderation, a guardrail, a region", Retry.NEVER, scope=Scope.CALL),
    404: Rule("no such model or no host for it", Retry.NEVER, scope=Scope.CALL),
    **dict.fromkeys((408, 425, 500, 502, 503, *range(520, 528)), _FAILING),
    499: Rule("the router takes us for gone, and we wait", Retry.FEW, Signal.TROUBLED),
    504: Rule("the host took too long for the router", Retry.ALWAYS, Signal.TROUBLED),
    **dict.fromkeys((429, 529), _THROTTLED),
    **{
        status: Rule("the server cannot do this", Retry.NEVER, scope=Scope.CALL)
        for status in (501, 505, 511)
    },
}

SPECIAL_RULES: Final[dict[str, Rule]] = {
    "budget_in_flight": Rule(
        "402 for credit that requests in flight have reserved", Retry.ALWAYS, Signal.THROTTLED,
        cool=True,
    ),
    "no_provider": Rule(
        "404 or 200 with “No successful provider responses”", Retry.FEW, Signal.TROUBLED
    ),
    "moderated": Rule("403 for the content of an input", Retry.NEVER, scope=Scope.INPUT),
    "asked_to_wait": Rule(
        "503 with Retry-After", Retry.ALWAYS, Signal.THROTTLED, cool=True
    ),
    "parameter": Rule(
        "a refusal that names the model, a parameter or a policy", Retry.NEVER, scope=Scope.CALL
    ),
    "told_not_to": Rule(
        "`x-should-retry: false`, or `error.availability.retryable: false`", Retry.NEVER
    ),
    "told_to": Rule("`x-should-retry: true` on 409 or 5xx", Retry.ALWAYS, Signal.TROUBLED),
    "comes_back": Rule(
        "403 or 404 with `error.availability.retryable: true`", Retry.ALWAYS, Signal.TROUBLED,
        scope=Scope.CALL,
    ),
}  # fmt: skip

FAULT_RULES: Final[dict[FaultKind, Rule]] = {
    FaultKind.DNS: Rule("the host name does not resolve", Retry.ONCE, scope=Scope.CALL),
    FaultKind.CONNECT: Rule("no connection", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.REFUSED: Rule(
        "nothing listens on this machine's own address", Retry.ONCE, scope=Scope.CALL
    ),
    FaultKind.TLS: Rule("TLS or its certificate failed", Retry.NEVER, scope=Scope.CALL),
    FaultKind.RESET: Rule("connection lost before the answer", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.TIMEOUT: Rule("no complete answer in time", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.TRUNCATED: Rule("connection lost within the answer", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.DECODE: Rule("the body is not what its encoding says", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.TOO_LARGE: Rule("the body grows past its limit", Retry.NEVER, scope=Scope.CALL),
    FaultKind.PROTOCOL: Rule("the answer is not HTTP", Retry.ALWAYS, Signal.TROUBLED),
    FaultKind.PROXY: Rule("the proxy refuses", Retry.NEVER, scope=Scope.CALL),
    FaultKind.FRAMING: Rule("the answer's head is malformed", Retry.NEVER, scope=Scope.CALL),
    FaultKind.REDIRECT: Rule("a redirect; none is followed", Retry.NEVER, scope=Scope.CALL),
    FaultKind.LOCAL: Rule("the request could not be made here", Retry.NEVER, scope=Scope.CALL),
}

ANSWER_RULES: Final[dict[str, Rule]] = {
    "empty": Rule("200 with an empty body", Retry.ONCE),
    "json": Rule("200 with a body that is not whole JSON", Retry.ONCE),
    "unbelieved": Rule(
        "200 in base64 at a width that nobody knows; asked again in floats, once for all",
        Retry.NEVER,
    ),
    "provider": Rule("200 from another host than the pinned one", Retry.FEW),
    "*": Rule("200 with vectors that cannot be trusted", Retry.NEVER),
}


PUBLIC_KINDS: Final = {
    FaultKind.FRAMING: "protocol",
    FaultKind.PROXY: "connect",
    FaultKind.REFUSED: "connect",
}
"""Kinds that differ only in whether a retry can help go by one name outside."""
ANSWERS: Final = frozenset({200, 204, 205})
"""Statuses whose body is an answer; every other one is an error, whatever the body says."""
UNBELIEVED: Final = "answer:unbelieved"
"""The cause of an answer in base64 that is asked for again in floats."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement on one outcome.

    Attributes:
        rule: The row that applies.
        cause: Short name of the cause, the same for the same trouble.
        error: What to raise if it is final.
        after: Seconds the server asked to wait; `None` if it did not say.
        size: The request was too large as a whole: smaller ones may pass, whatever they hold.
        length: An input is longer than the model reads: its parts may pass.
    """

    rule: Rule
    cause: str
    error: EmbeddingError
    after: float | None = None
    size: bool = False
    length: bool = False


def judge(
    outcome: Reply | Fault, *, doubt: InvalidResponseError | None, key_origin: str
) -> Verdict:
    """Judge an outcome that is not a believed answer.

    Args:
        outcome: What the shell brought.
        doubt: Why a 200 was not believed, if it was one.
        key_origin: Where the key came from, for the message of a 401.
    """
    if isinstance(outcome, Fault):
        return _judge_fault(outcome)
    if 300 <= outcome.status < 400:
        message = f"The server answered {outcome.status}, a redirect; none is followed."
        return _judge_fault(Fault(FaultKind.REDIRECT, f"{message} Check `base_url`."))
    problem = read_problem(outcome.body)
    if outcome.status in ANSWERS:
        if problem is not None:
            return _judge_status(problem.status or 500, outcome, problem, key_origin)
        if doubt is None:
            doubt = InvalidResponseError("The server sent no content.", reason="empty")
        rule = ANSWER_RULES.get(doubt.reason, ANSWER_RULES["*"])
        return Verdict(rule, f"answer:{doubt.reason}", doubt)
    return _judge_status(outcome.status, outcome, problem or Problem(), key_origin)


def _judge_fault(fault: Fault) -> Verdict:
    rule = FAULT_RULES[fault.kind]
    if fault.kind is FaultKind.LOCAL:
        return Verdict(rule, "local", ConfigurationError(fault.message))
    kind = PUBLIC_KINDS.get(fault.kind, fault.kind.value)
    return Verdict(rule, f"fault:{kind}", TransportError(fault.message, kind=kind))


def _judge_status(status: int, reply: Reply, problem: Problem, key_origin: str) -> Verdict:
    after = retry_after(reply.headers, problem.waits, reply.wall)
    name, rule = _classify(status, reply, problem, after)
    error = _api_error(status, reply.status, problem, after, key_origin)
    return Verdict(
        rule, f"status:{status}:{name}", error, after, size=name == "size", length=name == "length"
    )


def _classify(status: int, reply: Reply, problem: Problem, after: float | None) -> tuple[str, Rule]:
    plain = STATUS_RULES.get(status, _FINAL)
    told = reply.headers.get("x-should-retry", "").strip().lower()
    worth = problem.availability.get("retryable")
    if (told == "false" or worth is False) and plain.retry is not Retry.NEVER:
        return "told_not_to", SPECIAL_RULES["told_not_to"]
    if worth is True and status in (403, 404):
        return "comes_back", SPECIAL_RULES["comes_back"]
    if told == "true" and (status == 409 or status >= 500) and plain.retry is Retry.NEVER:
        return "told_to", SPECIAL_RULES["told_to"]
    for name, applies in _SPECIAL_CASES:
        if applies(status, problem, after):
            return name, SPECIAL_RULES[name]
    if plain.scope is Scope.INPUT:
        return _refusal(status, problem)
    return "", plain


def _is_budget_in_flight(status: int, problem: Problem, _: float | None) -> bool:
    return status == 402 and problem.metadata.get("limit_source") == "openrouter_in_flight_budget"


def _is_no_provider(status: int, problem: Problem, _: float | None) -> bool:
    return status == 404 and "no successful provider" in problem.message.lower()


def _is_moderated(status: int, problem: Problem, _: float | None) -> bool:
    return status == 403 and not {"reasons", "flagged_input"}.isdisjoint(problem.metadata)


def _is_asked_to_wait(status: int, _: Problem, after: float | None) -> bool:
    return status == 503 and after is not None


_SPECIAL_CASES: Final[tuple[tuple[str, Callable[[int, Problem, float | None], bool]], ...]] = (
    ("budget_in_flight", _is_budget_in_flight),
    ("no_provider", _is_no_provider),
    ("moderated", _is_moderated),
    ("asked_to_wait", _is_asked_to_wait),
)


_SIZE_TYPES: Final = frozenset({"token_limit_exceeded", "payload_too_large"})
_LENGTH_TYPES: Final = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "string_too_long"}
)
_INPUT_TYPES: Final = frozenset(
    {
        "invalid_prompt", "content_policy_violation", "refusal", "invalid_image",
        "image_too_large", "image_too_small", "unsupported_image_format",
        "image_download_failed", "image_not_found",
    }
)  # fmt: skip
_COUNT_WORDS: Final = re.compile(
    r"too many inputs|inputs? in (?:one )?(?:request|batch)|at most \d+ (?:items|requests|inputs)"
    r"|split into more batches|max(?:imum)? (?:batch|allowed tokens)|tokens per request"
    r"|batch size|total (?:number of )?tokens",
    re.IGNORECASE,
)
_PARAMETER_WORDS: Final = re.compile(
    r"\bmodels?\b.*(?:not|n't|does|exist|support|valid|unknown|found)|not a valid model"
    r"|\b(?:dimensions?|encoding_format|encoding format|input_type|input type|provider|user"
    r"|base64|parameter|argument|unrecognized|data policy|polic(?:y|ies)|schema)\b",
    re.IGNORECASE,
)
_LENGTH_WORDS: Final = re.compile(
    r"context length|too long|maximum (?:context|length)|token limit|at least 1 token"
    r"|exceed\w*[^.]{0,60}(?:context|tokens?|length)",
    re.IGNORECASE,
)


def _refusal(status: int, problem: Problem) -> tuple[str, Rule]:
    """Tell a refusal of inputs from one of the request: only the former is worth splitting."""
    kind = str(problem.metadata.get("error_type", problem.code or ""))
    if status == 413 or kind in _SIZE_TYPES or _COUNT_WORDS.search(problem.message):
        return "size", _REFUSED
    if kind in _LENGTH_TYPES or _LENGTH_WORDS.search(problem.message):
        return "length", _REFUSED
    if kind not in _INPUT_TYPES and _PARAMETER_WORDS.search(problem.message):
        return "parameter", SPECIAL_RULES["parameter"]
    return "input", _REFUSED


def _api_error(
    status: int, http_status: int, problem: Problem, after: float | None, key_origin: str
) -> APIError:
    provider = problem.metadata.get("provider_name")
    said = hide_keys(printable(problem.message)) or "The API gave no reason."
    where = f" from {printable(provider, 60)}" if isinstance(provider, str) else ""
    wire = "" if status == http_status else f" in an HTTP {http_status}"
    text = f"{said} ({status}{where}{wire})"
    if status == 401:
        text = (
            f"The key was refused. It came from {key_origin}: check it at "
            f"https://openrouter.ai/settings/keys. The server said: {text}"
        )
    kind = problem.metadata.get("error_type", problem.code)
    return api_error_class(status)(
        text,
        status=status,
        http_status=http_status,
        code=hide_keys(printable(kind, 80)) if isinstance(kind, str) else None,
        provider=hide_keys(printable(provider, 80)) if isinstance(provider, str) else None,
        detail=without_keys(problem.metadata),
        availability=without_keys(problem.availability),
        retry_after=after,
    )


def rule_rows() -> Sequence[tuple[str, Rule]]:
    """Return the whole table for the documentation: outcome, rule."""
    statuses: dict[Rule, list[int]] = {}
    for status, rule in STATUS_RULES.items():
        statuses.setdefault(rule, []).append(status)
    return [
        *((", ".join(map(str, sorted(codes))), rule) for rule, codes in statuses.items()),
        ("other statuses", _FINAL),
        *((name, rule) for name, rule in SPECIAL_RULES.items()),
        *((kind.value, rule) for kind, rule in FAULT_RULES.items()),
        *((f"200, {reason}", rule) for reason, rule in ANSWER_RULES.items()),
    ]


def blames_base64(verdict: Verdict, *, chosen: bool = False) -> bool:
    """Whether the format may be to blame: some hosts fail on base64 without saying so.

    Args:
        verdict: The judgement on what came.
        chosen: Whether the caller chose it; then only what cannot be believed counts.
    """
    if chosen or verdict.cause == UNBELIEVED:
        return verdict.cause == UNBELIEVED
    name = verdict.cause.rpartition(":")[2]
    return name in ("no_provider", "base64") or (
        name == "parameter" and "encoding" in verdict.error.message.lower()
    )
