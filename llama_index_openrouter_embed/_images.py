"""LlamaIndex's images: a path, a URL or a buffer, into what the client takes.

Rules of this file:
- Nothing is fetched: an https URL goes to the API as it is. `file://` is refused, for documents
  come from anywhere and would choose which local files are read.
- What events tell of an image is a short string: handlers count tokens in it.
"""

from __future__ import annotations

import os
from io import BytesIO
from typing import TYPE_CHECKING, Final, TypeAlias

from openrouter_embed import ConfigurationError, ImageInput
from openrouter_embed.adapting import as_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL.Image import Image

ImageLike: TypeAlias = "str | BytesIO | bytes | os.PathLike[str] | ImageInput | Image"
Part: TypeAlias = "str | BytesIO | bytes | os.PathLike[str] | ImageInput | Image"

PLACEHOLDER: Final = "<image>"


def list_images(images: Iterable[ImageLike]) -> list[ImageLike]:
    """Return a list of images, none of them read yet.

    Raises:
        ConfigurationError: This is one image, or no ordered collection of images.
    """
    single: object = images
    if isinstance(single, (bytearray, BytesIO)):  # both can be iterated
        raise ConfigurationError("`images` must be a list, even for one.")
    return as_list(single, "images")


def read_images(images: Sequence[ImageLike]) -> list[ImageInput]:
    """Read images from wherever each is.

    Raises:
        ConfigurationError: One cannot be used; names it by index.
    """
    return [_read_numbered(image, at) for at, image in enumerate(images)]


def _read_numbered(image: ImageLike, at: int) -> ImageInput:
    try:
        return read_image(image)
    except ConfigurationError as error:
        reason = error.message
    raise ConfigurationError(f"Image {at}: {reason}")


def read_image(image: ImageLike) -> ImageInput:
    """Read one image.

    Raises:
        ConfigurationError: It cannot be read, or is none.
    """
    return ImageInput.of(image)


def read_parts(parts: Sequence[Part]) -> tuple[str | ImageInput, ...]:
    """Read the parts of one joint input; strings are texts.

    Raises:
        ConfigurationError: A part is neither text nor an image.
    """
    return tuple(
        part if isinstance(part, str) else _read_numbered(part, at)
        for at, part in enumerate(as_list(parts, "parts"))
    )


def describe(image: ImageLike) -> str:
    """Return what an event shows of an image: its path or URL, or a placeholder for content."""
    if isinstance(image, os.PathLike):
        return os.fspath(image)
    if isinstance(image, str) and image[:5].lower() != "data:":
        return image
    return PLACEHOLDER


def describe_parts(parts: Sequence[str | ImageInput]) -> str:
    """Return what an event shows of a joint input."""
    return "\n".join(part if isinstance(part, str) else PLACEHOLDER for part in parts)
