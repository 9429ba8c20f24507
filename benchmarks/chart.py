"""Draw the README's chart from the results: seconds per client, ours in colour.

Rules of this file:
- Every number comes out of `results/`; the chart names the workload and the number of rounds.

Usage: python benchmarks/chart.py [--check]
"""

from __future__ import annotations

from html import escape

from documents import publish, read_result

PANELS = (
    ("2", "150 ms per request and 1 ms per text; seconds", (
        ("ours, client, numpy", "EmbeddingClient, numpy"),
        ("ours, LangChain embed_documents", "OpenRouterEmbeddings (LangChain), lists"),
        ("ours, LlamaIndex get_text_embedding_batch", "OpenRouterEmbedding (LlamaIndex), lists"),
        ("baseten, 100 x 100, numpy", "baseten-performance-client, tuned, numpy"),
        ("baseten, 100 x 100, lists", "baseten-performance-client, tuned, lists"),
        ("LangChain OpenAIEmbeddings, gathered 128 x 80", "OpenAIEmbeddings, async, by hand"),
        ("LangChain OpenAIEmbeddings, default", "OpenAIEmbeddings (LangChain)"),
        ("LlamaIndex OpenAIEmbedding, default", "OpenAIEmbedding (LlamaIndex)"),
    )),
    ("1", "no latency; seconds", (
        ("ours, client, numpy", "EmbeddingClient, numpy"),
        ("ours, LangChain embed_documents", "OpenRouterEmbeddings (LangChain), lists"),
        ("baseten, 128 x 8, numpy", "baseten-performance-client, tuned, numpy"),
        ("baseten, 128 x 8, lists", "baseten-performance-client, tuned, lists"),
        ("LangChain OpenAIEmbeddings, best (256)", "OpenAIEmbeddings (LangChain), tuned"),
        ("LlamaIndex OpenAIEmbedding, best (512)", "OpenAIEmbedding (LlamaIndex), tuned"),
    )),
)  # fmt: skip
WIDTH, LABELS, ROW, HEAD = 820, 300, 24, 40
OURS, THEIRS, INK = "#5b5bd6", "#b9bbc6", "#1c2024"


def main() -> None:
    """Draw the chart, or check it."""
    publish("speed.svg", draw())


def draw() -> str:
    """Return the chart as SVG."""
    parts, top = [], 10
    for name, where, bars in PANELS:
        result = read_result(f"workload-{name}")
        parts += panel(result, where, bars, top)
        top += HEAD + ROW * len(bars) + 16
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"])


def panel(result: dict, where: str, bars: tuple, top: int) -> list[str]:
    """Return the lines of one workload."""
    seconds = {subject: result["rows"][subject]["seconds"] for subject, _ in bars}
    scale = (WIDTH - LABELS - 80) / max(seconds.values())
    title = f"10,000 texts x 1536, {where} (medians of {result['rounds']} rounds)"
    lines = [f'<text x="12" y="{top + 18}" font-weight="600">{escape(title)}</text>']
    for at, (subject, label) in enumerate(bars):
        y = top + HEAD + ROW * at
        length = max(2.0, seconds[subject] * scale)
        colour = OURS if subject.startswith("ours") else THEIRS
        lines += [
            f'<text x="{LABELS - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="17" rx="2" fill="{colour}"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{y + 13}">{seconds[subject]:.2f}</text>',
        ]
    return lines


if __name__ == "__main__":
    main()
