"""What LangChain's methods take: texts, and images or the places of images.

Rules of this file:
- Exactly one input per element, or an error that names the element by its index.
- A file is read only because the caller named it; nothing is fetched from a URL here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from openrouter_embed import ConfigurationError, ImageInput
from openrouter_embed.adapting import MediaInput, as_list, as_text, as_texts, kind_of


def read_texts(texts: object) -> list[str]:
    """Return texts as a list.

    Raises:
        ConfigurationError: It is not an ordered collection of strings.
    """
    return as_texts(texts)


def read_query(text: object) -> list[str]:
    """Return one text as the list that the client takes.

    Raises:
        ConfigurationError: It is not a string.
    """
    if isinstance(text, Mapping):  # what a chain hands to a retriever, if it is not told otherwise
        raise ConfigurationError(
            f"`text` must be one string, not a {kind_of(cast('object', text))}. Pass the text in "
            "it, such as `d['question']`; in a chain `itemgetter('question') | retriever`."
        )
    return [as_text(text, "text")]


def read_images(uris: object) -> list[ImageInput | MediaInput]:
    """Read images from wherever each is: a path, an https or data URL, a Pillow image, bytes.

    Other media that have been read already are taken as well.

    Raises:
        ConfigurationError: One cannot be read or sent; names it by index.
    """
    return [_read_image(at, uri) for at, uri in enumerate(as_list(uris, "uris"))]


def _read_image(at: int, uri: object) -> ImageInput | MediaInput:
    if isinstance(uri, MediaInput):
        return uri
    try:
        return ImageInput.of(uri)
    except ConfigurationError as error:
        reason = error.message
    raise ConfigurationError(f"Image {at}: {reason}")
