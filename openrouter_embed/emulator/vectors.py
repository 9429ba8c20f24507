"""Text to vector: meaningful, deterministic, fast, and NOT the real models' vectors.

Rules of this file:
- Every back-end gives a unit vector of 256 numbers, the signal; all else is derived from it.
- A fixed orthonormal map widens the signal to the model's width, so cosines survive.
- The map is laid out in blocks of 256 that each hold the whole signal, so a shortened vector
  keeps its meaning; below 256 the leading numbers of the signal remain.
- A role adds a constant direction that the signal has been cleared of: all questions move
  alike and all passages move alike, hence no ranking changes.
- An unsuitable role mixes in noise derived from the text, down to a stated cosine.
- Pseudo-random numbers come from SHAKE-256, so they are the same on every machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import logging
import re
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from openrouter_embed.emulator.stop_words import STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from openrouter_embed.emulator.catalogue import Role, Scale
    from openrouter_embed.emulator.options import Backend

SIGNAL = 256
DECIMALS = 8  # as many as float32 needs, so JSON and base64 carry the same numbers

_ROLE_WEIGHT = 0.15  # same text in both roles: cosine 1 - 0.15
_MEDIA_WEIGHT = 1.0
_STEPS = 128.0
_CACHE_ENTRIES = 8192
_CHUNK_TEXTS = 64
_CHUNK_CHARS = 65_536  # bounds the padded token matrix of one call into wordllama

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Item:
    """One input of a request: its text, its media and the role it is embedded in.

    Attributes:
        text: All text parts, joined; may be empty beside media.
        media: Digests of the media parts, in order.
        role: None for models without roles.
        fidelity: Cosine to the clean vector; below 1 noise is mixed in.
    """

    text: str
    media: tuple[bytes, ...] = ()
    role: Role | None = None
    fidelity: float = 1.0


class _SignalModel(Protocol):
    def signals(self, texts: Sequence[str]) -> Matrix:
        """One row of 256 per text; rows may be of any length but not zero."""
        ...


class Embedder:
    """Turns items into vectors of any width; safe to share between threads."""

    def __init__(self, backend: Backend = "auto") -> None:
        self._backend: Backend = backend
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, Matrix] = OrderedDict()

    def warm_up(self) -> None:
        """Load the back-end now, so that the first request is not the slow one."""
        _signal_model(self._backend)

    def embed(
        self,
        items: Sequence[Item],
        *,
        native: int,
        width: int,
        scale: Scale = "unit",
        norm: float = 1.0,
    ) -> npt.NDArray[np.float64]:
        """Embed the inputs of one request.

        Args:
            items: The inputs.
            native: The model's own width.
            width: The requested width.
            scale: How the model scales its vectors.
            norm: How long its full vectors are.

        Returns:
            One row per item, rounded so that float32 loses nothing of its decimal form.
        """
        rows = self._cached_signals([item.text for item in items])
        rows = _with_media(rows, items)
        rows = _with_roles(rows, items)
        rows = _with_noise(rows, items)
        return _scaled(rows @ _widening(native, width), native, width, scale, norm)

    def _cached_signals(self, texts: Sequence[str]) -> Matrix:
        keys = [hashlib.blake2b(text.encode("utf-8", "replace")).digest() for text in texts]
        with self._lock:
            known = {key: self._cache[key] for key in keys if key in self._cache}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            fresh = _unit(_signal_model(self._backend).signals(list(missing.values())))
            known.update(zip(missing, fresh, strict=True))
            self._remember(dict(zip(missing, fresh, strict=True)))
        return np.stack([known[key] for key in keys])

    def _remember(self, fresh: dict[bytes, Matrix]) -> None:
        with self._lock:
            self._cache.update(fresh)
            while len(self._cache) > _CACHE_ENTRIES:
                self._cache.popitem(last=False)


def resolve_backend(backend: Backend) -> Backend:
    """The back-end that "auto" stands for on this machine."""
    if backend != "auto":
        return backend
    return "wordllama" if importlib.util.find_spec("wordllama") else "hashed"


def _signal_model(backend: Backend) -> _SignalModel:
    return _load_signal_model(resolve_backend(backend))


_LOAD_LOCK = threading.Lock()
_loaded: dict[Backend, _SignalModel] = {}


def _load_signal_model(backend: Backend) -> _SignalModel:
    with _LOAD_LOCK:
        if backend not in _loaded:
            _loaded[backend] = WordLlamaSignals() if backend == "wordllama" else HashedSignals()
        return _loaded[backend]


@contextlib.contextmanager
def _logging_as_it_is() -> Generator[None]:
    """Keep a library that configures logging when it is imported from doing so to its user."""
    handler = logging.NullHandler()
    logging.root.addHandler(handler)  # `basicConfig` leaves a root alone that has a handler
    try:
        yield
    finally:
        logging.root.removeHandler(handler)


class WordLlamaSignals:
    """Signals of wordllama, whose weights travel inside its wheel; nothing is downloaded."""

    def __init__(self) -> None:
        with _logging_as_it_is():
            module = importlib.import_module("wordllama")
        folder = Path(str(module.__file__)).parent
        self._model = module.WordLlama.load(cache_dir=folder, disable_download=True)
        self._lock = threading.Lock()  # its tokenizer keeps padding state

    def signals(self, texts: Sequence[str]) -> Matrix:
        """One row of 256 per text."""
        rows = np.empty((len(texts), SIGNAL), np.float32)
        # Texts of like length share a call: padding to the longest would waste most of the work.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for chunk in _chunks(order, [len(text) for text in texts]):
            with self._lock:
                rows[chunk] = self._model.embed(
                    [texts[index] for index in chunk], batch_size=len(chunk)
                )
        empty = ~np.any(rows, axis=1)
        for index in map(int, np.flatnonzero(empty)):
            rows[index] = _noise(texts[index].encode("utf-8", "replace"))
        return rows


def _chunks(order: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    chunks: list[list[int]] = [[]]
    for index in order:
        chunk = chunks[-1]
        full = len(chunk) == _CHUNK_TEXTS or (len(chunk) + 1) * sizes[index] > _CHUNK_CHARS
        if chunk and full:
            chunks.append([index])
        else:
            chunk.append(index)
    return chunks


class HashedSignals:
    """Signals of hashed words and character n-grams: lexical, but needs numpy alone."""

    _word = re.compile(r"\w+")
    _stop_word_weight = 0.1
    _ngram_share = 0.6

    def signals(self, texts: Sequence[str]) -> Matrix:
        """One row of 256 per text."""
        return np.stack([self._signal(text) for text in texts])

    def _signal(self, text: str) -> Matrix:
        counts = Counter(self._word.findall(text.lower()))
        if not counts:
            return _noise(text.encode("utf-8", "replace"))
        weights = [self._weight(word, count) for word, count in counts.items()]
        words = np.stack([self._word_vector(word) for word in counts])
        return np.asarray(np.array(weights, np.float32) @ words, np.float32)

    def _weight(self, word: str, count: int) -> float:
        rarity = self._stop_word_weight if word in STOP_WORDS else 0.6 + 0.05 * min(len(word), 12)
        return rarity * float(1.0 + np.log(count))

    @staticmethod
    @lru_cache(maxsize=32_768)
    def _word_vector(word: str) -> Matrix:
        """The whole word plus its n-grams, so that "index" and "indexes" stay close."""
        marked = f"<{word}>"
        sizes = (3, 4, 5) if word.isascii() else (1, 2, 3)
        grams = {marked[at : at + n] for n in sizes for at in range(len(marked) - n + 1)}
        share = HashedSignals._ngram_share
        whole = _noise(b"word:" + word.encode("utf-8", "replace"))
        spread = [_noise(b"gram:" + gram.encode("utf-8", "replace")) for gram in sorted(grams)]
        grams_vector = _unit(np.asarray(np.sum(spread, axis=0), np.float32))
        return _unit(np.asarray(whole + share * grams_vector, np.float32))


def _noise(seed: bytes) -> Matrix:
    """A fixed pseudo-random unit vector; numpy's generators promise no stable stream."""
    raw = np.frombuffer(hashlib.shake_256(seed).digest(SIGNAL), np.uint8).astype(np.float32)
    centred = raw - np.float32(127.5)
    return _unit(centred)


def _unit(rows: Matrix) -> Matrix:
    """Scale a vector, or every row of a matrix, to length one; zero stays zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), np.float32)


def _with_media(rows: Matrix, items: Sequence[Item]) -> Matrix:
    """Text and media of one input share one vector; an image is its bytes' hash, never seen."""
    for index, item in enumerate(items):
        if item.media:
            joint = np.sum([_noise(b"media:" + digest) for digest in item.media], axis=0)
            rows[index] = _MEDIA_WEIGHT * joint + (rows[index] if item.text else 0.0)
    return _unit(rows) if any(item.media for item in items) else rows


@lru_cache(maxsize=1)
def _role_directions() -> Matrix:
    query = _noise(b"role:query")
    document = _noise(b"role:document")
    return np.stack([query, _orthogonal(document, query)])


def _orthogonal(vector: Matrix, axis: Matrix) -> Matrix:
    """The unit vector of what remains of a vector once an axis is taken out."""
    return _unit(np.asarray(vector - np.dot(vector, axis) * axis, np.float32))


def _with_roles(rows: Matrix, items: Sequence[Item]) -> Matrix:
    if all(item.role is None for item in items):
        return rows
    directions = _role_directions()
    shares = np.matmul(rows, np.transpose(directions))
    cleared = _unit(np.asarray(rows - np.matmul(shares, directions), np.float32))
    shifts = {
        "query": directions[0],
        "document": directions[1],
        "neutral": directions.sum(axis=0) / np.float32(2**0.5),
    }
    moved = np.stack([shifts[item.role or "neutral"] for item in items])
    return np.asarray((1 - _ROLE_WEIGHT) ** 0.5 * cleared + _ROLE_WEIGHT**0.5 * moved, np.float32)


def _with_noise(rows: Matrix, items: Sequence[Item]) -> Matrix:
    for index, item in enumerate(items):
        if item.fidelity < 1.0:
            clean = rows[index]
            noise = _noise(b"role noise:" + item.text.encode("utf-8", "replace"))
            noise = _orthogonal(noise, clean)
            rows[index] = item.fidelity * clean + (1 - item.fidelity**2) ** 0.5 * noise
    return rows


@lru_cache(maxsize=64)
def _widening(native: int, width: int) -> Matrix:
    """The 256 x width map: whole blocks where the width allows, else one cosine transform."""
    if native < SIGNAL or native % SIGNAL:
        return _cosine_transform(native)[:SIGNAL, :width]
    blocks = [np.eye(SIGNAL, dtype=np.float32)]
    blocks += [_signs(number)[:, None] * _cosine_transform(SIGNAL) for number in range(1, 16)]
    return np.hstack(blocks[: -(-width // SIGNAL)])[:, :width]


@lru_cache(maxsize=8)
def _cosine_transform(size: int) -> Matrix:
    steps = np.arange(size, dtype=np.float64)
    basis = np.cos(np.pi / size * np.outer(steps, steps + 0.5)) * (2.0 / size) ** 0.5
    basis[0] /= 2**0.5
    return np.asarray(basis, np.float32)


def _signs(number: int) -> Matrix:
    raw = np.frombuffer(hashlib.shake_256(b"signs:%d" % number).digest(SIGNAL), np.uint8)
    return np.asarray(raw % 2 * 2.0 - 1.0, np.float32)


def _scaled(
    rows: Matrix, native: int, width: int, scale: Scale, norm: float
) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float64)
    if scale != "unit":
        # A shortened vector keeps the length its share of the full one has.
        norms *= (max(native, width) / width) ** 0.5
    scaled = rows.astype(np.float64) * (norm / np.maximum(norms, 1e-12))
    if scale == "steps":
        steps = np.minimum(np.maximum(np.rint(scaled * _STEPS), -_STEPS), _STEPS - 1)
        return np.asarray(steps / _STEPS)
    return np.asarray(np.round(scaled, DECIMALS), np.float64)
