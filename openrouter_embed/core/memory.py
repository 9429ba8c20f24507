"""What a client learns of its models as it goes, and holds later calls to.

Rules of this file:
- It remembers observations, not guesses: what a server did, under the model and route it did it.
"""

from __future__ import annotations


class ModelMemory:
    """What a client has learned of its models: who fails on base64, who serves, how wide."""

    def __init__(self) -> None:
        self._floats: set[str] = set()
        self._distrusted: set[str] = set()
        self._hosts: dict[str, str] = {}
        self._widths: dict[str, int] = {}
        self._unit: dict[str, bool] = {}
        self._larger: dict[str, bool] = {}

    def width(self, space: str) -> int | None:
        """Return the width of vectors seen in a space; every later one must have it, too."""
        return self._widths.get(space)

    def seen(self, space: str, width: int) -> None:
        """Remember the width of the first vectors of a space."""
        self._widths.setdefault(space, width)

    def is_unit(self, space: str, now: bool | None) -> bool:
        """Whether the first vectors of a space had unit length; `now` says it of the latest."""
        if now is not None:
            self._unit.setdefault(space, now)
        return self._unit.get(space, True)

    def host(self, route: str) -> str | None:
        """Return the host that served first under a model and preferences, if one has."""
        return self._hosts.get(route)

    def served(self, route: str, host: str) -> None:
        """Remember the first host that served; empty where the server names none."""
        self._hosts.setdefault(route, host)

    def prefers_floats(self, model: str) -> bool:
        """Whether base64 has failed for this model."""
        return model in self._floats

    def blame(self, model: str, *, distrust: bool = False) -> bool:
        """Remember that base64 failed for this model; return whether that is news.

        Args:
            model: The model.
            distrust: Whether what came is not to be believed, whoever asks for it.
        """
        news = model not in self._floats
        self._floats.add(model)
        if distrust:
            self._distrusted.add(model)
        return news

    def distrusts(self, model: str) -> bool:
        """Whether what this model sent as base64 could not be believed."""
        return model in self._distrusted

    def bears_more(self, route: str) -> bool | None:
        """Whether requests larger than the careful ones pass that way; `None` if untried."""
        return self._larger.get(route)

    def bore(self, route: str) -> None:
        """Remember that a larger request came back; once one has failed that counts no more."""
        self._larger.setdefault(route, True)

    def doubt_more(self, route: str) -> None:
        """Remember that a larger one failed, for good."""
        self._larger[route] = False
