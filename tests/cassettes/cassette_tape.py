"""Playing a cassette: what is sent must be what was recorded, all of it and nothing else.

Rules of this file:
- A request that matches nothing is reported with its difference to the nearest recorded one,
  whatever the code under test made of the failure.
- An interaction that was not played fails the test, too.
- Nothing here records; that is `cassette_recorder`'s job.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from cassette_format import CassetteSerializer
from cassette_scrub import clean_request
from vcr.cassette import Cassette
from vcr.record_mode import RecordMode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vcr.request import Request

MAX_LINES = 12
_CONTEXT = 30
_ENVIRONMENT = ("OPENROUTER_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class CassetteMismatchError(AssertionError):
    """What was sent is not what was recorded."""


# ---------------------------------------------------------------- differences


def differences(sent: Request, recorded: Request) -> list[str]:
    """Every difference between two requests, in words; empty if they are the same."""
    found: list[str] = []
    for name in ("method", "uri"):
        was, now = getattr(recorded, name), getattr(sent, name)
        if was != now:
            found.append(f"{name}: recorded {was!r}, sent {now!r}")
    return found + _header_differences(sent, recorded) + _body_differences(sent, recorded)


def _header_differences(sent: Request, recorded: Request) -> list[str]:
    was, now = dict(recorded.headers), dict(sent.headers)
    return [
        f"header {name}: recorded {was.get(name, 'nothing')!r}, sent {now.get(name, 'nothing')!r}"
        for name in sorted({*was, *now})
        if was.get(name) != now.get(name)
    ]


def _body_differences(sent: Request, recorded: Request) -> list[str]:
    was, now = bytes(recorded.body or b""), bytes(sent.body or b"")
    if was == now:
        return []
    pairs = enumerate(zip(was, now, strict=False))
    at = next((at for at, (a, b) in pairs if a != b), min(len(was), len(now)))
    start = max(0, at - _CONTEXT)
    lines = [
        f"body, byte {at} of {len(was)} recorded and {len(now)} sent:",
        f"    recorded …{was[start : at + _CONTEXT]!r}…",
        f"    sent     …{now[start : at + _CONTEXT]!r}…",
    ]
    try:
        trees = json.loads(was), json.loads(now)
    except ValueError:
        return lines
    fields = list(_tree_differences(*trees, "body"))
    return lines + (fields or ["body: the same JSON in other bytes (white space or escapes)"])


def _tree_differences(was: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        yield from (f"{path}.{key}: recorded, not sent" for key in was if key not in now)
        yield from (f"{path}.{key}: sent, not recorded" for key in now if key not in was)
        shared = [key for key in was if key in now]
        if shared != [key for key in now if key in was]:
            yield f"{path}: keys recorded in the order {list(was)}, sent in {list(now)}"
        for key in shared:
            yield from _tree_differences(was[key], now[key], f"{path}.{key}")
    elif isinstance(was, list) and isinstance(now, list):
        if len(was) != len(now):
            yield f"{path}: {len(was)} items recorded, {len(now)} sent"
        for at, (old, new) in enumerate(zip(was, now, strict=False)):
            yield from _tree_differences(old, new, f"{path}[{at}]")
    elif type(was) is not type(now) or was != now:
        yield f"{path}: recorded {was!r}, sent {now!r}"


def same_request(sent: Request, recorded: Request) -> None:
    """The only matcher: method, address, every header and every byte of the body.

    Raises:
        AssertionError: They differ.
    """
    found = differences(sent, recorded)
    if found:
        raise AssertionError("\n".join(found))


# ---------------------------------------------------------------- the tape


class Tape(Cassette):  # type: ignore[misc]  # vcrpy has no types
    """A cassette that remembers which requests it had no answer for."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.misses: list[str] = []

    def find_requests_with_most_matches(self, request: Request) -> list[Any]:
        """Called by vcrpy when it is about to refuse a request: the moment to explain why."""
        self.misses.append(self._explain(self._before_record_request(request)))
        return []

    def _explain(self, sent: Request) -> str:
        title = f"{sent.method} {sent.uri} matches no interaction of {self._path}"
        found = [
            (self.play_counts[at] > 0, differences(sent, recorded), at)
            for at, (recorded, _) in enumerate(self.data)
        ]
        if not found:
            return f"{title}: it holds none."
        played, lines, at = min(found, key=lambda row: (bool(row[1]), row[0], len(row[1]), row[2]))
        if not lines:
            return f"{title}: it is interaction {at + 1} once more, which was played already."
        shown = lines[:MAX_LINES] + ["…"] * (len(lines) > MAX_LINES)
        which = f"Nearest is interaction {at + 1}{' (already played)' if played else ''}:"
        return "\n  ".join([f"{title}.", which, *shown])

    @property
    def unplayed(self) -> list[str]:
        """What was recorded and never asked for."""
        return [
            f"interaction {at + 1}: {request.method} {request.uri}"
            for at, (request, _) in enumerate(self.data)
            if self.play_counts[at] == 0
        ]

    def answers(self) -> list[Any]:
        """The recorded JSON answers to embeddings requests that hold vectors, in order."""
        trees = [_tree(response["body"]["string"]) for response in self.responses]
        return [tree for tree in trees if isinstance(tree, dict) and "usage" in tree]

    def check(self) -> None:
        """Fail unless everything was asked for exactly as recorded.

        Raises:
            CassetteMismatchError: It was not.
        """
        if self.misses:
            raise CassetteMismatchError("\n\n".join(self.misses))
        if self.unplayed:
            raise CassetteMismatchError(
                f"{self._path} holds what nobody asked for:\n  " + "\n  ".join(self.unplayed)
            )


def _tree(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


@contextmanager
def settled_world() -> Iterator[None]:
    """No jitter, hence no waiting between attempts, and nothing from the environment."""
    kept = {n: v for n, v in os.environ.items() if not n.upper().startswith(_ENVIRONMENT)}
    no_chance = SimpleNamespace(random=lambda: 0.0)
    with (
        mock.patch.dict(os.environ, kept, clear=True),
        mock.patch("openrouter_embed.engine.random", no_chance),
    ):
        yield


@contextmanager
def replay(path: Path) -> Iterator[Tape]:
    """Answer every request from a cassette, whichever library sends it.

    Raises:
        CassetteMismatchError: Something else was sent, or not everything, or there is no cassette.
    """
    if not path.is_file():
        raise CassetteMismatchError(f"No cassette {path}: make it with `python -m tests.record`.")
    tape = Tape.use(
        path=str(path),
        serializer=CassetteSerializer(),
        record_mode=RecordMode.NONE,
        match_on=(same_request,),
        before_record_request=clean_request,
    )
    with settled_world(), tape as playing:
        try:
            yield playing
        except Exception as error:
            if playing.misses:
                raise CassetteMismatchError("\n\n".join(playing.misses)) from error
            raise
        playing.check()
