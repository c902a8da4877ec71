"""What it means that no reply came, as one of the errors of `bulkexim.errors`."""

from __future__ import annotations

import httpx

from bulkexim.errors import BadReply, BulkeximError, FatalError, Lost, NotSent, TimedOut
from bulkexim.http import advice
from bulkexim.http.address import address_flag
from bulkexim.http.broken import NotTls, ProxyRefuses, Untrusted

Broken = (httpx.TransportError, httpx.InvalidURL, httpx.DecodingError)


def meaning(error: Exception, what: str, seconds: float) -> BulkeximError:
    """Return what one of `Broken` means for the call ``what``, which was given ``seconds`` for a piece of the reply."""
    name = advice.server_of(what)
    match error:
        case Untrusted() | NotTls() | ProxyRefuses():
            return FatalError(f"{what}: {error}.", advice.connection(error, name))
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
            return NotSent(f"{what}: {error}.", remedy=advice.connection(error, name))
        case httpx.TimeoutException():
            return TimedOut(f"{what}: no reply within {seconds:g} s.")
        case httpx.UnsupportedProtocol() | httpx.InvalidURL():
            return FatalError(f"{what}: {error}", f"Give an http:// or https:// address with {address_flag(name)}.")
        case httpx.DecodingError():
            return BadReply(f"{what}: the reply cannot be unpacked ({error}).")
        case _:
            return Lost(f"{what}: the connection broke ({error}).")
