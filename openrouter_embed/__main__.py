"""`python -m openrouter_embed`: the command line, where its script is not on the path."""

from __future__ import annotations

from openrouter_embed.commands.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
