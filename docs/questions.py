"""The answers to "what happens when …", put together from the table of verdicts.

Rules of this file:
- An answer is made of its rule alone: change the rule, and the answer changes.
- Every outcome of the table has its words here; one without words is an error, and so are words
  without an outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openrouter_embed.core.level import Signal
from openrouter_embed.core.verdict import PUBLIC_KINDS, Retry, Rule, Scope, rule_rows
from openrouter_embed.core.wire import FaultKind
from openrouter_embed.errors import api_error_class

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS: Final[dict[str, dict[str, str]]] = {
    "the API refuses": {
        "400, 413, 422": "refuses a text for what it is or how long",
        "parameter": "refuses the model, an option or a data policy",
        "401": "refuses the key",
        "402": "says that no credit is left",
        "budget_in_flight": "says that requests in flight have reserved the credit",
        "403": "does not permit the request: a guardrail, a region",
        "moderated": "finds a text in breach of its rules",
        "404": "knows no such model, or no host for it",
        "comes_back": "says that a model or host is away and will be back",
        "501, 505, 511": "cannot do this at all",
        "other statuses": "answers with any other status",
    },
    "there is too much to do": {
        "429, 529": "says: too many requests",
        "asked_to_wait": "is overloaded and says how long to wait",
    },
    "a server fails": {
        "408, 425, 500, 502, 503, 520, 521, 522, 523, 524, 525, 526, 527": "or its host fails",
        "504": "gives up on a slow host",
        "499": "takes us for gone while we wait",
        "no_provider": "finds no host that succeeds",
        "told_to": "fails and says that trying again is worth it",
        "told_not_to": "fails and says that trying again is not worth it",
    },
    "the network fails": {
        "dns": "has a name that does not resolve",
        "connect": "cannot be reached",
        "refused": "should run on this machine and does not",
        "tls": "has a certificate that is not trusted",
        "proxy": "is behind a proxy that refuses",
        "reset": "drops the connection before it answers",
        "truncated": "drops the connection within its answer",
        "timeout": "does not answer in time",
        "redirect": "redirects to another address",
        "local": "cannot even be asked: the request cannot be made here",
    },
    "an answer is not to be trusted": {
        "200, empty": "answers with nothing",
        "200, json": "answers with broken JSON",
        "200, unbelieved": "answers in base64 at a width that nobody knows",
        "200, provider": "answers from another host than the pinned one",
        "200, *": "sends too few vectors, NaN, another width or a wrong order",
        "decode": "sends a body that cannot be unpacked",
        "too_large": "sends more than the vectors can take",
        "protocol": "sends what is not HTTP",
        "framing": "sends a malformed head",
    },
}  # fmt: skip
"""Outcome → the words after "What happens when the server …", by kind."""

_ERRORS: Final = {
    "other statuses": "APIError",
    "budget_in_flight": api_error_class(402).__name__,
    "no_provider": api_error_class(404).__name__,
    "moderated": api_error_class(403).__name__,
    "asked_to_wait": api_error_class(503).__name__,
    "parameter": api_error_class(400).__name__,
    "told_not_to": "APIError",
    "told_to": "APIError",
    "comes_back": "APIError",
    "local": "ConfigurationError",
}
"""What is raised where the outcome's name does not say it."""
_AGAIN: Final = {
    Retry.NEVER: "It is not tried again, which could not help.",
    Retry.ONCE: "It is tried once more.",
    Retry.FEW: "It is tried up to three times more.",
    Retry.ALWAYS: "It is tried again with growing pauses, within `max_retries` and the deadline.",
}
_WAITS: Final = "It waits for its turn and is sent again, as long as the client is served at all."
_IN_FLOATS: Final = "It is asked for in floats instead, and so is everything after it."
_ALL_WAIT: Final = "All calls of the client wait as long as the server asks for."
_BLAMED: Final = (
    "The inputs to blame are found and named by their index in `{error}`; the others are "
    "delivered with it."
)


def questions() -> Iterable[str]:
    """Return a small table for each kind of trouble."""
    rules = dict(rule_rows())
    worded = [name for group in GROUPS.values() for name in group]
    if sorted(worded) != sorted(rules):
        odd = sorted(set(worded) ^ set(rules))
        raise ValueError(f"Outcomes and words differ in {odd}: see `GROUPS` in docs/questions.py.")
    for title, group in GROUPS.items():
        yield from (f"### … when {title}", "", "| the server … | what happens |", "| --- | --- |")
        for name, words in group.items():
            yield f"| {words}{_statuses(name)} | {answer(name, rules[name])} |"
        yield ""


def _statuses(name: str) -> str:
    codes = name.split(", ")
    if not codes[-1].isdigit():
        return ""
    return f" ({', '.join(codes[:5])}{', …' if len(codes) > 5 else ''})"


def answer(name: str, rule: Rule) -> str:
    """Return in sentences what a rule says."""
    all_wait = [_ALL_WAIT] if rule.cool else []
    return " ".join([_again(name, rule), *all_wait, _end(rule).format(error=_error(name))])


def _again(name: str, rule: Rule) -> str:
    if name == "200, unbelieved":
        return _IN_FLOATS
    return _WAITS if rule.signal is Signal.THROTTLED else _AGAIN[rule.retry]


def _end(rule: Rule) -> str:
    if rule.scope is Scope.INPUT:
        return _BLAMED
    ends = "the call ends with `{error}`."
    return f"If that fails for good, {ends}" if rule.retry is not Retry.NEVER else f"T{ends[1:]}"


def _error(name: str) -> str:
    """Return what is raised, as it is written in `except`."""
    if name in _ERRORS:
        return _ERRORS[name]
    if name[:3].isdigit() and not name.startswith("200"):
        return api_error_class(int(name[:3])).__name__
    if name.startswith("200"):
        return "InvalidResponseError"
    kind = FaultKind(name)
    return f"TransportError` of kind `{PUBLIC_KINDS.get(kind, kind.value)}"
