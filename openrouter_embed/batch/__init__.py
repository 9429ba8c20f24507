"""Batches at a lower price: work handed in today, and collected within a day.

Law of this room: everything is pure but `job`, which the caller holds, and `files`. A dialogue with
the API is a generator that says what to ask for and is told what came of it, so that it is written
once for both clients.

In reading order: `api` (all that is known of the API, and how sure we are), `refusal`, `portions`
(inputs into batches), `record` (what a job is, and its file), `stream` and `reader` (answers,
however long), `submitting`, `watching`, `collecting` (the dialogues), `job`, `files`.
"""
