"""What a job is: which inputs went into which batches, and how those were last seen.

Rules of this file:
- It holds ids, hashes, numbers and settings, so that it can lie in a file: no text, no key.
- An input is known by the key under which a cache keeps its vector.
- What is read from a file is checked: it may come from anywhere.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from openrouter_embed.batch import api
from openrouter_embed.batch.api import State
from openrouter_embed.core.billed import read_billed
from openrouter_embed.core.plan import Plan
from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.checks import check_root
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT: Final = "openrouter-embed batch job"
VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """How far the requests of a job have come, one for each distinct input submitted.

    Attributes:
        total: All of them.
        completed: Those that have a vector.
        failed: Those that have none, and will have none.
    """

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(slots=True)
class Batch:
    """One batch of a job.

    Attributes:
        id: The API's; empty where none was told.
        units: The distinct inputs in it, by number.
        state: As it was last seen.
    """

    id: str
    units: Sequence[int]
    state: State = field(default_factory=State)

    @property
    def counts(self) -> BatchCounts:
        """How far it has come; the API may not have counted yet, or no longer count."""
        seen, total = self.state, len(self.units) or self.state.total
        done = min(seen.completed, total)
        failed = total - done if seen.status in api.ENDED else min(seen.failed, total)
        return BatchCounts(total=total, completed=done, failed=failed)

    @property
    def usage(self) -> Usage:
        """What the API says it cost."""
        if self.state.usage is None:
            return Usage()
        return read_billed(self.state.usage, self.state.completed or len(self.units))


@dataclass(slots=True, kw_only=True)
class Record:
    """One job.

    Attributes:
        base_url: Where it was submitted.
        root: The root below which its batches were found, where that is not the base URL's.
        model: The id that was asked for; empty where only ids of batches are known.
        space: The name of the space of its vectors.
        dimensions: The width that was asked for.
        normalize: As the option of that name.
        on_error: `raise` or `return`.
        refresh: Whether its vectors take the place of those in the cache.
        count: Inputs.
        rows: Input position → distinct input, -1 for one that was not sent; `None` where every
            input is one of its own.
        empty: Positions of empty inputs, which get zeros.
        refused: Position → why this input was not sent.
        keys: The key of each distinct input, as text.
        before: Ids that the list showed before anything was submitted.
        since: When the newest of those was created (seconds since 1970, by the server).
        batches: Its batches.
    """

    base_url: str
    root: str | None = None
    model: str = ""
    space: str = ""
    dimensions: int | None = None
    normalize: bool | str = False
    on_error: str = "raise"
    refresh: bool = False
    count: int = 0
    rows: Sequence[int] | None = None
    empty: Sequence[int] = ()
    refused: Mapping[int, str] = field(default_factory=dict[int, str])
    keys: Sequence[str] = ()
    before: Sequence[str] = ()
    since: float = 0.0
    batches: list[Batch] = field(default_factory=list[Batch])

    def plan(self) -> Plan:
        """Return the plan of the call, without its texts: enough to put rows in their places."""
        refused = {at: ConfigurationError(said) for at, said in self.refused.items()}
        return Plan(
            self.count,
            [""] * len(self.keys),
            {},
            None if self.rows is None else list(self.rows),
            tuple(self.empty),
            cast("Any", refused),
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of its batches."""
        return tuple(batch.id for batch in self.batches if batch.id)

    @property
    def running(self) -> list[Batch]:
        """The batches that may still change."""
        return [batch for batch in self.batches if not batch.state.final]

    @property
    def status(self) -> str:
        """One word for all batches: the least advanced that runs, else the worst end."""
        words = {batch.state.status for batch in self.batches}
        running = words - api.FINAL
        for word in api.RUNNING:
            if word in running:
                return word
        if running:
            return min(running)
        return next((word for word in reversed(api.ENDED) if word in words), api.COMPLETED)

    @property
    def counts(self) -> BatchCounts:
        """The sum over its batches."""
        each = [dataclasses.astuple(batch.counts) for batch in self.batches]
        total, completed, failed = map(sum, zip((0, 0, 0), *each, strict=True))
        return BatchCounts(total=total, completed=completed, failed=failed)

    @property
    def usage(self) -> Usage:
        """The sum over its batches."""
        return sum((batch.usage for batch in self.batches), Usage())

    def to_dict(self) -> dict[str, Any]:
        """Return the job as plain data."""
        table: dict[str, Any] = {"format": FORMAT, "version": VERSION}
        table |= {name: getattr(self, name) for name in _PLAIN}
        table["rows"] = None if self.rows is None else list(self.rows)
        table["empty"] = list(self.empty)
        table["refused"] = {str(at): said for at, said in self.refused.items()}
        table["keys"] = list(self.keys)
        table["before"] = list(self.before)
        table["batches"] = [_batch_to_dict(batch) for batch in self.batches]
        return table


_PLAIN: Final = (
    "base_url", "root", "model", "space", "dimensions", "normalize", "on_error", "refresh", "count",
    "since",
)  # fmt: skip


def _batch_to_dict(batch: Batch) -> dict[str, Any]:
    state = batch.state
    return {
        "id": batch.id or None,
        "units": list(batch.units),
        "status": state.status,
        "counts": [state.total, state.completed, state.failed],
        "usage": None if state.usage is None else _numbers(state.usage),
        "created_at": state.created_at,
        "expires_at": state.expires_at,
        "provider": state.provider,
        # A server's own sentence may quote a text.
        "error": (state.error or None) if state.status in api.NOT_THERE else None,
    }


def _numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a table and of the tables in it; whatever else is there is left out."""
    inner = {
        name: _plain_numbers(cast("dict[str, Any]", value))
        for name, value in table.items()
        if isinstance(value, dict)
    }
    return _plain_numbers(table) | inner


def _plain_numbers(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if isinstance(value, (int, float))}


def of_ids(ids: Iterable[str], base_url: str) -> Record:
    """Return a job of which nothing is known but the ids of its batches.

    Raises:
        ConfigurationError: One of them is no id, or there is none.
    """
    names = list(ids)
    if not names or not all(map(api.is_id, names)):
        raise ConfigurationError(
            "`batch` takes the path of a job's file, the id of a batch, or a list of ids."
        )
    return Record(base_url=base_url, batches=[Batch(name, ()) for name in dict.fromkeys(names)])


def of_dict(table: Mapping[str, Any], what: str) -> Record:
    """Read what `to_dict` gave.

    Args:
        table: Plain data.
        what: What it was read from, for messages.

    Raises:
        ConfigurationError: It is no job, or a later version's.
    """
    if table.get("format") != FORMAT:
        raise ConfigurationError(f"{what} holds no job that was saved by `save`.")
    if table.get("version") != VERSION:
        raise ConfigurationError(f"{what} was saved by a later version: upgrade.")
    try:
        record = _read(table)
        _check(record)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise ConfigurationError(f"{what} is a damaged job: it cannot be read.") from None
    return record


def _read(table: Mapping[str, Any]) -> Record:
    rows = table["rows"]
    return Record(
        **{name: table[name] for name in _PLAIN},
        rows=None if rows is None else list(map(int, rows)),
        empty=list(map(int, table["empty"])),
        refused={int(at): str(said) for at, said in table["refused"].items()},
        keys=list(map(str, table["keys"])),
        before=list(map(str, table["before"])),
        batches=[_read_batch(row) for row in table["batches"]],
    )


def _read_batch(row: Mapping[str, Any]) -> Batch:
    total, completed, failed = map(int, row["counts"])
    state = State(
        status=str(row["status"]),
        total=total,
        completed=completed,
        failed=failed,
        usage=None if row["usage"] is None else dict(row["usage"]),
        created_at=float(row["created_at"]),
        expires_at=row["expires_at"],
        provider=str(row["provider"]),
        error=row["error"] or "",
    )
    return Batch(row["id"] or "", list(map(int, row["units"])), state)


_KINDS: Final = (
    ("base_url", str), ("model", str), ("space", str), ("dimensions", (int, type(None))),
    ("normalize", (bool, str)), ("on_error", str), ("refresh", bool), ("count", int),
    ("since", (int, float)),
)  # fmt: skip


def _is_unsent(record: Record, at: int) -> bool:
    """Whether the input at a position is there, and none that has a vector."""
    return record.rows is not None and 0 <= at < record.count and record.rows[at] == -1


def _check(record: Record) -> None:
    """Refuse a record that would put rows where there are none."""
    units = range(len(record.keys))
    named = [unit for batch in record.batches for unit in batch.units]
    sound = (
        all(len(api.key_of(name)) == 32 for name in record.keys)
        and all(unit in units for unit in named)
        and len(set(named)) == len(named)
        and (record.rows is None or all(-1 <= row < len(units) for row in record.rows))
        and len(units if record.rows is None else record.rows) == record.count
        and all(_is_unsent(record, at) for at in (*record.empty, *record.refused))
        and all(isinstance(getattr(record, name), kind) for name, kind in _KINDS)
        and all(not batch.id or api.is_id(batch.id) for batch in record.batches)
        and check_root("root", record.root) == record.root
    )
    if not sound:
        raise ValueError
