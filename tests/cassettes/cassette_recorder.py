"""Recording cassettes: from the emulator by default, from the live service when asked to.

Rules of this file:
- The key is known here, sent, and never written: what is written is searched for it first.
- A live recording prices everything before it sends anything, and stops at the sum it was given.
- A cassette that would say the same as before is not touched.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cassette_faces import arun, options_of, run
from cassette_faults import Faults, first
from cassette_format import FOLDER, CassetteSerializer, load, load_answer, path_of, read
from cassette_scrub import API, Scrubber, clean_request
from cassette_tape import Tape, same_request, settled_world
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.serialize import serialize

from openrouter_embed import EmbeddingClient, ModelInfo
from openrouter_embed.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cassette_table import Scenario

FIXED_TIME = 1_700_000_000.0
EMULATOR_NOTE = (
    "Not a live recording: answers, tokens, prices and vectors are the emulator's, ids and dates "
    "are fixed."
)
# The emulator's own numbers differ between processors by about 1e-6; rounding adds one step.
EMULATOR_TOLERANCE = 1.5e-4
# Live, the same text embedded twice differs by about 1.4e-3.
LIVE_TOLERANCE = 5e-3
SAFETY = 2.0
"""Factor on the price bound of a live recording: nobody counts tokens exactly beforehand."""


@dataclass(frozen=True)
class Origin:
    """Where answers come from.

    Attributes:
        name: `emulator` or `live`; stands in every cassette.
        base_url: Where requests go.
        key: The key that is accepted there.
        wrong_key: One that is not.
        arrange: Called with a scenario before it runs.
    """

    name: str
    base_url: str
    key: str = field(repr=False)
    wrong_key: str
    arrange: Callable[[Scenario], None] = lambda _: None

    @property
    def live(self) -> bool:
        """Whether a scenario costs money here."""
        return self.name == "live"


class _Script:
    """Faults that change from scenario to scenario."""

    def __init__(self) -> None:
        self.faults: Faults = first()

    def __call__(self, number: int, body: object) -> Any:
        return self.faults(number, body)


@contextmanager
def emulated() -> Iterator[Origin]:
    """The emulator, with nothing left to chance."""
    script = _Script()
    key = "recorder-0123456789abcdef"
    with Emulator(
        backend="hashed", fixed_time=FIXED_TIME, fixed_ids=True, api_key=key, faults=script
    ) as emulator:

        def arrange(scenario: Scenario) -> None:
            emulator.reset()
            script.faults = scenario.faults

        yield Origin("emulator", emulator.base_url, key, "nobodys-key", arrange)


def live(key: str) -> Origin:
    """The live service."""
    return Origin("live", API, key, "nobodys-key-0123456789")


# ---------------------------------------------------------------- one cassette


class _Shelf:
    """Takes what vcrpy would write to disk."""

    def __init__(self) -> None:
        self.text = ""

    def load_cassette(self, *_: Any, **__: Any) -> Any:
        """There is never an old one: what is recorded stands alone."""
        raise CassetteNotFoundError

    def save_cassette(self, _: str, tape: Mapping[str, Any], serializer: Any) -> None:
        """Keep the text."""
        self.text = serialize(tape, serializer)


@dataclass(frozen=True)
class Budget:
    """What a live recording may spend on one scenario, and the prices it is reckoned by."""

    limit: float
    models: Sequence[ModelInfo]

    def covers(self, scenario: Scenario) -> bool:
        """Whether a limit can be set; the catalogue costs nothing and a model must have a price."""
        listed = {model.id for model in self.models if model.price is not None}
        return _asked(scenario) <= listed and scenario.folder != "catalogue"

    def impose(self, client: EmbeddingClient) -> None:
        """Hand the prices over, so that no listing gets onto the tape."""
        client._engine.known_models = list(self.models)


def record(
    scenario: Scenario,
    origin: Origin,
    *,
    into: Path = FOLDER,
    reference: Path = FOLDER,
    shell: str = "requests",
    budget: Budget | None = None,
) -> float:
    """Run a scenario and write its cassette, unless it says what it said; return the USD spent.

    Args:
        scenario: What to run.
        origin: Where to run it.
        into: The folder to write to.
        reference: The folder whose cassettes count as the ones before.
        shell: `requests` or `aiohttp`.
        budget: Bounds what may be spent, on the `requests` shell.
    """
    origin.arrange(scenario)
    before = path_of(scenario.name, reference)
    old = before.read_text(encoding="utf-8") if before.is_file() else ""
    shelf = _Shelf()
    spent: list[float] = []
    with settled_world(), _blank(scenario, origin, shelf, old):
        _play(scenario, origin, shell, budget, spent)
    if not shelf.text:
        raise AssertionError(f"{scenario.name} sent nothing, so there is nothing to record.")
    text = old if _said(old) == _said(shelf.text) else shelf.text
    file = path_of(scenario.name, into)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", newline="\n")
    return sum(spent)


def _blank(scenario: Scenario, origin: Origin, shelf: _Shelf, old: str) -> Any:
    stored = [load_answer(item["response"]) for item in load(old)["interactions"]] if old else []
    scrubber = Scrubber(
        stored=stored,
        tolerance=LIVE_TOLERANCE if origin.live else EMULATOR_TOLERANCE,
        secrets=(origin.key, origin.wrong_key),
    )
    return Tape.use(
        path=scenario.name,
        serializer=CassetteSerializer(_head(scenario, origin), scrubber),
        persister=shelf,
        record_mode=RecordMode.ALL,
        record_on_exception=False,
        match_on=(same_request,),
        before_record_request=clean_request,
    )


def _head(scenario: Scenario, origin: Origin) -> dict[str, Any]:
    today = dt.datetime.now(dt.timezone.utc).date().isoformat()
    when = {"recorded_at": today} if origin.live else {"note": EMULATOR_NOTE}
    return {
        "cassette": scenario.name,
        "shows": scenario.shows,
        "through": scenario.face,
        "recorded_from": origin.name,
        **when,
        "provocable_live": scenario.live,
    }


def _said(text: str) -> object:
    """A cassette without the day of its recording."""
    tree = load(text) if text else None
    return tree and {name: value for name, value in tree.items() if name != "recorded_at"}


def _play(
    scenario: Scenario, origin: Origin, shell: str, budget: Budget | None, spent: list[float]
) -> None:
    key = origin.key if scenario.right_key else origin.wrong_key
    options = options_of(scenario, origin.base_url, key)
    if shell == "aiohttp":
        asyncio.run(arun(scenario, options))
        return
    if budget is not None:
        options["max_cost"] = budget.limit
    clients: list[EmbeddingClient] = []

    def prepare(client: EmbeddingClient) -> None:
        clients.append(client)
        if budget is not None:
            budget.impose(client)

    try:
        run(scenario, options, prepare)
    finally:
        spent.extend(client.usage.cost or 0.0 for client in clients)


# ---------------------------------------------------------------- many


def price_bound(scenario: Scenario, models: Sequence[ModelInfo]) -> float:
    """USD a scenario should stay below; 0 where a model is asked for that nobody lists."""
    found = [model for model in models if model.id in _asked(scenario)]
    prices = [max(model.price or 0.0, model.image_price or 0.0) for model in found]
    return SAFETY * scenario.tokens * max(prices, default=0.0)


def _asked(scenario: Scenario) -> set[str]:
    own = {scenario.options[name] for name in ("model", "model_name") if name in scenario.options}
    return own | {item.options["model"] for item in scenario.calls if "model" in item.options}


def record_live(
    scenarios: Sequence[Scenario],
    origin: Origin,
    max_cost: float,
    *,
    into: Path = FOLDER,
    say: Callable[[str], None] = print,
) -> float:
    """Record from the live service what is safe and cheap; return the USD spent.

    Raises:
        OverBudgetError: It may cost more than allowed; nothing was sent but for the listing.
    """
    chosen = [scenario for scenario in scenarios if scenario.live]
    with EmbeddingClient(
        chosen[0].options.get("model", "any"), api_key=origin.key, base_url=origin.base_url
    ) as client:
        models = client.models()
    bounds = {scenario.name: price_bound(scenario, models) for scenario in chosen}
    total = sum(bounds.values())
    say(f"{len(chosen)} scenarios, at most about ${total:.6f}; the limit is ${max_cost:g}.")
    if total > max_cost:
        raise OverBudgetError(f"That may cost ${total:.6f}, and only ${max_cost:g} are allowed.")
    spent = 0.0
    for scenario in chosen:
        left = Budget(max(0.0, min(max_cost - spent, bounds[scenario.name])), models)
        budget = left if left.covers(scenario) else None
        spent += record(scenario, origin, into=into, reference=into, budget=budget)
        say(f"{scenario.name}: ${spent:.6f} spent so far")
    return spent


class OverBudgetError(RuntimeError):
    """A live recording may cost more than it was allowed to."""


def is_live(name: str, folder: Path = FOLDER) -> bool:
    """Whether a cassette holds a live recording, which the emulator's may not replace unasked."""
    path = path_of(name, folder)
    return path.is_file() and read(path)["recorded_from"] == "live"
