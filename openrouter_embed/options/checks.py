"""The checks: one for each kind of option, named in the option's row of the table.

Rules of this file:
- A check takes an option's name and value, and returns the value as it is kept, or refuses it.
- A message names the option and what it may be, never the value: an option may be a secret.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, urlsplit

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.key import read_key
from openrouter_embed.options.misplaced import where_it_belongs
from openrouter_embed.options.plain import plain, plain_tree
from openrouter_embed.options.provider import ProviderPreferences

if TYPE_CHECKING:
    from typing import TypeGuard

DEFAULT_BASE_URL: Final = "https://openrouter.ai/api/v1"
BASE_URL_VARIABLE: Final = "OPENROUTER_API_BASE"
OTHER_BASE_URL_VARIABLE: Final = "OPENROUTER_BASE_URL"
"""What people set by analogy with `OPENAI_BASE_URL`."""
SYSTEM: Final = "system"
"""The word for the certificates that the operating system trusts."""
AUTO: Final = "auto"
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "127.0.0.2", "::1"})
_RESERVED_HEADERS: Final = frozenset(
    {"authorization", "host", "content-length", "transfer-encoding", "connection", "cookie",
     "proxy-authorization", "accept-encoding", "content-type"}
)  # fmt: skip


def encodable(text: str) -> bool:
    """Whether a text can be sent: half of a surrogate pair cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_model(name: str, value: object) -> str:
    """Check a model's id, which a key may have been mistaken for."""
    text = check_text(name, value)
    if text.lower().startswith(("sk-", "bearer ")):
        raise ConfigurationError(
            f"`{name}` holds what looks like an API key: pass a model's id, and the key as "
            "`api_key=`."
        )
    return text


def check_text(name: str, value: object) -> str:
    """Check a text with something in it; white space around it is dropped."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"`{name}` must be a string with something in it.")
    return _sendable(name, str.__str__(value.strip()))


def _sendable(name: str, text: str) -> str:
    if not encodable(text):
        raise ConfigurationError(f"`{name}` holds half of a surrogate pair: no valid text.")
    return text


def check_maybe_text(name: str, value: object) -> str | None:
    """Check a text, or `None`."""
    return None if value is None else check_text(name, value)


def check_prefix(name: str, value: object) -> str | None:
    """Check a prefix: any string, or `None`."""
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"`{name}` must be a string, `None` for none, or 'auto'.")
    return None if value is None else _sendable(name, value)


def check_header_text(name: str, value: object) -> str | None:
    """Check a text that goes into a header, or `None`."""
    if value is None:
        return None
    text = check_text(name, value)
    _refuse_control(name, text)
    return text


def _refuse_control(name: str, text: str) -> None:
    if not all(32 <= ord(c) <= 126 or 160 <= ord(c) <= 255 for c in text):
        raise ConfigurationError(
            f"`{name}` goes into a header and may hold no control character and nothing outside "
            "Latin-1."
        )


_ROOT: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def check_root(name: str, value: object) -> str | None:
    """Check a path on the server of `base_url`, or `None`."""
    if value is None:
        return None
    path = check_text(name, value).rstrip("/")
    if _ROOT.fullmatch(path) is None or "/../" in f"{path}/":
        raise ConfigurationError(
            f"`{name}` must be a path on the server of `base_url`, such as '/api/beta'."
        )
    return path


def check_categories(name: str, value: object) -> tuple[str, ...]:
    """Check a list of names that goes into a header."""
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigurationError(f"`{name}` takes a list of category names.")
    names = tuple(check_text(name, item) for item in cast(Sequence[object], value))
    for item in names:
        _refuse_control(name, item)
    return names


def check_headers(name: str, value: object) -> dict[str, str]:
    """Check headers: names and values that HTTP allows, and that are not ours to send."""
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


def check_body(name: str, value: object) -> dict[str, Any]:
    """Check fields for the request body: what JSON can carry, and has no option of its own."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` takes a mapping.")
    whole = cast("Mapping[object, object]", plain_tree(cast("Mapping[object, object]", value)))
    table = {str(key): content for key, content in whole.items()}
    for key, content in table.items():
        misplaced = where_it_belongs(name, key, content)
        if misplaced:
            raise ConfigurationError(f"`{name}` holds {key!r}: {misplaced}. Nothing was sent.")
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


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


LONGEST_SESSION_ID: Final = 256
ROUTER_CACHE_SECONDS: Final = range(1, 86_401)


def check_session_id(name: str, value: object) -> str | None:
    """Check a name for a session: a text that is not too long for the API, or `None`."""
    text = check_maybe_text(name, value)
    if text is not None and len(text) > LONGEST_SESSION_ID:
        raise ConfigurationError(f"`{name}` may have {LONGEST_SESSION_ID} characters at most.")
    return text


def check_trace(name: str, value: object) -> dict[str, Any]:
    """Check what is told to observability tools: a mapping that JSON can carry."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"`{name}` takes a mapping.")
    table = {str(k): v for k, v in cast(Mapping[object, object], value).items()}
    if not _is_json(table):
        raise ConfigurationError(f"`{name}` holds something that JSON cannot carry.")
    return copy.deepcopy(table)


def check_normalize(name: str, value: object) -> bool | str:
    """Check a truth value, or the word that leaves it to the model's vectors."""
    if isinstance(value, str) and value == AUTO:
        return AUTO
    flag = plain(value)
    if not isinstance(flag, bool):
        raise ConfigurationError(f"`{name}` must be True, False or {AUTO!r}.")
    return flag


def check_router_cache(name: str, value: object) -> bool | float:
    """Check a truth value, or a number of seconds that the API takes."""
    wish, last = plain(value), ROUTER_CACHE_SECONDS[-1]
    if not isinstance(wish, bool) and not (_is_number(wish) and 1 <= wish <= last):
        raise ConfigurationError(f"`{name}` must be True, False or 1 to {last:,} seconds.")
    return wish


def check_seconds(name: str, value: object) -> float:
    """Check a number of seconds above 0."""
    seconds = plain(value)
    if not _is_number(seconds) or not 0 < seconds < 1e9:
        raise ConfigurationError(f"`{name}` must be a number of seconds above 0.")
    return float(seconds)


def check_maybe_seconds(name: str, value: object) -> float | None:
    """Check a number of seconds, or `None`."""
    return None if value is None else check_seconds(name, value)


def check_maybe_dollars(name: str, value: object) -> float | None:
    """Check a number of USD from 0 up, or `None`."""
    if value is None:
        return None
    dollars = plain(value)
    if not _is_number(dollars) or not 0 <= dollars < 1e9:
        raise ConfigurationError(f"`{name}` must be a number of USD from 0 up.")
    return float(dollars)


def check_count(lowest: int) -> Callable[[str, object], int]:
    """Make the check of a whole number from `lowest` up."""

    def check(name: str, value: object) -> int:
        number = plain(value)
        if not isinstance(number, int) or isinstance(number, bool) or number < lowest:
            raise ConfigurationError(f"`{name}` must be a whole number of at least {lowest}.")
        return number

    return check


def check_maybe_count(name: str, value: object) -> int | None:
    """Check a whole number from 1 up, or `None`."""
    return None if value is None else check_count(1)(name, value)


def check_choice(*allowed: str) -> Callable[[str, object], str]:
    """Make the check of one of a few words."""

    def check(name: str, value: object) -> str:
        if value not in allowed:
            raise ConfigurationError(f"`{name}` must be one of {', '.join(map(repr, allowed))}.")
        return str(value)

    return check


def check_flag(name: str, value: object) -> bool:
    """Check a truth value."""
    flag = plain(value)
    if not isinstance(flag, bool):
        raise ConfigurationError(f"`{name}` must be True or False.")
    return flag


_WORDS: Final = {"true": True, "1": True, "on": True, "yes": True,
                 "false": False, "0": False, "off": False, "no": False}  # fmt: skip


def check_switch(name: str, value: object) -> bool:
    """Check a truth value, or a word for one: the environment has no other."""
    flag = _WORDS.get(value.strip().lower(), value) if isinstance(value, str) else value
    if isinstance(flag, str):
        raise ConfigurationError(f"`{name}` must be True or False; in the environment, in letters.")
    return check_flag(name, flag)


def check_base_url(name: str, value: object) -> str:
    """Check where to send: an http(s) URL without credentials, query or fragment."""
    url = DEFAULT_BASE_URL if value is None else check_text(name, value).rstrip("/")
    parts = _split(url)
    host = parts.hostname
    if not host or parts.scheme not in ("http", "https") or not _plain_url(url):
        raise ConfigurationError(f"`{name}` must be an http(s) URL such as {DEFAULT_BASE_URL}.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"`{name}` may not carry credentials: pass `api_key=`.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ConfigurationError(f"`{name}` may not have a query or a fragment.")
    tail = next((tail for tail in _PATHS if parts.path.endswith(tail)), None)
    if tail is not None:
        raise ConfigurationError(
            f"`{name}` must end before `{tail}`, for example at `/v1`: the path is added here."
        )
    if _OURS.fullmatch(host) and not parts.path.startswith("/api/v"):
        raise ConfigurationError(f"`{name}` needs OpenRouter's path: {DEFAULT_BASE_URL}.")
    if parts.scheme == "http" and host not in LOOPBACK:
        warnings.warn(
            f"`{name}` is plain http: the key and every text travel unencrypted.", stacklevel=2
        )
    return url


_PATHS: Final = ("/embeddings", "/chat/completions")
_OURS: Final = re.compile(r"([a-z]+\.)?openrouter\.ai")


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


def check_cache(name: str, value: Any) -> object:
    """Check a path, which is kept as an absolute one, a store, or `None`."""
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        from openrouter_embed.cache.sqlite import check_path  # noqa: PLC0415 - few need it

        return check_path(cast(object, value), name)
    methods = [getattr(value, method, None) for method in ("get", "put")]
    if isinstance(value, (type, Mapping)) or not all(map(callable, methods)) or not _takes(value):
        raise ConfigurationError(
            f"`{name}` must be the path of a file, an `SQLiteCache`, or a store with `get(keys)` "
            "and `put(keys, vectors, host=, replace=)`. LangChain's stores go into "
            "`CacheBackedEmbeddings`, LlamaIndex's into `embeddings_cache`."
        )
    store: object = value
    return store


def _takes(store: Any) -> bool:
    """Whether a store's `put` can be called as ours is: one of a framework cannot."""
    try:
        inspect.signature(store.put).bind([], [], host="", replace=False)
    except TypeError:
        return False
    except ValueError:  # it does not tell
        return True
    return True


def check_proxy(name: str, value: object) -> str | None:
    """Check the URL of a proxy, or `None`."""
    if value is None:
        return None
    url = check_text(name, value)
    parts = _split(url)
    kinds = ("http", "https", "socks5", "socks5h")
    if parts.scheme not in kinds or not parts.hostname or not _plain_url(url):
        raise ConfigurationError(f"`{name}` must be the URL of an http(s) or socks5(h) proxy.")
    return url


def check_ca_bundle(name: str, value: object) -> str | None:
    """Check the path of a file or folder that exists, the word `system`, or `None`."""
    if value is None:
        return None
    if value == SYSTEM:
        if importlib.util.find_spec("truststore") is None:
            raise ConfigurationError(
                f"`{name}='system'` needs a library: pip install 'openrouter-embed[system-ca]'."
            )
        return SYSTEM
    path = str(cast(object, value)) if isinstance(value, (str, os.PathLike)) else ""
    if not path or "\0" in path or not os.path.exists(path):  # noqa: PTH110 - both want a string
        raise ConfigurationError(f"`{name}` names no file or folder.")
    return path


def check_limiter(name: str, value: object) -> object:
    """Check that a limiter can be asked on both sides, or `None`."""
    if value is not None and not (hasattr(value, "acquire") and hasattr(value, "aacquire")):
        raise ConfigurationError(f"`{name}` must have `acquire(tokens)` and `aacquire(tokens)`.")
    return value


def check_pacer(name: str, value: object) -> object:
    """Check that it is a pacer, or `None`."""
    if value is None:
        return None
    from openrouter_embed.pacer import Pacer  # noqa: PLC0415 - few bring one

    if not isinstance(value, Pacer):
        raise ConfigurationError(f"`{name}` must be an `openrouter_embed.Pacer`.")
    return value


def check_anything(_: str, value: object) -> object:
    """Take what only its user can judge."""
    return value


def check_callback(name: str, value: object) -> object:
    """Check what is to be called, or `None`."""
    if value is not None and not callable(value):
        raise ConfigurationError(f"`{name}` must be callable.")
    return value


def check_api_key(_: str, value: object) -> object:
    """Check a key and wrap it; a callable stays as it is."""
    return None if value is None else read_key(value, {})


def check_provider(_: str, value: Any) -> ProviderPreferences:
    """Check provider preferences; a mapping becomes the object."""
    return ProviderPreferences.of(value)
