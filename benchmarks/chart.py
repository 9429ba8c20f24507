"""Draw the README's picture from the results: one call through each road, ours in colour.

Rules of this file:
- Every number comes out of `results/`, the title's too; the picture names the workload and the
  number of rounds.
- How many times as fast is said only of the pair that the title of its group is about: ours, and
  what people use there today, both at their defaults or the other at its best.

Usage: python benchmarks/chart.py [--check]
"""

from __future__ import annotations

from html import escape

from documents import publish, read_result

WORKLOAD = "2"
GROUPS = (
    ("LangChain, lists", (
        ("ours, LangChain embed_documents", "OpenRouterEmbeddings"),
        ("LangChain OpenAIEmbeddings, default", "OpenAIEmbeddings"),
        ("LangChain OpenAIEmbeddings, gathered 128 x 80", "the same, gathered by hand"),
    )),
    ("LlamaIndex, lists", (
        ("ours, LlamaIndex get_text_embedding_batch", "OpenRouterEmbedding"),
        ("LlamaIndex OpenAIEmbedding, default", "OpenAIEmbedding"),
    )),
    ("numpy", (
        ("ours, client, numpy", "EmbeddingClient"),
        ("baseten, 100 x 100, numpy", "baseten's client in Rust, tuned"),
    )),
)  # fmt: skip
"""Title, and bars: ours first, then what it is compared with, then what else there is."""
WIDTH, LEFT, LABELS, ROW, BAR = 860, 28, 268, 27, 19
TOP, TITLE, GAP = 104, 26, 18
OURS, THEIRS, INK, QUIET, EDGE = "#4f46e5", "#c3c6d1", "#16181d", "#5c6270", "#e2e4ea"
BOLD = ' font-weight="700"'


def main() -> None:
    """Draw the picture, or check it."""
    publish("speed.svg", draw())


def draw() -> str:
    """Return the picture as SVG."""
    result = read_result(f"workload-{WORKLOAD}")
    seconds = {name: row["seconds"] for name, row in result["rows"].items()}
    longest = max(seconds[subject] for _, bars in GROUPS for subject, _ in bars)
    scale = (WIDTH - LABELS - 90) / longest
    parts, y = heading(seconds, result["rounds"]), TOP
    for title, bars in GROUPS:
        parts += group(title, bars, seconds, scale, y)
        y += TITLE + ROW * len(bars) + GAP
    return "\n".join([*frame(y), *parts, "</svg>\n"])


def frame(height: int) -> list[str]:
    """Return the opening lines: the drawing's size and its white card."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        'font-family="system-ui, -apple-system, Segoe UI, sans-serif" font-size="14" '
        f'fill="{INK}">'
    )
    size = f'width="{WIDTH - 1}" height="{height - 1}"'
    return [head, f'<rect x="0.5" y="0.5" {size} rx="10" fill="#fff" stroke="{EDGE}"/>']


def text(x: float, y: float, said: str, more: str = "") -> str:
    """Return a line of text."""
    return f'<text x="{x:g}" y="{y:g}"{more}>{escape(said)}</text>'


def heading(seconds: dict[str, float], rounds: int) -> list[str]:
    """Return the title, which is the first group's pair in words, and what was measured."""
    (ours, _), (theirs, _), *_ = GROUPS[0][1]
    said = (
        f"10,000 texts through LangChain in {seconds[ours]:.1f} s "
        f"instead of {seconds[theirs]:.1f} s"
    )
    how = (
        "One plain synchronous call. The service takes 150 ms per request and 1 ms per text; "
        "vectors of 1,536."
    )
    rows = f"Seconds, medians of {rounds} rounds; less is better."
    quiet = f' fill="{QUIET}"'
    bold = ' font-size="23" font-weight="700"'
    return [text(LEFT, 42, said, bold), text(LEFT, 68, how, quiet), text(LEFT, 87, rows, quiet)]


def group(title: str, bars: tuple, seconds: dict[str, float], scale: float, top: int) -> list[str]:
    """Return the lines of one road."""
    lines = [text(LEFT, top + 18, title, BOLD)]
    for at, (subject, label) in enumerate(bars):
        y = top + TITLE + ROW * at
        times = seconds[bars[1][0]] / seconds[subject] if at == 0 else None
        lines += bar(label, seconds[subject], scale, y, times)
    return lines


def bar(label: str, value: float, scale: float, y: int, times: float | None) -> list[str]:
    """Return one bar with its name and seconds; ours says how many times as fast it is."""
    length = max(3.0, round(value * scale, 1))
    weight, colour = ("", THEIRS) if times is None else (BOLD, OURS)
    end = LABELS + length + 8
    lines = [
        text(LABELS - 10, y + 15, label, f' text-anchor="end"{weight}'),
        f'<rect x="{LABELS}" y="{y}" width="{length:g}" height="{BAR}" rx="3" fill="{colour}"/>',
        text(end, y + 15, f"{value:.2f}", weight),
    ]
    if times is not None:
        more = f' font-size="17" fill="{OURS}"{BOLD}'
        lines.append(text(end + 46, y + 16, f"{factor(times)} times as fast", more))
    return lines


def factor(times: float) -> str:
    """Return a factor with two figures."""
    return f"{times:.0f}" if times >= 10 else f"{times:.1f}"


if __name__ == "__main__":
    main()
