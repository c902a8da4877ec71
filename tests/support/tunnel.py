"""A proxy that opens tunnels (CONNECT), as to servers that speak TLS; it may want a login."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Tunnels:
    """A proxy on this machine; ``asked`` holds the first line and the login of each request."""

    login: str = ""
    """What the header ``Proxy-Authorization`` must be; nothing where nobody need log in."""
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def address(self, userinfo: str = "") -> str:
        """Where the proxy is."""
        return f"http://{userinfo}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
            given = headers.get("proxy-authorization", "")
            self.asked.append((line, given))
            method, target, _ = line.split()
            if self.login and given != self.login:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            elif method == "CONNECT":
                await self._tunnel(target, reader, writer)
            await writer.drain()
        writer.close()

    @staticmethod
    async def _tunnel(target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        from_server, to_server = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pass(reader, to_server), _pass(from_server, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tunnelling(login: str = "") -> AsyncIterator[Tunnels]:
    """Runs such a proxy."""
    tunnels = Tunnels(login)
    server = await asyncio.start_server(tunnels.serve, "127.0.0.1", 0)
    async with server:
        tunnels.port = server.sockets[0].getsockname()[1]
        yield tunnels
