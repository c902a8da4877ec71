"""The client of one server: limited, patient, typed."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlencode

import anyio
import httpx
import msgspec
from anyio.lowlevel import checkpoint_if_cancelled

from bulkexim.errors import (
    BadReply,
    BadValue,
    CallError,
    Lost,
    Refused,
    ReplyTooLarge,
    ServerFault,
    TemporaryTrouble,
    Throttled,
    TimedOut,
)
from bulkexim.http import advice
from bulkexim.http.limiter import Limiter
from bulkexim.http.no_reply import Broken, meaning
from bulkexim.http.outage import Watch, Watched, nobody
from bulkexim.http.replies import plain, raise_for_gateway, raise_for_reply
from bulkexim.http.retry import Divisible, Patience, Repeat, Traffic, Tries
from bulkexim.http.transport import OWN_CONNECTION

T = TypeVar("T")
Params = Mapping[str, str | int] | Sequence[tuple[str, str | int]]

#: Characters of an address that a sentence repeats.
SHOWN = 200
#: The headers of a body that is a file.
OCTETS: Mapping[str, str] = MappingProxyType({"content-type": "application/octet-stream"})
#: Bytes a second below which an upload counts as stuck.
SLOWEST = 50_000
#: Seconds that any upload may take, its size apart.
UPLOAD_SECONDS = 120.0
#: A server, or the proxy before it, that says this has too much to do or is not there.
OVERLOADED = (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
#: A text of JSON, or a word that Python writes for a number which JSON does not have. A text that does not end is taken
#: to the end, and nothing is tried twice: a reply may be large and hostile.
_BARE_WORD = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|(NaN|-?Infinity)', re.DOTALL)


@dataclass(slots=True)
class Client:
    """Calls to one server. ``name`` stands for the server in sentences: "source" or "destination".

    ``watch`` is told when the server does not answer any more, and when it answers again.
    Paths that do not begin with ``api`` are for web pages: a gateway may keep them from us, and let the API through.
    """

    name: str
    http: httpx.AsyncClient
    limiter: Limiter
    patience: Patience = field(default_factory=Patience)
    traffic: Traffic = field(default_factory=Traffic)
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    clock: Callable[[], float] = time.monotonic
    api: str = ""
    watch: Watch = nobody
    watched: Watched = field(init=False, repr=False)
    _base: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._base = str(self.http.base_url).rstrip("/") + "/"
        self.watched = Watched(self.name, self.watch, self.clock)

    async def call(
        self,
        method: str,
        path: str,
        reply: type[T],
        *,
        params: Params | None = None,
        body: Any = None,
        repeat: Repeat = Repeat.SAFE,
        check: Callable[[T, int], None] | None = None,
        heavy: bool = False,
        divisible: Divisible | None = None,
        creates: bool = False,
    ) -> T:
        """Send a JSON call and return its reply as a ``reply``.

        ``check`` gets it with its size in bytes, and may raise that it makes no sense. A ``heavy`` call keeps a process
        of the server busy for long: it goes to one that has nothing else to do. Of a call that ``creates`` something,
        each request that has left is waited for, even when the task is cancelled; between two tries it is cancelled.

        :raises Unsure: a call that may be sent only ``ONCE`` had no certain outcome
        :raises CallError: the server declined, or kept failing
        :raises ReplyTooLarge: a ``divisible`` call brings more than it allows
        :raises TemporaryTrouble: the server could not be reached for as long as the patience lasts
        """
        what = self._named(method, path)

        async def send() -> T:
            async with self.limiter.slot():
                # Encoded when its turn has come: hundreds of calls may wait for theirs, a thousand points in each.
                content = None if body is None else msgspec.json.encode(body)
                headers = {} if content is None else {"content-type": "application/json"}
                request = self._request(method, path, params, content, headers)
                if heavy:
                    request.extensions[OWN_CONNECTION] = True
                most = divisible.reply if divisible else None
                if creates:
                    await checkpoint_if_cancelled()
                with anyio.CancelScope(shield=True) if creates else nullcontext():
                    response = await self._send(request, self._named(method, request.url.path), path, most=most)
            decoded = _decoded(response, reply, what)
            if check is not None:
                check(decoded, len(response.content))
            return decoded

        return await self.insist(send, what, repeat, divisible)

    @asynccontextmanager
    async def download(
        self,
        path: str,
        params: Params | None = None,
        *,
        attached: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the body of a GET reply; one try only, for the caller knows from where to begin again.

        ``attached`` says that the server sends files as attachments: a gateway's page, of whatever size, is none.

        :raises CallError: the server declined, the connection broke, or what comes is no file
        """
        what = self._named("GET", path)
        # What is stored is wanted byte for byte, not as a proxy would pack it.
        request = self._request("GET", path, params, None, {**headers, "accept-encoding": "identity"})
        async with self.limiter.slot():
            response = await self._send(request, what, path, stream=True)
            try:
                if attached:
                    _insist_on_attachment(response, what)
                yield self._counted(response, what)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    async def _counted(self, response: httpx.Response, what: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.aiter_raw():
                self.traffic.received += len(chunk)
                yield chunk
        except httpx.TransportError as error:
            raise Lost(f"{what}: the reply broke off ({error}).") from error

    async def upload(
        self,
        method: str,
        path: str,
        content: bytes | AsyncIterator[bytes],
        length: int,
        headers: Mapping[str, str] = OCTETS,
    ) -> httpx.Headers:
        """Send ``length`` bytes as the body of one request, one try only, and return the headers of the reply.

        :raises CallError: the server declined or the connection broke
        """
        request = self._request(method, path, None, content, {**headers, "content-length": str(length)})
        what = self._named(method, path)
        async with self.limiter.slot():
            sent = self.clock()
            with anyio.move_on_after(UPLOAD_SECONDS + length / SLOWEST) as deadline:
                response = await self._send(request, what, path)
                if response.content:
                    _decoded(response, dict[str, Any], what)  # A gateway's page would pass for a file that was stored.
        if deadline.cancelled_caught:
            lost = Lost(f"{what}: the server did not take {length:,} bytes in time.")
            self.watched.failed(lost, sent, self.patience.seconds)
            raise lost
        self.traffic.sent += length
        return response.headers

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        content: bytes | AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        try:
            return self.http.build_request(method, self._address(path, params), content=content, headers=headers)
        except httpx.InvalidURL as error:
            shown = self._named(method, path[:SHOWN])
            raise Refused(f"{shown}: a name in it fits in no address ({error}).", cause="unsafe name") from error

    def _address(self, path: str, params: Params | None) -> str:
        """Return the whole address: httpx would take every part of it to pieces anew."""
        return f"{self._base}{path}?{urlencode(params)}" if params else f"{self._base}{path}"

    async def text(self, path: str) -> str:
        """Return what a route says that answers with plain text.

        :raises CallError: the server declined, or kept failing
        :raises TemporaryTrouble: see `call`
        """
        what = self._named("GET", path)

        async def send() -> str:
            async with self.limiter.slot():
                response = await self._send(self._request("GET", path, None, None, {}), what, path)
            return response.text.strip()

        return await self.insist(send, what)

    async def _send(
        self, request: httpx.Request, what: str, path: str, *, stream: bool = False, most: int | None = None
    ) -> httpx.Response:
        self.traffic.requests += 1
        sent = self.clock()
        try:
            response = await self._exchange(request, what, path, stream=stream, most=most)
        except CallError as error:
            self.watched.failed(error, sent, self.patience.seconds)
            raise
        self.watched.answered()
        return response

    async def _exchange(
        self, request: httpx.Request, what: str, path: str, *, stream: bool, most: int | None
    ) -> httpx.Response:
        try:
            response = await self.http.send(request, stream=True)
            try:
                if not stream or not response.is_success:
                    content = await _read(response, most, what)
                    # The stream of httpx refers back to its response, so both would stay until Python collects cycles.
                    response.stream = httpx.ByteStream(content)
                if not path.startswith(self.api):
                    raise_for_gateway(response, what)
                raise_for_reply(response, what)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
                raise
        except Broken as error:
            if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
                self.limiter.pushed_back()
            raise meaning(error, what, self.patience.reply) from error
        except (Throttled, ServerFault, TimedOut) as error:
            self._note_push(error)
            raise
        self.limiter.succeeded()
        return response

    def _note_push(self, error: Throttled | ServerFault | TimedOut) -> None:
        if isinstance(error, Throttled):
            if (error.retry_after or 0.0) > self.patience.seconds:
                raise TemporaryTrouble(
                    f"The {self.name} asks to be left alone for {error.retry_after:.0f} s.",
                    "Run the same command again then.",
                ) from error
            self.limiter.pushed_back(error.retry_after)
        elif error.status in OVERLOADED:
            self.limiter.pushed_back()

    async def insist(
        self,
        send: Callable[[], Awaitable[T]],
        what: str,
        repeat: Repeat = Repeat.SAFE,
        divisible: Divisible | None = None,
    ) -> T:
        """Run ``send`` until it succeeds, as long as its errors are worth it and the patience lasts.

        :raises Unsure: see `call`
        :raises TemporaryTrouble: see `call`
        """
        began = self.clock()
        try:
            return await send()
        except CallError as error:
            first = error
        # Only a call that failed meets tenacity, which costs as much as a tenth of a small request.
        tries = Tries(self.name, what, repeat, self.patience, self.traffic, self.sleep, self.clock, divisible)
        return await tries.after(first, began, send)

    def _named(self, method: str, path: str) -> str:
        # A query may hold the right to a file.
        return f"{self.name} {method} {path.partition('?')[0]}"

    async def aclose(self) -> None:
        """Close every connection."""
        await self.http.aclose()


def _insist_on_attachment(response: httpx.Response, what: str) -> None:
    if not response.headers.get("content-disposition", "").startswith("attachment"):
        kind = plain(response)(response.headers.get("content-type", "no content type"))[:SHOWN]
        problem = f"{what}: the reply is not a file as MLflow sends it ({kind}, no attachment)."
        raise BadReply(problem, remedy=advice.instead(what, kind))


async def _read(response: httpx.Response, most: int | None, what: str) -> bytes:
    """Return the body of a reply, as it is when it is unpacked.

    :raises ReplyTooLarge: it has more than ``most`` bytes
    """
    if most is None or not response.is_success:
        return await response.aread()
    packed = "content-encoding" in response.headers
    told = response.headers.get("content-length", "")
    if told.isdecimal() and not packed:
        if int(told) <= most:
            return await response.aread()
        raise ReplyTooLarge(f"{what}: a reply of {int(told):,} bytes is more than is read at once.", int(told))
    pieces, size = list[bytes](), 0
    async for piece in response.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise ReplyTooLarge(f"{what}: a reply of more than {most:,} bytes is not read at once.", None)
    response._content = b"".join(pieces)  # noqa: SLF001 - as its own aread does
    return response.content


def _decoded(response: httpx.Response, reply: type[T], what: str) -> T:
    try:
        return _json(response.content, reply)
    except msgspec.ValidationError as error:
        raise BadValue(f"{what}: the reply is not what MLflow sends ({error}).") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = plain(response)(response.headers.get("content-type", "no content type"))[:SHOWN]
        problem = f"{what}: the reply is not what MLflow sends ({kind}; {error})."
        raise BadReply(problem, remedy=advice.instead(what, kind)) from error


def _json(content: bytes, reply: type[T]) -> T:
    """Decode JSON, and what MLflow's routes for its own pages send for it: Python's, with NaN as a bare word."""
    try:
        return msgspec.json.decode(content, type=reply)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        return msgspec.json.decode(_BARE_WORD.sub(_as_text, content), type=reply)


def _as_text(found: re.Match[bytes]) -> bytes:
    return b'"%s"' % found[1] if found[1] else found[0]
