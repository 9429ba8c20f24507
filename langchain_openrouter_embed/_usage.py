"""Tokens of embedding calls for LangChain's `get_usage_metadata_callback`.

Rules of this file:
- Nothing is imported or asked unless somebody has loaded LangChain's usage handlers.
- A handler that fails is logged, by type alone, and never fails an embedding call.
- Called in the caller's thread or task, for handlers hang on context variables.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from openrouter_embed.adapting import extras

if TYPE_CHECKING:
    from langchain_core.callbacks import UsageMetadataCallbackHandler
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.outputs import LLMResult

    from openrouter_embed import EmbeddingResult, Usage

_HANDLERS = "langchain_core.callbacks.usage"
_log = logging.getLogger("langchain_openrouter_embed")


def report_usage(model: str, result: EmbeddingResult | None) -> None:
    """Tell the usage handlers that are active here what a call has consumed.

    Args:
        model: The model that was asked for; handlers count per model.
        result: What came of the call, in part if it failed; `None` if nothing was sent.
    """
    if result is None or not result.usage.total_tokens or _HANDLERS not in sys.modules:
        return
    try:
        for handler in _active():
            _tell(handler, model, result)
    except Exception as error:  # noqa: BLE001 - reporting is a courtesy, the vectors are there
        _complain("Usage could not be reported: %s.", type(error).__name__)


def token_counts(usage: Usage) -> dict[str, int]:
    """Return tokens as LangChain counts them: all of an embedding's are input."""
    total = usage.total_tokens
    return {"input_tokens": total, "output_tokens": 0, "total_tokens": total}


def _tell(handler: UsageMetadataCallbackHandler, model: str, result: EmbeddingResult) -> None:
    try:
        handler.on_llm_end(_message(model, result), run_id=uuid4())
    except Exception as error:  # noqa: BLE001 - whatever a user's handler raises
        _complain("%s failed with %s.", type(handler).__name__, type(error).__name__)


def _complain(said: str, *names: str) -> None:
    _log.warning(said, *names, extra=extras("usage", kind=names[-1]))


def _active() -> list[UsageMetadataCallbackHandler]:
    from langchain_core.callbacks import (  # noqa: PLC0415 - only where somebody listens
        CallbackManager,
        UsageMetadataCallbackHandler,
    )
    from langchain_core.runnables.config import ensure_config  # noqa: PLC0415

    # Handlers of a `with` block, and those of the chain that this call is a part of.
    manager = CallbackManager.configure(ensure_config().get("callbacks"))
    return [h for h in manager.handlers if isinstance(h, UsageMetadataCallbackHandler)]


def _message(model: str, result: EmbeddingResult) -> LLMResult:
    from langchain_core.messages import AIMessage  # noqa: PLC0415 - only where somebody listens
    from langchain_core.outputs import ChatGeneration, LLMResult  # noqa: PLC0415

    usage = result.usage
    message = AIMessage(
        content="",
        # What is optional in it is so only to type checkers of newer Pythons.
        usage_metadata=cast("UsageMetadata", token_counts(usage)),
        response_metadata={"model_name": model, "cost": usage.billed},
    )
    return LLMResult(generations=[[ChatGeneration(message=message)]])
