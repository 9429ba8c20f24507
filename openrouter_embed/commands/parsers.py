"""The parser of our commands: argparse's, which also says what was probably meant.

Rules of this file:
- argparse has no public name for what takes commands; this says which of it is used.
- What argparse refuses is refused in its words; a hint is all that is added.
"""

from __future__ import annotations

import argparse
import re
import sys
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHOICE: Final = re.compile(r"invalid choice: '([^']*)'")
_OTHERWISE: Final = {
    "embed": "batch",
    "list": "models",
    "search": "models",
    "server": "serve",
    "emulator": "serve",
    "evaluate": "compare",
    "benchmark": "compare",
    "--texts": "--field",
    "--column": "--field",
    "--save-to": "--job",
    "--budget": "--max-cost",
    "--out-file": "--output",
    "-o": "--output",
    "-m": "--model",
}
"""What people call a command or an option, and its name here."""


class Commands(Protocol):
    """Takes commands, one parser each."""

    def add_parser(self, name: str, *, help: str, **rest: Any) -> argparse.ArgumentParser:  # noqa: A002 - argparse's
        """Add a command and return its parser."""
        ...


class Parser(argparse.ArgumentParser):
    """A parser whose refusals name the command or option that was probably meant."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Remember what was typed, for a refusal."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Refuse, with a hint if there is one."""
        super().error(f"{message}{self._hint(message)}")

    def _hint(self, message: str) -> str:
        wrong = _CHOICE.search(message)
        if wrong:
            choices = [str(one) for action in self._actions for one in action.choices or ()]
            return _meant(wrong[1], choices)
        known = self.known_options(self._given)
        typed = [word.partition("=")[0] for word in self._given if word.startswith("-")]
        return "".join(_meant(word, known) for word in typed if not _abbreviates(word, known))

    def known_options(self, given: Sequence[str]) -> list[str]:
        """Return the options of the command that was named."""
        known = list(self._option_string_actions)
        for at, word in enumerate(given):
            for action in self._actions:
                commands = cast("dict[str, Parser] | None", action.choices)
                if isinstance(commands, dict) and word in commands:
                    return [*known, *commands[word].known_options(given[at + 1 :])]
        return known


def _abbreviates(word: str, known: Iterable[str]) -> bool:
    return word in known or (word.startswith("--") and any(one.startswith(word) for one in known))


def _meant(word: str, known: Sequence[str]) -> str:
    near = [_OTHERWISE[word]] if _OTHERWISE.get(word) in known else []
    near += get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (`{word}`: did you mean `{near[0]}`?)" if near else ""
