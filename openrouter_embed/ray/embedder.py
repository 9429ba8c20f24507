"""A worker: takes a table, and returns it with a column of vectors.

Rules of this file:
- It holds options, never a client: that is made at the first batch, in the process that uses it.
- A key does not travel: it is in the worker's environment, or a callable fetches it there.
- What was bought is on the bill before a batch is handed on, and before an error is raised.
"""

from __future__ import annotations

import os
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from openrouter_embed.clock import monotonic
from openrouter_embed.engine import Engine, check_call
from openrouter_embed.errors import ConfigurationError, EmbeddingError
from openrouter_embed.guard import guarded
from openrouter_embed.options.checks import AUTO
from openrouter_embed.options.keywords import Options
from openrouter_embed.options.settings import from_environment, make_settings
from openrouter_embed.options.signatures import spelled_out
from openrouter_embed.ray.faults import fatal, for_driver, reason
from openrouter_embed.ray.leases import LeasedLedger
from openrouter_embed.result import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from openrouter_embed.client import EmbeddingClient
    from openrouter_embed.options.models import Role
    from openrouter_embed.ray.account import Lease, Wish
    from openrouter_embed.ray.arrow import Texts
    from openrouter_embed.ray.bill import Bill
    from openrouter_embed.result import EmbeddingResult, Progress

    OnError = Literal["raise", "return"]

OFTEN: Final = 0.5
"""Seconds between two reports within a batch: so much is missing after a kill."""
HERE_ALONE: Final = {
    "pacer": "workers are processes of their own; divide the limit by `in_flight`",
    "session": "connections are made in the worker",
}
"""Options that cannot leave a process, and why."""


@spelled_out(Options)
class Embedder:
    """Embeds a column of a table; the class beneath `embed_column`.

    Called with a table of pyarrow, it returns the table with two more columns: `output`, float32
    vectors as fixed-size lists, and `output_error`, which says where there is no vector why. Rows
    whose text is null or empty get none and cost nothing.

    Example:
        >>> embedder = Embedder("openai/text-embedding-3-small", column="text")  # doctest: +SKIP
        >>> table = embedder(table)  # doctest: +SKIP

    Args:
        model: Model id as OpenRouter lists it.
        column: The column of texts.
        output: What the column of vectors is to be called.
        role: What texts are embedded as; `None` as they are.
        input_type: As for `EmbeddingClient.embed`.
        on_error: `return` gives refused rows no vector instead of raising. What every other row
            would meet as well is raised in any case: statuses 401, 402 and 404, `max_cost`,
            `deadline`, a closed client, and a batch of which nothing arrived.
        id_column: The column that names rows in messages; without one, `id` if there is one.
        bill: Where to tell what was used; its `max_cost` is then the limit.
        options: Every other option of `EmbeddingClient`; `api_key` only as a callable.

    Raises:
        ConfigurationError: An option is unknown or wrong, or is a key.
    """

    @spelled_out(Options)
    @guarded
    def __init__(
        self,
        model: str,
        *,
        column: str = "text",
        output: str = "embedding",
        role: Role | None = "document",
        input_type: str | None = AUTO,
        on_error: OnError = "raise",
        id_column: str | None = None,
        bill: Bill | None = None,
        **options: Unpack[Options],
    ) -> None:
        self.column, self.output, self.id_column = column, output, id_column
        self._call: dict[str, Any] = {"role": role, "input_type": input_type, "on_error": on_error}
        self._bill = bill
        self._options = travelling({**options, "model": model}, bill)
        check_call(role, input_type, on_error)
        settings = make_settings(self._options, {}, key_required=False)
        self._width = settings.dimensions or settings.profile.dimensions or 0
        self._zeros = settings.empty == "zeros"
        self._begin()

    def _begin(self) -> None:
        """Start with nothing that belongs to a process."""
        self._lock = threading.Lock()
        self._client: EmbeddingClient | None = None
        self._ledger: LeasedLedger | None = None
        self._worker = uuid.uuid4().hex
        self._told = 0.0

    @property
    def error_column(self) -> str:
        """The column that says why a row has no vector."""
        return f"{self.output}_error"

    @property
    def usage(self) -> Usage:
        """What this worker has used so far."""
        return Usage() if self._client is None else self._client.usage

    @guarded
    def __call__(self, batch: Any) -> Any:
        """Embed a table of pyarrow; see the class.

        Raises:
            ConfigurationError: A column is missing or no texts, or there is no key.
            EmbeddingError: As the class says; names rows.
        """
        from openrouter_embed.ray import arrow  # noqa: PLC0415 - the class is known without pyarrow

        arrow.check_new(batch, (self.output, self.error_column))
        texts = arrow.read_texts(batch, self.column, empty_too=self._zeros)
        if self.id_column is not None:
            arrow.find_column(batch, self.id_column)
        names = partial(arrow.read_names, batch, self.id_column, texts.at)
        result = self._embed(texts, names)
        reasons, vectors, lost = dict(texts.missing), arrow.NO_VECTORS, list[int]()
        if result is not None:
            vectors = result.vectors
        if result is not None and result.failures:
            lost = [texts.at[position] for position in result.failures]
            known = names()
            why = (reason(error, known) for error in result.failures.values())
            reasons.update(zip(lost, why, strict=True))
        column = arrow.vector_column(texts, vectors, lost, self._width)
        told = arrow.reason_column(texts.count, reasons)
        return arrow.with_columns(batch, {self.output: column, self.error_column: told})

    def _embed(self, texts: Texts, names: Callable[[], list[str] | None]) -> EmbeddingResult | None:
        """Embed what can be sent, and put it on the bill.

        Args:
            texts: What was read.
            names: Says what their rows are called; asked if something is wrong.

        Raises:
            EmbeddingError: The call failed, or so much of it that the job must end.
        """
        if not texts.values:
            return None
        client = self._make_client()
        result: EmbeddingResult | None = None
        try:
            result = client.embed(texts.values, **self._call, **self._listening(client))
        except EmbeddingError as error:
            wrong: EmbeddingError | None = error
        else:
            wrong = fatal(result.failures, len(texts.values))
        finally:
            self._report(client)
        if wrong is not None:
            raise for_driver(wrong, names())
        if result is not None and result.vectors.shape[1]:
            self._width = result.vectors.shape[1]
        return result

    def _make_client(self) -> EmbeddingClient:
        from openrouter_embed.client import EmbeddingClient  # noqa: PLC0415 - only where it is used

        with self._lock:
            if self._client is None:
                bill, worker = self._bill, self._worker

                def lease(bill: Bill, wish: Wish) -> Lease:
                    bill.mention(worker, engine.usage)  # one that is killed tells no more
                    return bill.lease(worker, wish)

                if bill is not None and bill.max_cost is not None:
                    self._ledger = LeasedLedger(bill.max_cost, partial(lease, bill))
                engine = Engine(make_settings(self._options, os.environ), self._ledger)
                self._client = EmbeddingClient.from_engine(engine)
            return self._client

    def _listening(self, client: EmbeddingClient) -> dict[str, Any]:
        """Return the listener of a call that tells the bill now and then, if there is one."""
        bill, listener = self._bill, client.settings.on_progress
        if bill is None:
            return {}

        def heard(progress: Progress) -> None:
            if listener is not None:
                listener(progress)
            if monotonic() - self._told >= OFTEN:
                self._told = monotonic()
                bill.mention(self._worker, client.usage)

        return {"on_progress": heard}

    def _report(self, client: EmbeddingClient) -> None:
        bill, worker = self._bill, self._worker
        if bill is None:
            return
        bill.report(worker, client.usage)
        if self._ledger is not None:
            self._ledger.give_back(lambda spent, held: bill.give_back(worker, spent, held))

    def close(self) -> None:
        """Close the client; the next batch makes another."""
        with self._lock:
            client = self._client
            self._client = self._ledger = None
            self._worker = uuid.uuid4().hex  # a client's totals begin at nothing
        if client is not None:
            client.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what belongs to this process; options go along, and there is no key."""
        gone = ("_lock", "_client", "_ledger", "_worker", "_told")
        return {name: value for name, value in vars(self).items() if name not in gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()


def travelling(options: Mapping[str, Any], bill: Bill | None) -> dict[str, Any]:
    """Return the options as they go to workers, with what this process's environment sets.

    Raises:
        ConfigurationError: One of them cannot travel, or the bill and `max_cost` disagree.
    """
    told = dict(options)
    for name, value in from_environment(os.environ).items():
        if told.get(name) is None:
            told[name] = value
    if told.get("api_key") is not None and not callable(told["api_key"]):
        raise ConfigurationError(
            "A key would travel in clear, and lie in the cluster's store and logs: set "
            "`OPENROUTER_API_KEY` in the environment of every node (not by Ray's `runtime_env`, "
            "which logs it), or pass a callable as `api_key` that fetches it there."
        )
    for name, why in HERE_ALONE.items():
        if told.get(name) is not None:
            raise ConfigurationError(f"`{name}` cannot be handed to other processes: {why}.")
    if bill is not None and told.get("max_cost") is not None:
        raise ConfigurationError("The bill has the limit: `Bill(max_cost=...)`.")
    if bill is not None and bill.max_cost is not None:
        told["max_cost"] = bill.max_cost
    cache = told.get("cache")
    if isinstance(cache, (str, os.PathLike)):
        told["cache"] = os.path.abspath(os.path.expanduser(os.fspath(cache)))  # noqa: PTH100, PTH111
    return told
