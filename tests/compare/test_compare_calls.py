"""`compare` through its public call: what is said, sent, scored, shown."""

from __future__ import annotations

import json

import pytest

from openrouter_embed import ConfigurationError, EmbeddingError, compare
from openrouter_embed.emulator import Emulator

ANIMALS = ["heron", "otter", "badger", "lynx", "marten", "stork", "weasel", "falcon"]
PLACES = ["harbour", "orchard", "quarry", "meadow", "chapel"]
DOCUMENTS = [f"The {animal} lives near the {place}." for animal in ANIMALS for place in PLACES]
QUERIES = [f"{animal} {place}" for animal in ANIMALS for place in PLACES]
RELEVANT = {at: {at} for at in range(len(QUERIES))}
A, B = "openai/text-embedding-3-small", "openai/text-embedding-3-large"


def quiet(*arguments, **options):
    return compare(*arguments, say=None, **options)


def half_deaf(_, body):
    """Answer for model B as one that hears the animals and not the places."""
    if not isinstance(body, dict) or body.get("model") != B:
        return None
    heard = [[float(animal in text) for animal in ANIMALS] for text in body["input"]]
    data = [{"index": at, "embedding": row} for at, row in enumerate(heard)]
    return 200, {}, json.dumps({"data": data, "model": B}).encode()


def test_the_model_that_is_better_by_construction_wins():
    with Emulator(backend="hashed", faults=half_deaf) as emulator:
        where = {"base_url": emulator.base_url, "api_key": "emulated"}
        seen = quiet([B, A], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)
    assert [(row.model, row.verdict) for row in seen.rows] == [(A, "best"), (B, "behind")]
    assert seen.rows[1].behind[0] > 0
    assert seen.conclusion == f"{A} finds best, by more than chance would give."


def test_two_equal_models_are_called_equal(where):
    """The emulator's models of one family share their vectors but for the width."""
    seen = quiet([A, f"{A}:floor"], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)
    assert {row.verdict for row in seen.rows} == {"best", "same"}
    assert seen.conclusion.startswith("No difference that 40 queries can tell:")


def test_a_second_comparison_with_the_same_cache_buys_nothing(tmp_path):
    with Emulator(backend="hashed") as emulator:
        where = {"base_url": emulator.base_url, "api_key": "emulated"}
        first, second = (
            quiet([A, B], DOCUMENTS, QUERIES, relevant=RELEVANT, cache=tmp_path / "c.db", **where)
            for _ in range(2)
        )
        bought = emulator.stats
        quiet([A], DOCUMENTS, QUERIES, relevant=RELEVANT, cache=tmp_path / "c.db", **where)

        assert bought.inputs == 2 * len({*DOCUMENTS, *QUERIES})
        assert emulator.stats == bought
    assert [row.cost for row in second.rows] == [0.0, 0.0]
    assert [row.ndcg for row in second.rows] == [row.ndcg for row in first.rows]


def test_prices_are_the_same_and_times_are_none_where_a_cache_held_everything(tmp_path):
    with Emulator(backend="hashed") as emulator:
        where = {"base_url": emulator.base_url, "api_key": "emulated", "cache": tmp_path / "c.db"}
        first, second = (quiet([A], DOCUMENTS, QUERIES, **where).rows[0] for _ in range(2))

    assert second.cost_per_million == pytest.approx(first.cost_per_million, rel=0.1)
    assert first.cost_per_million > 0
    assert first.query_seconds > 0
    assert (second.seconds, second.query_seconds) == (None, None)


def test_with_a_key_of_ones_own_the_hosts_bill_is_the_price():
    prices = []
    for byok in (False, True):
        with Emulator(backend="hashed", byok=byok) as emulator:
            where = {"base_url": emulator.base_url, "api_key": "emulated"}
            row = quiet([A], DOCUMENTS, QUERIES, **where).rows[0]
        prices.append((row.cost_per_million, row.cost))
    assert prices[0][0] > 0
    assert prices[1] == pytest.approx(prices[0])


def test_what_is_sent_and_what_it_costs_is_said_before_anything_is(emulator, where):
    said = []

    def say(text):
        assert not [
            request for request in emulator.requests if request.path.endswith("/embeddings")
        ]
        said.append(text)

    seen = compare([A, B], DOCUMENTS, QUERIES, relevant=RELEVANT, say=say, **where)
    (text,) = said
    assert "40 documents and 40 queries go to 2 models, for about $0.00" in text
    told = {line.split()[0]: float(line.split("$")[1]) for line in text.splitlines()[3:] if line}
    for row in seen.rows:
        assert row.cost == pytest.approx(told[row.model], rel=0.35)


def test_a_model_that_fails_is_a_row_and_the_others_are_compared(where):
    seen = quiet([A, "no/such-model"], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)
    good, bad = seen.rows
    assert (good.model, bad.model) == (A, "no/such-model")
    assert bad.ndcg is None
    assert "does not exist" in bad.error
    assert "failed" in str(seen)


def test_where_every_model_fails_it_is_an_error(where):
    with pytest.raises(EmbeddingError, match="No model could be compared"):
        quiet(["no/such-model"], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)


def test_without_labels_a_test_is_made_of_the_texts_and_called_that(where):
    texts = [f"The {a} of the {p} sings. Nobody in the {p} has seen the {a} since." for a in ANIMALS
             for p in PLACES]  # fmt: skip
    seen = quiet([A], texts, **where)
    assert (seen.kind, seen.queries, seen.documents) == ("self-made", 40, 40)
    assert "The test was made of your own texts" in str(seen)


def test_queries_without_labels_show_how_far_models_agree(where):
    seen = quiet([A, f"{A}:floor"], DOCUMENTS, QUERIES[:5], **where)
    assert seen.kind == "agreement"
    assert seen.agreement == {(A, f"{A}:floor"): 1.0}
    assert "find the same 100% of the first 10" in seen.text(200)
    assert seen.rows[0].ndcg is None


def test_queries_without_an_answer_are_left_out(where):
    seen = quiet([A], DOCUMENTS, QUERIES, relevant={0: {0}, 3: {3}, 5: set()}, **where)
    assert seen.queries == 2
    assert "rough" in str(seen)


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        (("openai/m", DOCUMENTS), {}, "`models` must be a list of model ids"),
        (([], DOCUMENTS), {}, "`models` must be a list of model ids"),
        (([A], "one text"), {}, "`documents` must be a list of texts"),
        (([A], ["a", ""]), {}, "`documents` must hold texts"),
        (([A], DOCUMENTS, "what?"), {}, "`queries` must be a list of texts"),
        (([A], DOCUMENTS), {"relevant": {0: {1}}}, "pass `queries`"),
        (
            ([A], DOCUMENTS, QUERIES),
            {"relevant": {0: {99}}},
            "indexes of the 40 queries and the 40",
        ),
        (([A], DOCUMENTS, QUERIES), {"relevant": {"a": {1}}}, "`relevant` must say"),
        (([A], DOCUMENTS, QUERIES), {"relevant": {0: "1"}}, "`relevant` must say"),
        (([A], DOCUMENTS, QUERIES), {"relevant": {0: ()}}, "names no document for any query"),
        (([A], ["short", "texts"]), {}, "two that differ, each of two sentences of 20 characters"),
        (([A], DOCUMENTS, QUERIES), {"k": 0}, "`k` must be a whole number"),
        (([A], DOCUMENTS, QUERIES), {"dimension": 8}, "Did you mean `dimensions`"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_sent(emulator, where, arguments, options, told):
    with pytest.raises(ConfigurationError, match=told):
        quiet(*arguments, **options, **where)
    assert emulator.requests == []


def test_json_holds_every_figure(where):
    seen = quiet([A], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)
    table = json.loads(seen.to_json())
    row = table["rows"][0]
    assert row["ndcg"] == seen.rows[0].ndcg
    assert row["interval"] == list(seen.rows[0].interval)
    assert table["conclusion"] == seen.conclusion


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(where, width):
    seen = quiet([A, B], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)
    lines = seen.text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert "text-embedding-3-small" in seen.text(width)
    assert "nDCG@10" in lines[0]


def test_a_notebook_gets_a_table_without_script_or_style(where):
    html = quiet([A], DOCUMENTS, QUERIES, relevant=RELEVANT, **where)._repr_html_()
    assert html.startswith("<table>")
    assert "nDCG@10" in html
    assert "<script" not in html
    assert "<style" not in html


def test_a_plot_shows_every_model_at_its_price(where):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = quiet([A, B], DOCUMENTS, QUERIES, relevant=RELEVANT, **where).plot()
    assert {note.get_text() for note in axes.texts} == {A.split("/")[1], B.split("/")[1]}
    assert axes.get_ylabel() == "nDCG@10"
    assert all(label.get_text().startswith("$") for label in axes.get_xticklabels())
    assert not axes.get_xticklabels(minor=True)
    matplotlib.pyplot.close("all")
