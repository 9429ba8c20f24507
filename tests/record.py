"""`python -m tests.record`: make the cassettes again, from the emulator or from the live service.

Rules of this file:
- It reads arguments and prints; what it does is done in `tests/cassettes/cassette_recorder.py`.
- Without `--live` nothing leaves this machine. With it, the cost is printed before it is spent.
"""

# ruff: noqa: T201 - printing is its job
from __future__ import annotations

import argparse
import os
import sys
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "cassettes"))

from cassette_format import FOLDER
from cassette_recorder import OverBudgetError, emulated, is_live, live, record, record_live
from cassette_scenarios import SCENARIOS, Scenario

KEY_VARIABLE = "OPENROUTER_API_KEY"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    options = _parser().parse_args(arguments)
    patterns = options.names or ["*"]
    chosen = [s for s in SCENARIOS if any(fnmatchcase(s.name, p) for p in patterns)]
    if not chosen:
        print("No scenario has such a name; see --list.", file=sys.stderr)
        return 2
    if options.list:
        print(
            "\n".join(
                f"{s.name:36} {'' if s.live else '(emulator only) '}{s.shows}" for s in chosen
            )
        )
        return 0
    return _record_live(chosen, options) if options.live else _record_emulated(chosen, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.record", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios, wildcards allowed (default: all)")
    parser.add_argument("--list", action="store_true", help="list the scenarios and stop")
    parser.add_argument("--live", action="store_true", help="record from openrouter.ai")
    parser.add_argument(
        "--max-cost", type=float, default=0.01, help="USD a live run may spend (%(default)s)"
    )
    parser.add_argument(
        "--into", type=Path, default=FOLDER, help="folder to write to (default: cassettes/)"
    )
    parser.add_argument(
        "--replace-live", action="store_true", help="let the emulator replace live recordings"
    )
    return parser


def _record_emulated(chosen: list[Scenario], options: argparse.Namespace) -> int:
    done = 0
    with emulated() as origin:
        for scenario in chosen:
            if is_live(scenario.name, options.into) and not options.replace_live:
                print(f"{scenario.name}: kept, it is a live recording (see --replace-live)")
                continue
            record(scenario, origin, into=options.into, reference=options.into)
            done += 1
    print(f"{done} cassettes recorded from the emulator into {options.into}")
    return 0


def _record_live(chosen: list[Scenario], options: argparse.Namespace) -> int:
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        print(f"--live needs a key in {KEY_VARIABLE}.", file=sys.stderr)
        return 2
    try:
        spent = record_live(chosen, live(key), options.max_cost, into=options.into)
    except OverBudgetError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"${spent:.6f} spent. Look at `git diff cassettes` before you commit.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
