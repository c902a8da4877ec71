"""Connections that were not made or that broke, in httpx's terms; each says in half a sentence what is wrong."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import httpx

from bulkexim.http import auth
from bulkexim.masking import masking


class Untrusted(httpx.ConnectError):
    """The server's certificate is not one that we trust."""


class NotTls(httpx.ConnectError):
    """What listens there does not speak TLS."""


class NothingListens(httpx.ConnectError):
    """Nothing listens at that port."""


class UnknownHost(httpx.ConnectError):
    """There is no host of that name."""


class ProxyGone(httpx.ConnectError):
    """The proxy before the server cannot be reached."""


class ProxyRefuses(httpx.ConnectError):
    """The proxy before the server wants a login, or does not let us through."""


# The first match wins, so subclasses stand before their bases.
_MEANINGS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientPayloadError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (TimeoutError, httpx.ReadTimeout),
    (OSError, httpx.ReadError),
)
#: What OpenSSL says of a reply that is no TLS.
_NO_TLS = {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_PROXY_SAYS_NO = {403, 405, 407}


@contextmanager
def in_httpx_terms(request: httpx.Request, proxy: httpx.URL | None = None) -> Iterator[None]:
    """Raise what goes wrong in the block as httpx would; no sentence holds a secret of ``request`` or ``proxy``."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        mask = masking(auth.secrets(request.headers))
        told = _not_connected(error, request.url, proxy) or _broken(error)
        raise type(told)(mask(str(told))) from error


def _not_connected(error: Exception, url: httpx.URL, proxy: httpx.URL | None) -> httpx.TransportError | None:
    """Return the error for a connection that was not made, with what is wrong; ``None`` for any other trouble."""
    there = _where(url)
    if isinstance(error, aiohttp.ClientHttpProxyError) and proxy is not None:
        kind = ProxyRefuses if error.status in _PROXY_SAYS_NO else httpx.ConnectError
        return kind(f"the proxy {_where(proxy)} does not let us through to {there} (HTTP {error.status})")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx.ConnectTimeout(f"{there} does not take the connection")
    if not isinstance(error, aiohttp.ClientConnectorError):
        return None
    if proxy is not None and (error.host, error.port) == (proxy.host, _port(proxy)):
        return ProxyGone(f"the proxy {_where(proxy)} cannot be reached ({_reason(error)})")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        known = error.os_error.errno not in _NO_SUCH_NAME
        return (
            httpx.ConnectError(f"no address was found for {url.host!r} ({_reason(error)})")
            if known
            else UnknownHost(f"there is no host {url.host!r} ({_reason(error)})")
        )
    if isinstance(error, aiohttp.ClientSSLError):
        if getattr(error.os_error, "reason", "") in _NO_TLS:
            return NotTls(f"what listens at {there} does not speak TLS")
        return Untrusted(f"no trust between the server and us ({_reason(error)})")
    if isinstance(error.os_error, ConnectionRefusedError):
        return NothingListens(f"nothing listens at {there}")
    return httpx.ConnectError(f"{there} cannot be reached ({_reason(error)})")


def _broken(error: Exception) -> httpx.TransportError:
    kind = next(ours for theirs, ours in _MEANINGS if isinstance(error, theirs))
    # What an error says, but not the bytes below it: they are the server's, and may be what we sent to it.
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return kind(text.partition("\n")[0].rstrip(": ") or type(error).__name__)


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Return what the system says, without the address that it repeats."""
    below = error.os_error
    if isinstance(below, ssl.SSLError):
        said = getattr(below, "verify_message", "") or below.reason
    else:
        said = os.strerror(below.errno) if below.errno and below.errno > 0 else below.strerror
    return str(said or type(below).__name__).rstrip(".")


def _where(url: httpx.URL) -> str:
    return f"{url.host}:{_port(url)}"


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
