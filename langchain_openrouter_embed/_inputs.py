"""What LangChain's methods take: texts, and the places of images.

Rules of this file:
- Exactly one input per element, or an error that names the element by its index.
- A file is read only because the caller named it; nothing is fetched from a URL here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, cast

from openrouter_embed import ConfigurationError, ImageInput
from openrouter_embed.adapting import kind_of

_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
"""Two letters at least: `C:` begins a path."""


def read_texts(texts: object) -> list[str]:
    """Return texts as a list.

    Raises:
        ConfigurationError: It is not an ordered collection of strings.
    """
    found = _elements("texts", texts)
    for at, text in enumerate(found):
        if not isinstance(text, str):
            hint = " For a `Document` pass its `page_content`." * hasattr(text, "page_content")
            raise ConfigurationError(f"Text {at} is a {kind_of(text)}; texts are strings.{hint}")
    return cast("list[str]", found)


def read_query(text: object) -> list[str]:
    """Return one text as the list that the client takes.

    Raises:
        ConfigurationError: It is not a string.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"`text` must be one string, not a {kind_of(text)}.")
    return [text]


def read_images(uris: object) -> list[ImageInput]:
    """Open the images at paths, https URLs or data URLs.

    Raises:
        ConfigurationError: One cannot be read or sent.
    """
    return [_read_image(at, uri) for at, uri in enumerate(_elements("uris", uris))]


def _elements(name: str, values: object) -> list[object]:
    kind = type(values)
    if issubclass(kind, (str, bytes, Mapping, AbstractSet)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"`{name}` must be a list, not a {kind.__name__}.")
    return list(cast("Iterable[object]", values))


def _read_image(at: int, uri: object) -> ImageInput:
    if isinstance(uri, ImageInput):
        return uri
    if not isinstance(uri, (str, os.PathLike)):
        raise ConfigurationError(
            f"Image {at} is a {type(uri).__name__}; pass a path, an https URL or a data URL."
        )
    try:
        return _open_image(cast("str | os.PathLike[str]", uri))
    except ConfigurationError as error:
        reason = error.message
    raise ConfigurationError(f"Image {at}: {reason}")


def _open_image(uri: str | os.PathLike[str]) -> ImageInput:
    if not isinstance(uri, str) or not _URL.match(uri):
        return ImageInput.from_path(uri)
    if uri[:5].lower() == "file:":
        raise ConfigurationError("`file:` URLs are not opened: pass the plain path.")
    return ImageInput.from_url(uri)
