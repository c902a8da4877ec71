"""Copies the files of one object, a bounded number at once; a file that cannot be copied stays behind alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio

from bulkexim.artifacts.copying import AtDestination, AtSource, Copying, Passed, Rewrite
from bulkexim.artifacts.failing import Refusals, settled
from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.stored import Stored
from bulkexim.artifacts.walking import walk
from bulkexim.http.client import Client
from bulkexim.left_behind import Cause, LeftBehind
from bulkexim.tasks import together

#: Files on their way at once; with `bulkexim.artifacts.copying.WHOLE` it bounds the memory.
AT_ONCE = 16
#: Files of which it is noted at once that they arrived.
BATCH = 500


class CopiedFile(NamedTuple):
    """A file by its path, as it was written."""

    path: str
    stored: Stored


#: Is told of an object, by kind and id at the source, how many files and bytes more (or fewer) have arrived.
Tell = Callable[[str, str, int, int], None]
#: Notes files that arrived.
Keep = Callable[[Sequence[CopiedFile]], Awaitable[None]]


def _untold(*numbers: str | int) -> None:
    """Nobody wants to know."""


@dataclass(slots=True)
class Copied:
    """What a copy brought, and what of it stays behind."""

    files: int = 0
    bytes: int = 0
    left: list[LeftBehind] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies between two servers, a bounded number of files at once over all objects."""

    source: Client
    destination: Client
    spool_dir: Path | None = None
    limit: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(AT_ONCE))
    tell: Tell = _untold

    async def copy(
        self,
        source: Place,
        destination: Place,
        rewrite: Callable[[str], Rewrite | None],
        keep: Keep,
        tell: Callable[[int, int], None] = _untold,
    ) -> Copied:
        """Copy every file below a root; ``rewrite`` says, by path, which files change on the way.

        ``keep`` gets the files that arrived, a batch at a time; nothing else remembers them. ``tell`` gets the numbers
        of files and bytes that arrived since the last time, also of pieces of large files.

        :raises ObjectError: a server or the storage failed, so nobody knows whether a file could be copied
        """
        way = Copying(self.source, self.destination, self.spool_dir)
        job = _Job(way, source, destination, rewrite, keep, tell)
        async with together() as tasks:
            async for entry in walk(source):
                if (left := job.stays(entry)) is not None:
                    job.copied.left.append(left)
                    continue
                holder = object()
                await self.limit.acquire_on_behalf_of(holder)
                if entry.twin:
                    # It goes before the folder of its name: a server might put it into that folder instead.
                    await self._one(job, entry, holder)
                else:
                    tasks.start_soon(self._one, job, entry, holder)
        await job.note()
        return job.copied

    async def _one(self, job: _Job, entry: Entry, holder: object) -> None:
        try:
            await job.copy(entry)
        finally:
            self.limit.release_on_behalf_of(holder)


@dataclass(slots=True)
class _Job:
    """The files of one object."""

    way: Copying
    source: Place
    destination: Place
    rewrite: Callable[[str], Rewrite | None]
    keep: Keep
    tell: Callable[[int, int], None]
    copied: Copied = field(default_factory=Copied)
    refusals: Refusals = field(default_factory=Refusals)
    #: Files that arrived and are not noted yet.
    fresh: list[CopiedFile] = field(default_factory=list)

    def stays(self, entry: Entry) -> LeftBehind | None:
        """Return why a file stays behind, where that is known before it is read."""
        return entry.left or self.refusals.known(entry) or self.destination.declined(entry.path, entry.size)

    async def copy(self, entry: Entry) -> None:
        """Copy a file, or say why it stays behind.

        :raises ObjectError: it may well be copied another time
        """
        passed = Passed(partial(self.tell, 0))
        try:
            stored = await settled(entry, self.source, partial(self._copy, passed))
        except AtSource as failed:
            passed.again()
            if not _is_folder_marker(entry):
                self.copied.left.append(LeftBehind(Cause.FILE_UNREADABLE, f"{entry.path}: {failed.error}"))
        except AtDestination as failed:
            passed.again()
            self.copied.left.append(self.refusals.of(entry, failed.error))
        else:
            self.tell(1, stored.size - passed.size)
            self.copied.files += 1
            self.copied.bytes += stored.size
            self.fresh.append(CopiedFile(entry.path, stored))
            if len(self.fresh) >= BATCH:
                await self.note()

    async def _copy(self, passed: Passed, entry: Entry) -> Stored:
        return await self.way.copy(self.source, self.destination, entry, self.rewrite(entry.path), passed)

    async def note(self) -> None:
        """Hand over the files that arrived since the last time."""
        fresh, self.fresh = self.fresh, []
        if fresh:
            await self.keep(fresh)


def _is_folder_marker(entry: Entry) -> bool:
    """Return whether this may be what an older server makes of an object ``a/`` of a bucket: an empty file ``a/a``."""
    above, _, name = entry.path.rpartition("/")
    return entry.size == 0 and above.rpartition("/")[2] == name
