"""Audio, video and files as inputs, from an explicit source.

Rules of this file:
- Nothing is fetched. A file is read only by the constructor that names it.
- One table says which formats a kind knows, how their bytes begin and how their files end.
- A refusal never quotes the content.
"""

from __future__ import annotations

import base64
import pathlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, cast

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    import os

    from typing_extensions import Self

MAX_MEDIA_BYTES: Final = 20 * 1024 * 1024
"""Bytes one medium may have, an image too. OpenRouter states no limit; its hosts' are near this."""

_SIGNATURES: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = tuple(
    (re.compile(pattern, re.DOTALL), name)
    for pattern, name in (
        (rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8|RIFF.{4}WEBP|BM.{4}\0\0\0\0", "image"),
        (rb"RIFF.{4}WAVE", "wav"),
        (rb"RIFF.{4}AVI ", "avi"),
        (rb"fLaC", "flac"),
        (rb"OggS", "ogg"),
        (rb"FORM.{4}AIF[FC]", "aiff"),
        (rb".{4}ftypM4[AB] ", "m4a"),
        (rb".{4}ftypqt  ", "mov"),
        (rb".{4}ftyp", "mp4"),
        (rb"\x1aE\xdf\xa3", "webm"),
        (rb"\0\0\x01[\xba\xb3]", "mpeg"),
        (rb"FLV\x01", "flv"),
        (rb"%PDF-", "pdf"),
        (rb"\xff[\xf0\xf1\xf8\xf9]", "aac"),
        (rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]", "mp3"),
    )
)
"""How the bytes of a format begin; the first that fits names it."""
_FORMAT: Final = re.compile(r"[a-z0-9][a-z0-9.+-]{0,31}")
_DATA_URL: Final = re.compile(
    r"data:([a-z]+)/([a-z0-9.+-]+)(;[a-z0-9=.\"-]+)*;base64,", re.IGNORECASE
)
_FAMILIES: Final = {
    "audio": frozenset({"wav", "flac", "ogg", "aiff", "m4a", "mp4", "webm", "aac", "mp3"}),
    "video": frozenset({"avi", "mov", "mp4", "webm", "mpeg", "flv", "ogg"}),
    "file": frozenset({"pdf"}),
}
"""Formats whose bytes are known, by what they can be; some can be either."""
_OTHER_NAMES: Final = {"mpga": "mp3", "oga": "ogg", "ogv": "ogg", "mpg": "mpeg", "m4v": "mp4"}
_MADE_BY: Final = "`from_path`, `from_bytes` or `from_url`"


@dataclass(frozen=True, slots=True)
class MediaInput:
    """One medium; use `AudioInput`, `VideoInput` or `FileInput`, and their constructors.

    Attributes:
        data: The content in base64, or where it is: an https URL.
        format: Its format, such as `mp3`; `None` where a URL does not tell.
    """

    data: str = field(repr=False)
    format: str | None = None
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if not self.kind or not isinstance(cast(object, self.data), str) or not self.data:
            raise ConfigurationError(f"A `{type(self).__name__}` is made by {_MADE_BY}.")

    @classmethod
    def from_url(cls, url: str, format: str | None = None) -> Self:  # noqa: A002 - the API's name
        """Name a medium by its https URL, or carry it in a data URL. It is not fetched here.

        Raises:
            ConfigurationError: The URL is neither https nor a data URL of this kind, or too large.
        """
        if not isinstance(cast(object, url), str) or not url.isascii() or " " in url:
            raise ConfigurationError(f"The URL of {cls._named()} must be a string without spaces.")
        if url[:8].lower() == "https://":
            path = url.split("?", 1)[0].split("#", 1)[0]
            return cls(url, cls._known_format(format or pathlib.PurePosixPath(path).suffix[1:]))
        found = _DATA_URL.match(url)
        if found is None:
            raise ConfigurationError(
                f"The URL of {cls._named()} must begin with `https://`, or be a data URL in "
                f"base64; for a file use `{cls.__name__}.from_path`."
            )
        return cls._from_data_url(url[found.end() :], found[1].lower(), format)

    @classmethod
    def _from_data_url(cls, encoded: str, family: str, form: str | None) -> Self:
        _check_size(len(encoded) * 3 // 4, cls.kind)
        if family in (*_FAMILIES, "image") and family != cls.kind:
            raise ConfigurationError(f"The data URL holds {family}: it is no {cls.kind}.")
        try:
            data = base64.b64decode(encoded, validate=True)
        except ValueError:
            data = b""
        if not data:
            raise ConfigurationError("What stands in the data URL is not base64.")
        return cls.from_bytes(data, form)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file.

        Raises:
            ConfigurationError: There is no such file, it is of another kind, or too large.
        """
        file = pathlib.Path(path)
        try:
            _check_size(file.stat().st_size, cls.kind)
            data = file.read_bytes()
        except OSError as error:
            reason = error.strerror or "unreadable"
        except ConfigurationError:
            raise
        except ValueError:
            reason = "no valid path"
        else:
            return cls.from_bytes(data, file.suffix[1:] or None)
        shown = f" `{printable(str(file), 200)}`" if 1 < len(file.suffix) <= 6 else ""
        raise ConfigurationError(f"The {cls.kind} file{shown} cannot be read: {reason}.")

    @classmethod
    def from_bytes(cls, data: bytes, format: str | None = None) -> Self:  # noqa: A002 - the API's name
        """Carry bytes; their format is read off them unless given.

        Raises:
            ConfigurationError: They are of another kind, of no known format, or too many.
        """
        if not isinstance(cast(object, data), (bytes, bytearray)):
            raise ConfigurationError(
                f"The bytes of {cls._named()} cannot be a {type(data).__name__}."
            )
        _check_size(len(data), cls.kind)
        if not data:
            raise ConfigurationError(f"There are no bytes: {cls._named()} cannot be empty.")
        found = next((name for mark, name in _SIGNATURES if mark.match(data)), None)
        if found is not None and found not in _FAMILIES[cls.kind]:
            raise ConfigurationError(f"These bytes are {_article(found)}: it is no {cls.kind}.")
        form = cls._known_format(format) or found
        if form is None:
            raise ConfigurationError(
                f"These bytes are of no format known here: pass `format=`, such as "
                f"{cls._example()!r}."
            )
        return cls(base64.b64encode(data).decode("ascii"), form)

    @classmethod
    def _known_format(cls, given: str | None) -> str | None:
        """Return a format as the API writes it, or refuse one of another kind."""
        if not given:
            return None
        name = given.lower().lstrip(".")
        name = _OTHER_NAMES.get(name, name)
        if not _FORMAT.fullmatch(name):
            raise ConfigurationError(f"`format` is a short name such as {cls._example()!r}.")
        others = frozenset[str]().union(*_FAMILIES.values()) - _FAMILIES[cls.kind]
        if name in others or name in _IMAGES:
            raise ConfigurationError(f"The format {name!r} is no {cls.kind}'s.")
        return name

    @classmethod
    def _example(cls) -> str:
        return {"audio": "mp3", "video": "mp4", "file": "pdf"}[cls.kind]

    @classmethod
    def _named(cls) -> str:
        return {"audio": "an audio", "video": "a video", "file": "a file"}[cls.kind]

    def to_part(self) -> dict[str, object]:
        """Return the content part that goes on the wire."""
        form = {} if self.format is None else {"format": self.format}
        return {"type": f"input_{self.kind}", f"input_{self.kind}": {"data": self.data, **form}}


class AudioInput(MediaInput):
    """A recording: `from_path`, `from_bytes(data, format)`, `from_url`."""

    __slots__ = ()
    kind: ClassVar[str] = "audio"


class VideoInput(MediaInput):
    """A video: `from_path`, `from_bytes(data, format)`, `from_url`."""

    __slots__ = ()
    kind: ClassVar[str] = "video"


class FileInput(MediaInput):
    """A document such as a PDF: `from_path`, `from_bytes(data, format)`, `from_url`."""

    __slots__ = ()
    kind: ClassVar[str] = "file"


_IMAGES: Final = frozenset({"png", "jpg", "jpeg", "gif", "webp", "bmp", "image"})


def _article(found: str) -> str:
    return "an image" if found == "image" else f"{found.upper()}"


def _check_size(size: int, kind: str) -> None:
    if size > MAX_MEDIA_BYTES:
        raise ConfigurationError(
            f"The {kind} has {size / 2**20:.0f} MiB; at most {MAX_MEDIA_BYTES // 2**20} can be "
            "sent. Pass an https URL instead."
        )
