"""A result in a file of its own: numpy's `.npz`, which numpy alone can read.

Rules of this file:
- Nothing is pickled, so a file from elsewhere can run nothing.
- A file is whole or not there: it is written beside its place and then moved there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import uuid
import zipfile
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from openrouter_embed import errors
from openrouter_embed.errors import ConfigurationError, EmbeddingError
from openrouter_embed.result import EmbeddingResult, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
_PLAIN: Final = ("model", "upstream_model", "space", "providers", "request_ids", "start")
_SCALARS: Final = (str, int, float, bool, type(None))


def save(result: EmbeddingResult, path: str | os.PathLike[str]) -> None:
    """Write a result to a file, in place of what is there."""
    about = {
        "format": FORMAT,
        **{name: getattr(result, name) for name in _PLAIN},
        "usage": dataclasses.asdict(result.usage),
        "flags": {name: list(rows) for name, rows in result.flags.items()},
        "failures": {str(at): _written(error) for at, error in result.failures.items()},
    }
    place = pathlib.Path(path)
    if not place.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place.parent))
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    try:
        with beside.open("xb") as file:
            np.savez(file, vectors=result.vectors, about=np.array(json.dumps(about)))
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _written(error: EmbeddingError) -> dict[str, Any]:
    about = {name: value for name, value in vars(error).items() if isinstance(value, _SCALARS)}
    return {"type": type(error).__name__, "about": about}


def load(path: str | os.PathLike[str]) -> EmbeddingResult:
    """Read what `save` wrote.

    Raises:
        OSError: There is no such file, or it cannot be read.
        ConfigurationError: It is no saved result, or a later version's.
    """
    vectors, about = _read(path)
    if about.get("format") != FORMAT:
        raise ConfigurationError(
            f"The result in {os.fspath(path)} was saved by a later version: upgrade."
        )
    return EmbeddingResult(
        vectors=vectors,
        model=about["model"],
        upstream_model=about.get("upstream_model", ""),
        space=about["space"],
        providers=tuple(about["providers"]),
        request_ids=tuple(about["request_ids"]),
        start=about["start"],
        usage=_usage(about["usage"]),
        flags={name: tuple(rows) for name, rows in about["flags"].items()},
        failures={int(at): _error(written) for at, written in about["failures"].items()},
    )


def _read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    with contextlib.suppress(ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        with np.load(path, allow_pickle=False) as file:
            vectors, about = file["vectors"], json.loads(str(file["about"]))
        if vectors.dtype == np.float32 and vectors.ndim == 2 and isinstance(about, dict):
            return vectors, cast("dict[str, Any]", about)
    raise ConfigurationError(f"{os.fspath(path)} is no result that was saved by `.save`.")


def _usage(table: Mapping[str, Any]) -> Usage:
    """Read usage; a version that counts more wrote more."""
    names = {field.name for field in dataclasses.fields(Usage)}
    return Usage(**{name: value for name, value in table.items() if name in names})


def _error(written: Mapping[str, Any]) -> EmbeddingError:
    kind = getattr(errors, written["type"], EmbeddingError)
    cls = kind if isinstance(kind, type) and issubclass(kind, EmbeddingError) else EmbeddingError
    error = cls.__new__(cls, written["about"].get("message", ""))
    error.__dict__.update({"result": None, **written["about"]})
    error.args = (error.message,)
    return error
