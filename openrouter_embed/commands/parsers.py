"""What a command needs of the parser that it describes itself to.

Rules of this file:
- argparse has no public name for what takes commands; this says which of it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import argparse


class Commands(Protocol):
    """Takes commands, one parser each."""

    def add_parser(self, name: str, *, help: str, **rest: Any) -> argparse.ArgumentParser:  # noqa: A002 - argparse's
        """Add a command and return its parser."""
        ...
