"""A proxy on loopback before one MLflow server: reads each request, asks the rule, and does what it says."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from bulkexim.tasks import together
from tests.support.faults.rules import KILLS, Fault, Faults
from tests.support.faults.wire import Headers, Reply, Upstream, Wire

DRIPS = 25
HTML = [(b"content-type", b"text/html; charset=utf-8")]
ERRORS = {Fault.ERROR_500: 500, Fault.ERROR_502: 502, Fault.ERROR_503: 503, Fault.ERROR_504: 504}
#: What a connection that breaks raises, on either side.
BROKEN = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, h11.ProtocolError, OSError)


class HangUp(Exception):
    """The proxy closes the connection of its client."""


class Held(NamedTuple):
    """A request that is forwarded later: when its end has been asked so often."""

    due: int
    request: h11.Request
    body: bytes


@dataclass
class Proxy:
    """Stands before one server; made by ``proxied``."""

    end: str
    server: str
    faults: Faults
    tasks: TaskGroup
    port: int = 0
    extra: Headers = field(default_factory=list)
    """Headers that are added to every request."""
    _held: list[Held] = field(default_factory=list)
    _asked: int = 0
    _busy: int = 0
    _idle: anyio.Event = field(default_factory=anyio.Event)
    knocks: int = 0
    """Connections that were tried while the proxy was away."""
    _away: bool = False
    _knocked: anyio.Event = field(default_factory=anyio.Event)

    @property
    def url(self) -> str:
        """Where the proxy answers."""
        return f"http://127.0.0.1:{self.port}"

    async def idle(self) -> None:
        """Waits until no request is under way."""
        while self._busy:
            await self._idle.wait()

    async def release(self) -> None:
        """Forwards what is still held back."""
        held, self._held = self._held, []
        for one in held:
            await self._forward_late(one.request, one.body)

    async def stay_away(self, seconds: float, knocks: int) -> float:
        """Closes every connection for so many seconds and tries at least; returns how long it was."""
        began = anyio.current_time()
        self._away = True
        while anyio.current_time() - began < seconds or self.knocks < knocks:
            await self._knocked.wait()
        self._away = False
        return anyio.current_time() - began

    def _turns_away(self) -> bool:
        if self._away:
            self.knocks += 1
            self._knocked.set()
            self._knocked = anyio.Event()
        return self._away

    async def serve(self, stream: SocketStream) -> None:
        """Answers one connection until either side closes it."""
        client = Wire(stream, h11.Connection(h11.SERVER))
        server = self._upstream()
        async with stream:
            try:
                while isinstance(request := await client.event(), h11.Request) and not self._turns_away():
                    await self._counted(request, client, server)
                    if not client.again():
                        break
            except HangUp:
                client.reset_when_closed()
            except BROKEN:
                pass
            finally:
                with anyio.CancelScope(shield=True):
                    await server.aclose()

    def _upstream(self) -> Upstream:
        address = urlsplit(self.server)
        return Upstream(address.hostname or "", address.port or 80, self.extra)

    async def _counted(self, request: h11.Request, client: Wire, server: Upstream) -> None:
        self._busy += 1
        try:
            await self._handle(request, client, server)
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()
                self._idle = anyio.Event()

    async def _handle(self, request: h11.Request, client: Wire, server: Upstream) -> None:
        fault = self.faults.ask(self.end, request.method.decode(), urlsplit(request.target.decode()).path).fault
        self._asked += 1
        self._send_due()
        if fault is Fault.PASS:
            await self._pass(request, client, server)
            return
        body = await client.rest()
        if fault in (Fault.BUSY_SECONDS, Fault.BUSY_DATE, Fault.PAGE) or fault in ERRORS:
            await client.reply(self._canned(fault))
        elif fault in (Fault.RESET_BEFORE, Fault.KILL_BEFORE):
            await self._hang_up(fault)
        elif fault is Fault.LATE:
            self._held.append(Held(self._asked + self.faults.late_by, request, body))
            raise HangUp
        elif fault is Fault.SILENT:
            await self._wait_for_end(client)
            await self._forward_late(request, body)
            raise HangUp
        else:
            await self._spoil(fault, request, body, await server.whole(request, body), client)

    async def _pass(self, request: h11.Request, client: Wire, server: Upstream) -> None:
        """Streams a request and its reply."""
        wire = await server.begin(request)
        async for piece in client.body():
            await wire.send(h11.Data(data=piece))
        await wire.send(h11.EndOfMessage())
        head = await server.head(wire)
        await client.send(h11.Response(status_code=head.status_code, headers=head.headers))
        async for piece in wire.body():
            await client.send(h11.Data(data=piece))
        await client.send(h11.EndOfMessage())

    async def _spoil(self, fault: Fault, request: h11.Request, body: bytes, reply: Reply, client: Wire) -> None:
        """Sends what is left of the server's reply."""
        if fault is Fault.DRIP:
            await client.reply(reply, pieces=DRIPS)
        elif fault is Fault.TOKEN:
            await client.reply(_with_repeated_token(request, body, reply))
        else:
            if fault in (Fault.CUT, Fault.KILL_MIDDLE):
                await client.begin(reply, 0.5)
            await self._hang_up(fault)

    async def _hang_up(self, fault: Fault) -> None:
        if fault in KILLS:
            await self.faults.kill()
        raise HangUp

    async def _wait_for_end(self, client: Wire) -> None:
        while True:
            try:
                await client.stream.receive()
            except BROKEN:
                return

    def _send_due(self) -> None:
        due = [one for one in self._held if one.due <= self._asked]
        self._held = [one for one in self._held if one.due > self._asked]
        for one in due:
            self.tasks.start_soon(self._forward_late, one.request, one.body)

    async def _forward_late(self, request: h11.Request, body: bytes) -> None:
        server = self._upstream()
        try:
            await server.whole(request, body)
        finally:
            await server.aclose()

    def _canned(self, fault: Fault) -> Reply:
        if fault is Fault.PAGE:
            return Reply(200, HTML, b"<html><body>Please log in.</body></html>")
        if fault in ERRORS:
            return Reply(ERRORS[fault], HTML, b"<html><body>Something went wrong.</body></html>")
        seconds = self.faults.retry_after
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        value = date if fault is Fault.BUSY_DATE else f"{seconds:g}"
        return Reply(429, [(b"retry-after", value.encode())], b"slow down")


def _with_repeated_token(request: h11.Request, body: bytes, reply: Reply) -> Reply:
    """A page that says the next page is the one that was asked for; a first page passes as it is."""
    query = parse_qs(urlsplit(request.target.decode()).query)
    try:
        page: dict[str, Any] = json.loads(reply.body)
        token = json.loads(body).get("page_token") if body else query.get("page_token", [None])[0]
    except ValueError:
        return reply
    if not token:
        return reply
    return Reply(reply.status, reply.headers, json.dumps(page | {"next_page_token": token}).encode())


@asynccontextmanager
async def proxied(
    server: str, faults: Faults, end: str = "destination", headers: Mapping[str, str] | None = None
) -> AsyncIterator[Proxy]:
    """Runs a proxy before ``server``; ``headers`` are added to every request."""
    extra = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=512)
    async with listener, together() as tasks:
        proxy = Proxy(end, server, faults, tasks, listener.extra(SocketAttribute.local_port), extra)
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()
