"""The pure core: it decides everything and touches nothing.

Law of this room: no sockets, threads, clocks, randomness or event loops. Time, chance, locks and
callbacks come in as arguments; requests and replies are plain data.

In reading order:

- `wire`: the whole language between core and shells. `call`, `callbacks`: what one call was told.
- `plan`, `tokens`, `bill`: inputs into distinct units with a role applied, and what they will cost.
  `limits`, `bodies`: how much one request may hold, and its bytes.
- `job`: one call, step by step; `fetch`: one exchange that embeds nothing. A job stands on
  `backlog` (what is to be sent, packed), `flight` (what is under way), `collect` (what has come)
  with `rows` (where it lies), `hunt` (who is to blame), `retry` (when to try again),
  `kept` (what the cache has, and what other calls are buying).
- `verdict`: what an outcome means; `problem`: an error body read; `advice`: what a message says;
  `notice`: what a log is told.
- `inflate`, `codec`, `edges`, `floats`, `belief`, `long`: answers into vectors, and long texts into
  parts and back; `billed`: what an answer says it cost.
- `pacing`, `level`, `flow`, `growth`, `ledger`, `memory`: how fast, how many at once and in one
  request, for how much, what was learned.
"""
