"""Artifacts in a folder that this machine sees too: no server has to send or to take them.

The folder is that of the server's ``--artifacts-destination``, on this machine or mounted here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiofiles
import anyio
from aiofiles.threadpool.binary import AsyncBufferedReader
from anyio import to_thread

from bulkexim.artifacts.names import inside, unsafe_inside
from bulkexim.artifacts.place import Entry, NotTaken, Unreadable, listed
from bulkexim.errors import unwritable
from bulkexim.http.retry import Traffic
from bulkexim.left_behind import Cause, LeftBehind

CHUNK = 1024 * 1024
#: Below the folder: files that are being written. They get their names when they are whole.
PARTS = ".bulkexim-parts"
#: What a file system says of a name that it cannot hold, or that it holds as something else.
_OF_THE_NAME = frozenset(
    {errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EINVAL, errno.EILSEQ}
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A root of a server's artifact service, reached in its folder; ``traffic`` counts the bytes of that server."""

    folder: Path
    root: str
    traffic: Traffic

    def unnamed(self, path: str) -> str:
        problem = unsafe_inside(self.root, path)  # Apart from that, a folder has any name.
        return f"with its root it {problem}" if problem else ""

    def declined(self, path: str, size: int) -> LeftBehind | None:
        problem = self.unnamed(path)
        return LeftBehind(Cause.FILE_NAME, f"{path}: {problem}") if problem else None

    async def entries(self, folder: str) -> list[Entry]:
        return await to_thread.run_sync(self._entries, folder)

    def _entries(self, folder: str) -> list[Entry]:
        path = self._at(folder)
        with _reading(path):
            if not path.is_dir():
                return []
            with os.scandir(path) as found:
                return [_entry(folder, one) for one in found if one.name != PARTS]

    @asynccontextmanager
    async def read(self, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        target = self._at(path)
        with _reading(target):
            file = await aiofiles.open(target, "rb")
        try:
            yield self._chunks(file, target)
        finally:
            await file.close()

    async def _chunks(self, file: AsyncBufferedReader, path: Path) -> AsyncIterator[bytes]:
        while True:
            with _reading(path):
                chunk = await file.read(CHUNK)
            if not chunk:
                return
            self.traffic.received += len(chunk)
            yield chunk

    async def write(self, path: str, content: bytes | AsyncIterator[bytes], size: int) -> None:
        target, part = self._at(path), self.folder / PARTS / uuid4().hex
        with _writing(target):
            await to_thread.run_sync(_make_room, part)
            try:
                await _filled(part, content)
                await to_thread.run_sync(_named, part, target)
            finally:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(_removed, part)
        self.traffic.sent += size

    def _at(self, path: str) -> Path:
        return self.folder / inside(self.root, path)


def _make_room(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)


async def _filled(part: Path, content: bytes | AsyncIterator[bytes]) -> None:
    if isinstance(content, bytes):
        await to_thread.run_sync(part.write_bytes, content)
        return
    async with aiofiles.open(part, "wb") as file:
        async for chunk in content:
            await file.write(chunk)


def _named(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part.replace(target)


def _removed(part: Path) -> None:
    part.unlink(missing_ok=True)


def _entry(folder: str, found: os.DirEntry[str]) -> Entry:
    try:
        is_dir, problem = found.is_dir(), _oddity(found)
        size = 0 if is_dir else found.stat().st_size
    except OSError as error:
        is_dir, size, problem = False, 0, f"it cannot be read ({error.strerror})"
    entry = listed(folder, found.name, is_dir=is_dir, size=size)
    return entry if entry.left or not problem else entry.without(Cause.FILE_UNREADABLE, problem)


def _oddity(found: os.DirEntry[str]) -> str:
    """Say what is wrong with something that must not be opened."""
    if found.is_dir():
        return "it is a link to a folder above it" if found.is_symlink() and _leads_up(Path(found.path)) else ""
    return "" if found.is_file() or found.is_symlink() else "it is neither a file nor a folder"


def _leads_up(link: Path) -> bool:
    """Return whether a link leads to a folder in which it is met again, also by way of another link."""
    target = link.resolve()
    return any(above.resolve().is_relative_to(target) for above in link.parents)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}.") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of a disk that takes no file what helps: the next file would fare no better, unless it is for its name."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_NAME:
            raise NotTaken(f"{path}: {error.strerror}.") from error
        raise unwritable(path, error, "Check the rights there, then run the same command again.") from error
