"""HTTP/1.1 on a socket, message by message; h11 knows the protocol."""

import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NamedTuple

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream

RECEIVE = 256 * 1024
#: Seconds after which an idle connection to a server is not used again; MLflow's closes it after 5.
IDLE = 2.0

Headers = list[tuple[bytes, bytes]]


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Headers
    body: bytes


@dataclass
class Wire:
    """One side of a connection."""

    stream: SocketStream
    http: h11.Connection

    async def event(self) -> h11.Event | type[h11.PAUSED]:
        """The next event of the other side."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            try:
                self.http.receive_data(await self.stream.receive(RECEIVE))
            except anyio.EndOfStream:
                self.http.receive_data(b"")
        assert event is not h11.NEED_DATA
        return event  # type: ignore[return-value]  # h11's sentinels are types

    async def send(self, event: h11.Event) -> None:
        """Sends one event."""
        if data := self.http.send(event):
            await self.stream.send(data)

    async def body(self) -> AsyncIterator[bytes]:
        """The rest of a message, piece by piece."""
        while isinstance(event := await self.event(), h11.Data):
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise anyio.EndOfStream

    async def rest(self) -> bytes:
        """The rest of a message."""
        return b"".join([piece async for piece in self.body()])

    async def reply(self, reply: Reply, *, pieces: int = 1) -> None:
        """Sends a whole reply, in so many pieces."""
        await self.begin(reply)
        size = -(-len(reply.body) // pieces) or 1
        for start in range(0, len(reply.body), size):
            await self.send(h11.Data(data=reply.body[start : start + size]))
        await self.send(h11.EndOfMessage())

    async def begin(self, reply: Reply, share: float = 0.0) -> None:
        """Sends the head of a reply and a share of its body."""
        headers = [*unframed(reply.headers), (b"content-length", str(len(reply.body)).encode())]
        await self.send(h11.Response(status_code=reply.status, headers=headers))
        if part := reply.body[: int(len(reply.body) * share)]:
            await self.send(h11.Data(data=part))

    def again(self) -> bool:
        """Makes ready for the next message; says whether there can be one."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False

    def reset_when_closed(self) -> None:
        """Lets the close of this connection be a reset, as of a process that died."""
        raw: socket.socket = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def unframed(headers: Headers) -> Headers:
    """Headers without those that say how the body is framed."""
    return [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]


@dataclass
class Upstream:
    """The connection to the server that belongs to one connection of a client."""

    host: str
    port: int
    extra: Headers
    _wire: Wire | None = None
    _used: float = field(default=0.0)

    async def begin(self, request: h11.Request) -> Wire:
        """Sends the head of a request."""
        wire = await self._open()
        kept = [(name, value) for name, value in request.headers if name != b"host"]
        host = [(b"host", f"{self.host}:{self.port}".encode())]
        await wire.send(h11.Request(method=request.method, target=request.target, headers=[*host, *kept, *self.extra]))
        return wire

    async def _open(self) -> Wire:
        if self._wire is not None and (anyio.current_time() - self._used > IDLE or not self._wire.again()):
            await self.aclose()
        if self._wire is None:
            stream = await anyio.connect_tcp(self.host, self.port)
            self._wire = Wire(stream, h11.Connection(h11.CLIENT))
        self._used = anyio.current_time()
        return self._wire

    async def head(self, wire: Wire) -> h11.Response:
        """The head of the reply."""
        while not isinstance(event := await wire.event(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise anyio.EndOfStream
        self._used = anyio.current_time()
        return event

    async def whole(self, request: h11.Request, body: bytes) -> Reply:
        """Sends a whole request and reads the whole reply."""
        wire = await self.begin(request)
        if body:
            await wire.send(h11.Data(data=body))
        await wire.send(h11.EndOfMessage())
        head = await self.head(wire)
        return Reply(head.status_code, list(head.headers), await wire.rest())

    async def aclose(self) -> None:
        """Closes the connection."""
        if self._wire is not None:
            wire, self._wire = self._wire, None
            await wire.stream.aclose()
