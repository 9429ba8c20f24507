"""Show what pacing does at a real limit: run the simulation, and write its table and its picture.

Rules of this file:
- A case is one row of `CASES`: who works, at what server, and which stretch of the run counts.
- Results go into `results/pacing.json`; the documents are made of them alone.

Usage: python benchmarks/pacing.py           # simulate (minutes), and write the documents
       python benchmarks/pacing.py --check   # fail if the documents are not what the results say
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from dataclasses import dataclass
from html import escape

from documents import DOCS, HERE, read_result
from pacing_world import Limits, Road, World, score

SLOW = Road(service=0.5, network=0.04)
QUICK = Road(service=0.166, network=0.04)
PLACES = Limits(places=64)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table.

    Attributes:
        name: What it is called.
        limits: What the server admits.
        road: How long things take.
        groups: The workers: arguments of `World.add`.
        stretch: From when to when it counts, in seconds.
        seeds: How many runs.
    """

    name: str
    limits: Limits
    road: Road
    groups: tuple[dict, ...]
    stretch: tuple[float, float]
    seeds: int = 3


def crowd(workers: int, **options: object) -> tuple[dict, ...]:
    """Return one group of so many workers."""
    return ({"workers": workers, "texts": max(150, 10_000 // workers), **options},)


CASES = (
    Case(name="1 client, 256 allowed, 64 places", limits=PLACES, road=SLOW,
         groups=crowd(1, max_concurrency=256), stretch=(10, 40), seeds=10),
    *(Case(name=f"{n} clients, 64 places", limits=PLACES, road=SLOW,
           groups=crowd(n), stretch=(10, 60), seeds=5) for n in (2, 4, 8)),
    Case(name="a latecomer after 30 s, 64 places", limits=PLACES, road=SLOW,
         groups=(*crowd(1), {"workers": 1, "texts": 4000, "begin": 30.0}),
         stretch=(55, 60), seeds=5),
    *(Case(name=f"{n} client{'s' * (n > 1)}, 50 requests/s", limits=Limits(rate=50), road=QUICK,
           groups=crowd(n), stretch=(30, 90)) for n in (1, 16)),
    *(Case(name=f"{n} workers, 64 places", limits=PLACES, road=QUICK,
           groups=crowd(n), stretch=(30, 60), seeds=1) for n in (64, 1000)),
    Case(name="256 workers, 64 places", limits=PLACES, road=QUICK,
         groups=crowd(256), stretch=(30, 90), seeds=2),
    Case(name="256 workers sharing one pacer, 64 places", limits=PLACES, road=QUICK,
         groups=crowd(256, shared=True), stretch=(30, 60), seeds=1),
    Case(name="8 clients, 64 places, Retry-After: 1", limits=Limits(places=64, retry_after=1.0),
         road=SLOW, groups=crowd(8), stretch=(10, 60)),
    Case(name="4 clients, 30,000 tokens/min after the first minute's", road=QUICK,
         limits=Limits(tokens=30_000), groups=crowd(4), stretch=(90, 150)),
    Case(name="1 client, no limit", limits=Limits(), road=QUICK,
         groups=crowd(1), stretch=(5, 20)),
    Case(name="1 client, 503 for 10 s", limits=Limits(down=(5.0, 15.0)), road=QUICK,
         groups=crowd(1, texts=2000), stretch=(17, 30)),
    Case(name="1 client, 30 % random 503", limits=Limits(failing=0.3), road=QUICK,
         groups=crowd(1, texts=1000), stretch=(0, 30)),
)  # fmt: skip


def simulate(case: Case) -> dict:
    """Run a case with every seed; return the worst and the middle of what was seen."""
    runs = []
    for seed in range(case.seeds):
        world = World(case.limits, case.road, seed)
        for group in case.groups:
            world.add(**group)
        world.run(case.stretch[1])
        runs.append(dataclasses.asdict(score(world, *case.stretch)) | {"late": late(world, case)})
        print(case.name, seed, {name: round(value, 3) for name, value in runs[-1].items()})
    return {"stretch": list(case.stretch), "runs": runs, "seconds": seconds(case)}


def late(world: World, case: Case) -> float:
    """Return the places that the last worker holds, as a share of its fair one."""
    begin, end = case.stretch
    met = [one for one in world.server.seen if one.status == 200 and begin <= one.at < end]
    weights = [one.tokens if world.counts_tokens else 1 for one in met]
    last = len(world.workers) - 1
    mine = sum(weight for one, weight in zip(met, weights, strict=True) if one.worker == last)
    return mine * len(world.workers) / max(1, sum(weights))


def seconds(case: Case) -> list[float]:
    """Return what a run used of the limit, second by second, for the picture."""
    world = World(case.limits, case.road, 0)
    for group in case.groups:
        world.add(**group)
    world.run(40)
    return [round(score(world, at, at + 1).used, 3) for at in range(40)]


PICTURED = ("1 client, 256 allowed, 64 places", "8 clients, 64 places", "256 workers, 64 places")


def table(result: dict) -> str:
    """Return the table of all cases."""
    head = "| case | used % | refused % | Jain | last one's share | calls died | starved |"
    lines = [head, "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, case in result.items():
        lines.append(f"| {name} | {' | '.join(cells(case['runs']))} |")
    return "\n".join(lines)


def cells(runs: list[dict]) -> list[str]:
    """Return a case's figures: medians, and the worst run where there are several."""
    used, refused, jain = ([run[name] for run in runs] for name in ("used", "refused", "jain"))
    limited = min(used) > 0
    return [
        spread(used, min, 100)
        if limited
        else f"{statistics.median(r['served'] for r in runs):.0f}/s",
        spread(refused, max, 100),
        spread(jain, min, 1, 2),
        f"{statistics.median(run['late'] for run in runs):.2f}",
        str(sum(run["died"] for run in runs)),
        str(max(run["starved"] for run in runs)),
    ]


def spread(values: list[float], worst: object, scale: float, digits: int = 1) -> str:
    """Return the middle of some values and, if it differs, the worst in brackets."""
    middle = f"{statistics.median(values) * scale:.{digits}f}"
    end = f"{worst(values) * scale:.{digits}f}"
    return middle if middle == end else f"{middle} ({end})"


WIDTH, LEFT, PANEL, GAP, INK, OURS = 820, 60, 110, 46, "#1c2024", "#5b5bd6"


def picture(result: dict) -> str:
    """Return the picture: how much of the limit was used, second by second."""
    parts = []
    for at, name in enumerate(PICTURED):
        parts += panel(name, result[name]["seconds"], 10 + at * (PANEL + GAP))
    height = len(PICTURED) * (PANEL + GAP) + 20
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])


def panel(name: str, used: list[float], top: int) -> list[str]:
    """Return the lines of one case."""
    base, step = top + 24 + PANEL - 24, (WIDTH - LEFT - 20) / (len(used) - 1)
    points = " ".join(
        f"{LEFT + at * step:.1f},{base - 80 * one:.1f}" for at, one in enumerate(used)
    )
    lines = [f'<text x="12" y="{top + 14}" font-weight="600">{escape(name)}: % used</text>']
    for share in (0, 0.5, 1):
        y = base - 80 * share
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>',
            f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d9d9e0"/>',
        ]
    lines += [
        f'<text x="{LEFT + at * step:.1f}" y="{base + 16}" text-anchor="middle">{at} s</text>'
        for at in range(0, len(used), 10)
    ]
    return [*lines, f'<polyline points="{points}" fill="none" stroke="{OURS}" stroke-width="2"/>']


BEGIN, END = "<!-- generated: pacing -->", "<!-- end: pacing -->"


def documents(result: dict) -> dict[str, str]:
    """Return what `docs/` should hold."""
    page = (DOCS / "pacing.md").read_text()
    head, _, rest = page.partition(BEGIN)
    tail = rest.partition(END)[2]
    return {
        "pacing.md": f"{head}{BEGIN}\n\n{table(result)}\n\n{END}{tail}",
        "pacing.svg": picture(result),
    }


def main() -> None:
    """Simulate and write, or check."""
    if "--check" not in sys.argv:
        wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
        chosen = {c.name: c for c in CASES if not wanted or any(w in c.name for w in wanted)}
        fresh = {name: simulate(case) for name, case in chosen.items()}
        old = read_result("pacing") if wanted else {}
        known = old | fresh
        result = {case.name: known[case.name] for case in CASES if case.name in known}
        (HERE / "results" / "pacing.json").write_text(json.dumps(result, indent=1) + "\n")
    if not all(name in read_result("pacing") for name in PICTURED):
        return
    for name, text in documents(read_result("pacing")).items():
        target = DOCS / name
        if "--check" not in sys.argv:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            sys.exit(f"{name} is not what the results say: run python {sys.argv[0]}")


if __name__ == "__main__":
    main()
