"""Copies one file, checked by its size and digested: small ones whole, large ones as a stream or by way of a spool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from aiofiles import tempfile as spools

from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.stored import Passing, Stored, stored
from bulkexim.errors import BadReply, ObjectError
from bulkexim.http.client import Client

#: Up to this many bytes a file travels whole, so that a broken upload can be repeated without reading again.
WHOLE = 4 * 1024 * 1024
CHUNK = 1024 * 1024

Rewrite = Callable[[bytes], bytes]


class AtSource(Exception):
    """A file was not read; ``error`` says why."""

    def __init__(self, error: ObjectError) -> None:
        super().__init__(str(error))
        self.error = error


class AtDestination(Exception):
    """A file was not written; ``error`` says why."""

    def __init__(self, error: ObjectError) -> None:
        super().__init__(str(error))
        self.error = error


class OtherSize(BadReply):
    """A file is not as long as its listing says: one of the two is out of date, or the reply was cut."""

    words = "file of another size"

    worth_repeating = False


@dataclass(slots=True)
class Passed:
    """Tells how many bytes of a large file have passed (``size``), a piece at a time."""

    tell: Callable[[int], None]
    size: int = 0

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Pass chunks on; what passed before has to come again."""
        self.again()
        waiting = 0
        async for chunk in chunks:
            yield chunk
            waiting += len(chunk)
            if waiting >= WHOLE:
                self._told(waiting)
                waiting = 0

    def again(self) -> None:
        """Take back what was told."""
        if self.size:
            self._told(-self.size)

    def _told(self, size: int) -> None:
        self.size += size
        self.tell(size)


@dataclass(frozen=True, slots=True)
class Copying:
    """The way of a file from one end to the other.

    A destination that cannot wait for a slow body (``spool_dir`` is given) gets large files from a spool on disk.
    """

    source: Client
    destination: Client
    spool_dir: Path | None = None

    async def copy(
        self, source: Place, destination: Place, entry: Entry, rewrite: Rewrite | None, passed: Passed
    ) -> Stored:
        """Copy one file; with ``rewrite``, what arrives is what it makes of the bytes. ``passed`` hears of a large one.

        :raises AtSource: it was not read
        :raises AtDestination: it was not written
        """
        if entry.size > WHOLE and rewrite is None:
            move = self._streamed if self.spool_dir is None else self._through_spool
            return await move(source, destination, entry, passed)
        what = f"copying {entry.path}"
        try:
            content = await self.source.insist(lambda: _whole(source, entry), what)
        except ObjectError as error:
            raise AtSource(error) from error
        if rewrite is not None:
            content = rewrite(content)
        try:
            await self.destination.insist(lambda: destination.write(entry.path, content, len(content)), what)
        except ObjectError as error:
            raise AtDestination(error) from error
        return await stored(content)

    async def _streamed(self, source: Place, destination: Place, entry: Entry, passed: Passed) -> Stored:
        """Send a file on while it comes; each end is waited for, and named, when it is the one that fails."""
        what = f"copying {entry.path}"

        async def read_and_write() -> Stored:
            passing, failures = Passing(), list[ObjectError]()
            async with source.read(entry.path) as chunks:
                content = _noting(failures, passed.through(passing.through(_exactly(chunks, entry))))
                try:
                    await destination.write(entry.path, content, entry.size)
                except ObjectError as error:
                    # The transport reports a failure of the body that it sends as one of the connection.
                    raise failures[0] if failures else AtDestination(error) from error
            return await passing.stored()

        async def wait_for_source() -> Stored:
            try:
                return await self.source.insist(read_and_write, what)
            except AtDestination as wrapped:
                raise wrapped.error from wrapped.error.__cause__
            except ObjectError as error:
                raise AtSource(error) from error

        try:
            return await self.destination.insist(wait_for_source, what)
        except ObjectError as error:
            raise AtDestination(error) from error

    async def _through_spool(self, source: Place, destination: Place, entry: Entry, passed: Passed) -> Stored:
        what = f"copying {entry.path}"
        async with spools.TemporaryFile(dir=self.spool_dir) as spool:

            async def fill() -> Stored:
                await spool.seek(0)
                passing = Passing()
                async with source.read(entry.path) as chunks:
                    async for chunk in passed.through(passing.through(_exactly(chunks, entry))):
                        await spool.write(chunk)
                return await passing.stored()

            async def content() -> AsyncIterator[bytes]:
                await spool.seek(0)
                while chunk := await spool.read(CHUNK):
                    yield chunk

            try:
                read = await self.source.insist(fill, what)
            except ObjectError as error:
                raise AtSource(error) from error
            try:
                await self.destination.insist(lambda: destination.write(entry.path, content(), entry.size), what)
            except ObjectError as error:
                raise AtDestination(error) from error
            return read


async def _whole(source: Place, entry: Entry) -> bytes:
    async with source.read(entry.path) as chunks:
        return b"".join([chunk async for chunk in _exactly(chunks, entry)])


async def _noting(failures: list[ObjectError], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass chunks on, and note the failure that ends them."""
    try:
        async for chunk in chunks:
            yield chunk
    except ObjectError as error:
        failures.append(error)
        raise


async def _exactly(chunks: AsyncIterator[bytes], entry: Entry) -> AsyncIterator[bytes]:
    """Pass chunks on, and insist on the size that the listing gave.

    :raises OtherSize: the file is shorter or longer
    """
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > entry.size:
            break
        yield chunk
    if received != entry.size:
        raise OtherSize(f"{entry.path}: the source gave {received:,} bytes of the {entry.size:,} that were listed.")
