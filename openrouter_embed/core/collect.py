"""Where rows land: one matrix, filled as answers arrive, and the result made of it.

Rules of this file:
- The matrix is allocated once, when the first answer tells its width.
- A row counts as delivered only after its whole answer was believed.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

from openrouter_embed.core import codec
from openrouter_embed.core.billed import from_router_cache, read_billed
from openrouter_embed.core.long import Parts
from openrouter_embed.core.rows import Rows, mark
from openrouter_embed.core.wire import Reply
from openrouter_embed.errors import ConfigurationError, EmbeddingError, InvalidResponseError
from openrouter_embed.guard import restate
from openrouter_embed.lists import empty_lists, write_lists
from openrouter_embed.result import EmbeddingResult, Progress, Usage, is_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from openrouter_embed.core.plan import Plan
    from openrouter_embed.core.wire import Fault

    Matrix = NDArray[np.float32]


class Collector:
    """The vectors of one call, by unit, and what came with them."""

    def __init__(
        self,
        plan: Plan,
        width: int | None,
        fallback_width: int | None = None,
        *,
        lists: bool = False,
    ) -> None:
        self.plan = plan
        self.width = width
        self._fallback_width = fallback_width
        self.delivered = 0
        self.believed = False
        """Whether any answer was, if only for parts of inputs."""
        self.host = ""
        self.asked = self.space = ""
        self.usage = Usage()
        self.failures: dict[int, EmbeddingError] = {}
        self._have = bytearray(len(plan.units))
        self._flags: dict[str, list[int]] = {}
        self._model = ""
        self._providers: dict[str, None] = {}
        self._ids: list[str] = []
        self.count = len(plan.units)
        self.rows = Rows(self.count)
        self.landed: list[tuple[Sequence[int], bool]] = []
        """Inputs whose vectors came with the last answer, and whether they were averaged."""
        self._parts = Parts()
        self._lists = empty_lists(self.count) if lists else None

    def accept(
        self,
        units: Sequence[int],
        body: bytes,
        host: str | None = None,
        *,
        asked: str = "float",
        cached: str = "",
    ) -> Usage:
        """Believe an answer or not; return what it cost.

        Args:
            units: What was sent.
            body: What came back.
            host: The only host whose vectors may be kept, if there is one.
            asked: The format that was asked for.
            cached: What OpenRouter says of its own response cache.

        Raises:
            InvalidResponseError: The answer cannot be trusted; nothing of it was kept.
        """
        target: Matrix | None = None
        known = (self.width, self._fallback_width)
        # Who answers in base64 though floats were asked for speaks nothing else: asking again is of
        # no use, and where no width is known there is nothing to hold against it.
        believable = None if asked == "float" and known == (None, None) else known

        def allocate(width: int) -> Matrix:
            nonlocal target
            rows = self.rows.of_width(width)
            if isinstance(units, range):
                return rows[units.start : units.stop]
            target = np.empty((len(units), width), dtype=np.float32)
            return target

        try:
            answer = codec.decode(body, len(units), self.width, allocate, believable)
            if host:
                _check_host(answer.provider, host)
        except EmbeddingError:
            if self.width is None:
                self.rows.drop()
            raise
        self.width = answer.width
        self.believed = True
        self.landed = []
        before = self.delivered
        zeros = [units[at] for at in answer.zeros if units[at] < self.count]
        if zeros:
            self._flags.setdefault("zero", []).extend(zeros)
        self._note(units if target is None else self._place(units, target), answer)
        usage = read_billed(answer.usage, self.delivered - before)
        return from_router_cache(usage) if cached.strip().upper() == "HIT" else usage

    def _place(self, units: Sequence[int], target: Matrix) -> Sequence[int]:
        """Put rows where they belong; return the units that are inputs, not parts of one."""
        whole = [at for at, unit in enumerate(units) if unit < self.count]
        self.rows.place([units[at] for at in whole], target[whole])
        for at, unit in enumerate(units):
            if unit >= self.count:
                self._add_part(unit, target[at])
        return [units[at] for at in whole]

    def missing(self) -> Sequence[int]:
        """Return the units that were neither delivered nor failed."""
        if not self.settled:
            return range(self.count)
        if 0 not in self._have:
            return ()
        have, failures = self._have, self.failures
        return [unit for unit in range(self.count) if not have[unit] and unit not in failures]

    def has(self, unit: int) -> bool:
        """Whether a unit was delivered."""
        return bool(self._have[unit])

    def recall(
        self, units: Sequence[int], rows: Matrix, host: str, *, flag: str, placed: bool = False
    ) -> bool:
        """Take in vectors that were bought before; return whether they fit in.

        Args:
            units: Whose they are.
            rows: float32 `(len(units), d)`.
            host: Who served them, if known.
            flag: What is to be remarked about them, if anything.
            placed: Whether they were placed already, if they fit in.
        """
        width = rows.shape[1]
        if self.width not in (None, width) or not self.rows.make_room(width):
            return False
        self.width = width
        if not placed:
            self.rows.place(units, rows)
        self._deliver(units)
        if host:
            self._providers[host] = None
        if flag:
            self._flags.setdefault(flag, []).extend(units)
        return True

    def _deliver(self, units: Sequence[int]) -> None:
        """Count units whose rows are in their places, and write their lists if there are any."""
        mark(self._have, units)
        self.delivered += len(units)
        if self._lists is not None:
            # Now, while the caller has nothing to do but wait.
            write_lists(self.rows.at(units), [self._lists[unit] for unit in units])

    def take_back(self, units: Iterable[int]) -> None:
        """Forget units that were delivered."""
        gone = {unit for unit in units if self._have[unit]}
        for unit in gone:
            self._have[unit] = 0
        self.delivered -= len(gone)
        for name, flagged in self._flags.items():
            self._flags[name] = [unit for unit in flagged if unit not in gone]

    def divide(self, unit: int, parts: Sequence[str], prefix: str) -> Sequence[int]:
        """Replace a unit, or a part of one, by parts of it; return their numbers."""
        texts = [prefix + part for part in parts]
        first = len(self.plan.units)
        self.plan.units.extend(texts)
        return self._parts.divide(unit, first, [len(part) for part in parts])

    @property
    def unit(self) -> bool | None:
        """Whether the first vector that is no zero has unit length; `None` if there is none."""
        rows = self.rows.at(range(self.count))
        first = (row for row, have in zip(rows, self._have, strict=False) if have and row.any())
        return next((is_unit(row) for row in first), None)

    @property
    def known_width(self) -> int | None:
        """How wide the vectors are, as far as anybody knows."""
        return self.width or self._fallback_width

    def billed(self, reply: Reply | Fault) -> Usage:
        """Return what an answer that was not believed says it cost."""
        return read_billed(codec.read_usage(reply.body) if isinstance(reply, Reply) else None, 0)

    @property
    def divided(self) -> bool:
        """Whether any input was sent in parts."""
        return len(self.plan.units) > self.count

    def lost(self, unit: int) -> bool:
        """Whether a unit, or the input it is a part of, has failed."""
        return self._parts.owner(unit) in self.failures

    def _add_part(self, part: int, row: NDArray[np.float32]) -> None:
        flag = "truncated" if self._parts.is_only(part) else "split"
        owner, vector = self._parts.add(part, row)
        if vector is not None and owner not in self.failures:
            self.rows.place([owner], vector[np.newaxis])
            self._deliver([owner])
            self.landed.append(([owner], True))
            self._flags.setdefault(flag, []).append(owner)

    def _note(self, units: Sequence[int], answer: codec.Accepted) -> None:
        self._deliver(units)
        self.landed.append((units, False))
        if answer.unindexed and len(units) > 1:
            self._flags.setdefault("unindexed", []).extend(units)
        self._model = self._model or answer.model
        if answer.provider:
            self.host = answer.provider
            self._providers[answer.provider] = None
        if answer.request_id:
            self._ids.append(answer.request_id)

    def fail(self, units: Sequence[int], error: EmbeddingError) -> None:
        """Record that these units will not be delivered, and why."""
        for unit in units:
            self.failures.setdefault(self._parts.owner(unit), error)

    @property
    def settled(self) -> int:
        """Units delivered or failed."""
        return self.delivered + len(self.failures)

    def progress(self) -> Progress:
        """Return how far the call has come, in inputs."""
        total = self.plan.count
        return Progress(
            done=self.settled * total // max(1, self.count), total=total, usage=self.usage
        )

    def culprits(self, what: str = "were refused") -> EmbeddingError:
        """Return one error for all inputs that failed, which names them by index."""
        positions = self.plan.positions()
        bad = sorted(at for unit in self.failures for at in positions[unit])
        # What is raised carries a result, what is listed does not.
        error = copy.copy(self.failures[min(self.failures)])
        if self.plan.count > 1:
            shown = ", ".join(map(str, bad[:10])) + (", …" if len(bad) > 10 else "")
            failed = f"{len(bad)} of {self.plan.count} inputs {what} (index {shown})"
            restate(error, f"{failed}: {error}")
        return error

    def result(self, missing: EmbeddingError | None, *, normalize: bool) -> EmbeddingResult:
        """Put rows into input order.

        Args:
            missing: What befell units that were neither delivered nor failed.
            normalize: Whether to scale rows to unit length.

        Raises:
            ConfigurationError: Nothing tells how wide the zeros of empty inputs are to be.
        """
        if self.plan.empty and not self.plan.units and not self.known_width:
            raise ConfigurationError(
                "All inputs are empty, and how wide this model's vectors are is not known yet: "
                "pass `dimensions=`, or embed a text first."
            )
        have = self._have
        lost = [unit for unit in range(self.count) if not have[unit]] if 0 in have else []
        if missing is not None:
            self.fail([unit for unit in lost if unit not in self.failures], _plain(missing))
        rows = self.rows.of_width(self.known_width or 0)
        if lost:
            rows[lost] = np.nan
        if normalize:
            _normalize(rows)
        plan = self.plan
        if plan.rows is not None:
            # Position -1 stands for inputs that were not sent: the extra last row holds the zeros
            # of those that are empty.
            rows = np.concatenate([rows, np.zeros((1, rows.shape[1]), np.float32)])[plan.rows]
            rows[list(plan.refused)] = np.nan
        prepared = None if normalize or self.failures else self._prepared()
        # The matrix stays as it is while lists of its numbers exist: the two must not differ.
        rows.flags.writeable = prepared is None
        return EmbeddingResult(
            vectors=rows if plan.count else np.zeros((0, 0), np.float32),
            failures=self._by_position() if self.failures or plan.refused else {},
            usage=self.usage,
            model=self.asked,
            upstream_model=self._model,
            space=self.space,
            providers=tuple(self._providers),
            request_ids=tuple(self._ids),
            flags=_by_position(self._flags, plan) if self._flags else {},
            prepared=prepared,
        )

    def _prepared(self) -> list[list[float]] | None:
        rows, plan = self._lists, self.plan
        if rows is None or plan.empty or plan.refused:
            return None
        if plan.rows is None:
            return rows
        return [list(rows[unit]) for unit in plan.rows]

    def _by_position(self) -> dict[int, EmbeddingError]:
        positions = self.plan.positions()
        pairs = [(at, error) for unit, error in self.failures.items() for at in positions[unit]]
        return dict(sorted([*pairs, *self.plan.refused.items()], key=lambda pair: pair[0]))


def _by_position(flags: Mapping[str, Sequence[int]], plan: Plan) -> Mapping[str, tuple[int, ...]]:
    positions = plan.positions()
    return {
        name: tuple(sorted(at for unit in units for at in positions[unit]))
        for name, units in flags.items()
        if units
    }


def _check_host(served: str, wanted: str) -> None:
    if served and served != wanted:
        raise InvalidResponseError(
            f"The vectors came from {served}, but this client keeps to {wanted}.",
            reason="provider",
        )


def _plain(error: EmbeddingError) -> EmbeddingError:
    """Copy an error without the result it carries: results list errors, not the reverse."""
    twin = copy.copy(error)
    twin.result = None
    return twin


def _normalize(rows: Matrix) -> None:
    # In float64: squares of large or tiny float32 numbers are no float32 numbers.
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    lengths = np.sqrt(squares)[:, np.newaxis]
    np.divide(rows, lengths, out=rows, where=lengths > 0, casting="unsafe")
