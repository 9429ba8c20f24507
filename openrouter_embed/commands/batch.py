"""`openrouter-embed batch submit | status | fetch`: a file of texts, embedded overnight.

Rules of this file:
- What was handed in is in the job's file, however a command ends; a job's file is never replaced.
- The key goes where the environment says, never where a job's file says.
- With `--json` nothing but JSON goes to standard output.
"""

from __future__ import annotations

import json
import os
import pathlib
import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed import tables
from openrouter_embed.commands.colours import paint
from openrouter_embed.commands.prose import columns, wrapped
from openrouter_embed.commands.texts import FIELD, read_texts
from openrouter_embed.errors import BatchError, ConfigurationError, EmbeddingError, TransportError
from openrouter_embed.guard import speaking

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator

    from openrouter_embed.batch.job import BatchJob
    from openrouter_embed.batch.record import Batch
    from openrouter_embed.client import EmbeddingClient
    from openrouter_embed.commands.colours import Look
    from openrouter_embed.commands.parsers import Commands
    from openrouter_embed.result import EmbeddingResult

COMMAND: Final = "openrouter-embed batch"
SHOWN: Final = 5
"""Reasons of failures that are told."""
_ANY: Final = "*"
"""In place of the model of a job that does not tell it; it is sent nowhere."""
_ROLES: Final = ("document", "query", "none")


def add_batch(commands: Commands) -> None:
    """Describe the commands to the parser."""
    parser = commands.add_parser("batch", help="embed a file within a day, at half the price")
    kinds: Commands = cast("Any", parser.add_subparsers(required=True, metavar="COMMAND"))
    _add_submit(kinds)
    _add_status(kinds)
    _add_fetch(kinds)


def _add_submit(commands: Commands) -> None:
    submit = commands.add_parser("submit", help="hand the texts of a file in")
    submit.add_argument("file", metavar="FILE", help="texts: lines, .jsonl, .csv, .tsv or .parquet")
    submit.add_argument("--model", required=True, metavar="ID", help="a model id")
    submit.add_argument(
        "--job", required=True, metavar="JSON", help="the job's file, to be written"
    )
    submit.add_argument("--field", default=FIELD, help="field of the texts (default: %(default)s)")
    submit.add_argument(
        "--role",
        choices=_ROLES,
        metavar="ROLE",
        default=_ROLES[0],
        help=f"{', '.join(_ROLES)}: the texts as they are (default: %(default)s)",
    )
    submit.add_argument("--dimensions", type=int, metavar="N", help="width of the vectors")
    submit.add_argument("--max-cost", type=float, metavar="USD", help="hand in nothing above this")
    _add_cache(submit, "what is in this cache is not handed in")
    submit.set_defaults(run=_submit)


def _add_status(commands: Commands) -> None:
    status = commands.add_parser("status", help="say how far a job has come")
    _add_job(status)
    status.add_argument("--json", action="store_true", help="print JSON")
    status.set_defaults(run=_status)


def _add_fetch(commands: Commands) -> None:
    fetch = commands.add_parser("fetch", help="read a finished job's vectors")
    _add_job(fetch)
    fetch.add_argument(
        "--output", metavar="NPZ", help="file for the vectors (default: beside the job's file)"
    )
    fetch.add_argument("--wait", action="store_true", help="wait until the job is finished")
    _add_cache(fetch, "put the vectors into this cache; no other file unless --output is given")
    fetch.set_defaults(run=_fetch)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB", help="the job's file")


def _add_cache(parser: argparse.ArgumentParser, says: str) -> None:
    parser.add_argument("--cache", metavar="PATH", help=says)


# ------------------------------------------------------------------ submit


def _submit(options: argparse.Namespace) -> int:
    from openrouter_embed.batch import files  # noqa: PLC0415 - loads numpy
    from openrouter_embed.client import EmbeddingClient  # noqa: PLC0415 - as above

    with speaking({"save_to": "--job", "batch": "batch status"}):
        files.check_free(options.job)
    role = None if options.role == "none" else options.role
    texts = read_texts(options.file, options.field)
    if not texts:
        raise ConfigurationError(f"`{options.file}` holds no texts.")
    settings: dict[str, Any] = {
        "dimensions": options.dimensions, "max_cost": options.max_cost, "cache": options.cache,
    }  # fmt: skip
    with EmbeddingClient(options.model, **settings) as client, _remembering(options.job):
        _announce(client, texts, role)
        job = client.submit(texts, role=role, save_to=options.job)
    _tell_submitted(job, options)
    return 0


def _announce(client: EmbeddingClient, texts: list[str], role: Any) -> None:
    expected = client.estimate(texts, role=role, batch=True)
    cost = "of unknown price" if expected.cost is None else f"about {tables.money(expected.cost)}"
    many = tables.count(len(texts), "text")
    print(wrapped(f"{many}, about {expected.tokens:,} tokens to be bought, {cost}."), flush=True)


@contextmanager
def _remembering(path: str) -> Generator[None]:
    """Say where that is which was handed in before something went wrong."""
    try:
        yield
    except (EmbeddingError, KeyboardInterrupt):
        if _has_batches(path):
            said = f"What was handed in before that is in {path}."
            print(f"{wrapped(said)}\n{_next(path, 'status')}", file=sys.stderr)
        elif os.path.isfile(path):  # noqa: PTH113 - as it was typed
            os.unlink(path)  # noqa: PTH108 - as above
        raise


def _has_batches(path: str) -> bool:
    from openrouter_embed.batch import files  # noqa: PLC0415 - loads numpy

    if not os.path.isfile(path):  # noqa: PTH113 - as it was typed
        return False
    try:
        return files.was_handed_in(path)
    except ConfigurationError:
        return True  # who knows


def _tell_submitted(job: BatchJob, options: argparse.Namespace) -> None:
    if job.ids:
        many = tables.count(len(job.ids), "batch")
        print(wrapped(f"Handed in as {many}, to be answered within 24 hours."))
        print(_next(options.job, "status"))
    else:
        print("Everything is in the cache already: nothing was handed in.")
    print(_next(options.job, "fetch", options.cache))


def _next(path: str, what: str, cache: str | None = None) -> str:
    """Return a command to be typed, on a line of its own, with the words that begin it aligned."""
    more = f" --cache {shlex.quote(cache)}" if cache else ""
    return f"{_NEXT[what]} {COMMAND} {what} {shlex.quote(path)}{more}"


_NEXT: Final = {"status": "How far:", "fetch": "Vectors:"}


# ------------------------------------------------------------------ status


def _status(options: argparse.Namespace) -> int:
    status = 0
    with _found(options.job, None) as job:
        try:
            job.refresh()
            job.save(options.job)
        except TransportError as error:
            said = wrapped(f"{error.message} This is how the job was last seen.")
            print(paint(said, "yellow", stream=sys.stderr), file=sys.stderr)
            status = 1
        print(json.dumps(_record(job), indent=2) if options.json else _told(job, options.job))
    return status


@contextmanager
def _found(path: str, cache: str | None) -> Generator[BatchJob]:
    from openrouter_embed.batch import files  # noqa: PLC0415 - loads numpy
    from openrouter_embed.client import EmbeddingClient  # noqa: PLC0415 - as above

    with EmbeddingClient(files.read(path).model or _ANY, cache=cache) as client:
        yield client.batch(pathlib.Path(path))


def _told(job: BatchJob, path: str) -> str:
    counts = job.counts
    summary = f"{counts.completed:,} of {counts.total:,} texts done, {counts.failed:,} failed"
    head = ("batch", "state", "done", "failed", "of")
    rows = [[batch.id or "-", batch.state.status, *_counts(batch)] for batch in job.record.batches]
    lines = [f"{paint(job.status, _look(job))}: {summary}."]
    if rows:
        lines += ["", tables.text_table(head, rows, columns())]
    lines += [wrapped(f"\n{name}: {said}") for name, said in job.failed.items() if name]
    if rows and not job.ids and job.done:
        lines += ["", wrapped(f"Nothing was accepted: remove {path}, and submit again.")]
    elif job.done:
        lines += ["", wrapped(f"Bought: {job.usage}."), _next(path, "fetch")]
    return "\n".join(lines)


def _counts(batch: Batch) -> list[str]:
    counts = batch.counts
    return [f"{counts.completed:,}", f"{counts.failed:,}", f"{counts.total:,}"]


def _look(job: BatchJob) -> Look:
    from openrouter_embed.batch.api import COMPLETED  # noqa: PLC0415 - loads numpy

    if job.status == COMPLETED:
        return "green"
    return "red" if job.done else "yellow"


def _record(job: BatchJob) -> dict[str, Any]:
    counts, usage = job.counts, job.usage
    kept = ("id", "status", "created_at", "expires_at", "error")
    return {
        "status": job.status,
        "done": job.done,
        "counts": {"total": counts.total, "completed": counts.completed, "failed": counts.failed},
        "usage": {"tokens": usage.total_tokens, "cost": usage.billed},
        "batches": [{name: row.get(name) for name in kept} for row in job.to_dict()["batches"]],
    }


# ------------------------------------------------------------------ fetch


def _fetch(options: argparse.Namespace) -> int:
    if options.output and pathlib.PurePath(options.output).suffix.lower() in _NO_NPZ:
        raise ConfigurationError("`--output` takes a file of numpy's: let its name end in `.npz`.")
    with _found(options.job, options.cache) as job:
        if options.wait:
            _wait(job, options.job)
        else:
            job.refresh()
        job.save(options.job)
        if not job.done:
            raise BatchError(
                f"The job is not finished: {job.status}. Wait for it with `--wait`, or ask again "
                "later.",
                status=job.status,
            )
        result = job.result(on_error="return")
    _keep(result, options)
    return _tell_failures(result)


_NO_NPZ: Final = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".npy"})
"""Endings that promise another form than the file has."""


def _wait(job: BatchJob, path: str) -> None:
    try:
        job.wait(progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        print(f"\nThe job goes on.\n{_next(path, 'status')}", file=sys.stderr)
        raise


def _keep(result: EmbeddingResult, options: argparse.Namespace) -> None:
    good = int(result.ok.sum())
    many = tables.count(good, "vector")
    if good and (options.output or not options.cache):
        place = options.output or f"{pathlib.PurePath(options.job).with_suffix('.npz')}"
        _write(result, place)
        print(wrapped(f"{many} of {result.vectors.shape[1]:,} components in {place}"))
    if good and options.cache:
        print(wrapped(f"{many} in the cache {options.cache}"))
    print(wrapped(f"Bought: {result.usage}."))


def _write(result: EmbeddingResult, place: str) -> None:
    try:
        result.save(place)
    except OSError as error:
        reason = error.strerror
    else:
        return
    raise ConfigurationError(f"`{place}` cannot be written: {reason}.")


def _tell_failures(result: EmbeddingResult) -> int:
    """Say which rows failed, those for the same reason together."""
    reasons: dict[str, list[int]] = {}
    for at, error in result.failures.items():
        reasons.setdefault(str(error), []).append(at + 1)
    for reason, rows in list(reasons.items())[:SHOWN]:
        more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
        said = wrapped(f"Failed: row {rows[0]}{more}: {reason}")
        print(paint(said, "red", stream=sys.stderr), file=sys.stderr)
    if len(reasons) > SHOWN:
        print(f"{len(reasons) - SHOWN:,} more reasons.", file=sys.stderr)
    return 1 if reasons else 0
