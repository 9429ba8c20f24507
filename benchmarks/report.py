"""Write docs/performance.md: prose from here, every figure from `results/`.

Rules of this file:
- A figure that is not in the results is not in the document.

Usage: python benchmarks/report.py [--check]
"""

from __future__ import annotations

from documents import publish, read_result

HEAD = """# Speed and memory

![Seconds for 10,000 texts, ours and others](speed.svg)

Measured with [benchmarks](../benchmarks) on two cores, Python {python}, loopback: clients take \
turns, each measurement has a process of its own, and every vector is checked. Ours run at their \
defaults, others at theirs and at the best settings we found. Figures are medians; read the \
ratios, for absolute times drift with the machine. Made by `python benchmarks/report.py`.
"""
TITLES = {
    "1": "Without latency: what a client costs",
    "2": "With latency: what concurrency brings",
    "3": "One query at a time",
    "4": "Many vectors: time and memory",
    "4s": "A million vectors through `stream`",
    "7": "Answers in floats",
    "7z": "Answers in floats, gzipped",
}
NOTES = {
    "1": "Here the work per vector is all there is. Lists of floats cost more than everything "
    "before them: a Python float takes 24 bytes and is made one by one. "
    "litellm and `requests.post` were given 300 texts, and their time is scaled.",
    "2": "The service takes 150 ms per request and 1 ms per text and bears any concurrency. "
    "A plain synchronous call of ours begins with eight small requests and has some sixty in "
    "flight after one round trip.",
    "3": "The median of one text after the other on an open connection. Such a request is sent in "
    "the caller's thread; its reads and writes end with the attempt, so deadlines hold there as "
    "well. `OpenAIEmbeddings` runs without its check of lengths, which needs a tokenizer.",
    "4": "The result itself takes 391 MB. Peak memory is what a process takes above its start; "
    "that of clients which return lists is the lists.",
    "4s": "Growth is measured from the first part on.",
    "7": "Floats cost several times as much as base64, so ours asks for base64 wherever the model "
    "is known to honour it; `encoding_format='float'` was set here.",
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
vector decoded where it lies (`core/edges.py`); Python lists are written into lists made before, \
which the garbage collector leaves alone (`core/lists.py`); a lone request has neither thread nor \
queue.

What was tried and left out: the standard library's arrays, `struct` and `memoryview` make lists \
no faster than numpy; reusing receive buffers would save some page faults and could put a vector \
under another's name; more than a few requests in flight bring nothing while the caller is busy \
all the time, so a call stops adding them (`core/flow.py`).
"""


def main() -> None:
    """Write the document, or check it."""
    publish("performance.md", document())


def document() -> str:
    """Return the whole document."""
    parts = [HEAD.format(python=read_result("workload-1")["machine"]["python"])]
    for name, title in TITLES.items():
        parts.append(section(title, NOTES[name], read_result(f"workload-{name}"), name))
        if name == "4s":
            parts += [imports(), build()]
    return "\n".join([*parts, stages(), WHY.strip(), "", versions()])


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
