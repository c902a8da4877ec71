"""Copies the files of one object: small ones whole, large ones as a stream, each checked by its size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import anyio
from aiofiles import tempfile as spools

from bulkexim.artifacts.places import Entry, Place
from bulkexim.errors import BadReply, CallError, Lost
from bulkexim.http.client import Client
from bulkexim.tasks import together

#: Up to this many bytes a file travels whole, so that a broken upload can be repeated without reading again.
WHOLE = 4 * 1024 * 1024
CHUNK = 1024 * 1024
#: Files on their way at once; with `WHOLE` it bounds the memory.
AT_ONCE = 16

Rewrite = Callable[[bytes], bytes]


@dataclass(slots=True)
class Copied:
    """What a copy brought: files, bytes written, and the paths that MLflow cannot address."""

    files: int = 0
    bytes: int = 0
    unreachable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies between two servers, a bounded number of files at once over all objects.

    A destination that cannot wait for a slow body (``spool_dir`` is given) gets large files from a spool on disk.
    """

    source: Client
    destination: Client
    spool_dir: Path | None = None
    limit: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(AT_ONCE))

    async def copy(self, source: Place, destination: Place, rewrite: Callable[[str], Rewrite | None]) -> Copied:
        """Copy every file below a root; ``rewrite`` says, by path, which files change on the way.

        :raises ObjectError: a file could not be copied
        """
        copied = Copied()

        async def one(entry: Entry, holder: object) -> None:
            try:
                written = await self._copy_file(source, destination, entry, rewrite(entry.path))
                copied.bytes += written
                copied.files += 1
            finally:
                self.limit.release_on_behalf_of(holder)

        async with together() as tasks:
            async for entry in walk(source):
                if not addressable(entry.path):
                    copied.unreachable.append(entry.path)
                    continue
                holder = object()
                await self.limit.acquire_on_behalf_of(holder)
                tasks.start_soon(one, entry, holder)
        return copied

    async def _copy_file(self, source: Place, destination: Place, entry: Entry, rewrite: Rewrite | None) -> int:
        what = f"copying {entry.path}"
        if entry.size <= WHOLE or rewrite is not None:
            content = await self.source.insist(lambda: _whole(source, entry), what)
            if rewrite is not None:
                content = rewrite(content)
            await self.destination.insist(lambda: destination.write(entry.path, content, len(content)), what)
            return len(content)
        move = self._through_spool if self.spool_dir is not None else _streamed
        await self.destination.insist(lambda: move(source, destination, entry), what)
        return entry.size

    async def _through_spool(self, source: Place, destination: Place, entry: Entry) -> None:
        async with spools.TemporaryFile(dir=self.spool_dir) as spool:
            async with source.read(entry.path) as chunks:
                async for chunk in _exactly(chunks, entry):
                    await spool.write(chunk)
            await spool.seek(0)

            async def content() -> AsyncIterator[bytes]:
                while chunk := await spool.read(CHUNK):
                    yield chunk

            await destination.write(entry.path, content(), entry.size)


async def walk(place: Place) -> AsyncIterator[Entry]:
    """Yield every file below a root, folder by folder."""
    folders = [""]
    while folders:
        for entry in await place.entries(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
            else:
                yield entry


def addressable(path: str) -> bool:
    """Return whether MLflow's server can name this file: it decodes percent signs repeatedly, and refuses ``#``."""
    return "#" not in path and unquote(path) == path


async def _whole(source: Place, entry: Entry) -> bytes:
    async with source.read(entry.path) as chunks:
        return b"".join([chunk async for chunk in _exactly(chunks, entry)])


async def _streamed(source: Place, destination: Place, entry: Entry) -> None:
    async with source.read(entry.path) as chunks:
        try:
            await destination.write(entry.path, _exactly(chunks, entry), entry.size)
        except Lost as error:
            # The transport reports a failure of the body it sends as a failure of the connection.
            wrong = error.__cause__.__cause__.__cause__ if error.__cause__ and error.__cause__.__cause__ else None
            raise wrong if isinstance(wrong, CallError) else error from error


async def _exactly(chunks: AsyncIterator[bytes], entry: Entry) -> AsyncIterator[bytes]:
    """Pass chunks on, and insist on the size that the listing gave.

    :raises BadReply: the file is shorter or longer
    """
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > entry.size:
            break
        yield chunk
    if received != entry.size:
        raise BadReply(f"{entry.path}: {received:,} bytes arrived of the {entry.size:,} that were listed.")
