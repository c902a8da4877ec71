"""Looks at stored files without copying them: their sizes, and the digests of their bytes."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from bulkexim.artifacts.copier import walk
from bulkexim.artifacts.places import Place
from bulkexim.http.client import Client


class Stored(NamedTuple):
    """A file as it is stored; without a digest its bytes are not known."""

    size: int
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.size:,} bytes" + (f", sha256 {self.sha256}" if self.sha256 else "")


async def listed(place: Place) -> dict[str, Stored]:
    """Return every file below a root by its path, as the listing has it.

    :raises ObjectError: it cannot be listed
    """
    return {entry.path: Stored(entry.size) async for entry in walk(place)}


async def content(client: Client, place: Place, path: str) -> bytes:
    """Return a small file whole.

    :raises ObjectError: it cannot be read
    """

    async def read() -> bytes:
        async with place.read(path) as chunks:
            return b"".join([chunk async for chunk in chunks])

    return await client.insist(read, f"{client.name} reading {path}")


async def digested(client: Client, place: Place, path: str) -> Stored:
    """Read every byte of a file, and return its true size and digest.

    :raises ObjectError: it cannot be read
    """

    async def read() -> Stored:
        size, state = 0, sha256()
        async with place.read(path) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                state.update(chunk)
        return Stored(size, state.hexdigest())

    return await client.insist(read, f"{client.name} reading {path}")
