"""The documentation of the API is whole."""

from __future__ import annotations

import pathlib
import re

from api_schema import SPECIFICATION

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def rows(title):
    """The first cells of the table under a heading."""
    section = re.split(r"^#+ ", PAGE, flags=re.MULTILINE)
    (text,) = (part for part in section if part.startswith(f"{title}\n"))
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert all("::test_" in line for line in lines)
    return [line.split("|")[1].strip() for line in lines]


def fields(schema, before=""):
    """The dotted names of a schema's fields, those of arrays' items included."""
    for name, field in schema["properties"].items():
        yield before + name
        inner = field.get("items", field)
        if "properties" in inner:
            yield from fields(inner, f"{before}{name}.")


def test_every_field_of_the_request_has_a_row_in_the_order_of_the_wire():
    names = [cell.strip("`") for cell in rows("Request") if cell.startswith("`")]
    assert sorted(names) == sorted(SPECIFICATION["request"]["properties"])
    assert names == ["model", "input", "encoding_format", "dimensions", "user", "provider",
                     "input_type", "session_id", "trace"]  # fmt: skip


def test_every_provider_preference_has_a_row():
    known = SPECIFICATION["request"]["properties"]["provider"]["properties"]
    assert sorted(cell.strip("`") for cell in rows("Provider preferences")) == sorted(known)


def test_every_form_of_an_input_has_a_row():
    page = " ".join(rows("Inputs"))
    forms = ["a string", "an array of strings", "an array of token ids",
             "an array of arrays of token ids", "`text`", "`image_url`"]  # fmt: skip
    assert len(SPECIFICATION["request"]["properties"]["input"]["oneOf"]) == 5
    assert all(form in page for form in forms)


def test_every_field_of_the_response_has_a_row():
    named = {cell.split()[0].strip("`") for cell in rows("Response")}
    assert set(fields(SPECIFICATION["response"])) <= named


def test_every_status_has_a_row():
    named = {int(code) for cell in rows("Statuses") for code in re.findall(r"\d{3}", cell)}
    assert set(SPECIFICATION["statuses"]) <= named
