"""A server that does next to nothing: it answers every request on loopback with an empty JSON object.

Run as a script, it prints its port and serves until its stdin closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
END = b"\r\n\r\n"


class Trivial(asyncio.Protocol):
    """One connection; its requests have no bodies."""

    def __init__(self) -> None:
        self._left = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        *complete, self._left = (self._left + data).split(END)
        if self._transport is not None:
            self._transport.write(REPLY * len(complete))


@contextlib.contextmanager
def loopback() -> Iterator[str]:
    """Run the server in a process of its own, and yield its address."""
    with subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("The loopback server has no pipes.")
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.stdin.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Trivial, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
