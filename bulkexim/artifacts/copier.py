"""Copies the files of one object: small ones whole, large ones as a stream, each checked by its size and digested."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import anyio
from aiofiles import tempfile as spools

from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.stored import Passing, Stored
from bulkexim.errors import BadReply, CallError
from bulkexim.http.client import Client
from bulkexim.tasks import together

#: Up to this many bytes a file travels whole, so that a broken upload can be repeated without reading again.
WHOLE = 4 * 1024 * 1024
CHUNK = 1024 * 1024
#: Files on their way at once; with `WHOLE` it bounds the memory.
AT_ONCE = 16

Rewrite = Callable[[bytes], bytes]


class OfTheOther(Exception):
    """An error of one end, which the patience with the other end must not take for its own."""

    def __init__(self, error: CallError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class Copied:
    """What a copy brought: the files by their paths, as they were written, and the paths that MLflow cannot address."""

    written: dict[str, Stored] = field(default_factory=dict)
    unreachable: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """How many files were written."""
        return len(self.written)

    @property
    def bytes(self) -> int:
        """How many bytes they have."""
        return sum(stored.size for stored in self.written.values())


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
                copied.written[entry.path] = await self._copy_file(source, destination, entry, rewrite(entry.path))
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

    async def _copy_file(self, source: Place, destination: Place, entry: Entry, rewrite: Rewrite | None) -> Stored:
        if entry.size > WHOLE and rewrite is None:
            move = self._streamed if self.spool_dir is None else self._through_spool
            return await move(source, destination, entry)
        what = f"copying {entry.path}"
        content = await self.source.insist(lambda: _whole(source, entry), what)
        if rewrite is not None:
            content = rewrite(content)
        await self.destination.insist(lambda: destination.write(entry.path, content, len(content)), what)
        return Stored.of(content)

    async def _streamed(self, source: Place, destination: Place, entry: Entry) -> Stored:
        """Send a file on while it comes; each end is waited for, and named, when it is the one that fails."""
        what = f"copying {entry.path}"

        async def read_and_write() -> Stored:
            passing, failures = Passing(), list[CallError]()
            async with source.read(entry.path) as chunks:
                content = _noting(failures, passing.through(_exactly(chunks, entry)))
                try:
                    await destination.write(entry.path, content, entry.size)
                except CallError as error:
                    # The transport reports a failure of the body that it sends as one of the connection.
                    raise failures[0] if failures else OfTheOther(error) from error
            return passing.stored

        async def wait_for_source() -> Stored:
            try:
                return await self.source.insist(read_and_write, what)
            except OfTheOther as wrapped:
                raise wrapped.error from wrapped.error.__cause__
            except CallError as error:
                raise OfTheOther(error) from error

        try:
            return await self.destination.insist(wait_for_source, what)
        except OfTheOther as wrapped:
            raise wrapped.error from wrapped.error.__cause__

    async def _through_spool(self, source: Place, destination: Place, entry: Entry) -> Stored:
        what = f"copying {entry.path}"
        async with spools.TemporaryFile(dir=self.spool_dir) as spool:

            async def fill() -> Stored:
                await spool.seek(0)
                passing = Passing()
                async with source.read(entry.path) as chunks:
                    async for chunk in passing.through(_exactly(chunks, entry)):
                        await spool.write(chunk)
                return passing.stored

            async def content() -> AsyncIterator[bytes]:
                await spool.seek(0)
                while chunk := await spool.read(CHUNK):
                    yield chunk

            stored = await self.source.insist(fill, what)
            await self.destination.insist(lambda: destination.write(entry.path, content(), entry.size), what)
            return stored


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


async def _noting(failures: list[CallError], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass chunks on, and note the failure that ends them."""
    try:
        async for chunk in chunks:
            yield chunk
    except CallError as error:
        failures.append(error)
        raise


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
        raise BadReply(f"{entry.path}: the source gave {received:,} bytes of the {entry.size:,} that were listed.")
