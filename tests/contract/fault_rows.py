"""The register of faults: every row, and why some have no test with a server in this folder.

Rules of this file:
- Plain data without imports: the documentation prints it.
- A row is tested by a case of that id or by a test whose name begins with it, or it stands here.
"""

from __future__ import annotations

COUNTS = {"A": 14, "B": 17, "C": 23, "D": 21, "E": 15, "F": 12}
"""Rows per group: connection, bytes, answers, statuses and pacing, life cycle, privacy."""
ROWS = tuple(
    f"{group}{number}" for group, count in COUNTS.items() for number in range(1, count + 1)
)

SIMULATED = {
    "D15": "a storm of server errors stays within the retry budget",
    "D16": "an outage of seconds: the budget refills and concurrency climbs back",
    "D17": "random failures: throughput stays near that of a healthy server",
    "D18": "a server that bears four requests at once: the limit settles there",
    "D20": "jitter: no two clients sleep alike, delays within their interval",
}
"""Rows about seconds and rates: tested on the pure state machine with a simulated clock."""

NOT_APPLIED = {
    "E14": "`python -O` is tested; uvloop, trio and free-threaded builds are not: the package uses "
    "nothing of theirs and promises nothing about them",
    "C16": "a big-endian machine is not simulated: the decoder names its byte order, and the test "
    "holds fixed bytes against fixed floats",
    "A11": "there is no switch that turns verification off, so there is nothing to warn about; a "
    "session of your own brings its own `verify`",
}
"""Rows that apply in part or not at all."""

DIFFERENT = {
    "A5-in-status-line": "cut within the status line: `protocol` instead of `reset`",
    "A5-in-headers": "cut within the headers: taken as it is, and the empty body is the error",
    "B12-103": "102 or 103 before the answer: a `protocol` error, its connection closed; the "
    "asynchronous client waits for the answer",
    "B12-many": "several of them: the same",
    "B13-no-colon": "a line without a colon after all others: ignored",
    "B13-no-colon-first": "one before all others: they are ignored, so the body has no end but the "
    "connection's",
}
"""Cases in which the synchronous shell makes of a head what `http.client` makes of it."""
