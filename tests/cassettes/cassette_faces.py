"""Running a scenario through one of the three public faces, on either shell.

Rules of this file:
- The same calls, the same options: only the shell differs.
- A call that is to fail yields its error; one that fails unasked raises it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cassette_table import Call, Scenario

Prepare = Callable[[Any], None]
"""Called with the client behind the object under test before it is used."""


@dataclass(frozen=True)
class Face:
    """One public class and how its asynchronous methods are called.

    Attributes:
        module: Where the classes are.
        name: The synchronous class.
        async_name: The asynchronous one; the same where one class is both.
        client: Where the synchronous client is that does the work, as a path of attributes.
        prefix: What stands before the name of an asynchronous method.
    """

    module: str
    name: str
    async_name: str
    client: str = ""
    prefix: str = ""

    def make(self, options: Mapping[str, Any], *, asynchronous: bool) -> Any:
        """The object under test."""
        name = self.async_name if asynchronous else self.name
        return getattr(import_module(self.module), name)(**options)

    def client_of(self, subject: Any) -> Any:
        """The client behind an object under test."""
        return attrgetter(self.client)(subject) if self.client else subject


FACES: Mapping[str, Face] = {
    "client": Face("openrouter_embed", "EmbeddingClient", "AsyncEmbeddingClient"),
    "langchain": Face(
        "langchain_openrouter_embed",
        "OpenRouterEmbeddings",
        "OpenRouterEmbeddings",
        client="_client",
        prefix="a",
    ),
    "llama_index": Face(
        "llama_index_openrouter_embed",
        "OpenRouterEmbedding",
        "OpenRouterEmbedding",
        client="_backend.client",
        prefix="a",
    ),
}


def options_of(scenario: Scenario, base_url: str, key: str) -> dict[str, Any]:
    """What the object under test is made with: one request at a time, so that order is fixed."""
    return {"base_url": base_url, "api_key": key, "max_concurrency": 1, **scenario.options}


def run(
    scenario: Scenario, options: Mapping[str, Any], prepare: Prepare | None = None
) -> list[Any]:
    """Run a scenario on `requests`; return the outcome of every call, after its check."""
    face = FACES[scenario.face]
    subject = face.make(options, asynchronous=False)
    try:
        if prepare is not None:
            prepare(face.client_of(subject))
        outcomes = [_attempt(subject, item) for item in scenario.calls]
    finally:
        subject.close()
    scenario.check(outcomes)
    return outcomes


def _attempt(subject: Any, item: Call) -> Any:
    method = getattr(subject, item.method)
    if item.raises is None:
        return method(*item.args, **item.options)
    try:
        method(*item.args, **item.options)
    except item.raises as error:
        return error
    raise AssertionError(f"{item.method} raised no {item.raises.__name__}")


async def arun(scenario: Scenario, options: Mapping[str, Any]) -> list[Any]:
    """Run a scenario on `aiohttp`; return the outcome of every call, after its check."""
    face = FACES[scenario.face]
    subject = face.make(options, asynchronous=True)
    try:
        outcomes = [await _aattempt(subject, item, face.prefix) for item in scenario.calls]
    finally:
        await subject.aclose()
    scenario.check(outcomes)
    return outcomes


async def _aattempt(subject: Any, item: Call, prefix: str) -> Any:
    method = getattr(subject, prefix + item.method)
    assert inspect.iscoroutinefunction(inspect.unwrap(method))
    if item.raises is None:
        return await method(*item.args, **item.options)
    try:
        await method(*item.args, **item.options)
    except item.raises as error:
        return error
    raise AssertionError(f"{item.method} raised no {item.raises.__name__}")
