"""Every fault row that a server alone can show, through both shells."""

from __future__ import annotations

import functools

import fault_server
import pytest
from fault_cases import CASES, Case
from fault_harness import SHELLS, Seen, no_backoff, run, slack

from openrouter_embed.errors import InvalidResponseError, TransportError


@functools.cache
def outcome(number: int, shell: str) -> tuple[Seen, list[fault_server.Hit]]:
    """Play a case once; leaks and secrets are checked while it runs."""
    case = CASES[number]
    with fault_server.FaultServer(case.script, on_accept=case.on_accept) as server, no_backoff():
        options = {"base_url": server.url, **case.options}
        return run(shell, list(case.inputs), options, **case.call), server.hits


numbered = pytest.mark.parametrize("number", range(len(CASES)), ids=[case.id for case in CASES])


@pytest.mark.parametrize("shell", SHELLS)
@numbered
def test_a_fault_becomes_its_error(number, shell):
    """Class, kind, reason, attempts, hits and time are what the case says."""
    case: Case = CASES[number].on(shell)
    seen, hits = outcome(number, shell)
    error = seen.error
    assert type(error) is (case.error or type(None)), error
    assert len(hits) == case.wanted_hits
    assert seen.elapsed < case.seconds + slack()
    assert seen.warned == []
    if error is None:
        assert case.check(seen.result)
        assert len(seen.result) == len(case.inputs)
        return
    assert error.attempts == case.attempts
    assert not isinstance(error, TransportError) or error.kind == case.kind
    assert not isinstance(error, InvalidResponseError) or error.reason == case.reason
    assert case.says in str(error)
    assert case.check(error)


@pytest.mark.parametrize(
    "number",
    [number for number, case in enumerate(CASES) if not case.on_requests],
    ids=[case.id for case in CASES if not case.on_requests],
)
def test_both_shells_agree(number):
    """All that a user can tell apart is equal: class, message, every attribute, vectors, hits."""
    one, two = (outcome(number, shell) for shell in SHELLS)
    assert one[0].public == two[0].public
    assert [hit.body for hit in one[1]] == [hit.body for hit in two[1]]


@numbered
def test_a_right_answer_gives_the_right_vectors(number):
    """Where a case ends well with the server's own vectors, they are the inputs' vectors."""
    case = CASES[number].on("requests")
    exact = case.error is None and not case.id.startswith(("C14", "C18"))
    if exact:
        seen, _ = outcome(number, "requests")
        assert seen.result.tolist() == [fault_server.vector(text) for text in case.inputs]
