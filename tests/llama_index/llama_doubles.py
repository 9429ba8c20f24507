"""What several tests of the LlamaIndex adapter need: a plain base-class model, and a tape."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.instrumentation.span_handlers import BaseSpanHandler
from llama_index.core.storage.kvstore import SimpleKVStore
from pydantic import PrivateAttr

KEY = "sk-or-v1-canary-4f1d8c"
SMALL = "openai/text-embedding-3-small"
GEMINI = "google/gemini-embedding-2"
E5 = "intfloat/multilingual-e5-large"

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\xa7>"
    b"\xf8W\x00\x00\x00\x00IEND\xaeB`\x82"
)


class Fake(BaseEmbedding):
    """The base class as it is: queries are [1, …], documents [2, …]."""

    dim: int = 4
    fail_at: int = 0
    _calls: int = PrivateAttr(default=0)
    _bought: list = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls):
        return "Fake"

    def _many(self, texts):
        self._calls += 1
        if self._calls == self.fail_at:
            raise RuntimeError("scripted")
        self._bought += texts
        return [[2.0] * self.dim for _ in texts]

    def _get_query_embedding(self, query):
        self._calls += 1
        return [1.0] * self.dim

    async def _aget_query_embedding(self, query):
        self._calls += 1
        return [1.0] * self.dim

    def _get_text_embedding(self, text):
        return self._many([text])[0]

    async def _aget_text_embedding(self, text):
        return self._many([text])[0]

    def _get_text_embeddings(self, texts):
        return self._many(texts)

    async def _aget_text_embeddings(self, texts):
        return self._many(texts)


class FakeImages(Fake, MultiModalEmbedding):
    def _get_image_embedding(self, img_file_path):
        return [3.0] * self.dim

    async def _aget_image_embedding(self, img_file_path):
        return [3.0] * self.dim


class FalsyStore(SimpleKVStore):
    """A store that is falsy while it is empty, as one with `__len__` is."""

    def __len__(self):
        return sum(map(len, self._collections_mappings.values()))


class CountingLimiter:
    """LlamaIndex's kind of limiter, as a double."""

    def __init__(self, tokens_per_minute=None):
        self.tokens_per_minute = tokens_per_minute
        self.asked = []

    def acquire(self, num_tokens=0):
        self.asked.append(num_tokens)

    async def async_acquire(self, num_tokens=0):
        self.asked.append(num_tokens)


class Events(BaseEventHandler):
    tape: Any

    @classmethod
    def class_name(cls):
        return "TapeEvents"

    def handle(self, event, **kwargs):
        if isinstance(event, (EmbeddingStartEvent, EmbeddingEndEvent)):
            self.tape.note(event.class_name(), event)


class _Spans(BaseSpanHandler):
    _tape: Any = PrivateAttr(default=None)

    def new_span(self, id_, bound_args, instance=None, parent_span_id=None, tags=None, **kwargs):
        self._tape.note("span " + _method(id_), parent_span_id and _method(parent_span_id))

    def prepare_to_exit_span(self, id_, bound_args, instance=None, result=None, **kwargs):
        self._tape.note("exit " + _method(id_), None)

    def prepare_to_drop_span(self, id_, bound_args, instance=None, err=None, **kwargs):
        self._tape.note("drop " + _method(id_), None)


def _method(span_id):
    return span_id.partition(".")[2].partition("-")[0]


class _Callbacks(BaseCallbackHandler):
    def __init__(self, tape):
        super().__init__([], [])
        self.tape = tape

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        if event_type == CBEventType.EMBEDDING:
            self.tape.note("cb start", payload, event_id)
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        if event_type == CBEventType.EMBEDDING:
            self.tape.note("cb end", payload, event_id)

    def start_trace(self, trace_id=None):
        pass

    def end_trace(self, trace_id=None, trace_map=None):
        pass


class Tape:
    """Everything LlamaIndex is told of embedding: events, callbacks, spans, in order."""

    def __init__(self):
        self.entries = []
        self.threads = set()
        self.manager = CallbackManager([_Callbacks(self)])

    def note(self, kind, content, event_id=None):
        self.threads.add(threading.get_ident())
        self.entries.append((kind, content, event_id))

    def kinds(self, *, spans=True):
        found = [kind for kind, _, _ in self.entries]
        return [k for k in found if spans or not k.startswith(("span ", "exit ", "drop "))]

    def of(self, kind):
        return [content for what, content, _ in self.entries if what == kind]

    def ids(self, kind):
        return [event_id for what, _, event_id in self.entries if what == kind]

    @contextmanager
    def running(self):
        root = get_dispatcher("root")
        events, spans = Events(tape=self), _Spans()
        spans._tape = self
        before = list(root.event_handlers), list(root.span_handlers)
        root.add_event_handler(events)
        root.add_span_handler(spans)
        try:
            yield self
        finally:
            root.event_handlers, root.span_handlers = before

    def shape(self):
        """The stream without what differs from run to run."""
        return [(kind, _shape(content)) for kind, content, _ in self.entries]


def _shape(content):
    if isinstance(content, EmbeddingEndEvent):
        return content.chunks, len(content.embeddings)
    if isinstance(content, EmbeddingStartEvent):
        return _names(content.model_dict)
    if isinstance(content, dict):
        return sorted((str(key), _content(value)) for key, value in content.items())
    return content


def _content(value):
    if isinstance(value, dict):
        return _names(value)
    return value if all(isinstance(item, str) for item in value) else len(value)


def _names(model_dict):
    """Old versions of the core tell everything of a model, new ones no more than this."""
    return sorted(model_dict.keys() & {"class_name", "model_name", "embed_batch_size"})


def words(body):
    """The texts of a recorded request."""
    return [item if isinstance(item, str) else "<content>" for item in body["input"]]


def every_text(emulator):
    return [text for request in emulator.requests for text in words(request.body)]
