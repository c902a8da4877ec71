"""Looks at stored files without copying them: their sizes, and the digests of their bytes."""

from __future__ import annotations

from bulkexim.artifacts.place import Place
from bulkexim.artifacts.stored import Passing, Stored
from bulkexim.artifacts.walking import walk
from bulkexim.http.client import Client


async def listed(place: Place) -> dict[str, Stored]:
    """Return every file below a root by its path, as the listing has it, and each folder that is not to be listed.

    :raises ObjectError: it cannot be listed
    """
    return {f"{entry.path}{'/' * entry.is_dir}": Stored(entry.size) async for entry in walk(place)}


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
        passing = Passing()
        async with place.read(path) as chunks:
            async for _ in passing.through(chunks):
                pass
        return await passing.stored()

    return await client.insist(read, f"{client.name} reading {path}")
