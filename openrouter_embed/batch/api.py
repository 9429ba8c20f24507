"""All that is known of OpenRouter's Batch API: paths, limits, words, bodies, and its answers.

OpenRouter calls it a beta, and its two descriptions differ. What is uncertain stands here alone:

- the root: the newer description puts `/batches` beside `/embeddings`, the older one below
  `/api/beta`; the newer is tried first;
- limits: none is documented, so we stay well below those of OpenAI's batches (50,000 requests,
  200 MB);
- results: every description has them within a batch that has ended, the newest in pages as well;
- `dimensions` and `user` within a request are not mentioned; OpenAI's batches take them;
- `encoding_format` is not mentioned either, so it is sent only where the caller chose one.

Rules of this file:
- The server reads a body as a stream: `requests` comes last.
- What an answer does not say, or says absurdly, is not there; an unknown state is kept as it is.
"""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from openrouter_embed.core.codec import encode, trim
from openrouter_embed.core.problem import hide_keys
from openrouter_embed.errors import InvalidResponseError
from openrouter_embed.guard import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openrouter_embed.core.wire import Reply
    from openrouter_embed.inputs import Item
    from openrouter_embed.options.settings import Settings

PATH: Final = "/batches"
ENDPOINT: Final = "/v1/embeddings"
WINDOW: Final = "24h"
OTHER_ROOT: Final = "/beta"
"""What the older description has in place of the last part of the base URL."""

MAX_REQUESTS: Final = 20_000
"""Inputs in one batch."""
MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a batch's body."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Bytes that the results of one batch may have: they come in one answer."""
RESULT_BYTES: Final = 512
"""Bytes of a result beside its vector."""

PROVIDER_FIELDS: Final = frozenset({"only", "allow_fallbacks"})
"""Preferences that a batch takes."""

RUNNING: Final = ("submitting", "validating", "in_progress", "finalizing", "cancelling")
"""States in the order in which they come; one that is not known is taken for one of these."""
COMPLETED: Final = "completed"
GONE: Final = "gone"
DELETED: Final = "deleted"
UNSENT: Final = "unsent"
SUBMITTING: Final = "submitting"
"""On its way, with no answer yet: it may exist, or not."""
ENDED: Final = (DELETED, GONE, UNSENT, "cancelled", "expired", "failed")
"""States in which there are no results, from mild to bad; the first three are ours."""
FINAL: Final = frozenset({COMPLETED, *ENDED})
NOT_THERE: Final = frozenset({DELETED, GONE, UNSENT})
"""States in which there is nothing to be read."""


def roots(settings: Settings) -> Sequence[str | None]:
    """Return the roots to try, in order; `None` is the base URL's own."""
    if settings.batch_root is not None:
        return (settings.batch_root,)
    path = settings.base_url.partition("://")[2].partition("/")[2]
    parent, _, last = f"/{path}".rpartition("/")
    return (None, parent + OTHER_ROOT) if last == "v1" else (None,)


def one(batch_id: str) -> str:
    """Return the path of one batch."""
    return f"{PATH}/{batch_id}"


PAGE: Final = 200
"""Results asked for at a time, where they come in pages."""
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "-._~")


def page(batch_id: str, cursor: str | None) -> str:
    """Return the path of a page of results.

    Pages are asked for where a batch that has results does not show them.
    """
    path = f"{PATH}/{batch_id}/results?limit={PAGE}"
    return path if cursor is None else f"{path}&cursor={_quoted(cursor)}"


def listing(after: str) -> str:
    """Return the path of the page of the list that follows the one that ended with an id."""
    return f"{PATH}?after={_quoted(after)}"


def _quoted(text: str) -> str:
    pairs = ((chr(byte), byte) for byte in text.encode())
    return "".join(c if c in _PLAIN else f"%{n:02X}" for c, n in pairs)


_ID: Final = re.compile(r"[A-Za-z0-9_.:~@=+,;!$*-]{1,200}")
"""No more is known of ids than that they stand in a path."""


def is_id(value: object) -> bool:
    """Whether this can stand in a path as a batch's id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and set(value) != {"."}


# ------------------------------------------------------------------ what goes out


def custom_id(unit: int, name: str) -> str:
    """Return what names an input in a batch: its number, then its key as text."""
    return f"{unit}-{name}"


_CUSTOM: Final = re.compile(r"([0-9]{1,9})-([A-Za-z0-9_-]{43})")


def read_custom_id(value: str) -> tuple[int, str] | None:
    """Return the number and the key that a `custom_id` names; `None` if it is none of ours."""
    found = _CUSTOM.fullmatch(value)
    return None if found is None else (int(found[1]), found[2])


def key_name(key: bytes) -> str:
    """Return a key as text of 43 characters."""
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def key_of(name: str) -> bytes:
    """Return the key that a text names."""
    return urlsafe_b64decode(name + "=")


class Lines:
    """Writes the requests of batches and what goes before them."""

    def __init__(self, settings: Settings) -> None:
        chosen = settings.encoding_format
        fields: dict[str, Any] = {
            "dimensions": settings.dimensions,
            "encoding_format": None if chosen == "auto" else chosen,
            "user": settings.user,
            **settings.extra_body,
        }
        self._rest = {name: value for name, value in fields.items() if value is not None}
        provider = settings.provider.to_wire()
        kept = {name: value for name, value in provider.items() if name in PROVIDER_FIELDS}
        head = {"endpoint": ENDPOINT, "model": settings.model, "completion_window": WINDOW}
        self._head = encode({**head, "provider": kept} if kept else head)

    def line(self, name: str, unit: str | Item) -> bytes:
        """Return one request."""
        value = unit if isinstance(unit, str) else unit.value
        return encode({"custom_id": name, "body": {"input": value, **self._rest}})

    def body(self, lines: Iterable[bytes]) -> bytes:
        """Return the body of a batch of these requests."""
        return b"".join((self._head[:-1], b',"requests":[', b",".join(lines), b"]}"))


# ------------------------------------------------------------------ what comes back


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a batch was last seen to be.

    Attributes:
        status: The API's word, or one of ours.
        total: Requests, as the API counts them.
        completed: Of these, those that have a vector.
        failed: Of these, those that have none.
        usage: What the API says it cost; `None` until it is completed.
        created_at: Seconds since 1970; 0 where the API does not say.
        expires_at: The same; `None` where it does not say.
        provider: The host that serves it; empty where the API does not say.
        error: A sentence, where the batch has one.
    """

    status: str = "validating"
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: Mapping[str, Any] | None = field(default=None, hash=False)
    created_at: float = 0.0
    expires_at: float | None = None
    provider: str = ""
    error: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINAL

    def become(self, status: str, error: str = "") -> State:
        """Return the state after something happened to the batch."""
        return replace(self, status=status, error=error)


def read_state(table: Mapping[str, Any]) -> State:
    """Read a batch object."""
    counts = _table(table.get("request_counts"))
    usage = table.get("usage")
    return State(
        status=printable(_text(table.get("status")), 40) or "unknown",
        total=_count(counts.get("total")),
        completed=_count(counts.get("completed")),
        failed=_count(counts.get("failed")),
        usage=cast("Mapping[str, Any]", usage) if isinstance(usage, dict) else None,
        created_at=_moment(table.get("created_at")) or 0.0,
        expires_at=_moment(table.get("expires_at")),
        provider=printable(_text(table.get("provider")), 200),
        error=_problem(table.get("error")),
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A batch as the list shows it.

    Attributes:
        id: Its id.
        model: Its model.
        state: Its state.
    """

    id: str
    model: str
    state: State


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of the list, newest first.

    Attributes:
        batches: What is on it.
        last: The id that it ends with; `None` if no page follows.
    """

    batches: Sequence[Listed]
    last: str | None


def read_accepted(reply: Reply) -> Listed:
    """Read the answer to a submission, or to a question about a batch.

    Raises:
        InvalidResponseError: It is no batch.
    """
    return listed(read_object(reply.body))


def read_list(reply: Reply) -> ListPage:
    """Read a page of the list of batches; an entry that cannot be read is not there.

    Raises:
        InvalidResponseError: It is no list.
    """
    told = read_object(reply.body)
    rows = told.get("data")
    if not isinstance(rows, list):
        raise _unreadable()
    tables = map(_table, cast("list[object]", rows))
    batches = [listed(table) for table in tables if is_id(table.get("id"))]
    return ListPage(batches, batches[-1].id if batches and told.get("has_more") is True else None)


def listed(table: Mapping[str, Any]) -> Listed:
    """Read a batch object with its id.

    Raises:
        InvalidResponseError: It has none.
    """
    name = table.get("id")
    if not is_id(name):
        raise _unreadable()
    return Listed(cast("str", name), _text(table.get("model")), read_state(table))


def read_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        InvalidResponseError: It is something else.
    """
    try:
        tree = msgspec.json.decode(trim(body))
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise _unreadable() from None
    if not isinstance(tree, dict):
        raise _unreadable()
    return cast("dict[str, Any]", tree)


def _unreadable() -> InvalidResponseError:
    return InvalidResponseError("The answer is no batch.", reason="json")


def matches(found: Listed, *, model: str, count: int, since: float) -> bool:
    """Whether a batch in the list can be one that was submitted and never confirmed.

    Args:
        found: From the list.
        model: That it was submitted for.
        count: Requests in it; a batch that is not validated yet may count none.
        since: When the newest batch before it was created (seconds since 1970, by the server).
    """
    state = found.state
    fresh = not state.created_at or state.created_at >= since
    return fresh and _alike(found.model, model) and state.total in (0, count)


def _alike(one: str, other: str) -> bool:
    """Whether two names can mean one model: makers date theirs, and variants have a suffix."""
    short, long = sorted((_bare(one), _bare(other)), key=len)
    return long.startswith(short)


def _bare(model: str) -> str:
    return model.lower().rpartition("/")[2].partition(":")[0]


def _problem(value: object) -> str:
    table = _table(value)
    said = value if isinstance(value, str) else table.get("message") or table.get("code")
    return "" if said is None else hide_keys(printable(said))


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < 1e12 else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
