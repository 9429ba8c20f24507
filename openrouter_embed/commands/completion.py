"""`openrouter-embed completion`: the script that lets a shell complete our commands.

Rules of this file:
- shtab writes the script out of the parser itself, so that no option is listed twice.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from openrouter_embed.commands.parsers import Commands

SHELLS = ("bash", "zsh", "tcsh")


def add_completion(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Describe the command to the parser that it completes."""
    command = commands.add_parser(
        "completion", help="print the script that completes commands in your shell"
    )
    command.add_argument("shell", choices=SHELLS, help="for example: source <(… completion bash)")

    def run(options: argparse.Namespace) -> int:
        return _run(parser, options.shell)

    command.set_defaults(run=run)


def _run(parser: argparse.ArgumentParser, shell: str) -> int:
    shtab: Any = None
    with contextlib.suppress(ModuleNotFoundError):
        import shtab  # noqa: PLC0415 - an extra
    if shtab is None:
        raise ConfigurationError("Completion needs shtab: pip install 'openrouter-embed[cli]'.")
    print(shtab.complete(parser, shell=shell))
    return 0
