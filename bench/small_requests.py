"""Sends small requests through our client, and prints the CPU that one takes, in milliseconds.

python -m bench.small_requests URL CONNECTIONS REQUESTS
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx

from bulkexim.cli.collector import collect_seldom
from bulkexim.ends.capabilities import Nothing
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.http.session import Session
from bulkexim.http.transport import AiohttpTransport
from bulkexim.tasks import together

#: Requests that are sent before the clock starts: connections are made, and code is warm.
WARM_UP = 4


async def cpu(url: str, connections: int, requests: int) -> float:
    """Return the CPU of this process for one of ``requests`` GETs, in milliseconds."""
    limiter = Limiter(connections)
    while limiter.width < connections:
        limiter.succeeded()
    client = Client("loopback", Session(url, AiohttpTransport(), httpx.Timeout(20.0)), limiter)
    try:
        await _send(client, connections, WARM_UP * connections)
        began = time.process_time()
        await _send(client, connections, requests)
        return (time.process_time() - began) / requests * 1000
    finally:
        await client.aclose()


async def _send(client: Client, connections: int, requests: int) -> None:
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await client.call("GET", "api/2.0/mlflow/runs/get", Nothing, params={"run_id": "0" * 32})

    async with together() as tasks:
        for _ in range(connections):
            tasks.start_soon(worker)


if __name__ == "__main__":
    collect_seldom()  # as every command of ours
    print(asyncio.run(cpu(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
