"""What ends a job, what is one row's fault, and how it is told to the driver."""

from __future__ import annotations

import numpy as np
import pytest

from openrouter_embed import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingResult,
    InsufficientCreditsError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    TransportError,
)
from openrouter_embed.ray.faults import fatal, for_driver, reason, renamed

REFUSED = BadRequestError("no", status=400)
EMPTY = ConfigurationError("empty")
DOWN = ServerError("down", status=503)
ALWAYS = [
    AuthenticationError("no", status=401),
    InsufficientCreditsError("no", status=402),
    NotFoundError("no", status=404),
    BudgetExceededError("no"),
    DeadlineExceededError("no"),
    ClientClosedError("no"),
]


@pytest.mark.parametrize("error", ALWAYS, ids=lambda error: type(error).__name__)
def test_what_every_row_will_meet_ends_the_job_even_if_others_arrived(error):
    assert fatal({1: REFUSED, 2: error}, 100) is error


@pytest.mark.parametrize(
    "error",
    [REFUSED, PermissionDeniedError("no", status=403), DOWN, RateLimitError("no", status=429)],
    ids=lambda error: type(error).__name__,
)
def test_what_befell_some_rows_alone_ends_nothing(error):
    assert fatal({3: error}, 2) is None
    assert fatal({}, 2) is None


def test_a_batch_of_which_nothing_arrived_ends_the_job():
    assert fatal({0: DOWN}, 1) is DOWN
    assert fatal({0: TransportError("no", kind="reset")}, 1) is not None
    assert fatal({0: REFUSED, 1: REFUSED}, 2) is REFUSED


def test_a_text_that_is_refused_alone_or_was_never_sent_does_not():
    assert fatal({0: REFUSED}, 1) is None
    assert fatal({0: EMPTY, 1: EMPTY}, 2) is None
    assert fatal({0: EMPTY, 1: REFUSED}, 2) is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Input 1 is empty.", "Row y is empty."),
        (
            "2 of 3 inputs were refused (index 0, 2): no",
            "2 of 3 inputs were refused (rows x, z): no",
        ),
        ("11 inputs (index 1, 2, …): no", "11 inputs (rows y, z, …): no"),
        ("Inputs are strings.", "Inputs are strings."),
    ],
)
def test_rows_are_named_instead_of_positions(message, said):
    assert renamed(message, ["x", "y", "z"]) == said


def test_positions_without_names_say_what_they_count_in():
    assert renamed("Input 4 is empty.", None) == "Row 4 of the batch is empty."
    assert renamed("(index 1, 2)", None) == "(rows 1, 2 of the batch)"


def test_an_error_for_the_driver_says_all_in_its_message_and_brings_no_vectors():
    result = EmbeddingResult(vectors=np.zeros((1, 2), np.float32))
    error = RateLimitError("Slow: Input 0.", status=429, attempts=3, retry_after=2.5, result=result)
    told = for_driver(error, ["id-7"])
    assert str(told) == "Slow: Row id-7. (status 429, 3 attempts, retry after 2.5 s)"
    assert (type(told), told.status, told.result) == (RateLimitError, 429, None)
    assert error.result is result


def test_a_reason_begins_with_the_errors_name():
    assert reason(REFUSED, None) == "BadRequestError: no (status 400)"
