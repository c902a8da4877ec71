"""An HTTP server of a hundred lines, for what a proper one would not do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


@dataclass
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | int = b""
    #: The number of the connection that it came on.
    connection: int = 0


@dataclass
class Wire:
    """What a reply is written with."""

    stream: SocketStream
    reader: BufferedByteReceiveStream

    async def reply(self, body: bytes = b"", status: str = "200 OK", *headers: str) -> None:
        """Send a whole reply."""
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
        await self.stream.send("\r\n".join([*lines, "", ""]).encode() + body)


Behaviour = Callable[[Seen, Wire], Awaitable[None]]


@dataclass
class TinyServer:
    """Reads requests with their whole body, then leaves the reply to ``behaviour``."""

    port: int
    behaviour: Behaviour
    seen: list[Seen] = field(default_factory=list)
    #: Bodies are counted, not kept.
    count_only: bool = False
    connections: int = 0

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, stream: SocketStream) -> None:
        """Answer one connection until either side closes it."""
        self.connections += 1
        number = self.connections
        reader = BufferedByteReceiveStream(stream)
        async with stream:
            try:
                while True:
                    seen = await self._read(reader)
                    seen.connection = number
                    self.seen.append(seen)
                    await self.behaviour(seen, Wire(stream, reader))
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
                pass

    async def _read(self, reader: BufferedByteReceiveStream) -> Seen:
        head = (await reader.receive_until(b"\r\n\r\n", 65536)).decode()
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        seen = Seen(method, target, headers)
        length = int(headers.get("content-length", 0))
        if self.count_only:
            seen.body = 0
            while seen.body < length:
                seen.body += len(await reader.receive(min(65536, length - seen.body)))
        else:
            seen.body = await reader.receive_exactly(length) if length else b""
        return seen


async def fine(seen: Seen, wire: Wire) -> None:
    """Reply as a proper server does."""
    await wire.reply(b"fine")


@asynccontextmanager
async def serving(behaviour: Behaviour = fine, *, count_only: bool = False) -> AsyncIterator[TinyServer]:
    """Run a tiny server."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    server = TinyServer(port, behaviour, count_only=count_only)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.serve)
        yield server
        tasks.cancel_scope.cancel()
