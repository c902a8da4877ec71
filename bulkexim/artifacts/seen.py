"""Artifacts in a folder that this machine sees too: no server has to send or to take them.

The folder is that of the server's ``--artifacts-destination``, on this machine or mounted here.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader
from anyio import to_thread

from bulkexim.artifacts.names import below
from bulkexim.artifacts.place import Entry
from bulkexim.errors import ObjectError, unwritable
from bulkexim.http.retry import Traffic

CHUNK = 1024 * 1024
#: Below the folder: files that are being written. They get their names when they are whole.
PARTS = ".bulkexim-parts"


@dataclass(frozen=True, slots=True)
class Seen:
    """A root of a server's artifact service, reached in its folder; ``traffic`` counts the bytes of that server."""

    folder: Path
    root: str
    traffic: Traffic

    async def entries(self, folder: str) -> list[Entry]:
        return await to_thread.run_sync(self._entries, folder)

    def _entries(self, folder: str) -> list[Entry]:
        path = self._at(folder)
        if not path.is_dir():
            return []
        with _reading(path), os.scandir(path) as found:
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
            part.parent.mkdir(parents=True, exist_ok=True)
            try:
                await _filled(part, content)
                await to_thread.run_sync(_named, part, target)
            finally:
                part.unlink(missing_ok=True)
        self.traffic.sent += size

    def _at(self, path: str) -> Path:
        inside = "/".join(filter(None, (self.root, path)))
        return self.folder / below("", inside) if inside else self.folder


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


def _entry(folder: str, found: os.DirEntry[str]) -> Entry:
    try:
        found.name.encode()
    except UnicodeEncodeError as error:
        raise ObjectError("unsafe file name", f"{found.path!a} has a name that is no text.", "Rename it.") from error
    is_dir = found.is_dir()
    return Entry(below(folder, found.name), is_dir, 0 if is_dir else found.stat().st_size)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectError("file cannot be read", f"{path}: {error.strerror}.", "Check it and its rights.") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of a disk that takes no file what helps: the next file would fare no better."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, "Check the rights there, then run the same command again.") from error
