"""Settings: what a client was told, checked once and frozen.

Rules of this file:
- Every option is checked here, before anything is sent, and the message names the option.
- The environment is read by one pure function of a mapping; an argument wins over it.
- The key lives in a `Secret` and in nothing else; no message, repr or pickle holds it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, cast
from urllib.parse import SplitResult, urlsplit

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.models import ModelProfile, Role, find_profile
from openrouter_embed.options.provider import ProviderPreferences
from openrouter_embed.options.suggest import encodable, unknown_name
from openrouter_embed.version import __version__

if TYPE_CHECKING:
    import requests

    from openrouter_embed.result import Progress

DEFAULT_BASE_URL: Final = "https://openrouter.ai/api/v1"
KEY_VARIABLE: Final = "OPENROUTER_API_KEY"
BASE_URL_VARIABLE: Final = "OPENROUTER_API_BASE"
AUTO: Final = "auto"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "127.0.0.2", "::1"})
_RESERVED_HEADERS: Final = frozenset(
    {"authorization", "host", "content-length", "transfer-encoding", "connection", "cookie",
     "proxy-authorization", "accept-encoding", "content-type"}
)  # fmt: skip
_RESERVED_BODY: Final = frozenset(
    {"input", "model", "encoding_format", "dimensions", "user", "provider", "input_type"}
)


class Limiter(Protocol):
    """A rate limiter; asked once for every request that is really sent.

    One that has an attribute `active` is asked by the calls that begin while that is true.
    """

    def acquire(self, tokens: int) -> None:
        """Block until a request of about `tokens` tokens may go out."""

    async def aacquire(self, tokens: int) -> None:
        """Wait, without blocking the event loop, for the same."""


class Secret:
    """A string that shows itself to nobody who does not ask, and refuses to be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> str:
        raise TypeError("A Secret is not pickled.")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self


class _SharedOptions(TypedDict, total=False):
    """What a client and a call may both be told; described in `Options`."""

    dimensions: int | None
    encoding_format: Literal["auto", "float", "base64"]
    query_input_type: str | None
    document_input_type: str | None
    query_prefix: str | None
    document_prefix: str | None
    query_instruction: str | None
    provider: ProviderPreferences | Mapping[str, Any] | None
    user: str | None
    extra_body: Mapping[str, Any] | None
    timeout: float
    deadline: float | None
    max_retries: int
    max_batch_inputs: int | None
    max_batch_tokens: int | None
    long_input: Literal["error", "split"]
    empty: Literal["error", "zeros"]
    normalize: bool
    pin_provider: bool
    on_progress: Callable[[Progress], None] | None


class CallOptions(_SharedOptions, total=False):
    """Options that one call may set for itself.

    Attributes:
        model: Model id as OpenRouter lists it.
        dimensions: Width of the vectors; `None` is the model's own.
        encoding_format: How vectors travel; `auto` is base64 where it is known to work.
        query_input_type: `input_type` for queries; `auto` as the model wants, `None` sends none.
        document_input_type: The same for documents.
        query_prefix: Text put before queries; `auto` as the model wants, `None` puts none.
        document_prefix: The same for documents.
        query_instruction: The task, for models whose query prefix names one.
        provider: Which hosts may serve, and under what terms.
        user: Your name for the end user, sent with every request.
        extra_body: More fields for the request body, sent as they are.
        timeout: Seconds that one attempt may take.
        deadline: Seconds that a whole call may take, waits and retries included; `None` is no end.
        max_retries: Attempts of one request beyond its first.
        max_batch_inputs: Most inputs in one request; the model's limits hold in any case.
        max_batch_tokens: Most tokens in one request; the model's limits hold in any case.
        long_input: A text above the model's context: refuse it, or embed its parts and average.
        empty: An empty text: refuse it, or give zeros without sending it.
        normalize: Scale vectors to unit length.
        pin_provider: Keep to the host that served first.
        on_progress: Called with a `Progress` whenever a request is done.
    """

    model: str


class Options(_SharedOptions, total=False):
    """Options that every client and adapter accepts under the same name, besides the model.

    Attributes:
        api_key: Key, or a callable that returns it; else `OPENROUTER_API_KEY`.
        base_url: Where to send; else `OPENROUTER_API_BASE`, else OpenRouter.
        app_url: Your program's address, for OpenRouter's rankings; else `OPENROUTER_APP_URL`.
        app_title: Your program's name, for the same; else `OPENROUTER_APP_TITLE`.
        app_categories: Your program's categories, for the same.
        default_headers: More headers for every request.
        max_concurrency: Most requests in flight; fewer while the server bears no more.
        limiter: Your own rate limiter, asked once per request sent, retries included.
        max_cost: USD that the client may spend in its life; what would pass it is not sent.
        proxy: URL of an HTTP or SOCKS proxy (extra `socks`); else the environment's.
        ca_bundle: File or folder of the certificates to trust, instead of the built-in ones.
        session: Your own `requests.Session`, for synchronous calls.
        dimensions: Width of the vectors; `None` is the model's own.
        encoding_format: How vectors travel; `auto` is base64 where it is known to work.
        query_input_type: `input_type` for queries; `auto` as the model wants, `None` sends none.
        document_input_type: The same for documents.
        query_prefix: Text put before queries; `auto` as the model wants, `None` puts none.
        document_prefix: The same for documents.
        query_instruction: The task, for models whose query prefix names one.
        provider: Which hosts may serve, and under what terms.
        user: Your name for the end user, sent with every request.
        extra_body: More fields for the request body, sent as they are.
        timeout: Seconds that one attempt may take.
        deadline: Seconds that a whole call may take, waits and retries included; `None` is no end.
        max_retries: Attempts of one request beyond its first.
        max_batch_inputs: Most inputs in one request; the model's limits hold in any case.
        max_batch_tokens: Most tokens in one request; the model's limits hold in any case.
        long_input: A text above the model's context: refuse it, or embed its parts and average.
        empty: An empty text: refuse it, or give zeros without sending it.
        normalize: Scale vectors to unit length.
        pin_provider: Keep to the host that served first.
        on_progress: Called with a `Progress` whenever a request is done.
    """

    api_key: str | Callable[[], str] | None
    base_url: str | None
    app_url: str | None
    app_title: str | None
    app_categories: Sequence[str] | None
    default_headers: Mapping[str, str] | None
    max_concurrency: int
    limiter: Limiter | None
    max_cost: float | None
    proxy: str | None
    ca_bundle: str | os.PathLike[str] | None
    session: requests.Session | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a client was told. Immutable; `replace` makes a changed copy, checked again."""

    model: str
    api_key: Secret | Callable[[], str] | None = field(default=None, repr=False)
    key_origin: str = f"the environment variable {KEY_VARIABLE}"
    base_url: str = DEFAULT_BASE_URL
    dimensions: int | None = None
    encoding_format: str = AUTO
    query_input_type: str | None = AUTO
    document_input_type: str | None = AUTO
    query_prefix: str | None = AUTO
    document_prefix: str | None = AUTO
    query_instruction: str | None = None
    provider: ProviderPreferences = field(default_factory=ProviderPreferences)
    user: str | None = None
    app_url: str | None = None
    app_title: str | None = None
    app_categories: tuple[str, ...] = ()
    default_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    timeout: float = 60.0
    deadline: float | None = None
    max_retries: int = 8
    max_concurrency: int = 64
    max_batch_inputs: int | None = None
    max_batch_tokens: int | None = None
    limiter: Limiter | None = field(default=None, repr=False)
    long_input: str = "error"
    empty: str = "error"
    normalize: bool = False
    pin_provider: bool = False
    max_cost: float | None = None
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    session: requests.Session | None = field(default=None, repr=False)
    on_progress: Callable[[Progress], None] | None = field(default=None, repr=False)

    @property
    def profile(self) -> ModelProfile:
        """The row of the model table that applies."""
        return find_profile(self.model)

    @property
    def limited(self) -> bool:
        """Whether a call that begins now must ask the limiter."""
        return self.limiter is not None and bool(getattr(self.limiter, "active", True))

    def replace(self, **changes: Any) -> Settings:
        """Return a copy with some options changed and checked.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        return dataclasses.replace(self, **_checked(changes))

    def role_text(self, role: Role | None, input_type: str | None) -> tuple[str | None, str]:
        """Return the `input_type` to send and the prefix to put before texts.

        The first that applies: an `input_type` given for the call; the client's own type or prefix
        for the role; the model's profile. Without a role nothing is sent or prefixed unless asked.
        A type that was asked for switches the profile's prefix off, and the reverse: a model that
        gets both would apply the role twice.
        """
        if role is None:
            return (None if input_type == AUTO else input_type), ""
        profile = self.profile
        own_type = getattr(self, f"{role}_input_type") if input_type == AUTO else input_type
        own_prefix = getattr(self, f"{role}_prefix")
        prefix = own_prefix or ""
        if own_prefix == AUTO:
            prefix = profile.prefix(role) if own_type in (AUTO, None) else ""
        if own_type == AUTO:
            own_type = None if own_prefix and own_prefix != AUTO else profile.input_type(role)
        instruction = self.query_instruction or profile.query_instruction or ""
        return own_type, prefix.replace("{instruction}", instruction)

    def authorization(self) -> str:
        """Return the header that authenticates a request.

        Raises:
            ConfigurationError: There is no key, or the callable gave none that can be sent.
        """
        key = self.api_key
        if key is None:
            key = read_key(None, os.environ)
        if isinstance(key, Secret):
            return f"Bearer {key.reveal()}"
        try:
            value = key()
        except Exception as error:  # noqa: BLE001 - whatever the user's callable raises
            value, name = None, type(error).__name__
            raise_from = f"The `api_key` callable failed with {name}."
        else:
            return f"Bearer {check_key(value, 'the `api_key` callable')}"
        raise ConfigurationError(raise_from)

    def headers(self) -> dict[str, str]:
        """Return the headers of every request but for the key; the user's own win."""
        ours = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"openrouter-embed/{__version__}",
            "HTTP-Referer": self.app_url,
            "X-OpenRouter-Title": self.app_title,
            "X-OpenRouter-Categories": ",".join(self.app_categories) or None,
        }
        taken = {name.lower() for name in self.default_headers}
        kept = {n: v for n, v in ours.items() if v is not None and n.lower() not in taken}
        return {**kept, **self.default_headers}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the key, callables and sessions; a copy reads the environment."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("api_key", "limiter", "session", "on_progress"):
            values[name] = None
        del values["key_origin"]
        return _restore, (values,)

    def __copy__(self) -> Settings:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Settings:
        """Share: nothing here can change, and a copy within this process keeps its key."""
        return self


def _restore(values: Mapping[str, Any]) -> Settings:
    return Settings(**values)


def make_settings(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    key_required: bool = True,
) -> Settings:
    """Check a client's options and fill in what the environment says.

    Raises:
        ConfigurationError: An option is unknown or wrong, or there is no key.
    """
    given = {**from_environment(environ), **{k: v for k, v in options.items() if v is not None}}
    unset = {k: v for k, v in options.items() if v is None and k in _NONE_MEANS_NOTHING}
    checked = _checked({**given, **unset})
    if "model" not in checked:
        raise ConfigurationError(
            "Which model? Pass for example `model='openai/text-embedding-3-small'`."
        )
    if options.get("api_key") is not None:
        checked["key_origin"] = "the `api_key` argument"
    elif key_required:
        # Read now: a program may build clients for several keys, one after the other.
        checked["api_key"] = read_key(None, environ)
    return Settings(**checked)


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options that the environment sets; empty variables count as unset."""
    names = {
        "base_url": BASE_URL_VARIABLE,
        "app_url": "OPENROUTER_APP_URL",
        "app_title": "OPENROUTER_APP_TITLE",
    }
    return {option: environ[name] for option, name in names.items() if environ.get(name)}


def read_key(key: object, environ: Mapping[str, str]) -> Secret | Callable[[], str]:
    """Return the key from an argument, else from the environment.

    Raises:
        ConfigurationError: There is none, or it cannot be sent in a header.
    """
    if isinstance(key, Secret):
        return key
    if callable(key):
        return cast("Callable[[], str]", key)
    if key is not None:
        return Secret(check_key(key, "the `api_key` argument"))
    value = environ.get(KEY_VARIABLE)
    if not value:
        raise ConfigurationError(
            f"No API key: set the environment variable {KEY_VARIABLE}, or pass `api_key=`."
        )
    return Secret(check_key(value, f"the environment variable {KEY_VARIABLE}"))


def check_key(value: object, origin: str) -> str:
    """Return a key that can stand in a header; white space around it is dropped.

    Raises:
        ConfigurationError: It cannot; the message never holds it.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise ConfigurationError(f"The API key from {origin} is empty or no string.")
    if not all(33 <= ord(c) <= 126 for c in text):
        raise ConfigurationError(
            f"The API key from {origin} holds white space, control or non-ASCII characters: copy "
            "it again."
        )
    return text


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        check = _CHECKS.get(name)
        if check is None:
            raise ConfigurationError(unknown_name("option", name, _CHECKS))
        checked[name] = check(name, value)
    return checked


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"`{name}` must be a string with something in it.")
    return _sendable(name, str.__str__(value.strip()))


def _sendable(name: str, text: str) -> str:
    if not encodable(text):
        raise ConfigurationError(f"`{name}` holds half of a surrogate pair: no valid text.")
    return text


def _maybe_text(name: str, value: object) -> str | None:
    return None if value is None else _text(name, value)


def _prefix(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"`{name}` must be a string, `None` for none, or 'auto'.")
    return None if value is None else _sendable(name, value)


def _header_text(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = _text(name, value)
    _refuse_control(name, text)
    return text


def _refuse_control(name: str, text: str) -> None:
    if not all(32 <= ord(c) <= 126 or 160 <= ord(c) <= 255 for c in text):
        raise ConfigurationError(
            f"`{name}` goes into a header and may hold no control character and nothing outside "
            "Latin-1."
        )


def _categories(name: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"`{name}` takes a list of category names.")
    names = tuple(_text(name, item) for item in cast(Sequence[object], value))
    for item in names:
        _refuse_control(name, item)
    return names


def _headers(name: str, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` takes a mapping of header names to values.")
    table: dict[str, str] = {}
    for header, content in cast(Mapping[object, object], value).items():
        if not isinstance(header, str) or not isinstance(content, str):
            raise ConfigurationError(f"`{name}` takes a mapping of strings to strings.")
        if not header or not all(
            c.isascii() and (c.isalnum() or c in "-_.!#$%&'*+^`|~") for c in header
        ):
            raise ConfigurationError(f"`{name}` holds a header name that HTTP does not allow.")
        if header.lower() in _RESERVED_HEADERS:
            raise ConfigurationError(f"`{name}` may not set `{header}`: it is ours to send.")
        _refuse_control(f"{name}[{header!r}]", content)
        table[header] = content
    return table


def _body(name: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` takes a mapping.")
    table = {str(k): v for k, v in cast(Mapping[object, object], value).items()}
    for key, content in table.items():
        if key in _RESERVED_BODY:
            raise ConfigurationError(f"`{name}` may not set `{key}`: use the option of that name.")
        if content is None:
            raise ConfigurationError(
                f"`{name}` holds `{key}=None`, and the API refuses null: leave the key out."
            )
    sendable = not table or _is_json(table)
    if not sendable:
        raise ConfigurationError(f"`{name}` holds something that JSON cannot carry.")
    return table


def _is_json(table: dict[str, Any]) -> bool:
    """Whether the encoder that will send this can: it lets NaN pass as null, `json` does not."""
    import msgspec  # noqa: PLC0415 - lazy by design

    try:
        json.dumps(table, allow_nan=False, ensure_ascii=False).encode()
        msgspec.json.encode(table)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _positive(name: str, value: object) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9
    if not good:
        raise ConfigurationError(f"`{name}` must be a number of seconds above 0.")
    return float(cast(float, value))


def _maybe_positive(name: str, value: object) -> float | None:
    return None if value is None else _positive(name, value)


def _maybe_dollars(name: str, value: object) -> float | None:
    if value is None:
        return None
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9
    if not good:
        raise ConfigurationError(f"`{name}` must be a number of USD from 0 up.")
    return float(cast(float, value))


def _count(lowest: int) -> Callable[[str, object], int]:
    def check(name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ConfigurationError(f"`{name}` must be a whole number of at least {lowest}.")
        return value

    return check


def _maybe_count(name: str, value: object) -> int | None:
    return None if value is None else _count(1)(name, value)


def _choice(*allowed: str) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if value not in allowed:
            raise ConfigurationError(f"`{name}` must be one of {', '.join(map(repr, allowed))}.")
        return str(value)

    return check


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"`{name}` must be True or False.")
    return value


def _base_url(name: str, value: object) -> str:
    url = DEFAULT_BASE_URL if value is None else _text(name, value).rstrip("/")
    parts = _split(url)
    host = parts.hostname
    if not host or parts.scheme not in ("http", "https") or not _plain_url(url):
        raise ConfigurationError(f"`{name}` must be an http(s) URL such as {DEFAULT_BASE_URL}.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"`{name}` may not carry credentials: pass `api_key=`.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ConfigurationError(f"`{name}` may not have a query or a fragment.")
    if parts.path.endswith("/embeddings"):
        raise ConfigurationError(f"`{name}` ends before `/embeddings`, for example at `/v1`.")
    if parts.scheme == "http" and host not in LOOPBACK:
        warnings.warn(
            f"`{name}` is plain http: the key and every text travel unencrypted.", stacklevel=2
        )
    return url


def _split(url: str) -> SplitResult:
    """Split a URL; one with an impossible host or port comes back empty."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _plain_url(url: str) -> bool:
    return all(33 <= ord(c) <= 126 for c in url)


def _proxy(name: str, value: object) -> str | None:
    if value is None:
        return None
    url = _text(name, value)
    parts = _split(url)
    kinds = ("http", "https", "socks5", "socks5h")
    if parts.scheme not in kinds or not parts.hostname or not _plain_url(url):
        raise ConfigurationError(f"`{name}` must be the URL of an http(s) or socks5(h) proxy.")
    return url


def _ca_bundle(name: str, value: object) -> str | None:
    if value is None:
        return None
    path = str(cast(object, value)) if isinstance(value, (str, os.PathLike)) else ""
    if not path or "\0" in path or not os.path.exists(path):  # noqa: PTH110 - both want a string
        raise ConfigurationError(f"`{name}` names no file or folder.")
    return path


def _limiter(name: str, value: object) -> object:
    if value is not None and not (hasattr(value, "acquire") and hasattr(value, "aacquire")):
        raise ConfigurationError(f"`{name}` must have `acquire(tokens)` and `aacquire(tokens)`.")
    return value


def _any(_: str, value: object) -> object:
    return value


def _callback(name: str, value: object) -> object:
    if value is not None and not callable(value):
        raise ConfigurationError(f"`{name}` must be callable.")
    return value


def _key(_: str, value: object) -> object:
    return None if value is None else read_key(value, {})


def _provider(_: str, value: Any) -> ProviderPreferences:
    return ProviderPreferences.of(value)


_NONE_MEANS_NOTHING: Final = frozenset(
    {"query_input_type", "document_input_type", "query_prefix", "document_prefix"}
)

_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "model": _text,
    "api_key": _key,
    "base_url": _base_url,
    "dimensions": _maybe_count,
    "encoding_format": _choice("auto", "float", "base64"),
    "query_input_type": _maybe_text,
    "document_input_type": _maybe_text,
    "query_prefix": _prefix,
    "document_prefix": _prefix,
    "query_instruction": _maybe_text,
    "provider": _provider,
    "user": _maybe_text,
    "app_url": _header_text,
    "app_title": _header_text,
    "app_categories": _categories,
    "default_headers": _headers,
    "extra_body": _body,
    "timeout": _positive,
    "deadline": _maybe_positive,
    "max_retries": _count(0),
    "max_concurrency": _count(1),
    "max_batch_inputs": _maybe_count,
    "max_batch_tokens": _maybe_count,
    "limiter": _limiter,
    "long_input": _choice("error", "split"),
    "empty": _choice("error", "zeros"),
    "normalize": _flag,
    "pin_provider": _flag,
    "max_cost": _maybe_dollars,
    "proxy": _proxy,
    "ca_bundle": _ca_bundle,
    "session": _any,
    "on_progress": _callback,
}

CALL_OPTIONS: Final = frozenset(_CHECKS) - {
    "api_key", "base_url", "session", "proxy", "ca_bundle", "max_concurrency", "limiter",
    "max_cost", "default_headers", "app_url", "app_title", "app_categories",
}  # fmt: skip
"""Options that one call may override; the rest belong to the client's connections."""
