"""An aiohttp connection pool behind httpx's transport interface.

httpx's own pool costs 1.7 to 5 ms of CPU a request at 16 to 256 connections and loses slots for good when requests are
cancelled (encode/httpcore#1035, #1093). The published bridge between the two libraries reports a connection that broke
after the request was sent as one that was never made, and quotes URLs a second time; a migrator can afford neither.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator

import aiohttp
import anyio
import httpx
from yarl import URL

from bulkexim.http.broken import in_httpx_terms

#: Idle connections are given up before MLflow's server does (it closes them after 5 s).
KEEPALIVE_SECONDS = 3.0
CHUNK_BYTES = 256 * 1024
#: Seconds for connections to end in good order.
CLOSE_SECONDS = 5.0
#: The extension of a request that is to be sent over a connection of its own.
OWN_CONNECTION = "own connection"
#: Only Linux has it.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._response = response
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with in_httpx_terms(self._request):
            async for chunk in self._response.content.iter_chunked(CHUNK_BYTES):
                yield chunk

    async def aclose(self) -> None:
        self._response.close() if not self._response.content.is_eof() else self._response.release()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends httpx requests over aiohttp; the number of connections is bounded by the caller.

    A kept connection belongs to one process of a server for good. A request with the extension `OWN_CONNECTION` goes to
    whichever process takes a new one first, which is one that has nothing else to do. All go through ``proxy``, if one
    is given.
    """

    def __init__(self, *, tls: ssl.SSLContext | bool = True, proxy: httpx.URL | None = None) -> None:
        self._tls = tls
        self._proxy = proxy
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def _session(self, *, own: bool) -> aiohttp.ClientSession:
        if own not in self._sessions:
            keep = None if own else KEEPALIVE_SECONDS
            self._sessions[own] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=own, keepalive_timeout=keep, ssl=self._tls),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
                auto_decompress=False,
                read_bufsize=CHUNK_BYTES,
            )
        return self._sessions[own]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        body = request.stream if isinstance(request.stream, httpx.AsyncByteStream) else None
        with in_httpx_terms(request, self._proxy):
            response = await self._session(own=OWN_CONNECTION in request.extensions).request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=_content(request, body),
                allow_redirects=False,
                proxy=None if self._proxy is None else str(self._proxy),
                timeout=aiohttp.ClientTimeout(sock_connect=limits.get("connect"), sock_read=limits.get("read")),
            )
        acknowledge(response)
        headers, stream = _headers(response), _Body(response, request)
        return httpx.Response(response.status, headers=headers, stream=stream, request=request)

    async def aclose(self) -> None:
        """Close every connection, also when the work was cancelled; for one that will not end nobody waits long."""
        sessions, self._sessions = list(self._sessions.values()), {}
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            async with anyio.create_task_group() as tasks:
                for session in sessions:
                    tasks.start_soon(session.close)


def acknowledge(response: aiohttp.ClientResponse) -> None:
    """Tell a server at once that the head of its reply has come, if the body has not.

    ``mlflow server`` with several workers (its default) writes both apart on sockets without TCP_NODELAY, and holds the
    body back until the head is acknowledged; Linux lets that wait for 40 ms on a connection that was used before.
    """
    if _QUICKACK is None or response.connection is None or response.connection.transport is None:
        return
    connection = response.connection.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _headers(response: aiohttp.ClientResponse) -> httpx.Headers:
    """Return the headers of a reply, but not an address that is none: httpx would quote it, with the secrets in it."""
    headers = httpx.Headers(response.raw_headers)
    if "location" in response.headers:
        try:
            httpx.URL(headers["location"])
        except httpx.InvalidURL:
            del headers["location"]
    return headers


def _content(request: httpx.Request, stream: httpx.AsyncByteStream | None) -> bytes | httpx.AsyncByteStream | None:
    try:
        return request.content or None
    except httpx.RequestNotRead:
        # The stream itself, not an iterator of it: a second try of aiohttp's own must not send only the rest of it.
        return stream
