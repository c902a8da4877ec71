"""Requests to one server as bytes, counted, a fixed number at once, over connections that are set as our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec
from yarl import URL

from bulkexim.http.transport import CHUNK_BYTES, KEEPALIVE_SECONDS, acknowledge

J = TypeVar("J")
#: Requests at once, where nothing else is said.
AT_ONCE = 8
T = TypeVar("T")

API = "/api/2.0/mlflow/"
SERVICE = "/api/2.0/mlflow-artifacts/artifacts"
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}


class Declined(Exception):
    """A server did not answer 200; the bare generator does not try again."""


@dataclass(slots=True)
class Wire:
    """One server, and how many requests it got."""

    http: aiohttp.ClientSession
    url: str
    at_once: int
    requests: int = 0

    async def ask(self, method: str, path: str, body: bytes | None = None, kind: dict[str, str] = JSON) -> bytes:
        """Send one request and return the bytes of its reply; ``path`` is quoted already.

        :raises Declined: the reply is not 200
        """
        self.requests += 1
        headers = None if body is None else kind
        async with self.http.request(method, URL(self.url + path, encoded=True), data=body, headers=headers) as reply:
            acknowledge(reply)
            content = await reply.read()
            if reply.status != 200:  # noqa: PLR2004 - the one that means yes
                raise Declined(f"{method} {path}: {reply.status} {content[:300]!r}")
            return content

    async def post(self, path: str, body: bytes) -> Any:
        """Return the decoded reply of a call below ``/api/2.0/mlflow/``."""
        return msgspec.json.decode(await self.ask("POST", API + path, body))

    async def each(self, jobs: Iterable[J], do: Callable[[J], Awaitable[None]]) -> None:
        """Do something with each job, as many at a time as the server gets requests."""
        waiting: Iterator[J] = iter(jobs)

        async def worker() -> None:
            for job in waiting:
                await do(job)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.at_once):
                tasks.create_task(worker())


@asynccontextmanager
async def wire(url: str, at_once: int = AT_ONCE) -> AsyncIterator[Wire]:
    """Open connections to a server, for so many requests at once."""
    connector = aiohttp.TCPConnector(limit=at_once, keepalive_timeout=KEEPALIVE_SECONDS)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        auto_decompress=False,
        read_bufsize=CHUNK_BYTES,
    )
    async with session as http:
        yield Wire(http, url.rstrip("/"), at_once)
