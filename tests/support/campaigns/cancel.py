"""F5: requests are cancelled at any moment; no connection and no place at the server is lost by it."""

import time
from dataclasses import dataclass
from random import Random

import anyio

from bulkexim.config import Endpoint
from bulkexim.ends.capabilities import Nothing
from bulkexim.ends.server import API, Server, connected
from bulkexim.errors import BulkeximError
from bulkexim.http.transport import AiohttpTransport
from bulkexim.tasks import together
from tests.support.faults import Fault, Faults, Mix, proxied

CALLERS = 24
#: Seconds after which a call is cancelled at the latest: some are answered before.
LONGEST = 0.4


@dataclass(frozen=True)
class Cancelled:
    """What was left after requests were cancelled."""

    calls: int
    cancelled: int
    leaked: int
    """Connections that nobody uses and nobody gave back."""
    stuck: int
    """Places at the server that nobody uses and nobody gave back."""
    later: int
    later_failed: int
    seconds: float


async def cancel(url: str, *, calls: int, seconds: float, later: int, seed: int = 1) -> Cancelled:
    """F5: cancel requests at random moments, for so many calls and seconds at least; then make ``later`` calls."""
    began = time.monotonic()
    chance = Random(seed)
    made = cancelled = failed = 0
    transport = AiohttpTransport()
    faults = Faults(Mix(seed, {Fault.DRIP: 50}))
    async with (
        proxied(url, faults) as proxy,
        connected(Endpoint(uri=proxy.url), "source", transport=transport) as server,
    ):

        async def caller() -> None:
            nonlocal made, cancelled
            while made < calls or time.monotonic() - began < seconds:
                made += 1
                with anyio.move_on_after(chance.random() * LONGEST) as scope:
                    await _call(server, heavy=bool(made % 2))
                cancelled += scope.cancelled_caught

        async with together() as tasks:
            for _ in range(CALLERS):
                tasks.start_soon(caller)
        leaked, stuck = _in_use(server, transport)
        for _ in range(later):
            try:
                await _call(server, heavy=False)
            except BulkeximError:
                failed += 1
    return Cancelled(made, cancelled, leaked, stuck, later, failed, round(time.monotonic() - began, 1))


async def _call(server: Server, *, heavy: bool) -> None:
    await server.client.call("POST", f"{API}experiments/search", Nothing, body={"max_results": 10}, heavy=heavy)


def _in_use(server: Server, transport: AiohttpTransport) -> tuple[int, int]:
    slots, connectors = server.client.limiter._slots, [one.connector for one in transport._sessions.values()]
    assert len(connectors) == 2 and slots is not None
    return sum(len(one._acquired) for one in connectors if one is not None), int(slots.borrowed_tokens)
