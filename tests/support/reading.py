"""Reads stored files without copying them."""

from __future__ import annotations

from bulkexim.artifacts.place import Place
from bulkexim.artifacts.stored import Passing, Stored
from bulkexim.http.client import Client


async def content(client: Client, place: Place, path: str) -> bytes:
    """Returns a small file whole."""

    async def read() -> bytes:
        async with place.read(path) as chunks:
            return b"".join([chunk async for chunk in chunks])

    return await client.insist(read, f"{client.name} reading {path}")


async def digested(client: Client, place: Place, path: str) -> Stored:
    """Reads every byte of a file, and returns its true size and digest."""

    async def read() -> Stored:
        passing = Passing()
        async with place.read(path) as chunks:
            async for _ in passing.through(chunks):
                pass
        return await passing.stored()

    return await client.insist(read, f"{client.name} reading {path}")
