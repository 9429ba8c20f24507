"""Answers about one batch, read while they come: its state, and its results judged one by one.

Rules of this file:
- A vector is believed by the codec that believes any answer, and lands only on the row of the input
  that its `custom_id` names.
- A result that is an error, has another status, is missing, doubled or unknown is a failure of its
  input, and no other's. Of a doubled one none is believed: nobody can tell which is right.
- One reader reads one answer; what an answer brought that was cut is taken back by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from openrouter_embed.batch.api import COMPLETED, State, read_custom_id, read_object, read_state
from openrouter_embed.batch.stream import Splitter
from openrouter_embed.core.codec import encode, refuse_repeated_keys
from openrouter_embed.core.verdict import judge
from openrouter_embed.core.wire import Reply
from openrouter_embed.errors import EmbeddingError, InvalidResponseError
from openrouter_embed.guard import bare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openrouter_embed.core.collect import Collector
    from openrouter_embed.result import Usage

_WANTED: Final = frozenset({"id", "status", "request_counts", "usage"})
"""What must be known of a batch before its results may be left unread."""


class _Reader:
    """Has an answer cut; what the pieces say is for those that stand on it."""

    def __init__(self, splitter: Splitter) -> None:
        self.taken = 0
        self._splitter = splitter
        self._doubt: InvalidResponseError | None = None

    def begin(self, status: int) -> bool:
        """Want the body of a success alone."""
        return status == 200

    def feed(self, piece: bytes) -> bool:
        """Take a piece; return whether more is wanted."""
        self.taken += len(piece)
        try:
            self._splitter.feed(piece)
        except InvalidResponseError as error:
            self._doubt = error
        return self._doubt is None

    def _frame(self) -> Mapping[str, Any]:
        """Return what stands around the results.

        Raises:
            InvalidResponseError: The answer was cut, or something else.
        """
        if self._doubt is not None:
            raise self._doubt
        return read_object(self._splitter.end())


class StateReader(_Reader):
    """Reads a batch's state, and of its results no more than it must."""

    patient = False
    """Whether it reads results, too."""

    def __init__(self) -> None:
        super().__init__(Splitter(self.item, enough=self._enough))
        self._early: Mapping[str, Any] | None = None

    def feed(self, piece: bytes) -> bool:
        """Take a piece; return whether more is wanted."""
        return super().feed(piece) and self._early is None

    def finish(self) -> State:
        """Return the batch's state.

        Raises:
            InvalidResponseError: The answer was no batch.
        """
        table = self._frame() if self._early is None else self._early
        if not isinstance(table.get("status"), str) or table.get("results"):
            # Results that the splitter did not see are a key in disguise.
            raise InvalidResponseError("The answer is no batch.", reason="json")
        return read_state(table)

    def item(self, item: bytes) -> None:
        """Pass over a result."""

    def _enough(self, frame: bytes) -> bool:
        if self.patient:
            return False
        try:
            table = read_object(frame + b"]}")
        except InvalidResponseError:
            return False
        if not table.keys() >= _WANTED:
            return False
        self._early = table
        return True


class NameReader(StateReader):
    """Reads which inputs a batch has results for, where nothing else tells."""

    patient = True

    def __init__(self) -> None:
        super().__init__()
        self.names: list[tuple[int, str]] = []
        """The number and the key of each."""

    def item(self, item: bytes) -> None:
        """Note what a result names."""
        named = read_custom_id(_read_line(item).custom_id)
        if named is not None:
            self.names.append(named)


class _Line(msgspec.Struct, gc=False):
    """A result; unknown fields are skipped."""

    custom_id: str = ""
    response: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_KEYS: Final = tuple(
    b'"%b"' % name for name in (b"custom_id", b"response", b"error", b"status_code", b"body")
)


def _read_line(item: bytes) -> _Line:
    """Read a result; one that cannot be read names nobody."""
    try:
        return _decode_line(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Line()


class Judge:
    """Judges the results of one batch, one by one, and settles every input of it.

    Args:
        units: Key → the distinct input that it names, for those of the batch.
        rows: Where vectors go.
        key_origin: As `judge` wants it.
    """

    def __init__(self, units: Mapping[str, int], rows: Collector, key_origin: str) -> None:
        self._units = units
        self._rows = rows
        self._key_origin = key_origin
        self._there = {unit for unit in units.values() if rows.has(unit)}
        self._doubled: set[int] = set()
        self._failed: dict[int, EmbeddingError] = {}
        self._foreign = 0
        self.seen: set[int] = set()
        """Inputs that have a result."""
        self.good: list[int] = []
        """Inputs that have a vector out of this batch, once all is settled."""
        self.usage: Usage | None = None
        """The sum of what the results say they cost, where any says so."""

    def begin(self) -> None:
        """Start anew: take back what an answer brought that was not read to its end."""
        self._rows.take_back(self.seen - self._there)
        self.seen, self._doubled = set(), set()
        self._failed.clear()
        self._foreign, self.usage = 0, None

    def settle(self, state: State) -> None:
        """Let every input that has a result, or should have, be good or a failure."""
        self._rows.take_back(self._doubled - self._there)
        due = self.seen if state.status != COMPLETED else self._units.values()
        for unit in sorted({*due} - self._there):
            error = self._trouble(unit)
            if error is None:
                self.good.append(unit)
            else:
                self._rows.fail([unit], error)

    def _trouble(self, unit: int) -> EmbeddingError | None:
        if unit in self._doubled:
            message = "The batch has several results for this input, so none is believed."
            return InvalidResponseError(message, reason="doubled")
        if unit in self.seen:
            return self._failed.get(unit)
        more = f" {self._foreign} results name no input of it." if self._foreign else ""
        message = f"The batch is completed and has no result for this input.{more}"
        return InvalidResponseError(message, reason="missing")

    def item(self, item: bytes) -> None:
        """Take in a result."""
        line = _read_line(item)
        named = read_custom_id(line.custom_id)
        unit = None if named is None else self._units.get(named[1])
        if unit is None:
            self._foreign += 1
        elif unit in self.seen:
            self._doubled.add(unit)
        else:
            self.seen.add(unit)
            self._judge(unit, line, item)

    def _judge(self, unit: int, line: _Line, item: bytes) -> None:
        if unit in self._there:  # it was in the cache
            return
        try:
            self._accept(unit, line, item)
        except EmbeddingError as error:
            self._failed[unit] = bare(error)

    def _accept(self, unit: int, line: _Line, item: bytes) -> None:
        """Take in a vector.

        Raises:
            EmbeddingError: There is none, or it cannot be trusted.
        """
        if bytes(line.error) != b"null":
            raise _refused(bytes(line.error), self._key_origin)
        status, body = _read_response(bytes(line.response))
        _check_once(item, body)
        if status != 200:
            raise judge(Reply(status, {}, body), doubt=None, key_origin=self._key_origin).error
        try:
            spent = self._rows.accept(range(unit, unit + 1), body)
        except InvalidResponseError as doubt:
            # An error within a success is that error.
            verdict = judge(Reply(200, {}, body), doubt=doubt, key_origin=self._key_origin)
            raise verdict.error from None
        self.usage = spent if self.usage is None else self.usage + spent


class ResultReader(StateReader):
    """Reads a batch with its results.

    Args:
        judge: Judges them; begins anew.
        before: The reader of an earlier attempt, if there was one.
    """

    patient = True

    def __init__(self, judge: Judge, before: ResultReader | None = None) -> None:
        super().__init__()
        self._judge = judge
        if before is not None:
            before.stop()
        judge.begin()

    def stop(self) -> None:
        """Take in nothing more."""
        self._doubt = InvalidResponseError("The answer was given up.", reason="json")

    def item(self, item: bytes) -> None:
        """Have a result judged."""
        if self._doubt is None:  # else another attempt reads by now
            self._judge.item(item)


class PageReader(_Reader):
    """Reads a page of results, which are judged once it is whole."""

    def __init__(self) -> None:
        self._items: list[bytes] = []
        super().__init__(Splitter(self._items.append, key=b"data"))

    def finish(self) -> tuple[list[bytes], str | None]:
        """Return the results, and where the next page begins if there is one.

        Raises:
            InvalidResponseError: The answer was no page.
        """
        table = self._frame()
        if table.get("data") != []:
            raise InvalidResponseError("The answer is no page of results.", reason="json")
        cursor = table.get("next_cursor")
        return self._items, cursor if table.get("has_more") and isinstance(cursor, str) else None


def _read_response(text: bytes) -> tuple[int, bytes]:
    if text == b"null":
        raise InvalidResponseError("The batch's result is empty.", reason="empty")
    try:
        response = _decode_response(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidResponseError("The batch's result has no status.", reason="data") from None
    return response.status_code, bytes(response.body)


def _check_once(item: bytes, body: bytes) -> None:
    """Refuse a result that says a thing twice, beside its body, which the codec looks at."""
    beside = item.replace(body, b"0", 1)
    if b"\\u" in beside or any(beside.count(key) > 1 for key in _KEYS):
        refuse_repeated_keys(beside)


_STATUSES: Final = (
    ("rate", 429), ("credit", 402), ("payment", 402), ("auth", 401), ("permission", 403),
    ("moderat", 403), ("not_found", 404), ("invalid", 400), ("context", 400), ("too_l", 400),
    ("token", 400), ("unsupported", 400), ("bad_request", 400),
)  # fmt: skip
"""What an error's type says, and the status that it would have had; else it is the host's."""


def _refused(text: bytes, key_origin: str) -> EmbeddingError:
    """Make the error of a result that is one, by the judgement on any other."""
    try:
        tree: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tree = {}
    table = cast("dict[str, Any]", tree) if isinstance(tree, dict) else {"message": tree}
    kind = table.get("error_type") or table.get("type") or table.get("code")
    word = kind.lower() if isinstance(kind, str) else ""
    status = next((status for part, status in _STATUSES if part in word), 502)
    told = {**table, "metadata": {"error_type": word}} if word else table
    body = encode({"error": {name: value for name, value in told.items() if name != "code"}})
    return judge(Reply(status, {}, body), doubt=None, key_origin=key_origin).error


def by_key(keys: Sequence[str], units: Sequence[int]) -> Mapping[str, int]:
    """Return what a `Judge` needs to know of a batch's inputs."""
    return {keys[unit]: unit for unit in units}
