"""A proxy that keeps what it was asked, and answers as a test tells it to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import SocketAttribute
from anyio.from_thread import start_blocking_portal

from bulkexim.tasks import together
from tests.support.faults.proxy import HangUp, Proxy
from tests.support.faults.rules import Faults
from tests.support.faults.wire import Reply, Upstream, Wire


class Request(NamedTuple):
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path


Forward = Callable[[], Awaitable[Reply]]
#: Gives the reply to a request, or the very bytes to send before hanging up; ``forward`` brings what the server says.
Behaviour = Callable[[Request, Forward], Awaitable[Reply | bytes]]


async def truthful(request: Request, forward: Forward) -> Reply:
    """Answers as the server does."""
    return await forward()


@dataclass
class Teller(Proxy):
    """Stands before one server; made by ``telling``."""

    behaviour: Behaviour = truthful
    seen: list[Request] = field(default_factory=list)

    async def _handle(self, request: h11.Request, client: Wire, server: Upstream) -> None:
        body = await client.rest()
        headers = {name.decode(): value.decode() for name, value in request.headers}
        asked = Request(request.method.decode(), request.target.decode(), headers, body)
        self.seen.append(asked)
        reply = await self.behaviour(asked, lambda: server.whole(request, body))
        if isinstance(reply, bytes):
            await client.stream.send(reply)
            raise HangUp
        await client.reply(reply)


@asynccontextmanager
async def _telling(server: str, behaviour: Behaviour) -> AsyncIterator[Teller]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, together() as tasks:
        port = listener.extra(SocketAttribute.local_port)
        teller = Teller("teller", server, Faults(), tasks, port, behaviour=behaviour)
        tasks.start_soon(listener.serve, teller.serve)
        yield teller
        tasks.cancel_scope.cancel()


@contextmanager
def telling(server: str, behaviour: Behaviour = truthful) -> Iterator[Teller]:
    """Runs a teller before ``server``, in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_telling(server, behaviour)) as teller:
        yield teller
