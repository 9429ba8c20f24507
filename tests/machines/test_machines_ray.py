"""The same on Ray itself: two workers, one bill, and whatever befalls them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import threading
import time

import numpy as np
import psutil
import pytest

from openrouter_embed import EmbeddingClient
from openrouter_embed.emulator import Emulator
from openrouter_embed.ray import Bill, Embedder, embed_column

ray = pytest.importorskip("ray", reason="comes with the extra `ray`")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

MODEL = "openai/text-embedding-3-small"
WIDTH = 8
KEY = "sk-or-v1-fake-of-the-nodes"
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "many-machines.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.enable_socket,  # Ray's processes speak to each other by this machine's address
    pytest.mark.filterwarnings("default"),  # and it warns of its own doings
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENROUTER_API_KEY", KEY)  # the nodes' environment
        context = ray.init(
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            object_store_memory=256 * 2**20,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield context
        ray.shutdown()


@pytest.fixture(scope="module")
def shared():
    with Emulator(latency=0.02) as emulator:
        yield emulator


@pytest.fixture
def emulator(shared):
    shared.reset()
    return shared


def texts_of(count):
    return [f"text {number} of some" for number in range(count)]


def chunks(texts):
    return ray.data.from_arrow(pa.table({"id": range(len(texts)), "text": texts}))


def embed(texts, emulator, **options):
    told = {"base_url": emulator.base_url, "dimensions": WIDTH, **options}
    return embed_column(chunks(texts), MODEL, **told)


def table_of(dataset):
    return pa.concat_tables(ray.get(dataset.materialize().to_arrow_refs())).sort_by("id")


def embeds(process):
    with contextlib.suppress(psutil.Error):  # it may be gone by now
        return "Embedder" in " ".join(process.cmdline())
    return False


def workers():
    return [one for one in psutil.Process().children(recursive=True) if embeds(one)]


def test_parquet_to_parquet_by_two_workers_with_one_bill(tmp_path, emulator):
    """Every row once, with its vector; the bill is the server's."""
    count, bill = 4000, Bill()
    for at in range(4):
        ids = range(at * count // 4, (at + 1) * count // 4)
        rows = pa.table({"id": ids, "text": [texts_of(count)[i] for i in ids]})
        pq.write_table(rows, tmp_path / f"{at}.parquet")
    dataset = ray.data.read_parquet(str(tmp_path))
    options = {"base_url": emulator.base_url, "dimensions": WIDTH, "batch_size": 500}
    embedded = embed_column(dataset, MODEL, bill=bill, **options)
    assert emulator.stats.requests == 0
    embedded.write_parquet(str(tmp_path / "out"))
    out = pq.read_table(tmp_path / "out").sort_by("id")
    assert out["id"].to_pylist() == list(range(count))
    assert out["embedding"].type == pa.list_(pa.float32(), WIDTH)
    assert out["embedding_error"].null_count == count
    with EmbeddingClient(MODEL, base_url=emulator.base_url, dimensions=WIDTH) as client:
        stats = emulator.stats
        wanted = client.embed(texts_of(count), role="document").vectors
    rows = out["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, WIDTH)
    assert np.array_equal(rows, wanted)
    assert (stats.inputs, bill.usage().total_tokens) == (count, stats.tokens)
    assert bill.usage().requests == stats.requests
    assert bill.usage().cost == pytest.approx(stats.cost)


def test_rows_without_a_text_and_refused_ones_are_null_and_say_why():
    def fault(_, body):
        if any("bad" in text for text in body["input"]):
            return 400, {}, b'{"error":{"code":400,"message":"flagged input"}}'
        return None

    texts = [*texts_of(50), "bad", "", None]
    with Emulator(faults=fault) as emulator:
        out = table_of(embed(texts, emulator, on_error="return", actors=1))
    vectors = out["embedding"].to_pylist()
    assert [at for at, vector in enumerate(vectors) if vector is None] == [50, 51, 52]
    reasons = out["embedding_error"].to_pylist()
    assert [reason.split(":")[0] for reason in reasons[50:]] == ["BadRequestError", "empty", "null"]
    with Emulator(faults=fault) as emulator:
        dataset = embed(texts, emulator, actors=1)
        with pytest.raises(ray.exceptions.RayError, match=r"BadRequestError.*rows 50.*status 400"):
            dataset.materialize()


def test_a_wrong_key_ends_the_job_though_errors_are_to_be_returned():
    with Emulator(api_key="right") as emulator:
        dataset = embed(
            texts_of(10), emulator, on_error="return", actors=1, api_key=lambda: "wrong"
        )
        with pytest.raises(ray.exceptions.RayError, match="AuthenticationError"):
            dataset.materialize()


def test_a_spent_budget_ends_the_job_within_it_and_the_bill_says_what_was_spent(emulator):
    bill = Bill(max_cost=1e-4)
    dataset = embed(texts_of(10_000), emulator, bill=bill, batch_size=2000, on_error="return")
    with pytest.raises(ray.exceptions.RayError, match=r"BudgetExceededError.*all workers share"):
        dataset.materialize()
    assert 0.5e-4 < emulator.stats.cost <= 1e-4
    assert bill.usage().cost == pytest.approx(emulator.stats.cost, rel=0.3)


def test_a_budget_that_suffices_ends_nothing(emulator):
    """Also without a bill of one's own."""
    assert embed(texts_of(4000), emulator, max_cost=1e-3, batch_size=1000).materialize().count()
    assert emulator.stats.inputs == 4000


def test_a_killed_worker_costs_no_more_than_was_in_flight(tmp_path, emulator):
    texts, cache = texts_of(6000), tmp_path / "cache.sqlite"
    options = {"cache": cache, "batch_size": 1500, "max_batch_inputs": 16, "in_flight": 16}
    killed = []

    def kill():
        while emulator.stats.inputs < 2000:
            time.sleep(0.01)
        victim = workers()[0]
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(victim.pid)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    out = table_of(embed(texts, emulator, **options))
    killer.join(1)
    assert killed
    assert out["id"].to_pylist() == list(range(6000))
    assert out["embedding"].null_count == 0
    twice = emulator.stats.inputs - 6000
    assert twice <= 2 * 16 * 16  # in flight, and arrived but not yet on the disk
    again = emulator.stats.inputs
    table_of(embed(texts, emulator, **options))
    assert emulator.stats.inputs == again


def test_workers_stay_within_a_limit_that_they_share():
    statuses = []
    with Emulator(latency=0.1, max_in_flight=16) as emulator:
        options = {"actors": 4, "in_flight": 16, "batch_size": 500, "max_batch_inputs": 8}
        bill = Bill()
        embed(texts_of(4000), emulator, bill=bill, **options).materialize()
        statuses = [emulator.stats.peak_in_flight, emulator.stats.requests]
        assert bill.usage().requests == emulator.stats.requests
    assert statuses[0] <= 16
    assert statuses[1] < 4000 / 8 * 1.1  # nothing was refused and sent again


def test_counting_rows_buys_nothing_and_what_is_materialized_is_bought_once(emulator):
    dataset = embed(texts_of(2000), emulator, batch_size=1000)
    repr(dataset)
    assert dataset.count() == 2000
    assert emulator.stats.requests == 0
    kept = dataset.materialize()
    bought = emulator.stats.inputs
    assert bought == 2000
    assert (kept.count(), len(kept.take(5)), kept.schema().names[2]) == (2000, 5, "embedding")
    assert emulator.stats.inputs == bought


def test_the_class_beneath_makes_pipelines_of_ones_own(emulator):
    told = {"model": MODEL, "column": "text", "output": "v", "role": "query",
            "dimensions": WIDTH, "base_url": emulator.base_url}  # fmt: skip
    dataset = chunks(texts_of(100)).map_batches(
        Embedder,
        fn_constructor_kwargs=told,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=0.1,
    )
    assert table_of(dataset).schema.names == ["id", "text", "v", "v_error"]


def test_neither_a_key_nor_a_text_is_in_what_ray_writes_down(emulator, cluster):
    """With the key in the nodes' environment, and after a job that failed as well."""
    embed(texts_of(100), emulator, actors=1).materialize()
    with Emulator(faults=lambda *_: (400, {}, b"{}")) as refusing:
        dataset = embed(["a secret sentence"] * 2, refusing, actors=1)
        with pytest.raises(ray.exceptions.RayError):
            dataset.materialize()
    folder = pathlib.Path(cluster.address_info["session_dir"]) / "logs"
    written = [path.read_bytes() for path in folder.glob("**/*") if path.is_file()]
    assert written
    assert not any(KEY.encode() in data for data in written)
    assert not any(b"a secret sentence" in data for data in written)


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch, emulator, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
    (tmp_path / "chunks").mkdir()
    rows = pa.table({"id": range(100), "text": texts_of(100)})
    pq.write_table(rows, tmp_path / "chunks" / "a.parquet")
    (tmp_path / "key").write_text("sk-or-v1-fake")
    names = {"__name__": "page"}
    for code in BLOCKS:
        # Workers are in the folder in which Ray was started.
        here = re.sub(r'"(chunks|embedded\w*|key|vectors\.sqlite)"', rf'"{tmp_path}/\1"', code)
        told = f'"base_url": "{emulator.base_url}", "max_concurrency"'
        here = here.replace('"max_concurrency"', told)
        exec(compile(here, str(PAGE), "exec"), names)
    assert pq.read_table(tmp_path / "embedded").num_rows == 100
    assert "tokens" in capsys.readouterr().out
