"""Batches at a lower price: work handed in today, and collected within a day.

Law of this room: everything is pure but what stands at its edge, which is listed last. A dialogue
with the API is a generator that says what to ask for and is told what came of it, so that it is
written once for both clients.

In reading order: `api` (all that is known of the API, and how sure we are), `refusal` (what batches
do not take), `portions` (inputs into batches), `record` (what a job is, and what its file holds),
`stream` and `reader` (answers, however long), `dialogue` and, written in it, `submitting`,
`watching` and `collecting`.

At the edge: `submission` (one call of submit), `job_cache` (the cache, by keys alone), `files`, and
`job`, which the caller holds.
"""
