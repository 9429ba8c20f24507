"""A call of `submit`, from its arguments to the record of what was accepted.

Rules of this file:
- Everything that can be refused is refused before the first request.
- What the job could cost is set aside before the first request, and what was not accepted is given
  back. What was accepted counts at its most until it is billed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openrouter_embed.batch import api, files
from openrouter_embed.batch.api import Lines, State
from openrouter_embed.batch.dialogue import Dialogue, Do, Questions
from openrouter_embed.batch.job_cache import open_cache
from openrouter_embed.batch.portions import most_of, portions
from openrouter_embed.batch.record import Batch, Record
from openrouter_embed.batch.refusal import check_settings, check_units
from openrouter_embed.batch.submitting import submit
from openrouter_embed.clock import monotonic
from openrouter_embed.core.call import make_call
from openrouter_embed.engine import check_call
from openrouter_embed.errors import APIError, EmbeddingError
from openrouter_embed.notices import warn
from openrouter_embed.options.space import Keys
from openrouter_embed.prices import prices_for_limit

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from openrouter_embed.core.bill import Prices
    from openrouter_embed.core.plan import Plan
    from openrouter_embed.engine import Engine
    from openrouter_embed.inputs import Inputs
    from openrouter_embed.options.settings import Settings


class Submission:
    """One call of `submit`; see `EmbeddingClient.submit`.

    Raises:
        ConfigurationError: An input or an option is wrong, or nothing that batches take.
    """

    def __init__(
        self,
        engine: Engine,
        inputs: Inputs,
        asked: tuple[Any, Any, Any],
        save_to: str | os.PathLike[str] | None,
        overrides: Mapping[str, Any],
    ) -> None:
        role, input_type, on_error = asked
        check_call(role, input_type, on_error)
        settings = engine.call_settings(overrides)
        check_settings(settings, role, input_type)
        call = make_call(settings, role, input_type, on_error=on_error)
        plan = call.plan(inputs)
        check_units(plan.units)
        self.engine = engine
        self._settings = settings
        self._plan = plan
        self._file = None if save_to is None else files.SaveTo(save_to)
        self._end = None if settings.deadline is None else monotonic() + settings.deadline
        self._prices: Prices | None = None
        if settings.max_cost is not None:
            known = engine.known_models
            self._prices = prices_for_limit(settings.model, known, plan, batch=True)
        self.record = _record(settings, plan, call.space, on_error)

    def dialogue(self) -> Dialogue[None]:
        """Hand in what is not in the cache.

        Raises:
            BudgetExceededError: It could cost more than `max_cost` allows.
            EmbeddingError: A batch was refused, or whether it arrived is not known.
        """
        units: Sequence[int] = yield Do(self._absent)
        held = self._cost(units)
        ledger = self.engine.ledger
        if units and not ledger.reserve(held):
            raise ledger.refusal(held)
        try:
            yield Do(self._save)
            if units:
                yield from self._hand_in(units)
        except EmbeddingError as error:
            self._note_unsent(units, error)
            yield Do(self._save)
            if self.record.on_error == "raise":
                sent = any(batch.state.status != api.UNSENT for batch in self.record.batches)
                error.submitted = self.record.to_dict() if sent else None
                raise
        except (GeneratorExit, KeyboardInterrupt):
            self._name_accepted()
            raise
        finally:
            if units:
                self._settle(held)

    def _absent(self) -> Sequence[int]:
        every = range(len(self._plan.units))
        cache = None if self._settings.refresh else open_cache(self.engine, self.record)
        return every if cache is None else cache.absent(every)

    def _hand_in(self, units: Sequence[int]) -> Dialogue[None]:
        lines = Lines(self._settings)
        questions = Questions(settings=self._settings, record=self.record, left=self._left)
        parts = portions(self._requests(lines, units), most_of(self._settings))
        yield from submit(questions, lines, parts, self._save)

    def _requests(self, lines: Lines, units: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        for unit in units:
            name = api.custom_id(unit, self.record.keys[unit])
            yield unit, lines.line(name, self._plan.units[unit])

    def _left(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - monotonic())

    def _save(self) -> None:
        if self._file is None:
            return
        try:
            self._file.write(self.record)
        except OSError as error:
            if not self._file.written:  # nothing is sent yet
                raise
            warn(f"The job's file could not be written: {error.strerror}.", UserWarning)

    def _name_accepted(self) -> None:
        """Name what was accepted before a call was broken off, where no file and no error does."""
        if self._file is None and self.record.ids:
            warn(
                "Handing in was broken off. These batches were accepted, and `batch` takes a list "
                f"of their ids: {', '.join(self.record.ids)}.",
                UserWarning,
            )

    def _note_unsent(self, units: Sequence[int], error: EmbeddingError) -> None:
        """Let inputs that no batch holds say why, when they are asked for."""
        taken = {unit for batch in self.record.batches for unit in batch.units}
        left = [unit for unit in units if unit not in taken]
        if left:
            # What a server says may quote a text, and this goes into a file.
            said = f"The server answered {error.status}." if isinstance(error, APIError) else None
            state = State(status=api.UNSENT, error=said or error.message)
            self.record.batches.append(Batch("", left, state))

    def _cost(self, units: Iterable[int]) -> float:
        return 0.0 if self._prices is None else self._plan.cost(units, self._prices)

    def _settle(self, held: float) -> None:
        """Count what was accepted, or may have been, at its most until it is billed."""
        spent = 0.0
        for batch in self.record.batches:
            if batch.state.status != api.UNSENT:
                most = self.engine.ledger.most(self._cost(batch.units))
                spent += most
                if batch.id and self._prices is not None:
                    self.engine.expect_bill(batch.id, most)
        self.engine.ledger.settle(held, spent)


def _record(settings: Settings, plan: Plan, space: str, on_error: str) -> Record:
    wish = settings.normalize
    if wish == "auto" and settings.profile.normalized is False:
        wish = True
    keys = Keys(settings, None).of(plan.units)
    return Record(
        base_url=settings.base_url,
        root=settings.batch_root,
        model=settings.model,
        space=space,
        dimensions=settings.dimensions,
        normalize=wish,
        on_error=on_error,
        refresh=settings.refresh,
        count=plan.count,
        rows=plan.rows,
        empty=plan.empty,
        refused={at: error.message for at, error in plan.refused.items()},
        keys=[api.key_name(key) for key in keys if key is not None],
    )
