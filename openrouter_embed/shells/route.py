"""The way to the server: proxy and certificates, worked out once and the same for both shells.

Rules of this file:
- An option wins over the environment. `.netrc` is never read; a proxy's password is never shown.
- A TLS context takes some 60 ms to make, so one is made per CA bundle and shared.
"""

from __future__ import annotations

import functools
import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi

from openrouter_embed.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openrouter_embed.options.settings import Settings

CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Route:
    """Where requests go.

    Attributes:
        base_url: The API's root, without a slash at its end.
        host: Host and port, for messages.
        proxy: The proxy's URL, credentials included; `None` for a direct connection.
        ca_bundle: File or folder of certificates to trust.
    """

    base_url: str
    host: str
    proxy: str | None = field(repr=False)
    ca_bundle: str

    def tls(self) -> ssl.SSLContext:
        """Return the shared TLS context.

        Raises:
            ConfigurationError: The file or folder holds no certificates that can be read.
        """
        try:
            return _context(self.ca_bundle)
        except OSError:
            message = f"No certificates can be read from {self.ca_bundle!r}: check `ca_bundle` and "
        raise ConfigurationError(message + f"the variables {', '.join(CA_VARIABLES)}.")


def find_route(settings: Settings, environ: Mapping[str, str] = os.environ) -> Route:
    """Work out the way to the server."""
    parts = urlsplit(settings.base_url)
    proxy = settings.proxy or _environment_proxy(parts.scheme, parts.netloc)
    named = (environ.get(name) for name in CA_VARIABLES)
    bundle = settings.ca_bundle or next((path for path in named if path), certifi.where())
    return Route(settings.base_url, parts.netloc, proxy, bundle)


def _environment_proxy(scheme: str, host: str) -> str | None:
    proxies = getproxies_environment()
    found = proxies.get(scheme) or proxies.get("all")
    if not found or proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"


@functools.lru_cache(maxsize=8)
def _context(ca_bundle: str) -> ssl.SSLContext:
    folder = os.path.isdir(ca_bundle)  # noqa: PTH112 - a string is what both libraries want
    if folder:
        return ssl.create_default_context(capath=ca_bundle)
    return ssl.create_default_context(cafile=ca_bundle)
