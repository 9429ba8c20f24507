"""The histograms of a call: names, units, boundaries and attributes of the conventions."""

from __future__ import annotations

import pytest
from telemetry_doors import DOORS, KEY, MODEL
from telemetry_table import BUCKETS, METRICS

from openrouter_embed import EmbeddingClient, EmbeddingError
from openrouter_embed.telemetry import names

TEXTS = ["a private text", "another one"]
DURATION, TOKENS, COST = METRICS
every_door = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS.keys())


def check_metrics(watch):
    """Hold every histogram against the table."""
    for name, metric in watch.metrics.items():
        unit, attributes = METRICS[name]
        assert metric.unit == unit
        for point in metric.data.data_points:
            assert set(point.attributes) <= attributes
            if name in BUCKETS:
                assert list(point.explicit_bounds) == pytest.approx(BUCKETS[name])


def test_the_packages_table_is_the_conventions():
    assert [row.name for row in names.METRICS] == list(METRICS)


@every_door
def test_a_call_is_timed_counted_and_priced(watch, emulator, run, door):
    run(door, TEXTS, base_url=emulator.base_url)
    check_metrics(watch)
    (tokens,), (cost,), (duration,) = map(watch.points, (TOKENS, COST, DURATION))
    assert (tokens.count, tokens.sum) == (1, emulator.stats.tokens)
    assert (cost.count, cost.sum) == (1, pytest.approx(emulator.stats.cost))
    assert duration.count == 1
    assert 0 < duration.sum < 60
    assert tokens.attributes["gen_ai.token.type"] == "input"
    assert cost.attributes["gen_ai.response.model"] == "text-embedding-3-small"
    assert cost.attributes["gen_ai.request.model"] == MODEL


@every_door
def test_a_call_that_fails_halfway_is_timed_by_its_error_and_what_was_paid_counts(
    watch, emulate, run, door
):
    gone = (404, {}, b'{"error": {"code": 404, "message": "gone"}}')
    server = emulate(faults=lambda number, _: gone if number == 2 else None)
    with pytest.raises(EmbeddingError):
        run(door, TEXTS, base_url=server.base_url, max_batch_inputs=1, max_concurrency=1)
    check_metrics(watch)
    (tokens,), (cost,), (duration,) = map(watch.points, (TOKENS, COST, DURATION))
    assert duration.attributes["error.type"] == "404"
    assert "error.type" not in {**tokens.attributes, **cost.attributes}
    assert tokens.sum == server.stats.tokens > 0
    assert cost.sum == pytest.approx(server.stats.cost)


def test_what_cost_nothing_is_timed_alone(watch, emulator, tmp_path):
    options = {"base_url": emulator.base_url, "cache": str(tmp_path / "cache.sqlite")}
    with EmbeddingClient(MODEL, api_key=KEY, **options) as made:
        made.embed(TEXTS)
        made.embed(TEXTS)
    (tokens,), (cost,) = map(watch.points, (TOKENS, COST))
    assert (tokens.count, cost.count) == (1, 1)
    assert sum(point.count for point in watch.points(DURATION)) == 2


def test_no_metric_tells_of_widths_hosts_or_counts(watch, emulator):
    with EmbeddingClient(MODEL, api_key=KEY, base_url=emulator.base_url) as made:
        made.embed(TEXTS)
    told = {
        name for metric in METRICS for point in watch.points(metric) for name in point.attributes
    }
    assert not {name for name in told if "dimension" in name or name.startswith("openrouter_embed")}
