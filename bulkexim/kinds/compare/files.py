"""The files of two objects: names and sizes, or every byte; and which side is not as it was copied.

At the source every way to list them is asked: what any of them shows should be at the destination.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import NamedTuple, TypeVar

import anyio
from anyio import to_thread

from bulkexim.config import Level
from bulkexim.errors import FatalError, ObjectError
from bulkexim.kinds.compare import model_file
from bulkexim.kinds.compare.difference import Unread
from bulkexim.kinds.compare.record import Record
from bulkexim.kinds.compare.roots import Chunks, Root, Shown, Stored, Way, serviced
from bulkexim.tasks import together

T = TypeVar("T")

#: Files that are read at once over all objects.
AT_ONCE = 16


class FileSides(NamedTuple):
    """The field ``artifacts`` of both sides, with the files that differ, and what one of them does not give."""

    expected: Mapping[str, Mapping[str, str | Unread]] = {}
    found: Mapping[str, Mapping[str, str | Unread]] = {}


@dataclass(frozen=True, slots=True)
class Files:
    """Compares the files below two roots.

    Of a file that differs, ``record`` says which side is not as it was copied; nothing else is taken from it.
    """

    level: Level
    wanted: bool = True
    record: Record = field(default_factory=Record)
    limit: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(AT_ONCE))
    #: By side and folder of the artifact service, what stands in it; ``None`` where the service does not say.
    _folders: dict[tuple[str, str], frozenset[str] | None] = field(default_factory=dict)
    _one_at_a_time: anyio.Lock = field(default_factory=anyio.Lock)

    async def sides(self, source: Root, destination: Root, ids: Mapping[str, str]) -> FileSides:
        """Return what differs; ``ids`` are what an ``MLmodel`` file names, with those of the destination.

        A file or folder that cannot be read stops no other: it is returned as what it is.
        """
        if not self.wanted:
            return FileSides()
        at_source, at_destination = await self._all_ways(source), await self._first_way(destination)
        unread = {_named(path): Unread.of(error) for path, error in at_source.unread.items()}
        unread_there = {_named(path): Unread.of(error) for path, error in at_destination.unread.items()}
        # Of what one side does not give, the other's says nothing.
        wanted = {path: file for path, file in at_source.files.items() if not _is_in(path, at_destination.unread)}
        there = {path: file for path, file in at_destination.files.items() if not _is_in(path, at_source.unread)}

        async def read(path: str) -> None:
            try:
                if path.rpartition("/")[2] == model_file.NAME:
                    content = await self._content(source, path)
                    changed = model_file.expected(content, ids, (source.location, destination.location))
                    wanted[path] = Stored(len(changed), sha256(changed).hexdigest())
                if self.level is Level.FULL:
                    if not wanted[path].sha256:
                        wanted[path] = await self._digested(source, path)
                    there[path] = await self._digested(destination, path)
            except ObjectError as error:
                unread[path] = Unread.of(error)
                del wanted[path], there[path]

        async with together() as tasks:
            for path in wanted.keys() & there.keys():
                if self.level is Level.FULL or path.rpartition("/")[2] == model_file.NAME:
                    tasks.start_soon(read, path)
        unlike = _unlike(wanted, there)
        copied = await self.record.files(source, destination) if unlike else {}
        expected = {path: _told(wanted[path], copied.get(path)) for path in unlike & wanted.keys()}
        found = {path: _told(there[path], copied.get(path)) for path in unlike & there.keys()}
        return FileSides({"artifacts": {**expected, **unread}}, {"artifacts": {**found, **unread_there}})

    async def _content(self, root: Root, path: str) -> bytes:
        async def whole(chunks: Chunks) -> bytes:
            return b"".join([chunk async for chunk in chunks])

        return await self._from(root, path, whole)

    async def _digested(self, root: Root, path: str) -> Stored:
        async def digest(chunks: Chunks) -> Stored:
            state, size = sha256(), 0
            async for chunk in chunks:
                size += len(chunk)
                await to_thread.run_sync(state.update, chunk)
            return Stored(size, state.hexdigest())

        return await self._from(root, path, digest)

    async def _from(self, root: Root, path: str, use: Callable[[Chunks], Awaitable[T]]) -> T:
        """Read a file by the first way that gives it.

        :raises ObjectError: none does
        """
        client, ways = root.server.client, root.ways()

        async def read(way: Way) -> T:
            async with way.read(path) as chunks:
                return await use(chunks)

        async with self.limit:
            while True:
                way = ways.pop(0)
                try:
                    return await client.insist(partial(read, way), f"{client.name} reading {path}")
                except ObjectError:
                    if not ways:
                        raise

    async def _all_ways(self, root: Root) -> Shown:
        """Return what any way shows.

        :raises FatalError: none leads anywhere
        """
        return await _shown(root.ways(through_service=await self._has_folder(root)), every=True)

    async def _first_way(self, root: Root) -> Shown:
        """Return what the nearest way shows, and of what it does not give what the others show.

        :raises FatalError: none leads anywhere
        """
        return await _shown(root.ways(), every=False) if await self._has_folder(root) else Shown()

    async def _has_folder(self, root: Root) -> bool:
        """Return whether a root has a folder at the artifact service, from one listing of all beside it."""
        if root.beside is None:
            return True
        key = (root.server.client.name, root.beside)
        async with self._one_at_a_time:
            if key not in self._folders:
                try:
                    entries = await serviced(root.server, root.beside).entries("")
                except (ObjectError, FatalError):
                    entries = None
                self._folders[key] = None if entries is None else frozenset(entry.name for entry in entries)
        known = self._folders[key]
        return known is None or root.id in known


async def _shown(ways: Sequence[Way], *, every: bool) -> Shown:
    """Return what some ways show together, the nearest first; unless ``every`` one is asked, until nothing is left."""
    found, fatal = Shown(), list[FatalError]()
    for way in ways:
        try:
            # Through a server such a link would be followed until the path is too long.
            shown = await way.shown(found.circles)
        except FatalError as error:
            fatal.append(error)
            continue
        # What a nearer way said of a file stays.
        found.files = shown.files | found.files
        found.unread = shown.unread | found.unread
        found.listed |= shown.listed
        found.circles |= shown.circles
        found.unread = {
            path: error for path, error in found.unread.items() if path not in found.listed and path not in found.files
        }
        if not (every or found.unread):
            break
    if fatal and len(fatal) == len(ways):
        raise fatal[-1]
    return found


def _named(path: str) -> str:
    return path or "every file"


def _is_in(path: str, unread: Collection[str]) -> bool:
    """Return whether a file is one of ``unread``, or in one of the folders among them."""
    return any(path == one or not one or (one.endswith("/") and path.startswith(one)) for one in unread)


def _unlike(wanted: Mapping[str, Stored], there: Mapping[str, Stored]) -> set[str]:
    """Return the paths of files that differ, or that one side lacks."""
    both = wanted.keys() & there.keys()
    return {path for path in both if not _same(wanted[path], there[path])} | (wanted.keys() ^ there.keys())


def _same(one: Stored, other: Stored) -> bool:
    """Compare sizes, and digests where both are known."""
    return one.size == other.size and (not (one.sha256 and other.sha256) or one.sha256 == other.sha256)


def _told(stored: Stored, copied: Stored | None) -> str:
    if copied is None:
        return str(stored)
    if not _same(stored, copied):
        return f"{stored} (changed since it was copied)"
    return f"{stored} ({'as it was copied' if stored.sha256 else 'the size that was copied'})"
