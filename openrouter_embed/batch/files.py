"""A job's file: JSON, whole or not there.

Rules of this file:
- It is written beside its place and then moved there, so that a process may end at any moment.
- A job that was handed in is not replaced by another: whoever runs a program twice pays once.
"""

from __future__ import annotations

import os
import pathlib
import uuid
from typing import TYPE_CHECKING, Any, cast

import msgspec

from openrouter_embed.batch import api
from openrouter_embed.batch.record import of_dict
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from openrouter_embed.batch.record import Record


def check_free(path: str | os.PathLike[str]) -> None:
    """Refuse to replace anything but the file of a job of which nothing was handed in.

    Raises:
        ConfigurationError: Something else is there.
    """
    place, shown = pathlib.Path(path), os.fspath(path)
    if not place.is_file() or not place.stat().st_size:
        return
    try:
        paid = was_handed_in(path)
    except ConfigurationError:
        raise ConfigurationError(
            f"`save_to` names {shown}, which is there and holds something else: name another file."
        ) from None
    if paid:
        raise ConfigurationError(
            f"`save_to` names {shown}, the file of a job that was handed in: go on with it by "
            "`batch`, name another file, or remove this one."
        )


def was_handed_in(path: str | os.PathLike[str]) -> bool:
    """Whether a file is that of a job of which something was, or may have been, handed in.

    Raises:
        ConfigurationError: It cannot be read, or holds no job.
    """
    return any(b.state.status not in (api.UNSENT, api.DELETED) for b in read(path).batches)


def write(record: Record, path: str | os.PathLike[str]) -> None:
    """Write a job to a file, in place of what is there.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    place = pathlib.Path(path)
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    text = msgspec.json.format(msgspec.json.encode(record.to_dict()), indent=0)
    try:
        beside.write_bytes(text)
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> Record:
    """Read a job's file.

    Raises:
        ConfigurationError: There is none, or it holds no job.
    """
    shown = os.fspath(path)
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        why = error.strerror
    else:
        return of_dict(_table(content), f"The file {shown}")
    raise ConfigurationError(f"The job's file {shown} cannot be read: {why}.")


def _table(content: bytes) -> dict[str, Any]:
    try:
        tree: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return cast("dict[str, Any]", tree) if isinstance(tree, dict) else {}
