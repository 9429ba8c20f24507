"""Which role a text is embedded in, and whether that role suits it.

Rules of this file:
- The model's catalogue row decides; this file only reads it.
- A recognised prefix is stripped, for it is an instruction and not part of the text.
- "suits" is a guess from the text's form alone: a question belongs in the query role, a
  long passage in the document role. A short phrase suits both.

That a wrong role costs quality is how asymmetric models behave. How much it costs here is an
emulation, made large enough to be measured on a small corpus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openrouter_embed.emulator.catalogue import ROLE_WORDS

if TYPE_CHECKING:
    from openrouter_embed.emulator.catalogue import Model, Role, Roles

WRONG_ROLE_COSINE = 0.6
NO_PREFIX_COSINE = 0.85

_LONG_PASSAGE_WORDS = 20
_QUESTION_START = re.compile(
    r"\s*(?:who|whom|whose|what|when|where|why|how|which|can|could|does|do|did|is|are|was|were"
    r"|should|will|would)\b",
    re.IGNORECASE,
)
_QWEN_MARK = "\nQuery:"


@dataclass(frozen=True)
class RoledText:
    """A text ready to be embedded.

    Attributes:
        text: The text without its prefix.
        role: The role whose direction the vector takes; None for a model without roles.
        fidelity: Cosine of the vector to the clean one: 1.0 where the role suits the text.
    """

    text: str
    role: Role | None
    fidelity: float = 1.0


def assign_role(model: Model, text: str, input_type: str | None) -> RoledText:
    """The role a model embeds a text in.

    Args:
        model: The catalogue row.
        text: The text as it was sent.
        input_type: The request's word, if any; models that ignore it ignore it here.

    Returns:
        The text without its prefix, its role and how well the role suits it.
    """
    roles = model.roles
    if roles.input_type:
        role = roles.bare if input_type is None else ROLE_WORDS.get(input_type.lower(), "neutral")
        return RoledText(text, role, _fidelity(text, role))
    if roles.query_prefix is None:
        return RoledText(text, None)
    return _role_by_prefix(roles, text)


def _role_by_prefix(roles: Roles, text: str) -> RoledText:
    if roles.query_prefix == "Instruct: ":
        _, mark, query = text.partition(_QWEN_MARK)
        if mark and text.startswith("Instruct: "):
            return RoledText(query, "query", _fidelity(query, "query"))
    elif roles.query_prefix and text.startswith(roles.query_prefix):
        stripped = text.removeprefix(roles.query_prefix)
        return RoledText(stripped, "query", _fidelity(stripped, "query"))
    if roles.document_prefix and text.startswith(roles.document_prefix):
        stripped = text.removeprefix(roles.document_prefix)
        return RoledText(stripped, "document", _fidelity(stripped, "document"))
    if roles.bare is None:
        return RoledText(text, "neutral", NO_PREFIX_COSINE)
    return RoledText(text, roles.bare, _fidelity(text, roles.bare))


def _fidelity(text: str, role: Role | None) -> float:
    question = _is_question(text)
    wrong = (role == "document" and question) or (
        role == "query" and not question and _is_long(text)
    )
    return WRONG_ROLE_COSINE if wrong else 1.0


def _is_question(text: str) -> bool:
    end = text.rstrip()[-1:]
    if end in {"?", "\uff1f"}:
        return True
    # "When the sun sets, …" opens like a question and is none: a full stop or length tells.
    return end not in {".", "!"} and not _is_long(text) and bool(_QUESTION_START.match(text))


def _is_long(text: str) -> bool:
    return len(text.split(maxsplit=_LONG_PASSAGE_WORDS)) >= _LONG_PASSAGE_WORDS
