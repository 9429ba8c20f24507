"""A call as a run of LangChain's callbacks, for LangSmith and other tracers that live on them.

Rules of this file:
- Opt-in (`trace_runs=True`). LangChain has no callback for embeddings, so a run begins as a chain's
  does, with the run type `embedding`, which its tracers hand on.
- A run holds counts, names and cost: no text and no vector.
- A handler that fails is logged, by type alone, and never fails an embedding call.
- The run begins and ends in the caller's thread or task, for handlers hang on context variables.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from langchain_openrouter_embed._usage import token_counts
from openrouter_embed.adapting import extras

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from openrouter_embed import EmbeddingResult

RUN_TYPE: Final = "embedding"
_log = logging.getLogger("langchain_openrouter_embed")


class Run:
    """One call's run, synchronous or not; does nothing unless it was asked for.

    Attributes:
        result: What the call returned, once it has.
    """

    def __init__(self, *, wanted: bool, name: str, model: str, role: str, inputs: int) -> None:
        self.result: EmbeddingResult | None = None
        self._wanted = wanted
        self._name = name
        self._model = model
        self._inputs = {"inputs": inputs, "role": role}
        self._run: Any = None

    def __enter__(self) -> Self:
        if self._wanted:
            from langchain_core.callbacks import CallbackManager  # noqa: PLC0415 - for few

            self._run = _try(lambda: self._start(CallbackManager))
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._run is not None:
            _try(lambda: self._end(error))

    async def __aenter__(self) -> Self:
        if self._wanted:
            from langchain_core.callbacks import AsyncCallbackManager  # noqa: PLC0415 - for few

            self._run = await _atry(lambda: self._start(AsyncCallbackManager))
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self._run is not None:
            await _atry(lambda: self._end(error))

    def _start(self, managers: Any) -> Any:
        from langchain_core.runnables.config import ensure_config  # noqa: PLC0415 - for few

        manager = managers.configure(
            ensure_config().get("callbacks"),
            local_metadata={"ls_provider": "openrouter", "ls_model_name": self._model},
        )
        return manager.on_chain_start(None, self._inputs, name=self._name, run_type=RUN_TYPE)

    def _end(self, error: BaseException | None) -> Any:
        if error is not None:
            return self._run.on_chain_error(error)
        return self._run.on_chain_end(self._outputs())

    def _outputs(self) -> dict[str, Any]:
        if self.result is None:
            return {}
        usage = self.result.usage
        cost = {} if usage.billed is None else {"total_cost": usage.billed}
        return {
            "usage_metadata": {**token_counts(usage), **cost},
            "model": self.result.upstream_model,
            "providers": list(self.result.providers),
            "requests": usage.requests,
            "cache_hits": usage.cache_hits,
        }


def _try(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except Exception as error:  # noqa: BLE001 - whatever a user's handler raises
        _complain(error)
        return None


async def _atry(do: Callable[[], Any]) -> Any:
    try:
        return await do()
    except Exception as error:  # noqa: BLE001 - as above
        _complain(error)
        return None


def _complain(error: Exception) -> None:
    kind = type(error).__name__
    _log.warning("A run could not be reported: %s.", kind, extra=extras("run", kind=kind))
