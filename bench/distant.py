"""A server far away, behind a gateway that admits so many requests a second and answers 429 above.

    python -m bench.distant SERVER MILLISECONDS RATE

Prints its address and serves until its stdin closes.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import anyio
import h11
from anyio import to_thread
from anyio.abc import SocketAttribute

from bulkexim.tasks import together
from tests.support.faults.proxy import Proxy
from tests.support.faults.rules import Admits, Faults
from tests.support.faults.wire import Upstream, Wire

END = "destination"


class Distant(Proxy):
    """A proxy that lets every request travel for a while."""

    seconds: float = 0.0

    async def _handle(self, request: h11.Request, client: Wire, server: Upstream) -> None:
        await anyio.sleep(self.seconds)
        await super()._handle(request, client, server)


@contextlib.contextmanager
def distant(server: str, milliseconds: float, rate: float) -> Iterator[str]:
    """Put the distance before a server, in a process of its own, and yield the address."""
    command = [sys.executable, "-m", "bench.distant", server, str(milliseconds), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        if process.stdin is None or process.stdout is None:
            raise SystemExit("The proxy has no pipes.")
        yield process.stdout.readline().strip()
        process.stdin.close()


async def _serve(server: str, milliseconds: float, rate: float) -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=512)
    async with listener, together() as tasks:
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's
        proxy = Distant(END, server, Faults(Admits(rate, END)), tasks, port)
        proxy.seconds = milliseconds / 1000
        tasks.start_soon(listener.serve, proxy.serve)
        print(proxy.url, flush=True)
        await to_thread.run_sync(sys.stdin.read)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(_serve, sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
