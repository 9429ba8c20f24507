"""Write docs/performance.md: prose from here, every figure from `results/`.

Rules of this file:
- A figure that is not in the results is not in the document.

Usage: python benchmarks/report.py [--check]
"""

from __future__ import annotations

from typing import NamedTuple

from documents import has_result, publish, read_result
from workloads import (
    BASETEN_LISTS,
    BASETEN_NUMPY,
    FLOAT_LISTS,
    FLOATS,
    FLOATS_ASYNC,
    LISTS,
    NO_EXTRA,
    NUMPY,
    WIDE_NUMPY,
)

HEAD = """# Speed and memory

![Seconds for 10,000 texts, ours and others](speed.svg)

Measured with the programs in `benchmarks/` on two cores, Python {python}, loopback: clients take \
turns, each measurement has a process of its own, and every vector is checked. Ours run at their \
defaults, others at theirs and at the best settings we found. Figures are medians; read the \
ratios, for absolute times drift with the machine. Made by `python benchmarks/report.py`.
"""
ROADS = """
## Two roads: floats and base64

A model is asked for base64 where it is known to honour it, and that is OpenAI's models; most \
others are asked for floats, so floats are what most calls take. Base64 is a copy of the numbers; \
floats are digits, of which an answer holds tens of thousands, and turning them into numbers is \
nearly all of the work. The extra `fast` halves it: simdjson writes float32 \
without a Python object for each number, and isal takes a third of the time that zlib takes for \
gzip. Where there are no wheels (of simdjson for Python 3.14 and Windows on ARM), all works without.

10,000 texts x 1536, seconds; a dash stands for what was not measured.

| | floats, `fast` | floats, without | base64 | fastest rival, floats |
|---|---|---|---|---|
"""
BEHIND = """
### Where ours is behind

Time of the fastest rival as a share of ours, with `fast` and without; below 1 it is faster:

{found}

Where it is, the reason is the interpreter's lock: baseten's client is written in Rust and parses \
on all cores. Every small Python package that parses floats holds the lock, so ours parses on one.
"""


class Row(NamedTuple):
    """One line of the table of both roads: each cell a workload and one of its subjects."""

    what: str
    floats: tuple[str, str]
    base64: tuple[str, str] | None
    rivals: tuple[str, tuple[str, ...]] | None


ROWS = (
    Row("to numpy, no latency", ("7", FLOATS), ("1", NUMPY), ("7", BASETEN_NUMPY)),
    Row("to numpy, numbers of 17 digits", ("7f", FLOATS), None, ("7f", BASETEN_NUMPY)),
    Row("to lists, no latency", ("7", FLOAT_LISTS), ("1", LISTS), ("7", BASETEN_LISTS)),
    Row("to numpy, 150 ms + 1 ms per text", ("7l", FLOATS), ("2", NUMPY), ("7l", WIDE_NUMPY)),
    Row("to numpy, gzipped, async", ("7z", FLOATS_ASYNC), None, None),
)
TITLES = {
    "7": "Answers in floats",
    "7f": "Answers in floats of 17 digits",
    "7l": "Answers in floats, with latency",
    "7z": "Answers in floats, gzipped",
    "1": "Answers in base64, without latency: what a client costs",
    "2": "Answers in base64, with latency: what concurrency brings",
    "7d": "Lists through both frameworks",
    "3": "One query at a time",
    "4": "Many vectors: time and memory",
    "4s": "A million vectors through `stream`",
}
NOTES = {
    "1": "Here the work per vector is all there is. Lists of floats cost more than everything "
    "before them: a Python float takes 24 bytes and is made one by one. "
    "litellm and `requests.post` were given 300 texts, and their time is scaled.",
    "2": "The service takes 150 ms per request and 1 ms per text and bears any concurrency. "
    "A plain synchronous call of ours begins with eight small requests and has some sixty in "
    "flight after one round trip.",
    "3": "The median of one text after the other on an open connection. Ours goes out through "
    "`requests.Session.send` in a warm thread, so that deadlines and Ctrl-C hold whatever the "
    "network does, and tools that hook requests see it; most of its time is that of requests. "
    "`OpenAIEmbeddings` runs without its check of lengths, which needs a tokenizer.",
    "4": "The result itself takes 391 MB. Peak memory is what a process takes above its start; "
    "that of clients which return lists is the lists.",
    "4s": "Growth is measured from the first part on.",
    "7": "Floats cost several times as much as base64, so ours asks for base64 wherever the model "
    "is known to honour it; this one is not.",
    "7f": "A float32 written as the double that it is, as several hosts do.",
    "7l": "A call begins with 64 texts to a request where a model's limit is not known.",
    "7d": "LlamaIndex's events hold the vectors; they are made where somebody listens.",
    "7z": "baseten-performance-client does not read gzipped answers.",
}
IMPORTS = (
    "In a fresh process, the interpreter's own start taken off; of numpy, requests and aiohttp, "
    "those that come with it. LangChain's own base class brings requests."
)
STAGES = """
## Where the time of a vector goes

CPU by stage in the first workload, microseconds per vector:

| stage | numpy | lists |
|---|---|---|
"""
WHY = """
Why it is fast: a call's requests are out at once; an answer is not parsed but cut, and each \
vector decoded where it lies (`core/edges.py`), floats without Python objects in between \
(`core/floats.py`); Python lists are written into lists made before, \
which the garbage collector leaves alone (`core/lists.py`); a lone request has neither thread nor \
queue.

What was tried and left out: other JSON parsers make Python objects as well and save little; some \
read what is not JSON; digits can be turned into numbers exactly in numpy, which saves little; the \
standard library's arrays, `struct` and `memoryview` make lists no faster than numpy; reusing \
receive buffers would save some page faults and could put a vector under another's name; more than \
a few requests in flight bring nothing while the caller is busy all the time, so a call stops \
adding them (`core/flow.py`).
"""


def main() -> None:
    """Write the document, or check it."""
    publish("performance.md", document())


def document() -> str:
    """Return the whole document."""
    parts = [HEAD.format(python=read_result("workload-1")["machine"]["python"]), roads(), behind()]
    for name, title in TITLES.items():
        if not has_result(f"workload-{name}"):
            continue
        parts.append(section(title, NOTES[name], read_result(f"workload-{name}"), name))
        if name == "4s":
            parts += [imports(), build()]
    return "\n".join([*parts, stages(), WHY.strip(), "", versions()])


def seconds(workload: str, subject: str) -> float | None:
    """Return the seconds of a subject, if they were measured."""
    if not has_result(f"workload-{workload}"):
        return None
    row = read_result(f"workload-{workload}")["rows"].get(subject)
    return None if row is None else row["seconds"]


def fastest(rivals: tuple[str, tuple[str, ...]] | None) -> float | None:
    """Return the seconds of the fastest of some subjects."""
    workload, subjects = rivals or ("", ())
    found = [seconds(workload, subject) for subject in subjects]
    return min((value for value in found if value is not None), default=None)


def roads() -> str:
    """Return what both roads take, side by side."""
    lines = []
    for row in ROWS:
        workload, subject = row.floats
        cells = (
            seconds(workload, subject), seconds(workload, subject + NO_EXTRA),
            seconds(*row.base64) if row.base64 else None, fastest(row.rivals),
        )  # fmt: skip
        shown = ["-" if value is None else f"{value:.2f}" for value in cells]
        lines.append(f"| {row.what} | " + " | ".join(shown) + " |")
    return ROADS.strip() + "\n" + "\n".join([*lines, ""])


def behind() -> str:
    """Return how the fastest rival compares with ours, and why."""
    found = []
    for row in ROWS:
        workload, subject = row.floats
        times = [seconds(workload, subject), seconds(workload, subject + NO_EXTRA)]
        theirs = fastest(row.rivals)
        if theirs is not None and None not in times:
            shares = " and ".join(f"{theirs / ours:.2f}" for ours in times)
            found.append(f"- {row.what}: {shares}")
    return BEHIND.format(found="\n".join(found)).strip() + "\n" if found else ""


def section(title: str, note: str, found: dict, name: str) -> str:
    """Return one workload: its table and what was aimed at."""
    query = name == "3"
    columns = ["p50, µs"] if query else ["seconds", "CPU seconds", "peak MB"]
    lines = [f"## {title}", "", f"{found['title']}; {_rounds(found)}. {note}".strip(), ""]
    lines += ["| client | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for subject, row in found["rows"].items():
        cells = [f"{1e6 * row['seconds']:.0f}"] if query else [
            f"{row['seconds']:.2f}", f"{row['cpu']:.2f}", f"{row['peak_mb']:.0f}"
        ]  # fmt: skip
        lines.append(f"| {subject} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *aims(found["aims"])])


def _rounds(found: dict) -> str:
    return f"{found['rounds']} rounds" if found["rounds"] > 1 else "one round"


def aims(found: list[dict]) -> list[str]:
    """Return what was aimed at and what was reached."""
    lines = []
    for aim in found:
        if "peak_mb" in aim:
            lines.append(f"- {aim['ours']}: {aim['peak_mb']:.0f} MB; aim: at most {aim['aim']:.0f}")
        else:
            rival = " or ".join(aim["rivals"])
            rival = f"the faster of {rival}" if len(aim["rivals"]) > 1 else rival
            better = f"{aim['times']:.2f} times as fast as {rival}"
            lines.append(f"- {aim['ours']}: {better}; aim: {aim['aim']:g}")
    return [*lines, ""] if lines else lines


def imports() -> str:
    """Return the import times."""
    found = read_result("workload-5")
    lines = ["## Imports", "", IMPORTS, "", "| statement | ms | loads |", "|---|---|---|"]
    for statement, row in found["rows"].items():
        if statement != "pass":
            loads = ", ".join(row["loads"]) or "none of them"
            lines.append(f"| `{statement}` | {row['milliseconds']:.0f} | {loads} |")
    return "\n".join([*lines, "", *aims(found["aims"])])


def build() -> str:
    """Return the time of a LlamaIndex index."""
    found = read_result("llama-index-build")
    lines = ["## `VectorStoreIndex.from_documents`", "",
             f"{found['title']}; {found['rounds']} rounds.", "",
             "| subject | seconds | times ours |", "|---|---|---|"]  # fmt: skip
    for subject, row in found["rows"].items():
        lines.append(f"| {subject} | {row['seconds']:.2f} | {row['times ours']:.2f} |")
    return "\n".join([*lines, ""])


def stages() -> str:
    """Return the CPU time by stage."""
    rows = read_result("workload-8")["rows"]
    text = STAGES
    for name, spent in rows["lists"].items():
        numpy = rows["numpy"].get(name)
        bold = "**" if name in ("whole", "checks") else ""
        title = {"checks": "order, count, width and finite"}.get(name, name)
        cells = [f"{value:.2f}" if value is not None else "" for value in (numpy, spent)]
        text += f"| {bold}{title}{bold} | {cells[0]} | {cells[1]} |\n"
    for kind, row in rows.items():
        share = 100 * row["checks"] / row["whole"]
        text += f"\nOrder, count, width and finite take {share:.1f} % of the CPU with {kind}.\n"
    return text


def versions() -> str:
    """Return the versions that were measured."""
    found = read_result("workload-1")["versions"]
    return "Versions: " + ", ".join(f"{name} {number}" for name, number in found.items()) + ".\n"


if __name__ == "__main__":
    main()
