"""A worker without Ray: it takes tables, keeps its word about nulls, and carries no key."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from openrouter_embed import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    ConfigurationError,
    DeadlineExceededError,
    EmbeddingClient,
    Pacer,
    Usage,
)
from openrouter_embed.emulator import Emulator
from openrouter_embed.ray import Bill, Embedder, embed_column
from openrouter_embed.ray.account import Account
from openrouter_embed.ray.column import share

pa = pytest.importorskip("pyarrow")
MODEL = "openai/text-embedding-3-small"


@pytest.fixture(autouse=True)
def emulator(openrouter_emulator):
    return openrouter_emulator


def table(texts=("one", None, "", "two")):
    return pa.table({"id": range(100, 100 + len(texts)), "text": pa.array(texts, pa.string())})


def refusing(word, status=400):
    def fault(_, body):
        texts = body["input"] if isinstance(body, dict) else []
        if any(word in text for text in texts):
            return status, {}, b'{"error":{"code":%d,"message":"flagged input"}}' % status
        return None

    return fault


class FakeBill(Bill):
    """A bill whose account is in this process."""

    def __init__(self, *, max_cost=None):
        super().__init__(max_cost=max_cost)
        self.account = Account(max_cost)

    def report(self, worker, usage):
        self.account.report(worker, usage)

    mention = report

    def lease(self, worker, wish):
        return self.account.lease(worker, wish, 0.0)

    def give_back(self, worker, spent, held):
        self.account.give_back(worker, spent, held, 0.0)

    def usage(self):
        return self.account.usage()


def test_a_table_comes_back_with_vectors_and_reasons(emulator):
    out = Embedder(MODEL, dimensions=8)(table())
    with EmbeddingClient(MODEL, dimensions=8) as client:
        wanted = client.embed(["one", "two"], role="document").tolist()
    assert out.schema.names == ["id", "text", "embedding", "embedding_error"]
    assert out["embedding"].type == pa.list_(pa.float32(), 8)
    assert out["embedding"].to_pylist() == [wanted[0], None, None, wanted[1]]
    reasons = out["embedding_error"].to_pylist()
    assert [reasons[0], reasons[3]] == [None, None]
    assert reasons[1].startswith("null")
    assert reasons[2].startswith("empty")


def test_columns_have_the_names_that_were_asked_for():
    words = pa.table({"words": ["a"]})
    out = Embedder(MODEL, column="words", output="vector", dimensions=8)(words)
    assert out.schema.names == ["words", "vector", "vector_error"]


def test_texts_are_documents_unless_told_otherwise(emulator):
    model = "intfloat/multilingual-e5-large"
    Embedder(model)(table(["a"]))
    Embedder(model, role="query")(table(["a"]))
    sent = [request.body["input"] for request in emulator.requests]
    assert [text for texts in sent for text in texts] == ["passage: a", "query: a"]


def test_a_table_without_rows_and_one_without_texts_send_nothing(emulator):
    embedder = Embedder(MODEL, dimensions=8)
    for texts in ([], [None, ""]):
        out = embedder(table(texts))
        assert out["embedding"].type == pa.list_(pa.float32(), 8)
        assert out["embedding"].null_count == len(texts)
    assert emulator.stats.requests == 0


def test_empty_texts_are_zeros_where_that_is_asked_for():
    out = Embedder(MODEL, dimensions=8, empty="zeros")(table(["a", "", None]))
    assert out["embedding"].to_pylist()[1:] == [[0.0] * 8, None]


def test_a_refused_row_is_null_and_says_why():
    with Emulator(faults=refusing("bad")) as emulator:
        embedder = Embedder(MODEL, dimensions=8, on_error="return", base_url=emulator.base_url)
        out = embedder(table(["a", "bad", "b", None]))
    assert [v is None for v in out["embedding"].to_pylist()] == [False, True, False, True]
    assert out["embedding_error"].to_pylist()[1].startswith("BadRequestError: ")


def test_a_refused_row_ends_the_job_by_its_id_where_nothing_else_is_asked():
    with Emulator(faults=refusing("bad")) as emulator:
        embedder = Embedder(MODEL, dimensions=8, base_url=emulator.base_url)
        with pytest.raises(BadRequestError, match=r"\(rows 102\).*status 400") as caught:
            embedder(table(["a", None, "bad", "b"]))
    assert caught.value.result is None


@pytest.mark.parametrize(
    ("options", "emulated", "error"),
    [
        ({"api_key": lambda: "wrong"}, {"api_key": "right"}, AuthenticationError),
        ({"max_cost": 1e-9}, {}, BudgetExceededError),
        ({"deadline": 0.2}, {"latency": 5.0}, DeadlineExceededError),
    ],
    ids=["key", "budget", "deadline"],
)
def test_what_every_row_would_meet_is_raised_though_errors_are_to_be_returned(
    options, emulated, error
):
    with Emulator(**emulated) as emulator:
        embedder = Embedder(MODEL, on_error="return", base_url=emulator.base_url, **options)
        with pytest.raises(error):
            embedder(table())


def test_an_outage_is_raised_though_errors_are_to_be_returned():
    with Emulator(faults=lambda *_: (500, {}, b"{}")) as emulator:
        options = {"base_url": emulator.base_url, "max_retries": 0, "on_error": "return"}
        with pytest.raises(Exception, match="status 500"):
            Embedder(MODEL, **options)(table())


def test_a_wrong_input_is_named_by_its_id_column():
    rows = pa.table({"key": ["k1", "k2"], "text": ["a", "data:image/png;base64,AAAA"]})
    with pytest.raises(ConfigurationError, match="Row k2 is a `data:` URL"):
        Embedder(MODEL, id_column="key")(rows)


# ---------------------------------------------------------------- what travels


def test_a_key_is_refused_and_never_shown():
    for make in (Embedder, lambda *a, **k: embed_column(None, *a, **k)):
        with pytest.raises(ConfigurationError, match="runtime_env") as caught:
            make(MODEL, api_key="sk-or-v1-fake-secret")
        assert "secret" not in str(caught.value)


def test_a_pickle_holds_no_key_and_works_elsewhere(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-fake-secret")
    embedder = Embedder(MODEL, dimensions=8)
    embedder(table())
    data = pickle.dumps(embedder)
    assert b"secret" not in data
    twin = pickle.loads(data)
    assert twin(table())["embedding"] == embedder(table())["embedding"]
    assert twin.usage.requests == 1


def test_where_texts_go_travels_though_it_came_from_the_environment(emulator, monkeypatch):
    data = pickle.dumps(Embedder(MODEL, dimensions=8))
    monkeypatch.setenv("OPENROUTER_API_BASE", "http://127.0.0.1:9/v1")
    pickle.loads(data)(table())
    assert emulator.stats.requests == 1


def test_without_a_key_the_worker_says_what_to_do(monkeypatch):
    embedder = Embedder(MODEL)
    monkeypatch.delenv("OPENROUTER_API_KEY")
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        embedder(table())


def test_no_client_is_made_before_the_first_batch(tmp_path):
    path = tmp_path / "cache.sqlite"
    Embedder(MODEL, cache=path)
    assert not path.exists()


def test_made_in_one_thread_and_called_in_others_with_a_cache(tmp_path, emulator):
    embedder = Embedder(MODEL, dimensions=8, cache=tmp_path / "cache.sqlite")
    outs = []
    for _ in range(3):
        thread = threading.Thread(target=lambda: outs.append(embedder(table())))
        thread.start()
        thread.join()
    assert len({str(out["embedding"].to_pylist()) for out in outs}) == 1
    assert emulator.stats.inputs == 2
    assert embedder.usage.cache_hits == 4


def test_workers_on_one_cache_buy_a_block_that_is_redone_once(tmp_path, emulator):
    for _ in range(2):
        embedder = Embedder(MODEL, dimensions=8, cache=tmp_path / "cache.sqlite")
        embedder(table())
        embedder.close()
    assert emulator.stats.inputs == 2


# ---------------------------------------------------------------- one bill


def test_what_workers_used_is_on_one_bill(emulator):
    bill = FakeBill()
    for texts in (["a", "b"], ["c d e"]):
        Embedder(MODEL, dimensions=8, bill=bill)(table(texts))
    assert bill.usage().total_tokens == emulator.stats.tokens
    assert bill.usage().requests == 2
    assert bill.usage().cost == pytest.approx(emulator.stats.cost)


def test_what_was_bought_before_an_error_is_on_the_bill():
    with Emulator(faults=refusing("bad")) as emulator:
        bill = FakeBill()
        embedder = Embedder(
            MODEL, bill=bill, base_url=emulator.base_url, max_batch_inputs=1, dimensions=8
        )
        with pytest.raises(BadRequestError):
            embedder(table(["a", "bad"]))
        assert bill.usage().requests == emulator.stats.requests
        assert bill.usage().total_tokens == emulator.stats.tokens


def test_a_client_that_is_made_anew_adds_to_the_bill(emulator):
    bill = FakeBill()
    embedder = Embedder(MODEL, dimensions=8, bill=bill)
    for text in ("a", "b"):
        embedder(table([text]))
        embedder.close()
    assert bill.usage().requests == 2


def test_workers_share_the_limit_of_their_bill(emulator):
    """Four calls in turns by two workers: they end within the limit, and near it."""
    bill = FakeBill(max_cost=4e-6)
    workers = [Embedder(MODEL, dimensions=8, bill=bill, max_batch_inputs=1) for _ in range(2)]

    def spend():
        for number in range(200):
            workers[number % 2](table([f"a text of some six tokens {number}"]))

    with pytest.raises(BudgetExceededError, match="all workers share"):
        spend()
    assert 2e-6 < emulator.stats.cost <= 4e-6
    assert bill.usage().cost == pytest.approx(emulator.stats.cost)


def test_the_bill_hears_of_a_batch_while_it_goes_on():
    heard = []

    class Listening(FakeBill):
        def mention(self, worker, usage):
            heard.append(usage.requests)
            super().mention(worker, usage)

    progress = []
    embedder = Embedder(MODEL, bill=Listening(), max_batch_inputs=1, on_progress=progress.append)
    embedder(table(["a", "b", "c"]))
    assert len(heard) == 1
    assert progress[-1].done == 3


def test_whoever_asks_for_more_to_spend_tells_first_what_was_used():
    """A worker may be killed before its batch is over; the bill then knows nearly all of it."""
    told = []

    class Listening(FakeBill):
        def mention(self, worker, usage):
            told.append(usage.requests)
            super().mention(worker, usage)

        def lease(self, worker, wish):
            told.append("lease")
            return super().lease(worker, wish)

    texts = [f"a text of some six tokens {number}" for number in range(60)]
    embedder = Embedder(MODEL, bill=Listening(max_cost=1.0), max_batch_inputs=1, max_concurrency=1)
    embedder(table(texts))
    leases = [at for at, what in enumerate(told) if what == "lease"]
    before = [told[at - 1] for at in leases]
    assert len(before) > 1
    assert before == sorted(before)
    assert before[0] == 0 < before[-1]


def test_a_bill_that_nobody_was_given_is_empty_and_starts_nothing():
    bill = Bill(max_cost=2)
    assert bill.usage() == Usage()
    assert repr(bill) == "Bill(max_cost=2.0)"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_concurrency": 8}, "`in_flight` divided by `actors`"),
        ({"actors": 0}, "`actors` must be a whole number"),
        ({"actors": 8, "in_flight": 4}, "each needs one"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"num_cpus": -1}, "`num_cpus` must be"),
        ({"bill": 3}, "`bill` must be"),
        ({"bill": Bill(max_cost=1), "max_cost": 1}, "The bill has the limit"),
        ({"pacer": Pacer(8)}, "`pacer` cannot be handed"),
        ({"dimension": 8}, "Did you mean `dimensions`"),
        ({"role": "passage"}, "`role` must be"),
        ({"on_error": "ignore"}, "`on_error` must be"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_what_is_wrong_is_said_in_the_driver(options, says):
    with pytest.raises(ConfigurationError, match=says):
        embed_column(None, MODEL, **options)


def test_what_is_no_dataset_is_refused():
    with pytest.raises(ConfigurationError, match=r"`ds` must be a `ray.data.Dataset`, not a list"):
        embed_column([], MODEL)


def test_the_share_of_each_worker_is_rounded_down():
    assert [share(64, actors) for actors in (1, 2, 3, 8)] == [64, 32, 21, 8]


def test_signatures_name_every_option():
    for thing in (Embedder, embed_column):
        assert {"dimensions", "cache", "provider"} <= set(inspect.signature(thing).parameters)


@pytest.mark.parametrize("module", ["openrouter_embed", "openrouter_embed.ray"])
def test_importing_loads_neither_ray_nor_pyarrow(module):
    code = f"import sys, {module}; print(sorted({{'ray', 'pyarrow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)

    class Like:
        repartition = map_batches = None

    with pytest.raises(ConfigurationError, match=r"pip install 'openrouter-embed\[ray\]'"):
        embed_column(Like(), MODEL)
    with pytest.raises(ConfigurationError, match=r"pip install 'openrouter-embed\[ray\]'"):
        Bill().start()


def test_vectors_of_a_large_batch_stand_by_their_texts():
    texts = [f"text {number % 700}" if number % 5 else None for number in range(2000)]
    column = Embedder(MODEL, dimensions=8)(table(texts))["embedding"]
    kept = [at for at, text in enumerate(texts) if text is not None]
    with EmbeddingClient(MODEL, dimensions=8) as client:
        wanted = client.embed([texts[at] for at in kept], role="document").vectors
    rows = column.combine_chunks().take(pa.array(kept)).flatten().to_numpy()
    assert np.array_equal(rows.reshape(-1, 8), wanted)
