"""A job's file: JSON, whole or not there.

Rules of this file:
- It is written beside its place and then moved there, so that a process may end at any moment.
- A job that was handed in is not replaced by another: whoever runs a program twice pays once, also
  at the same time.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from openrouter_embed.batch import api
from openrouter_embed.batch.record import of_dict
from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

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


class SaveTo:
    """Where a submission keeps its job, until something is handed in against other programs.

    Args:
        path: Of the file.

    Raises:
        ConfigurationError: Something is there that must not be replaced.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        check_free(path)
        self._path = path
        self._ours: Written | None = None
        self._begun = False
        self.written = False
        """Whether the job is in its file."""

    def write(self, record: Record) -> None:
        """Write the job.

        Raises:
            ConfigurationError: Another program was there meanwhile, and nothing was handed in yet.
            OSError: It cannot be written.
        """
        write(record, self._path, self._look)
        self.written = True

    def _look(self, new: pathlib.Path) -> None:
        if self._ours is None:
            check_free(self._path)
            self._ours = Written.read(new)
        elif not self._begun:
            check_same(self._path, self._ours)
            self._begun = True  # this one says that a batch is on its way: others keep away


def check_same(path: str | os.PathLike[str], ours: Written) -> None:
    """Refuse to go on where another program has put its own file in the meantime.

    Raises:
        ConfigurationError: Another file is there.
    """
    with contextlib.suppress(OSError):  # where it is gone, nobody goes on with it
        if not ours.is_still(pathlib.Path(path)):
            raise ConfigurationError(
                f"`save_to` names {os.fspath(path)}, where another program has begun a job in the "
                "meantime: nothing was handed in here."
            )


class Written(NamedTuple):
    """What tells a file from all others.

    Attributes:
        number: The file system's; it is given again, and some give another at every look.
        moment: When it was written, nanoseconds; some round it later.
        digest: Of what is in it, which other programs may write as well.
    """

    number: int
    moment: int
    digest: bytes

    @classmethod
    def read(cls, place: pathlib.Path) -> Written:
        """Look at a file."""
        found = place.stat()
        return cls(found.st_ino, found.st_mtime_ns, sha256(place.read_bytes()).digest())

    def is_still(self, place: pathlib.Path) -> bool:
        """Whether that file is there."""
        found = self.read(place)
        alike = found.number == self.number or found.moment == self.moment
        return alike and found.digest == self.digest


def write(
    record: Record,
    path: str | os.PathLike[str],
    look: Callable[[pathlib.Path], None] | None = None,
) -> None:
    """Write a job to a file, in place of what is there.

    Args:
        record: The job.
        path: Its file.
        look: Looks at what is there at the last moment, and may raise; told where the new one is.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    place = pathlib.Path(path)
    beside = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
    text = msgspec.json.format(msgspec.json.encode(record.to_dict()), indent=0)
    try:
        beside.write_bytes(text)
        if look is not None:
            look(beside)
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def save(record: Record, path: str | os.PathLike[str]) -> None:
    """Write a job to a file, unless more of the same job is there.

    Raises:
        ConfigurationError: The file names batches of the job that the record does not know.
        OSError: It cannot be written; what was there before is still there.
    """

    def look(_: pathlib.Path) -> None:
        if _knows_more(path, record):
            raise ConfigurationError(
                f"The file {os.fspath(path)} names batches that this job does not know, which "
                "another program has handed in since: it was left alone. Read it again by `batch`."
            )

    write(record, path, look)


def _knows_more(path: str | os.PathLike[str], record: Record) -> bool:
    try:
        there = read(path)
    except ConfigurationError:
        return False
    same = bool(record.batches) and there.keys == record.keys
    return same and set(there.ids) > set(record.ids)


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
