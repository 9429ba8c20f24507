"""Serialized forms, copies and secrets: what is in each, and what never is."""

from __future__ import annotations

import copy
import json
import logging
import multiprocessing
import pickle
import traceback

import pytest
from llama_doubles import KEY, SMALL, CountingLimiter, Fake, FakeImages, Tape
from llama_index.core.embeddings.loading import RECOGNIZED_EMBEDDINGS, load_embed_model
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import PrivateAttr, ValidationError

from llama_index_openrouter_embed import OpenRouterEmbedding
from openrouter_embed import AuthenticationError, ConfigurationError, EmbeddingError

TEXT = "a private text nobody should find in a log"
VECTOR_OPTIONS = {
    "dimensions": 8,
    "query_input_type": "a",
    "document_input_type": "b",
    "query_prefix": "q: ",
    "document_prefix": "d: ",
    "query_instruction": "find",
    "provider": {"only": ["OpenAI"], "zdr": True},
    "normalize": True,
    "long_input": "split",
    "empty": "zeros",
    "pin_provider": True,
    "additional_kwargs": {"truncate": "END"},
    "api_base": "http://127.0.0.1:9/v1",
    "model_name": "openai/text-embedding-3-large",
}
OPERATIONAL = {
    "api_key": "another",
    "default_headers": {"X-Token": "hush"},
    "timeout": 3.0,
    "deadline": 9.0,
    "max_retries": 1,
    "max_concurrency": 3,
    "max_batch_inputs": 4,
    "max_batch_tokens": 500,
    "max_cost": 1.0,
    "encoding_format": "float",
    "user": "someone",
    "app_title": "app",
    "embed_batch_size": 5,
    "num_workers": 2,
    "embeddings_cache": SimpleKVStore(),
    "rate_limiter": CountingLimiter(),
}


class LockedLimiter(CountingLimiter):
    """One that cannot be pickled, as LlamaIndex's own."""

    def __reduce__(self):
        raise TypeError("cannot pickle a lock")


@pytest.fixture
def full(make):
    """An object with everything set, and a limiter that cannot be pickled."""
    given = {**VECTOR_OPTIONS, **OPERATIONAL, "api_key": KEY, "rate_limiter": LockedLimiter()}
    return make(given.pop("model_name"), **given)


def hash_of(embedding):
    return get_transformation_hash([TextNode(text="x", id_="1")], embedding)


# ---------------------------------------------------------------------- to_dict and back


def test_to_dict_holds_what_changes_vectors_and_where_texts_go_and_no_more(full):
    assert full.to_dict() == {**VECTOR_OPTIONS, "class_name": "OpenRouterEmbedding"}


def test_from_dict_and_from_json_restore_it(full, monkeypatch):
    again = OpenRouterEmbedding.from_dict(full.to_dict())
    assert again.to_dict() == full.to_dict()
    assert OpenRouterEmbedding.from_json(full.to_json()).to_dict() == full.to_dict()
    assert json.loads(full.to_json()) == full.to_dict()


def test_a_restored_object_reads_its_key_at_the_first_request(make, monkeypatch):
    again = OpenRouterEmbedding.from_dict(make().to_dict())
    assert again.usage.requests == 0
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        again.get_text_embedding("x")
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with again:
        assert len(again.get_text_embedding("x")) == 64
        assert again.usage.requests == 1


def test_from_dict_takes_options_besides_and_refuses_unknown_ones(make):
    data = make().to_dict()
    with OpenRouterEmbedding.from_dict(data, api_key=KEY, embed_batch_size=3) as again:
        assert len(again.get_text_embedding("x")) == 64
        assert again.embed_batch_size == 3
    with pytest.raises(ConfigurationError, match="Did you mean `dimensions`"):
        OpenRouterEmbedding.from_dict({**data, "dimension": 3})
    assert "class_name" in data


def test_a_restored_object_that_was_closed_stays_closed(make, monkeypatch):
    again = OpenRouterEmbedding.from_dict(make().to_dict())
    again.close()
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with pytest.raises(EmbeddingError, match="closed"):
        again.get_text_embedding("x")


def test_llama_index_can_load_it_once_it_is_registered(make, monkeypatch):
    monkeypatch.setitem(RECOGNIZED_EMBEDDINGS, "OpenRouterEmbedding", OpenRouterEmbedding)
    embedding = make()
    assert load_embed_model(embedding.to_dict()).to_dict() == embedding.to_dict()


@pytest.mark.parametrize("name", VECTOR_OPTIONS)
def test_the_ingestion_hash_changes_with(make, name):
    embedding = make()
    changed = embedding.model_copy(update={name: VECTOR_OPTIONS[name]})
    assert hash_of(changed) != hash_of(embedding)


@pytest.mark.parametrize("name", OPERATIONAL)
def test_the_ingestion_hash_survives_a_change_of(make, name):
    embedding = make()
    changed = embedding.model_copy(update={name: OPERATIONAL[name]})
    assert hash_of(changed) == hash_of(embedding)


def test_the_ingestion_hash_does_not_depend_on_the_order_of_arguments(make):
    one = make(additional_kwargs={"a": 1, "b": 2}, provider={"zdr": True, "only": ["X"]})
    other = make(additional_kwargs={"b": 2, "a": 1}, provider={"only": ["X"], "zdr": True})
    assert hash_of(one) == hash_of(other)


# ---------------------------------------------------------------------- pickles and copies


def test_a_pickle_holds_operational_options_and_no_key(full, monkeypatch):
    data = pickle.dumps(full)
    assert KEY.encode() not in data
    again = pickle.loads(data)
    assert again.to_dict() == full.to_dict()
    settings = again._backend.settings
    assert (settings.timeout, settings.max_retries, settings.user) == (3.0, 1, "someone")
    assert settings.max_concurrency == 2
    assert settings.default_headers == {"X-Token": "hush"}
    assert (again.embed_batch_size, again.num_workers) == (5, 2)
    assert isinstance(again.embeddings_cache, SimpleKVStore)
    assert again.rate_limiter is None
    with pytest.raises(ConfigurationError, match="OPENROUTER_API_KEY"):
        again.get_text_embedding("x")


def test_a_pickle_remembers_where_texts_were_sent(emulator, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_API_BASE", emulator.base_url)
    data = pickle.dumps(OpenRouterEmbedding(SMALL))
    monkeypatch.delenv("OPENROUTER_API_BASE")
    with pickle.loads(data) as again:
        assert len(again.get_text_embedding("x")) == 1536


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, copy.copy, lambda m: m.model_copy(), lambda m: m.model_copy(deep=True)]
)
def test_copies_keep_the_key_in_memory_and_their_own_connections(make, twin):
    embedding = make(embeddings_cache=SimpleKVStore(), num_workers=3)
    embedding.get_text_embedding("x")
    again = twin(embedding)
    embedding.close()
    with again:
        assert again.to_dict() == embedding.to_dict()
        assert again.num_workers == 3
        assert again.embeddings_cache is embedding.embeddings_cache
        assert len(again.get_text_embedding("y")) == 64
        assert again.usage.requests == 1


def test_a_copy_with_changes_is_checked(make):
    embedding = make()
    assert embedding.model_copy(update={"dimensions": 8}).dimensions == 8
    assert embedding.model_copy(update={"api_base": "http://127.0.0.1:9"}).api_base.endswith(":9")
    assert embedding.model_copy(update={"dimensions": None}).dimensions is None
    with pytest.raises(ConfigurationError, match="`dimensions`"):
        embedding.model_copy(update={"dimensions": "many"})


def test_a_forked_child_can_use_the_object_it_inherits(make):
    embedding = make()
    want = embedding.get_text_embedding("x")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child():
        sender.send(embedding.get_text_embedding("x"))

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(30)
    assert receiver.recv() == want
    process.join(30)
    assert process.exitcode == 0
    sender.close()
    receiver.close()


# ---------------------------------------------------------------------- secrets


def test_the_key_is_in_no_form_of_the_object(full):
    forms = [
        full.to_dict(),
        full.to_json(),
        full.model_dump(),
        full.model_dump_json(),
        full.dict(),
        full.json(),
        repr(full),
        str(full),
        full.to_payload(),
        vars(full),
        full.__pydantic_private__,
        full._backend.options,
        vars(full._backend),
        full.model_json_schema(),
    ]
    assert KEY not in repr(forms)
    assert "hush" not in repr(forms[:9])
    assert KEY.encode() not in pickle.dumps(full)


async def test_errors_hold_neither_key_nor_text(make, emulate, caplog):
    caplog.set_level(logging.DEBUG)
    embedding = make(server=emulate(api_key="the right one"), embeddings_cache=SimpleKVStore())
    tape = Tape()
    embedding.callback_manager = tape.manager
    with tape.running():
        with pytest.raises(AuthenticationError) as sync:
            embedding.get_text_embedding_batch([TEXT])
        with pytest.raises(AuthenticationError) as awaited:
            await embedding.aget_text_embedding_batch([TEXT])
    for error in (sync.value, awaited.value):
        assert error.__cause__ is None
        assert error.__context__ is None
        shown = repr(error) + str(error) + repr(vars(error)) + _own_frames(error)
        assert KEY not in shown
        assert TEXT not in shown
        assert KEY not in "".join(traceback.format_exception(error))
        assert KEY.encode() not in pickle.dumps(error)
    assert KEY not in repr(tape.entries)
    assert TEXT not in repr(tape.entries)
    assert KEY not in caplog.text
    assert TEXT not in caplog.text
    await embedding.aclose()


def _own_frames(error):
    """The locals of our frames; LlamaIndex's own wrappers keep the arguments of a call."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if "openrouter_embed" in frame.f_code.co_filename]
    assert ours
    return repr([frame.f_locals for frame in ours])


def test_events_of_a_good_call_hold_no_key(full, make):
    embedding = make()
    tape = Tape()
    embedding.callback_manager = tape.manager
    with tape.running():
        embedding.get_text_embedding("x")
    assert tape.entries
    assert KEY not in repr(tape.entries)


# ---------------------------------------------------------------------- the base class's bugs


def test_bug_pickling_strips_the_live_object(make, caplog):
    fake = Fake(embeddings_cache=None, callback_manager=None)
    fake.callback_manager = LockedLimiter()
    pickle.dumps(fake)
    with pytest.raises(AttributeError):
        _ = fake.callback_manager

    limiter = LockedLimiter()
    embedding = make(rate_limiter=limiter)
    pickle.dumps(embedding)
    embedding.get_text_embedding("x")
    assert embedding.rate_limiter is limiter
    assert len(limiter.asked) == 1
    assert "`rate_limiter` cannot be pickled" in caplog.text


def test_bug_unpickling_swallows_the_constructors_error(make, monkeypatch):
    class Broken(FakeImages):
        pass

    broken = Broken()
    state = broken.__getstate__()
    monkeypatch.setattr(Broken, "__init__", _refuse)
    Broken.__new__(Broken).__setstate__(state)  # no word of it

    state = make().__getstate__()
    with pytest.raises(ConfigurationError, match="`dimensions`"):
        OpenRouterEmbedding.__new__(OpenRouterEmbedding).__setstate__({**state, "dimensions": -1})


def _refuse(self, **_):
    raise ValueError("refused")


def test_bug_to_json_fails_with_a_cache(make):
    with pytest.raises(TypeError):
        Fake(embeddings_cache=SimpleKVStore()).to_json()
    assert make(embeddings_cache=SimpleKVStore()).to_json()


class Hidden(Fake):
    """Keeps an option that changes vectors where no serialized form shows it."""

    _width: int = PrivateAttr(default=4)

    def __init__(self, width, **options):
        super().__init__(**options)
        self._width = width


def test_bug_hash_misses_options_that_change_vectors(make):
    assert hash_of(Hidden(4)) == hash_of(Hidden(8))
    assert hash_of(make(dimensions=4)) != hash_of(make(dimensions=8))


def test_bug_hash_depends_on_concurrency(make):
    assert hash_of(Fake(num_workers=1)) != hash_of(Fake(num_workers=2))
    assert hash_of(make(num_workers=1)) == hash_of(make(num_workers=2))


def test_bug_validation_error_carries_the_key():
    class Keyed(Fake):
        api_key: str
        region: str

    with pytest.raises(ValidationError) as plain:
        Keyed(api_key=KEY)
    assert KEY in str(plain.value)

    with pytest.raises(ConfigurationError) as incomplete:
        OpenRouterEmbedding(None, api_key=KEY)
    assert KEY not in repr(incomplete.value)
    with pytest.raises(ConfigurationError) as caught:
        OpenRouterEmbedding(SMALL, api_key=KEY, embed_batch_size=4096)
    assert not hasattr(caught.value, "errors")
    assert KEY not in str(caught.value)
