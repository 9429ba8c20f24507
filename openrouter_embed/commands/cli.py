"""The command line: `openrouter-embed demo | serve | models | compare | batch | cache`.

Rules of this file:
- It only reads arguments and prints; what it shows is done elsewhere.
- Without a key nothing goes to the network: the demo then starts the emulator and says so.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from openrouter_embed.commands.batch import add_batch
from openrouter_embed.commands.caching import add_cache
from openrouter_embed.commands.compare import add_compare, compare_on_corpus
from openrouter_embed.commands.completion import add_completion
from openrouter_embed.commands.listing import add_models
from openrouter_embed.commands.parsers import Parser
from openrouter_embed.errors import EmbeddingError
from openrouter_embed.guard import speaking
from openrouter_embed.options.key import KEY_VARIABLE
from openrouter_embed.version import __version__

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from openrouter_embed.commands.parsers import Commands

DEFAULT_MODEL = "openai/text-embedding-3-small"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with _telling_of_retries(), speaking(_SPOKEN):
            status: int = options.run(options)
        sys.stdout.flush()
    except EmbeddingError as error:
        print(f"openrouter-embed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough, as `head` does; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


_SPOKEN: Final = {
    "base_url": "OPENROUTER_API_BASE",
    "dimensions": "--dimensions",
    "documents": "FILE",
    "max_cost": "--max-cost",
    "queries": "--queries",
}
"""What a message calls an option of Python, and what it is called here."""


@contextmanager
def _telling_of_retries() -> Generator[None]:
    """Show what the package logs: whoever waits at a prompt is told why."""
    log = logging.getLogger("openrouter_embed")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("openrouter-embed: %(message)s"))
    # A cache's trouble is a warning as well, which Python shows.
    handler.addFilter(lambda line: getattr(line, "openrouter_embed.event", "") != "cache")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="openrouter-embed", description="OpenRouter embeddings for LangChain and LlamaIndex."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    _add_demo(commands)
    _add_serve(commands)
    add_models(commands)
    add_compare(commands)
    add_batch(commands)
    add_cache(commands)
    add_completion(commands, parser)
    return parser


def _add_demo(commands: Commands) -> None:
    demo = commands.add_parser(
        "demo", help="search the standard library's documentation with both frameworks"
    )
    demo.add_argument("question", nargs="*", help="questions of your own (default: four of ours)")
    demo.add_argument(
        "--model",
        action="append",
        metavar="ID",
        help=f"model id (default: {DEFAULT_MODEL}); several are compared",
    )
    demo.add_argument(
        "--limit", type=_positive, default=3000, help="texts to embed (default: %(default)s)"
    )
    demo.set_defaults(run=_demo)


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser("serve", help="run the local emulator of the embeddings API")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8787)
    serve.add_argument(
        "--latency", type=float, metavar="S", default=0.0, help="seconds per request"
    )
    serve.add_argument(
        "--latency-per-input", type=float, metavar="S", default=0.0, help="seconds per input"
    )
    serve.add_argument(
        "--max-in-flight",
        type=_positive,
        metavar="N",
        help="answer 429 above this many requests at once",
    )
    serve.add_argument(
        "--batch-seconds", type=float, metavar="S", default=0.0, help="seconds that a batch takes"
    )
    serve.add_argument("--verbose", action="store_true", help="write a line for every request")
    serve.set_defaults(run=_serve)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _demo(options: argparse.Namespace) -> int:
    models = options.model or [DEFAULT_MODEL]
    if len(models) > 1:
        return compare_on_corpus(models, options.limit, options.question)
    print("Loading LangChain and LlamaIndex …", flush=True)
    try:
        from openrouter_embed.commands.demo import run  # noqa: PLC0415 - needs both frameworks
    except ModuleNotFoundError as error:
        missing = error.name
    else:
        return run(models[0], options.limit, options.question, os.environ.get(KEY_VARIABLE))
    print(
        f"The demo needs both frameworks, and `{missing}` is not installed: "
        "pip install 'openrouter-embed[demo]'",
        file=sys.stderr,
    )
    return 1


def _serve(options: argparse.Namespace) -> int:
    from openrouter_embed.emulator import EmulatorOptions, serve  # noqa: PLC0415 - heavy

    behaviour = EmulatorOptions(
        latency=options.latency,
        latency_per_input=options.latency_per_input,
        max_in_flight=options.max_in_flight,
        batch_seconds=options.batch_seconds,
    )
    try:
        serve(options.host, options.port, behaviour, verbose=options.verbose)
    except (OSError, OverflowError) as error:
        where = f"{options.host}:{options.port}"
        said = f"Cannot listen on {where}: {_reason(error)}. Try another `--port`."
        print(f"openrouter-embed: {said}", file=sys.stderr)
        return 1
    return 0


def _reason(error: OSError | OverflowError) -> str:
    """Return what the system says, without asyncio's repetition of the address."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number and number > 0 else str(error).rstrip(".")
