"""What a caller may embed, checked and brought into the form that goes on the wire.

Rules of this file:
- Nothing is fetched or resolved. A file is read only where it is named by a constructor or stands
  as a `pathlib.Path`; a string among inputs is a text and never opened.
- Every refusal names the input by its index and says what to do; it never quotes the input.
- A list stands for several inputs; a list within that list is one joint input (or one token array).
"""

from __future__ import annotations

import base64
import io
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.guard import a_kind_of, bare, kind_of, printable
from openrouter_embed.listed import elements, text_hint, why_no_list
from openrouter_embed.media import MAX_MEDIA_BYTES, MediaInput
from openrouter_embed.options.checks import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL.Image import Image

_SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
)

_SUFFIXES: Final = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".avif"}
)

Kind = Literal["text", "tokens", "content"]


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One image, from an explicit source; use a constructor, not the class itself.

    Attributes:
        url: An https URL, or a data URL that holds the image.
    """

    url: str = field(repr=False)

    def __post_init__(self) -> None:
        if str(self.url)[:8].lower().startswith(("https://", "data:")):
            return
        raise ConfigurationError(
            "An `ImageInput` is made by `ImageInput.from_path`, `from_url`, `from_bytes` or "
            "`from_pil`."
        )

    @classmethod
    def from_url(cls, url: str) -> ImageInput:
        """Name an image by its https URL, or carry it in a data URL. It is not fetched here.

        Raises:
            ConfigurationError: The URL is neither https nor an image's data URL, or too large.
        """
        if not isinstance(cast(object, url), str) or not encodable(url):
            raise ConfigurationError("An image URL must be a string of valid text.")
        head = url[:64].lower()
        if head.startswith("data:"):
            if not head.startswith("data:image/") or ";base64," not in head:
                raise ConfigurationError(
                    "The data URL holds no base64 image: it must begin `data:image/…;base64,`."
                )
            _check_size(len(url) * 3 // 4)
        elif not head.startswith("https://"):
            raise ConfigurationError(
                "An image URL must begin with `https://` or `data:image/`; for a file use "
                "`ImageInput.from_path`."
            )
        return cls(url)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> ImageInput:
        """Read an image file.

        Raises:
            ConfigurationError: There is no such file, or it is no image, or too large.
        """
        file = pathlib.Path(path)
        try:
            _check_size(file.stat().st_size)
            data = file.read_bytes()
        except OSError as error:
            reason = error.strerror or "unreadable"
        except ConfigurationError:
            raise
        except ValueError:
            reason = "no valid path"
        else:
            return cls.from_bytes(data)
        raise ConfigurationError(f"The image file{_shown(file)} cannot be read: {reason}.")

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> ImageInput:
        """Carry an image's bytes; the media type is read off them unless given.

        Raises:
            ConfigurationError: The bytes are no known image format, or too many.
        """
        if not isinstance(cast(object, data), (bytes, bytearray)):
            raise ConfigurationError(f"An image's bytes cannot be a {type(data).__name__}.")
        _check_size(len(data))
        found = media_type or next((t for mark, t in _SIGNATURES if data.startswith(mark)), None)
        if media_type is None and data[:4] == b"RIFF" and data[8:12] != b"WEBP":
            found = None  # the same container holds sound and films
        if found is None:
            raise ConfigurationError(
                "These bytes are no PNG, JPEG, GIF, WebP or BMP image; pass `media_type=` for "
                "another format."
            )
        return cls(f"data:{found};base64,{base64.b64encode(data).decode('ascii')}")

    @classmethod
    def from_pil(cls, image: Image) -> ImageInput:
        """Carry a Pillow image, encoded as PNG.

        Raises:
            ConfigurationError: The encoded image is too large, or cannot be encoded.
        """
        buffer = io.BytesIO()
        try:
            plain = image if image.mode in _PNG_MODES else image.convert("RGB")
            plain.save(buffer, format="PNG")
        except (OSError, ValueError):
            buffer.truncate(0)
        if not buffer.getbuffer():
            raise ConfigurationError("The Pillow image cannot be read, or encoded as PNG.")
        return cls.from_bytes(buffer.getvalue(), "image/png")

    @classmethod
    def of(cls, image: object) -> ImageInput:
        """Read an image from whatever names or holds it.

        Args:
            image: A Pillow image, bytes, a `BytesIO`, a `pathlib.Path`, or a string: an https URL,
                a data URL or a path.

        Raises:
            ConfigurationError: It is none of these, or cannot be read.
        """
        if isinstance(image, ImageInput):
            return image
        if isinstance(image, str):
            return cls._of_string(image)
        for kind, read in _SOURCES:
            if isinstance(image, kind):
                return read(image)
        if _is_pillow(image):
            return cls.from_pil(cast("Image", image))
        raise ConfigurationError(
            f"A {kind_of(image)} is no image: pass a path, an https or data URL, bytes, or a "
            "Pillow image."
        )

    @classmethod
    def _of_string(cls, text: str) -> ImageInput:
        if text[:5].lower() == "file:":
            raise ConfigurationError("`file:` URLs are not opened: pass the plain path.")
        return cls.from_url(text) if _URL.match(text) else cls.from_path(text)

    def to_part(self) -> dict[str, object]:
        """Return the content part that goes on the wire."""
        return {"type": "image_url", "image_url": {"url": self.url}}


_PNG_MODES: Final = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
"""Two letters at least: `C:` begins a path."""
_SOURCES: Final[tuple[tuple[Any, Callable[[Any], ImageInput]], ...]] = (
    ((bytes, bytearray, memoryview), lambda data: ImageInput.from_bytes(bytes(data))),
    (io.BytesIO, lambda buffer: ImageInput.from_bytes(buffer.getvalue())),
    (os.PathLike, ImageInput.from_path),
)
"""What holds or names an image, and how it is read."""


def _is_pillow(value: object) -> bool:
    module = sys.modules.get("PIL.Image")  # whoever holds such an image has loaded it
    return module is not None and isinstance(value, module.Image)


def is_image(value: object) -> bool:
    """Whether this can only be an image, or the path of one; a string is a text."""
    return isinstance(value, (ImageInput, os.PathLike)) or _is_pillow(value)


def _shown(file: pathlib.Path) -> str:
    """Return the name of what looks like an image's path: a text passed by mistake is not shown."""
    return f" `{printable(str(file), 200)}`" if file.suffix.lower() in _SUFFIXES else ""


def _check_size(size: int) -> None:
    if size > MAX_MEDIA_BYTES:
        raise ConfigurationError(
            f"The image has {size / 2**20:.0f} MiB; at most {MAX_MEDIA_BYTES // 2**20} can be sent."
        )


Picture: TypeAlias = "ImageInput | os.PathLike[str] | Image"
Part: TypeAlias = "str | Picture | MediaInput"
Input: TypeAlias = "str | Sequence[int] | Picture | MediaInput | Sequence[Part] | Mapping[str, Any]"
Inputs: TypeAlias = "Input | Sequence[Input] | Iterable[Input] | Iterable[object]"
"""The last is for lists that mix forms, whose type a checker works out as a list of objects."""


@dataclass(frozen=True, slots=True)
class Item:
    """One input in wire form.

    Attributes:
        kind: Requests are homogeneous in this.
        value: A string, a tuple of token ids, or the JSON bytes of a content object; hashable, so
            that equal inputs are sent once.
    """

    kind: Kind
    value: str | tuple[int, ...] | bytes = field(repr=False)


Refused: TypeAlias = dict[int, ConfigurationError]
"""Inputs that cannot be embedded, by position, and why."""


def read_inputs(inputs: object, refused: Refused | None = None) -> list[str | Item]:
    """Check whatever the caller passed; plain strings stay strings, the rest become `Item`s.

    Args:
        inputs: One input, or an ordered collection of them.
        refused: If given, takes the inputs that cannot be embedded, and "" stands in their place.

    Raises:
        ConfigurationError: This is no collection of inputs, or one of them cannot be embedded;
            names it by index.
    """
    if isinstance(inputs, (list, tuple)):
        items = list(cast("Iterable[object]", inputs))
    elif isinstance(inputs, (str, Mapping, MediaInput)) or is_image(inputs):
        return [_read_item(cast("str | Mapping[str, object]", inputs), 0)]
    elif advice := why_no_list(inputs):
        raise ConfigurationError(f"Cannot embed {a_kind_of(inputs)}: {advice}.")
    else:
        items = elements(inputs)
    if items and _is_token_id(items[0]):
        return [_read_tokens(items, None)]
    if refused is not None:
        return [_try_item(item, at, refused) for at, item in enumerate(items)]
    return [
        # An ASCII text that begins with no `d` is no `data:` URL and can be sent: no call for it.
        item
        if type(item) is str and item.isascii() and item[:1] not in "dD"
        else _read_item(item, at)
        for at, item in enumerate(items)
    ]


def _try_item(item: object, at: int, refused: Refused) -> str | Item:
    try:
        return _read_item(item, at)
    except ConfigurationError as error:
        bare(error)  # its frames hold the input
        refused[at] = error
        return ""


_DATA_URL: Final = re.compile(
    r"data:[a-z0-9.+-]+/[a-z0-9.+-]+(?:;[^;,\s]{1,80}){0,8};base64,", re.IGNORECASE
)
"""A text may well begin with the word; only what carries a file's bytes is one."""


def _check_text(text: str, at: int) -> str:
    if text[:5].lower() == "data:" and _DATA_URL.match(text):
        raise ConfigurationError(
            f"Input {at} is a `data:` URL and would be embedded as text, at great cost. For an "
            "image use `ImageInput.from_url(...)`."
        )
    return text if encodable(text) else _mended(text, at)


def _mended(text: str, at: int) -> str:
    """Return a text whose surrogate pairs are the characters they stand for."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        pass
    raise ConfigurationError(
        f"Input {at} holds half of a surrogate pair, which no encoding can carry: replace it with "
        "`text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')`."
    )


def _read_item(item: object, at: int) -> str | Item:
    if isinstance(item, str):
        # Not `str(item)`: an enumeration's member would give its name instead of its text.
        return _check_text(str.__str__(item), at)
    if isinstance(item, MediaInput):
        return _content([item.to_part()])
    if is_image(item):
        return _content([_read_image(item, at).to_part()])
    if isinstance(item, Mapping):
        return _read_mapping(cast(Mapping[str, object], item), at)
    if isinstance(item, Sequence) and not isinstance(item, (bytes, bytearray)):
        parts = cast(Sequence[object], item)
        if parts and _is_token_id(parts[0]):
            return _read_tokens(parts, at)
        return _read_parts(parts, at)
    if _is_array(item):
        return _read_tokens(item.tolist(), at)  # type: ignore[attr-defined]
    scalar = getattr(item, "as_py", None)  # pyarrow's
    if callable(scalar):
        return _read_item(scalar(), at)
    raise ConfigurationError(
        f"Input {at} is {a_kind_of(item)}; inputs are strings, token ids, images or other media."
        f"{text_hint(item)}"
    )


def _read_image(image: object, at: int) -> ImageInput:
    try:
        return ImageInput.of(image)
    except ConfigurationError as error:
        reason = error.message
    text = " For the file's text pass `path.read_text()`." * isinstance(image, os.PathLike)
    raise ConfigurationError(f"Input {at}: {reason}{text}")


def _is_array(item: object) -> bool:
    return hasattr(item, "tolist") and hasattr(item, "dtype") and getattr(item, "ndim", 0) > 0


def _is_token_id(value: object) -> bool:
    return isinstance(value, (Integral, float)) and not _is_flag(value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)  # which Python counts among the integers


def _read_tokens(values: Sequence[object], at: int | None) -> Item:
    which = "The token array" if at is None else f"Input {at}"
    tokens: list[int] = []
    for value in values:
        if _is_flag(value) or not isinstance(value, Integral) or int(value) < 0:
            raise ConfigurationError(
                f"{which} holds {a_kind_of(value)} that is no token id: token ids are whole "
                "numbers from 0 up, and a list may not mix them with anything else."
            )
        tokens.append(int(value))
    return Item("tokens", tuple(tokens))


def _read_parts(parts: Sequence[object], at: int) -> Item:
    if not parts:
        raise ConfigurationError(f"Input {at} is an empty list: remove it.")
    if all(isinstance(part, str) for part in parts):
        raise ConfigurationError(
            f"Input {at} is a list of strings. Pass the texts in one flat list; a nested list is "
            "one joint input of texts and images."
        )
    wire: list[Mapping[str, object]] = []
    for part in parts:
        if isinstance(part, MediaInput):
            wire.append(part.to_part())
        elif is_image(part):
            wire.append(_read_image(part, at).to_part())
        elif isinstance(part, str) and part:
            wire.append({"type": "text", "text": _check_text(str.__str__(part), at)})
        elif isinstance(part, str):
            raise ConfigurationError(f"Input {at} holds an empty text: leave that part out.")
        else:
            raise ConfigurationError(
                f"Input {at} holds {a_kind_of(part)}; the parts of a joint input are strings, "
                f"images and other media.{text_hint(part)}"
            )
    return _content(wire)


def _read_mapping(item: Mapping[str, object], at: int) -> Item:
    content = item.get("content")
    if set(item) != {"content"} or not isinstance(content, Sequence) or not content:
        raise ConfigurationError(
            f"Input {at} is a mapping: pass the text itself, such as `d['text']`, or of one that "
            "holds nothing but texts `list(d.values())`. Only `{'content': [part, …]}` can be sent "
            "as it is."
        )
    parts = cast(Sequence[object], content)
    if not all(isinstance(part, Mapping) and "type" in part for part in parts):
        raise ConfigurationError(f"Input {at} holds a content part without a `type`.")
    table = cast(Sequence[Mapping[str, object]], parts)
    return _content([_with_checked_text(part, at) for part in table], at)


def _with_checked_text(part: Mapping[str, object], at: int) -> Mapping[str, object]:
    text = part.get("text")
    if not isinstance(text, str):
        return part
    checked = _check_text(str.__str__(text), at)
    return part if checked == text else {**part, "text": checked}


def _content(parts: Sequence[Mapping[str, object]], at: int = 0) -> Item:
    # Local, so that importing the package's names stays light.
    import msgspec  # noqa: PLC0415

    try:
        return Item("content", msgspec.json.encode({"content": parts}))
    except (TypeError, ValueError, RecursionError):
        pass
    raise ConfigurationError(f"Input {at} holds something that JSON cannot carry.")
