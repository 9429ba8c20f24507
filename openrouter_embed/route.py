"""The way to the server: proxy and certificates, worked out once and the same for both shells.

Rules of this file:
- A function of options and environment: nothing is sent, and neither HTTP library is loaded.
- An option wins over the environment. `.netrc` is never read; a proxy's password is never shown.
- A TLS context takes some 60 ms to make, so one is made per CA bundle and shared.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi

from openrouter_embed.errors import ConfigurationError
from openrouter_embed.options.checks import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openrouter_embed.options.settings import Settings

SCHEMES: Final = ("http", "https", "socks5", "socks5h")
"""Proxies that both libraries can use; with `socks5h` the proxy looks up the server's name."""
CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CA_FOLDERS: Final = "SSL_CERT_DIR"
"""Folders of certificates, beside or instead of a file; several as on a `PATH`."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests go; `host` is for messages, and `proxy` may hold credentials.

    `ca_bundle` names files or folders of certificates to trust, as on a `PATH`, or is `system`.
    """

    base_url: str
    host: str
    proxy: str | None = field(repr=False)
    ca_bundle: str

    @property
    def socks(self) -> bool:
        """Whether the proxy is one that connects, and knows nothing of HTTP."""
        return self.proxy is not None and self.proxy.lower().startswith("socks")

    def url(self, path: str, root: str | None = None) -> str:
        """Return the URL of a path below the base URL, or below another root of that server."""
        if root is None:
            return self.base_url + path
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}{root}{path}"

    def tls(self) -> ssl.SSLContext:
        """Return the shared TLS context.

        Raises:
            ConfigurationError: The file or folder holds no certificates that can be read.
        """
        try:
            return _context(self.ca_bundle)
        except OSError:
            message = f"No certificates can be read from {self.ca_bundle!r}: check `ca_bundle` and "
        names = ", ".join((*CA_VARIABLES, CA_FOLDERS))
        raise ConfigurationError(f"{message}the variables {names}.")


def find_route(
    settings: Settings, socks: str | None, environ: Mapping[str, str] = os.environ
) -> Route:
    """Work out the way to the server; `socks` is the module that a SOCKS proxy needs.

    Raises:
        ConfigurationError: The proxy is of another kind, or needs a module that is not there.
    """
    parts = urlsplit(settings.base_url)
    proxy, origin = settings.proxy, "`proxy`"
    if proxy is None:
        proxy, origin = _environment_proxy(parts.scheme, parts.netloc, environ)
    if proxy is not None and socks is not None:
        _check_proxy(urlsplit(proxy).scheme, origin, socks)
    bundle = settings.ca_bundle or _environment_bundle(environ) or certifi.where()
    return Route(settings.base_url, parts.netloc, proxy, bundle)


def _environment_bundle(environ: Mapping[str, str]) -> str:
    files = [path for name in CA_VARIABLES if (path := environ.get(name))]
    folders = environ.get(CA_FOLDERS)
    return os.pathsep.join([*files[:1], *([folders] if folders else [])])


def _check_proxy(scheme: str, origin: str, module: str) -> None:
    if scheme not in SCHEMES:
        kinds = ", ".join(SCHEMES)
        raise ConfigurationError(
            f"{origin} names a proxy that cannot be used: give one of {kinds}."
        )
    if scheme.startswith("socks") and importlib.util.find_spec(module) is None:
        message = f"{origin} names a SOCKS proxy, which needs an extra that is not installed: "
        raise ConfigurationError(message + 'pip install "openrouter-embed[socks]".')


def _environment_proxy(
    scheme: str, host: str, environ: Mapping[str, str]
) -> tuple[str | None, str]:
    """Return the proxy that the environment names, and the variable that does."""
    proxies = getproxies_environment()
    kind = scheme if proxies.get(scheme) else "all"
    found = proxies.get(kind)
    if not found or proxy_bypass(host):
        return None, ""
    names = (name for name in environ if name.lower() == f"{kind}_proxy" and environ[name] == found)
    variable = f"The variable {next(names, f'{kind.upper()}_PROXY')}"
    return (found if "://" in found else f"http://{found}"), variable


@functools.lru_cache(maxsize=8)
def _context(ca_bundle: str) -> ssl.SSLContext:
    if ca_bundle == SYSTEM:
        import truststore  # noqa: PLC0415 - an extra, and needed by few

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    first, *others = map(_place, _places(ca_bundle))
    context = ssl.create_default_context(**first)
    for place in others:
        context.load_verify_locations(**place)
    return context


def _place(path: str) -> dict[str, Any]:
    folder = os.path.isdir(path)  # noqa: PTH112 - a string is what both libraries want
    return {"capath" if folder else "cafile": path}


def _places(ca_bundle: str) -> list[str]:
    if os.path.exists(ca_bundle):  # noqa: PTH110 - as above; its name may hold the separator
        return [ca_bundle]
    return [place for place in ca_bundle.split(os.pathsep) if place]
